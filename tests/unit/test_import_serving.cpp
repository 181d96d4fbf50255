// The serving launchers: one deployment means other degrees in each.
#include "reports/import/launchers.hpp"
#include "reports/import/shell_words.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

LaunchPlan imported(const Launcher& launcher, const std::string& text, bool with_model = false) {
  LaunchOptions options;
  options.gpus_per_node = 8;
  if (with_model) options.model = shipped_model("deepseek-v3");
  return import_launch(launcher, shell_words(text, "test"), options).plan;
}

// Degrees as "tp 2 x cp 1 x dp 8 x pp 1; expert_tp 1 x ep 16 x replicas 1".
std::string degrees(const LaunchPlan& plan) {
  const ParallelPlan& g = plan.grid;
  const std::string dense = "tp " + std::to_string(g.tp) + " x cp " + std::to_string(g.cp) +
                            " x dp " + std::to_string(g.dp) + " x pp " + std::to_string(g.pp);
  if (!plan.has_experts) return dense;
  return dense + "; expert_tp " + std::to_string(g.expert_tp) + " x ep " + std::to_string(g.ep) +
         " x replicas " + std::to_string(g.num_ep_groups());
}

}  // namespace

TEST_CASE("import serving: degrees of each launcher", "[import]") {
  struct Row {
    const Launcher& launcher;
    const char* flags;
    bool with_model;
    const char* degrees;
  };
  const Row rows[] = {
      {kVllm, "vllm serve x", false, "tp 1 x cp 1 x dp 1 x pp 1"},
      {kVllm, "-tp 8 -pp 2", false, "tp 8 x cp 1 x dp 1 x pp 2"},
      {kVllm,
       "-tp 2 -dp 8 --enable-expert-parallel",
       false,
       "tp 2 x cp 1 x dp 8 x pp 1; expert_tp 1 x ep 16 x replicas 1"},
      // Expert layers form one tensor-parallel group of dp x tp.
      {kVllm, "-tp 2 -dp 4", true, "tp 2 x cp 1 x dp 4 x pp 1; expert_tp 8 x ep 1 x replicas 1"},
      {kSglang, "--tp 8", false, "tp 8 x cp 1 x dp 1 x pp 1"},
      // Independent servers.
      {kSglang, "--tp 8 --dp 2", false, "tp 8 x cp 1 x dp 2 x pp 1"},
      {kSglang,
       "--tp-size 16 --dp-size 16 --enable-dp-attention --moe-a2a-backend deepep",
       false,
       "tp 1 x cp 1 x dp 16 x pp 1; expert_tp 1 x ep 16 x replicas 1"},
      {kSglang,
       "--tp-size 16 --dp-size 4 --enable-dp-attention --ep-size 4",
       false,
       "tp 4 x cp 1 x dp 4 x pp 1; expert_tp 4 x ep 4 x replicas 1"},
      {kSglang,
       "--tp-size 8 --dp-size 2 --enable-ep-moe",
       false,
       "tp 8 x cp 1 x dp 2 x pp 1; expert_tp 1 x ep 8 x replicas 2"},
      {kTensorRtLlm,
       "trtllm-serve m --tp_size 8",
       true,
       "tp 8 x cp 1 x dp 1 x pp 1; expert_tp 8 x ep 1 x replicas 1"},
      {kTensorRtLlm,
       "--tp_size 8 --ep_size 4 --pp_size 2",
       false,
       "tp 8 x cp 1 x dp 1 x pp 2; expert_tp 2 x ep 4 x replicas 1"},
      {kTensorRtLlm,
       "--tp_size 8 --ep_size 8 --enable_attention_dp",
       false,
       "tp 1 x cp 1 x dp 8 x pp 1; expert_tp 1 x ep 8 x replicas 1"}};
  for (const Row& row : rows) {
    INFO(row.launcher.name << " " << row.flags);
    CHECK(degrees(imported(row.launcher, row.flags, row.with_model)) == row.degrees);
  }
}

