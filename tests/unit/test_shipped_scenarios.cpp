// Every shipped scenario's plan against its cluster and the published number of GPUs. A scenario
// without a row here fails, as a model does without one in test_model_counts.cpp.
#include <set>
#include <string>
#include <vector>

#include "model/serving/serving_scenario.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

struct Published {
  const char* scenario;
  std::int64_t num_gpus;
  const char* source;
};
const Published kPublished[] = {
    {"deepseek-v3-pretrain", 2048, "V3 report, section 1: a cluster of 2048 H800"},
    {"deepseek-v3-pretrain-domains", 2048, "the same run"},
    {"deepseek-v3-interrupted", 2048, "the same run, interrupted as Llama 3's was"},
    {"deepseek-v3-chunk", 64, "deepseek-ai/profile-data: EP64 of one pair of chunks"},
    {"deepseek-v3-megatron-256", 256, "Megatron-Core MoE report, arXiv 2603.07685, Table 3"},
    {"deepseek-v3-h100-1024", 1024, "Megatron-Bridge performance summary, 25.09 (row T30)"},
    {"deepseek-v2-pretrain", 1024, "not published; the middle of row T10's band"},
    {"deepseek-llm-67b-pretrain", 512, "not published; row T11's band"},
    {"llama-3.1-405b-h100", 8192, "Llama 3, arXiv 2407.21783, Table 4, first row"},
    {"mixtral-8x22b-h100-128", 128, "Megatron MoE model zoo (row T42)"},
    {"qwen3-235b-h100-256", 256, "Megatron MoE model zoo (row T40)"},
};

// Of a serving scenario: GPUs of one unit of each pool.
struct PublishedUnits {
  const char* scenario;
  std::vector<std::int64_t> gpus_per_unit;
  const char* source;
};
const PublishedUnits kServing[] = {
    {"deepseek-v3-h100-sglang", {32, 72}, "SGLang blog 2025-05-05: 4 and 9 nodes of 8 H100"},
    {"deepseek-v3-h800-profiled", {32, 128}, "deepseek-ai/profile-data: prefill EP32, decode EP128"},
    {"deepseek-v3-gb200-decode", {48}, "SGLang blog 2025-06-16: 12 trays of 4"},
    {"deepseek-v3-serving-day", {32, 144}, "open-infra-index, day 6: 4 and 18 nodes"},
    {"azure-conversation-h200", {8}, "not published; one node"},
    {"conversation-h800", {16, 32}, "not published; whole nodes"},
    {"deepseek-moe-16b-one-gpu", {1}, "DeepSeekMoE, arXiv 2401.06066: a single GPU of 40 GB"},
};

}  // namespace

TEST_CASE("shipped scenarios: units of serving have the published GPUs", "[shipped]") {
  for (const PublishedUnits& row : kServing) {
    INFO(row.scenario << ": " << row.source);
    const ServingScenario scenario =
        read_serving_scenario(scenario_folder() / (std::string(row.scenario) + ".jsonc"));
    std::vector<std::int64_t> gpus;
    for (const PoolSpec& pool : scenario.serving.pools) gpus.push_back(pool.plan.num_gpus());
    CHECK(gpus == row.gpus_per_unit);
  }
}

TEST_CASE("shipped scenarios: every phase's ranks are the cluster's and the published GPUs",
          "[shipped]") {
  for (const Published& row : kPublished) {
    INFO(row.scenario << ": " << row.source);
    const Scenario scenario = shipped_scenario(row.scenario);
    CHECK(scenario.cluster.num_gpus() == row.num_gpus);
    for (const TrainingPhase& phase : scenario.phases)
      if (!phase.stated_gpu_hours) CHECK(phase.plan.world() == row.num_gpus);
  }
}

TEST_CASE("shipped scenarios: every one has a published row", "[shipped]") {
  std::set<std::string> known;
  for (const Published& row : kPublished) known.insert(row.scenario);
  for (const PublishedUnits& row : kServing) known.insert(row.scenario);
  for (const auto& file : std::filesystem::directory_iterator(scenario_folder()))
    if (file.path().extension() == ".jsonc") {
      INFO(file.path());
      CHECK(known.count(file.path().stem().string()) == 1);
    }
}
