// TensorRT-LLM's trtllm-serve options as serving settings.
//
// tp_size is every GPU of a pipeline stage but for context parallelism; experts: ep_size x
// expert_tp = tp_size, ep_size 1 unless it is given. With attention data parallelism each of these
// GPUs has attention of its own, so attention's tp is 1 and its dp is tp_size (TensorRT-LLM
// documentation, "Parallelism in TensorRT-LLM"; tensorrt_llm/commands/serve.py).
//
// Attention data parallelism is a field of the YAML file that --config names, which is not read:
// here it is written as the flag --enable_attention_dp.
#include "reports/import/flag_words.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/serving.hpp"

namespace moesim {
namespace {

using namespace flag_words;

constexpr LaunchFlag kFlags[] = {
    {"--tp_size --tensor_parallel_size", kInteger, kDegree, "tp, or dp"},
    {"--pp_size --pipeline_parallel_size", kInteger, kDegree, "pp"},
    {"--cp_size --context_parallel_size", kInteger, kDegree, "cp"},
    {"--ep_size --moe_expert_parallel_size", kInteger, kDegree, "ep"},
    {"--enable_attention_dp", kNone, kDegree, "attention's dp = tp_size"},
    {"--gpus_per_node", kInteger, kDegree, "GPUs of a node"},
    {"--max_batch_size", kInteger, kPlan, "max_requests"},
    {"--max_num_tokens", kInteger, kPlan, "max_batch_tokens"},
    {"--max_seq_len", kInteger, kPlan, "max_context_tokens"},
    {"--max_beam_width", kInteger, kPlan, "beams"},
    {"--kv_cache_free_gpu_memory_fraction --free_gpu_memory_fraction",
     kFraction,
     kPlan,
     "memory_fraction"},
    {"--kv_cache_dtype", kWord, kPlan, "kv_cache"},
    {"--enable_chunked_prefill", kNone, kPlan, "chunked_prefill"},
    {"--server_role", kWord, kPlan, "role"},
    {"--moe_cluster_parallel_size --cluster_size",
     kInteger,
     kUnexpressed,
     "experts split within a cluster of GPUs"},
    {"--config --extra_llm_api_options",
     kWord,
     kUnexpressed,
     "the fields of that file, which is not read; of them --enable_attention_dp can be given here"},
    {"--backend", kWord, kUnexpressed, "the backend, whose kernels a profile measures"},
};

constexpr IgnoredFlags kIgnored[] = {
    {"the model's files",
     "--tokenizer= --custom_tokenizer= --revision= --trust_remote_code --custom_module_dirs="},
    {"the server and its log",
     "--host= --port= --log_level= --num_postprocess_workers= --reasoning_parser= --tool_parser= "
     "--metadata_server_config_file= --otlp_traces_endpoint= --disagg_cluster_uri= "
     "--media_io_kwargs= --chat_template= --fail_fast_on_attention_window_too_large"},
};

LaunchPlan read_tensorrt_llm(LaunchArguments& arguments, const LaunchOptions& options) {
  constexpr const char* kTp = "--tp_size";
  constexpr const char* kEp = "--ep_size";
  LaunchPlan plan;
  ParallelPlan& grid = plan.grid;
  const std::int64_t stage = arguments.degree(kTp);
  grid.pp = arguments.degree("--pp_size");
  grid.cp = arguments.degree("--cp_size");
  const bool attention_dp = arguments.on("--enable_attention_dp");
  (attention_dp ? grid.dp : grid.tp) = stage;
  plan.arithmetic.push_back(
      "world size = " + product_text({{"tp_size", stage}, {"cp", grid.cp}, {"pp", grid.pp}}) +
      " GPUs" +
      (attention_dp ? "; attention's tp is 1, its dp " + std::to_string(stage) : std::string()));
  const std::optional<std::int64_t> ep = arguments.integer(kEp, 1, kMostDegree);
  plan.has_experts = (ep && *ep > 1) || (options.model && options.model->moe);
  if (plan.has_experts) {
    grid.ep = arguments.degree(kEp);
    if (stage % grid.ep != 0)
      arguments.fail(
          kEp,
          std::to_string(grid.ep) + " does not divide the " + kTp + " " + std::to_string(stage));
    grid.expert_tp = stage / grid.ep;
    plan.arithmetic.push_back("expert_tp = tp_size " + std::to_string(stage) + " / ep " +
                              std::to_string(grid.ep) + " = " + std::to_string(grid.expert_tp));
  }
  set_gpus_per_node(plan, arguments, options, "--gpus_per_node");
  check_grids(plan, arguments, kEp);
  set_serving_settings(
      arguments,
      {{"max_requests", "--max_batch_size", 2048, "2048"},
       {"max_batch_tokens", "--max_num_tokens", 8192, "8192"},
       {"max_context_tokens", "--max_seq_len", {}, "the model's own"},
       {"memory_fraction", "--kv_cache_free_gpu_memory_fraction", 0.9, "0.9 of what is free"},
       {"kv_cache", "--kv_cache_dtype", "auto", "auto: as the model"},
       {"chunked_prefill", "--enable_chunked_prefill", false, "off"}},
      plan);
  plan.settings.set("memory_fraction_of",
                    "GPU memory that weights and buffers leave free: KV cache only");
  return plan;
}

}  // namespace

const Launcher kTensorRtLlm = {"tensorrt_llm", "TensorRT-LLM", kFlags, kIgnored, read_tensorrt_llm};

}  // namespace moesim