TEST_CASE("import serving: settings under neutral names, with the defaults that hold", "[import]") {
  CHECK(imported(kVllm,
                 "-tp 8 --max-num-seqs 256 --max-num-batched-tokens 8192 --max-model-len 32768 "
                 "--gpu-memory-utilization 0.85 --block-size 64 --kv-cache-dtype fp8 "
                 "--quantization fp8 --no-enable-prefix-caching --enable-chunked-prefill")
            .settings.dump_line() ==
        "{\"tp\":8,\"cp\":1,\"pp\":1,\"dp\":1,\"max_requests\":256,\"max_batch_tokens\":8192,"
        "\"max_context_tokens\":32768,\"memory_fraction\":0.85,\"kv_page_tokens\":64,"
        "\"kv_cache\":\"fp8\",\"weights\":\"fp8\",\"prefix_cache\":false,\"chunked_prefill\":true,"
        "\"memory_fraction_of\":\"all GPU memory: weights, activations and KV cache\"}");
  CHECK(imported(kSglang,
                 "--tp-size 8 --chunked-prefill-size -1 --max-running-requests 128 "
                 "--mem-fraction-static 0.8 --page-size 64 --disaggregation-mode decode "
                 "--deepep-mode low_latency --enable-two-batch-overlap --moe-dense-tp-size 1 "
                 "--moe-a2a-backend deepep")
            .settings.dump_line() ==
        "{\"tp\":8,\"cp\":1,\"pp\":1,\"dp\":1,\"ep\":8,\"expert_tp\":1,"
        "\"prefill_chunk_tokens\":null,\"max_requests\":128,\"memory_fraction\":0.8,"
        "\"kv_page_tokens\":64,\"role\":\"decode\",\"dispatch_mode\":\"low_latency\","
        "\"two_batch_overlap\":true,\"dense_tp\":1,\"kv_cache\":\"auto\",\"prefix_cache\":true,"
        "\"dispatch\":\"deepep\",\"memory_fraction_of\":\"all GPU memory: weights and KV cache\"}");
  CHECK(imported(kTensorRtLlm, "--tp_size 4 --max_batch_size 64").settings.dump_line() ==
        "{\"tp\":4,\"cp\":1,\"pp\":1,\"dp\":1,\"max_requests\":64,\"max_batch_tokens\":8192,"
        "\"memory_fraction\":0.9,\"kv_cache\":\"auto\",\"chunked_prefill\":false,"
        "\"memory_fraction_of\":\"GPU memory that weights and buffers leave free: KV cache "
        "only\"}");
}

TEST_CASE("import serving: GPUs of a node", "[import]") {
  const LaunchImport two_nodes =
      import_launch(kSglang, {"--tp-size", "8", "--nnodes", "2"}, LaunchOptions{});
  CHECK(two_nodes.plan.gpus_per_node == 4);
  CHECK(import_launch(kTensorRtLlm, {"--tp_size", "4", "--gpus_per_node", "4"}, LaunchOptions{})
            .plan.gpus_per_node == 4);
}

TEST_CASE("import serving: what does not fit together", "[import]") {
  struct Row {
    const Launcher& launcher;
    const char* flags;
    const char* message;
  };
  const Row rows[] = {
      {kVllm,
       "--enable-prefix-caching --no-enable-prefix-caching",
       "--no-enable-prefix-caching: is given beside --enable-prefix-caching, which says the same"},
      {kVllm,
       "--tp-size 8",
       "--tp-size: is not a flag of vLLM that is known here; the nearest is "
       "--tensor-parallel-size"},
      {kSglang,
       "--tp 8 --dp 3 --enable-dp-attention",
       "--dp-size: 3 does not divide the --tp-size 8 GPUs that attention shares"},
      {kSglang, "--tp 8 --ep 3", "--ep-size: 3 does not divide the --tp-size 8"},
      {kTensorRtLlm, "--tp_size 8 --ep_size 3", "--ep_size: 3 does not divide the --tp_size 8"},
      {kTensorRtLlm, "--tp_size 12", "world size: 12 GPUs are not whole nodes of 8"},
      {kTensorRtLlm,
       "--kv_cache_free_gpu_memory_fraction 90",
       "--kv_cache_free_gpu_memory_fraction: expected a fraction above 0 and at most 1, found "
       "\"90\""}};
  for (const Row& row : rows)
    CHECK(refusal([&] { imported(row.launcher, row.flags); }) == row.message);
  CHECK(imported(kSglang, "--tp 8 --ep 4 --moe-a2a-backend deepep").warnings.front() ==
        "--ep-size 4 does nothing beside the deepep backend: SGLang makes it the tp-size, 8.");
}
