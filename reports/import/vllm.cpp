// vLLM engine arguments as serving settings.
//
// A replica of attention is tp x pp GPUs, of which there are dp. Expert layers span the replicas: a
// tensor-parallel group of dp x tp, or with --enable-expert-parallel as many expert-parallel ranks
// (vLLM documentation, "Data Parallel Deployment" and "Expert Parallel Deployment", 0.8 to 0.12).
//
// Left out: prefill context parallelism, speculative decoding beyond its text.
#include "reports/import/flag_words.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/serving.hpp"

namespace moesim {
namespace {

using namespace flag_words;

constexpr LaunchFlag kFlags[] = {
    {"--tensor-parallel-size -tp", kInteger, kDegree, "tp"},
    {"--pipeline-parallel-size -pp", kInteger, kDegree, "pp"},
    {"--data-parallel-size -dp", kInteger, kDegree, "dp"},
    {"--enable-expert-parallel -ep", kNone, kDegree, "ep = tp x dp"},
    {"--decode-context-parallel-size -dcp", kInteger, kPlan, "decode_context_parallel"},
    {"--max-num-seqs", kInteger, kPlan, "max_requests"},
    {"--max-num-batched-tokens", kInteger, kPlan, "max_batch_tokens"},
    {"--max-model-len", kInteger, kPlan, "max_context_tokens"},
    {"--gpu-memory-utilization", kFraction, kPlan, "memory_fraction"},
    {"--block-size", kInteger, kPlan, "kv_page_tokens"},
    {"--num-gpu-blocks-override", kInteger, kPlan, "kv_pages"},
    {"--kv-cache-dtype", kWord, kPlan, "kv_cache"},
    {"--quantization -q", kWord, kPlan, "weights"},
    {"--dtype", kWord, kPlan, "activations"},
    {"--enable-prefix-caching", kNone, kPlan, "prefix_cache"},
    {"--no-enable-prefix-caching", kNone, kPlan, "prefix_cache=false"},
    {"--enable-chunked-prefill", kNone, kPlan, "chunked_prefill"},
    {"--no-enable-chunked-prefill", kNone, kPlan, "chunked_prefill=false"},
    {"--long-prefill-token-threshold", kInteger, kPlan, "long_prefill_tokens"},
    {"--max-num-partial-prefills", kInteger, kPlan, "max_partial_prefills"},
    {"--enforce-eager", kNone, kPlan, "cuda_graphs=false"},
    {"--enable-dbo", kNone, kPlan, "two_batch_overlap"},
    {"--all2all-backend", kWord, kPlan, "dispatch"},
    {"--enable-eplb", kNone, kPlan, "expert_load_balancing"},
    {"--num-redundant-experts", kInteger, kPlan, "redundant_experts"},
    {"--speculative-config -sc", kWord, kPlan, "speculative"},
    {"--kv-transfer-config", kWord, kPlan, "kv_transfer"},
    {"--async-scheduling", kNone, kPlan, "async_scheduling"},
    {"--cpu-offload-gb", kInteger, kUnexpressed, "weights in host memory"},
    {"--swap-space", kInteger, kUnexpressed, "KV pages in host memory"},
    {"--compilation-config -O", kWord, kUnexpressed, "what is compiled and captured"},
    {"--scheduling-policy", kWord, kUnexpressed, "the order of requests"},
    {"--enable-lora", kNone, kUnexpressed, "adapters"},
    {"--hf-overrides", kWord, kModel, "any key"},
    {"--rope-scaling", kWord, kModel, "rope_scaling"},
};

constexpr IgnoredFlags kIgnored[] = {
    {"the model's files",
     "--model= --tokenizer= --tokenizer-mode= --revision= --tokenizer-revision= --code-revision= "
     "--trust-remote-code --download-dir= --load-format= --hf-config-path= --config-format= "
     "--skip-tokenizer-init --allowed-local-media-path= --safetensors-load-strategy="},
    {"the server and its log",
     "--host= --port= --api-key= --served-model-name=* --uvicorn-log-level= --disable-log-requests "
     "--enable-log-requests --disable-log-stats --disable-uvicorn-access-log --max-log-len= "
     "--chat-template= --response-role= --tool-call-parser= --enable-auto-tool-choice "
     "--reasoning-parser= --allowed-origins= --root-path= --ssl-keyfile= --ssl-certfile= "
     "--generation-config= --max-logprobs= --seed= --otlp-traces-endpoint= --config= "
     "--return-tokens-as-token-ids --disable-frontend-multiprocessing "
     "--enable-server-load-tracking"},
    {"where the processes run",
     "--distributed-executor-backend= --data-parallel-size-local= -dpl= --data-parallel-rank= "
     "--data-parallel-start-rank= -dpr= --data-parallel-address= -dpa= --data-parallel-rpc-port= "
     "-dpp= --data-parallel-backend= -dpb= --data-parallel-hybrid-lb --data-parallel-external-lb "
     "--headless --api-server-count= -asc= --nnodes= --max-parallel-loading-workers= "
     "--disable-custom-all-reduce"},
};

LaunchPlan read_vllm(LaunchArguments& arguments, const LaunchOptions& options) {
  constexpr const char* kExperts = "--enable-expert-parallel";
  LaunchPlan plan;
  ParallelPlan& grid = plan.grid;
  grid.tp = arguments.degree("--tensor-parallel-size");
  grid.pp = arguments.degree("--pipeline-parallel-size");
  grid.dp = arguments.degree("--data-parallel-size");
  const bool expert_parallel = arguments.on(kExperts);
  plan.has_experts = expert_parallel || (options.model && options.model->moe);
  if (plan.has_experts) (expert_parallel ? grid.ep : grid.expert_tp) = grid.tp * grid.dp;
  plan.arithmetic.push_back(
      "world size = " + product_text({{"tp", grid.tp}, {"pp", grid.pp}, {"dp", grid.dp}}) +
      " GPUs");
  if (expert_parallel)
    plan.arithmetic.push_back("ep = " + product_text({{"tp", grid.tp}, {"dp", grid.dp}}));
  set_gpus_per_node(plan, arguments, options, nullptr);
  check_grids(plan, arguments, kExperts);
  constexpr const char* kAtStart = "chosen by vLLM when it starts, from the model and the GPU";
  set_serving_settings(
      arguments,
      {{"max_requests", "--max-num-seqs", {}, kAtStart},
       {"max_batch_tokens", "--max-num-batched-tokens", {}, kAtStart},
       {"max_context_tokens", "--max-model-len", {}, "the model's own"},
       {"memory_fraction",
        "--gpu-memory-utilization",
        0.9,
        "0.9 of the GPU, weights included (0.92 in releases of 2026)"},
       {"kv_page_tokens", "--block-size", {}, kAtStart},
       {"kv_cache", "--kv-cache-dtype", "auto", "auto: as the model"},
       {"prefix_cache", "--enable-prefix-caching", true, "on (the V1 engine)"},
       {"chunked_prefill", "--enable-chunked-prefill", true, "on (the V1 engine)"}},
      plan);
  plan.settings.set("memory_fraction_of", "all GPU memory: weights, activations and KV cache");
  return plan;
}

}  // namespace

const Launcher kVllm = {"vllm", "vLLM", kFlags, kIgnored, read_vllm};

}  // namespace moesim
