// SGLang server arguments as serving settings.
//
// --tp-size is every GPU of a pipeline stage. With --enable-dp-attention the --dp-size replicas of
// attention share them, so attention's tp is tp-size / dp-size; without it they are independent
// servers of tp-size GPUs each. Experts: ep-size x expert_tp = tp-size; with an all-to-all backend
// (--moe-a2a-backend deepep and others) SGLang makes ep-size equal to tp-size (SGLang
// documentation, "Server Arguments"; server_args.py).
#include "reports/import/flag_words.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/serving.hpp"

namespace moesim {
namespace {

using namespace flag_words;

constexpr LaunchFlag kFlags[] = {
    {"--tp-size --tensor-parallel-size --tp", kInteger, kDegree, "tp x dp, or tp"},
    {"--pp-size --pipeline-parallel-size --pp", kInteger, kDegree, "pp"},
    {"--dp-size --data-parallel-size --dp", kInteger, kDegree, "dp"},
    {"--ep-size --expert-parallel-size --ep", kInteger, kDegree, "ep"},
    {"--enable-dp-attention", kNone, kDegree, "attention's tp = tp-size / dp-size"},
    {"--moe-a2a-backend", kWord, kDegree, "dispatch; ep = tp-size"},
    {"--enable-deepep-moe", kNone, kDegree, "dispatch; ep = tp-size"},
    {"--enable-ep-moe", kNone, kDegree, "ep = tp-size"},
    {"--nnodes", kInteger, kDegree, "GPUs of a node"},
    {"--moe-dense-tp-size", kInteger, kPlan, "dense_tp"},
    {"--enable-dp-lm-head", kNone, kPlan, "head_dp"},
    {"--max-running-requests", kInteger, kPlan, "max_requests"},
    {"--chunked-prefill-size", kInteger, kPlan, "prefill_chunk_tokens"},
    {"--max-prefill-tokens", kInteger, kPlan, "max_batch_tokens"},
    {"--max-total-tokens", kInteger, kPlan, "kv_tokens"},
    {"--context-length", kInteger, kPlan, "max_context_tokens"},
    {"--mem-fraction-static", kFraction, kPlan, "memory_fraction"},
    {"--page-size", kInteger, kPlan, "kv_page_tokens"},
    {"--kv-cache-dtype", kWord, kPlan, "kv_cache"},
    {"--quantization", kWord, kPlan, "weights"},
    {"--dtype", kWord, kPlan, "activations"},
    {"--disable-radix-cache", kNone, kPlan, "prefix_cache=false"},
    {"--disable-cuda-graph", kNone, kPlan, "cuda_graphs=false"},
    {"--cuda-graph-max-bs", kInteger, kPlan, "cuda_graph_max_requests"},
    {"--enable-two-batch-overlap", kNone, kPlan, "two_batch_overlap"},
    {"--deepep-mode", kWord, kPlan, "dispatch_mode"},
    {"--ep-num-redundant-experts", kInteger, kPlan, "redundant_experts"},
    {"--enable-eplb", kNone, kPlan, "expert_load_balancing"},
    {"--disaggregation-mode", kWord, kPlan, "role"},
    {"--disaggregation-transfer-backend", kWord, kPlan, "kv_transfer"},
    {"--schedule-conservativeness", kWord, kPlan, "schedule_conservativeness"},
    {"--speculative-algorithm --speculative-algo", kWord, kPlan, "speculative"},
    {"--speculative-num-steps", kInteger, kPlan, "speculative_steps"},
    {"--speculative-eagle-topk", kInteger, kPlan, "speculative_top_k"},
    {"--speculative-num-draft-tokens", kInteger, kPlan, "speculative_tokens"},
    {"--cpu-offload-gb", kInteger, kUnexpressed, "weights in host memory"},
    {"--schedule-policy", kWord, kUnexpressed, "the order of requests"},
    {"--enable-mixed-chunk", kNone, kUnexpressed, "prefill and decode in one batch"},
    {"--enable-torch-compile", kNone, kUnexpressed, "what is compiled"},
    {"--enable-hierarchical-cache", kNone, kUnexpressed, "KV pages in host memory"},
    {"--json-model-override-args", kWord, kModel, "any key"},
};

constexpr IgnoredFlags kIgnored[] = {
    {"the model's files",
     "--model-path= --model= --tokenizer-path= --tokenizer-mode= --load-format= --revision= "
     "--trust-remote-code --skip-tokenizer-init --download-dir= --speculative-draft-model-path= "
     "--init-expert-location= --deepep-config="},
    {"the server and its log",
     "--host= --port= --api-key= --served-model-name= --chat-template= --log-level= "
     "--log-level-http= --log-requests --log-requests-level= --show-time-cost --enable-metrics "
     "--decode-log-interval= --reasoning-parser= --tool-call-parser= --random-seed= "
     "--watchdog-timeout= --skip-server-warmup --warmups= --config= --enable-cache-report "
     "--collect-tokens-histogram --crash-dump-folder= --bench="},
    {"where the processes run",
     "--dist-init-addr= --nccl-init-addr= --dist-timeout= --base-gpu-id= --gpu-id-step= "
     "--load-balance-method= --disaggregation-bootstrap-port= --disaggregation-ib-device= "
     "--enable-p2p-check --device= --prefill-round-robin-balance"},
    {"how SGLang runs a kernel, which a profile measures",
     "--attention-backend= --prefill-attention-backend= --decode-attention-backend= "
     "--sampling-backend= --grammar-backend= --moe-runner-backend= --mm-attention-backend= "
     "--disable-custom-all-reduce --disable-overlap-schedule --enable-flashinfer-allreduce-fusion "
     "--disable-shared-experts-fusion --cuda-graph-bs=* --num-continuous-decode-steps= "
     "--stream-interval= --fp8-gemm-backend="},
};

LaunchPlan read_sglang(LaunchArguments& arguments, const LaunchOptions& options) {
  constexpr const char* kTp = "--tp-size";
  constexpr const char* kDp = "--dp-size";
  constexpr const char* kEp = "--ep-size";
  constexpr const char* kBackend = "--moe-a2a-backend";
  LaunchPlan plan;
  ParallelPlan& grid = plan.grid;
  const std::int64_t stage = arguments.degree(kTp);
  grid.pp = arguments.degree("--pp-size");
  grid.dp = arguments.degree(kDp);
  const bool shared = arguments.on("--enable-dp-attention");
  if (shared && stage % grid.dp != 0)
    arguments.fail(kDp,
                   std::to_string(grid.dp) + " does not divide the " + kTp + " " +
                       std::to_string(stage) + " GPUs that attention shares");
  grid.tp = shared ? stage / grid.dp : stage;
  plan.arithmetic.push_back(
      shared ? "world size = " + product_text({{"tp-size", stage}, {"pp", grid.pp}}) +
                   " GPUs; attention's tp = tp-size " + std::to_string(stage) + " / dp " +
                   std::to_string(grid.dp) + " = " + std::to_string(grid.tp)
             : "world size = " +
                   product_text({{"tp-size", stage}, {"pp", grid.pp}, {"dp", grid.dp}}) + " GPUs");

  const std::string backend =
      arguments.word(kBackend).value_or(arguments.has("--enable-deepep-moe") ? "deepep" : "none");
  const bool spanning = backend != "none" || arguments.has("--enable-ep-moe");
  if (!spanning) arguments.not_given(kBackend, "none");
  const std::optional<std::int64_t> ep = arguments.integer(kEp, 1, kMostDegree);
  if (spanning && ep && *ep != stage)
    plan.warnings.push_back("--ep-size " + std::to_string(*ep) + " does nothing beside the " +
                            backend + " backend: SGLang makes it the tp-size, " +
                            std::to_string(stage) + ".");
  plan.has_experts = spanning || (ep && *ep > 1) || (options.model && options.model->moe);
  if (plan.has_experts) {
    grid.ep = spanning ? stage : arguments.degree(kEp);
    if (stage % grid.ep != 0)
      arguments.fail(
          kEp,
          std::to_string(grid.ep) + " does not divide the " + kTp + " " + std::to_string(stage));
    grid.expert_tp = stage / grid.ep;
    plan.arithmetic.push_back("expert_tp = tp-size " + std::to_string(stage) + " / ep " +
                              std::to_string(grid.ep) + " = " + std::to_string(grid.expert_tp));
  }
  LaunchOptions node = options;
  if (const auto nodes = arguments.integer("--nnodes", 1, kMostGpus);
      nodes && !node.gpus_per_node) {
    if (grid.world() % *nodes != 0)
      arguments.fail("--nnodes",
                     std::to_string(grid.world()) + " GPUs do not spread over " +
                         std::to_string(*nodes) + " nodes");
    node.gpus_per_node = grid.world() / *nodes;
  }
  set_gpus_per_node(plan, arguments, node, nullptr);
  check_grids(plan, arguments, kEp);

  constexpr const char* kAtStart = "chosen by SGLang when it starts, from the model and the GPU";
  set_serving_settings(arguments,
                       {{"max_requests", "--max-running-requests", {}, kAtStart},
                        {"prefill_chunk_tokens", "--chunked-prefill-size", {}, kAtStart},
                        {"max_context_tokens", "--context-length", {}, "the model's own"},
                        {"memory_fraction", "--mem-fraction-static", {}, kAtStart},
                        {"kv_page_tokens", "--page-size", {}, kAtStart},
                        {"kv_cache", "--kv-cache-dtype", "auto", "auto: as the model"},
                        {"prefix_cache", "--disable-radix-cache", true, "prefixes are kept"},
                        {"role", "--disaggregation-mode", "both", "prefill and decode together"}},
                       plan);
  if (backend != "none") plan.settings.set("dispatch", backend);
  plan.settings.set("memory_fraction_of", "all GPU memory: weights and KV cache");
  return plan;
}

}  // namespace

const Launcher kSglang = {"sglang", "SGLang", kFlags, kIgnored, read_sglang};

}  // namespace moesim
