// A serving description: what is read, and each way to get it wrong with its message in full.
#include "model/serving/serving_spec.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

namespace {

// Prefill EP32 and decode EP144 as DeepSeek runs them, and one unit of each on two nodes.
const char* const kDisaggregated = R"({
  "pools": [
    {"name": "p", "role": "prefill", "units": 24,
     "unit": {"tp": 1, "dp": 32, "ep": 32, "recipe": "fp8_block", "weights": "fp8",
              "comm_sms": 24, "two_batch_overlap": true,
              "placement": {"policy": "eplb_hierarchical", "redundant_experts": 32}},
     "engine": {"max_requests": 64, "max_batch_tokens": 16384, "max_context_tokens": 131072,
                "step_overhead": "1 ms"},
     "kv": {"page_tokens": 64, "kv_cache": "bf16", "framework": "4 GiB", "prefix_cache": true,
            "tiers": [{"name": "ssd", "capacity": "1 TB", "bandwidth": "5 GB/s",
                       "latency": "100 us"}]}},
    {"name": "d", "role": "decode", "units": 6,
     "unit": {"tp": 1, "dp": 144, "ep": 144, "recipe": "fp8_block", "weights": "fp8",
              "expert_weights": "fp4",
              "placement": {"policy": "eplb_global", "redundant_experts": 32}},
     "engine": {"batching": "continuous", "policy": "slo_aware", "preemption": "recompute",
                "max_requests": 128, "max_batch_tokens": 256, "long_prefill_tokens": 4096,
                "max_context_tokens": 131072, "step_overhead": "500 us"},
     "speculative": {"acceptance": [0.85]},
     "kv": {"page_tokens": 64, "kv_cache": "6 bits", "pages": 9000, "watermark": 0.02},
     "scaler": {"kind": "predictive", "min_units": 2, "max_units": 8, "start_up": "5 min",
                "interval": "1 min", "target": 0.7, "horizon": "10 min"},
     "failures": {"mean_between": "1000 h", "repair": "1 h", "stated": [{"at": "2 h", "unit": 7}]}}
  ],
  "router": "power_of_two", "max_waiting": 100000, "transfer_latency": "1 ms"
})";

const char* const kColocated = R"({
  "pools": [
    {"name": "all", "role": "colocated", "units": 2,
     "unit": {"tp": 8, "dp": 1, "ep": 8, "recipe": "bf16", "weights": "bf16", "comm_sms": 20},
     "engine": {"max_requests": 256, "max_batch_tokens": 8192, "max_context_tokens": 32768,
                "step_overhead": "0 us"},
     "kv": {"page_tokens": 16, "kv_cache": "fp8", "framework": "2 GiB"}}
  ]
})";

// An expert-poor deployment: one GPU, experts in host memory.
const char* const kTiers = R"(
     "expert_tiers": {"hbm": "20 GiB", "eviction": "lfu", "host": "200 GiB",
                      "host_bandwidth": "25 GB/s", "ssd_bandwidth": "3 GB/s",
                      "preload_accuracy": 0.8}, "unit")";

const ModelSpec& v3() {
  static const ModelSpec model = shipped_model("deepseek-v3");
  return model;
}

ServingSpec read(const std::string& text, const ModelSpec& model = v3()) {
  static const ClusterSpec cluster =
      read_cluster_file(scenario_folder() / "clusters" / "h800-2048.jsonc");
  static const Profile profile =
      read_profile_file(scenario_folder() / "profiles" / "h800-published.json");
  const JsonNode node = parse_json(text, "x.json");
  return read_serving(node, model, cluster, profile);
}

std::string edited(std::string text, const std::string& from, const std::string& to) {
  replace_once(text, from, to);
  return text;
}

// What is said when `from` is `to`.
void check(const char* good, const std::string& from, const std::string& to, std::string message) {
  CAPTURE(from, to);
  const std::string said = refusal([&] { read(edited(good, from, to)); });
  CHECK(is_one_line(said));
  CHECK(said == "x.json: " + message);
}
void check_disaggregated(const std::string& from, const std::string& to, std::string message) {
  check(kDisaggregated, from, to, std::move(message));
}
void check_colocated(const std::string& from, const std::string& to, std::string message) {
  check(kColocated, from, to, std::move(message));
}

}  // namespace

TEST_CASE("serving: what a description says", "[serving]") {
  const ServingSpec spec = read(kDisaggregated);
  REQUIRE(spec.pools.size() == 2);
  CHECK(spec.has_prefill_pools());
  CHECK(spec.router == RouterKind::power_of_two);
  CHECK(spec.max_waiting == 100000);
  CHECK(spec.transfer_latency == 1 * ms);
  const PoolSpec &p = spec.pools[0], &d = spec.pools[1];
  CHECK(p.role == PoolRole::prefill);
  CHECK(p.plan.num_gpus() == 32);
  CHECK(p.plan.two_batch_overlap);
  CHECK(p.plan.comm_sms == 24);
  CHECK(p.plan.placement.redundant_experts == 32);
  CHECK(p.plan.prefill_exchange == Exchange::normal);
  CHECK(p.engine.chunked_prefill);
  CHECK(p.kv.framework == 4 * GiB);
  CHECK(p.kv.bytes_per_element == 2);
  CHECK(p.kv.memory_fraction == 0.9);
  REQUIRE(p.kv.tiers.size() == 1);
  CHECK(p.kv.tiers[0].capacity == 1 * TB);
  CHECK(p.scaler.kind == ScalerKind::none);
  CHECK(p.scaler.max_units == 24);
  CHECK(p.cluster.gpu.name == "H800");
  CHECK(p.profile.id == d.profile.id);
  CHECK(d.role == PoolRole::decode);
  CHECK(d.plan.weights == WeightPrecision::fp8);
  CHECK(d.plan.expert_weights == WeightPrecision::fp4);
  CHECK(d.plan.decode_exchange == Exchange::low_latency);
  CHECK(d.engine.policy == Policy::slo_aware);
  CHECK(d.engine.long_prefill_tokens == 4096);
  CHECK(d.engine.acceptance == std::vector<double>{0.85});
  CHECK(d.kv.bytes_per_element == 0.75);
  CHECK(d.kv.pages == 9000);
  CHECK(d.scaler.kind == ScalerKind::predictive);
  CHECK(d.scaler.horizon == 10 * minute);
  CHECK(d.failures.mean_between == 1000 * hour);
  REQUIRE(d.failures.stated.size() == 1);
  CHECK(d.failures.stated[0].unit == 7);
}

TEST_CASE("serving: what may be left out", "[serving]") {
  const ServingSpec spec = read(kColocated);
  REQUIRE(spec.pools.size() == 1);
  CHECK_FALSE(spec.has_prefill_pools());
  CHECK(spec.router == RouterKind::least_loaded);
  CHECK(spec.pools[0].plan.expert_weights == WeightPrecision::bf16);
  CHECK(spec.pools[0].kv.bytes_per_element == 1);
  CHECK(spec.pools[0].plan.cuda_graphs);
  const ServingSpec tiers = read(edited(kColocated, "\"unit\"", kTiers));
  REQUIRE(tiers.pools[0].expert_tiers);
  CHECK(tiers.pools[0].expert_tiers->frequency);
  CHECK(tiers.pools[0].expert_tiers->preload_accuracy == 0.8);
  const ServingSpec orca = read(edited(edited(kColocated, "8192", "32768"),
                                       "\"max_requests\"",
                                       "\"batching\": \"orca\", \"max_requests\""));
  CHECK(orca.pools[0].engine.batching == Batching::orca);
  CHECK_FALSE(orca.pools[0].engine.chunked_prefill);
}

TEST_CASE("serving: bytes of a weight with its scales", "[serving]") {
  CHECK(bytes_per_weight(WeightPrecision::bf16) == 2);
  CHECK(bytes_per_weight(WeightPrecision::fp8) == 1 + 4.0 / 16384);
  CHECK(bytes_per_weight(WeightPrecision::int8) == 1);
  CHECK(bytes_per_weight(WeightPrecision::fp4) == 0.5625);
}

TEST_CASE("bad serving: pools", "[serving]") {
  check(R"({"pools": []})", "[]", "[]", "/pools: expected an array of pools, found an empty one");
  check(R"({"pools": 3})", "3", "3", "/pools: expected an array of pools, found the number 3");
  check_disaggregated(R"("role": "decode", "units": 6,
     "unit": {)",
                      R"("role": "colocated", "units": 6, "unit": {"comm_sms": 20, )",
                      "/pools: a colocated pool beside a prefill pool; expected colocated ones "
                      "alone, or prefill and decode");
  check_colocated(R"("role": "colocated")",
                  R"("role": "decode")",
                  "/pools: a decode pool without a prefill pool: nobody computes prompts");
  check_colocated(R"("role": "colocated")",
                  R"("role": "prefill")",
                  "/pools: a prefill pool without a decode pool: nobody makes the second token");
  check_colocated(R"("role": "colocated")",
                  R"("role": "both")",
                  R"(/pools/0/role: unknown value "both"; known: colocated, prefill, decode)");
  check_disaggregated(R"("name": "d")", R"("name": "p")", R"(/pools/1/name: "p" is there twice)");
  check_colocated(
      R"("name": "all")", R"("name": "")", R"(/pools/0/name: expected a name, found "")");
  check_colocated(R"("units": 2)",
                  R"("units": 0)",
                  "/pools/0/units: expected an integer from 1 to 1000000, found 0");
  CHECK(read(edited(kDisaggregated,
                    R"("mean_between": "1000 h", "repair": "1 h", "stated")",
                    R"("stated")"))
            .pools[1]
            .failures.repair == std::nullopt);
  check_colocated(R"("units": 2,)", "", R"(/pools/0: missing key "units")");
  check_colocated(R"("units": 2)",
                  R"("units": 257)",
                  "/pools: all 257 units x tp 8 x dp 1 = 2056 GPUs, but the cluster has 256 nodes "
                  "x 8 GPUs = 2048");
  check_disaggregated(R"("units": 24)",
                      R"("units": 30)",
                      "/pools: p 30 units x tp 1 x dp 32 + d 8 units x tp 1 x dp 144 = 2112 GPUs, "
                      "but the cluster has 256 nodes x 8 GPUs = 2048");
  check_colocated(
      R"("pools")", R"("routers": 1, "pools")", R"(unknown key "routers"; did you mean "router"?)");
  check_colocated(R"("pools")",
                  R"("router": "random", "pools")",
                  R"(/router: unknown value "random"; known: round_robin, least_loaded, least_kv, )"
                  R"(prefix_aware, power_of_two)");
  check_disaggregated(R"(, "transfer_latency": "1 ms")", "", R"(missing key "transfer_latency")");
  check_colocated(R"("pools")",
                  R"("transfer_latency": "1 ms", "pools")",
                  "/transfer_latency: given, but colocated pools move no KV cache");
}

TEST_CASE("bad serving: a unit's degrees", "[serving]") {
  check_colocated(R"("ep": 8)",
                  R"("ep": 16)",
                  "/pools/0/unit/ep: is 16; expected tp 8 x dp 1 = 8 (experts over all GPUs of the "
                  "unit) or 1 (every attention rank holds all)");
  check_colocated(R"("units": 2,
     "unit": {"tp": 8, "dp": 1, "ep": 8,)",
                  R"("units": 513,
     "unit": {"tp": 1, "dp": 3, "ep": 1,)",
                  "/pools: all 513 units x tp 1 x dp 3 (2 on a node of 8) = 2056 GPUs, but the "
                  "cluster has 256 nodes x 8 GPUs = 2048");
  check_colocated(R"("tp": 8, "dp": 1, "ep": 8)",
                  R"("tp": 1, "dp": 12, "ep": 12)",
                  "/pools/0/unit: tp 1 x dp 12 = 12 GPUs are more than one node of 8 but not whole "
                  "nodes");
  check_colocated(R"("tp": 8, "dp": 1, "ep": 8)",
                  R"("tp": 24, "dp": 1, "ep": 24)",
                  "/pools/0/unit/tp: 24 does not divide the 128 attention heads of deepseek-v3");
  check_disaggregated(R"("placement": {"policy": "eplb_global", "redundant_experts": 32})",
                      R"("cuda_graphs": true)",
                      "/pools/1/unit/ep: 144 does not divide the 256 experts of deepseek-v3; "
                      "expected a \"placement\" with redundant experts that do");
  check_disaggregated(R"("policy": "eplb_global", "redundant_experts": 32)",
                      R"("policy": "eplb_global", "redundant_experts": 30)",
                      "/pools/1/unit/placement: 286 slots (256 experts and 30 redundant) are not "
                      "divisible by 144 ranks");
  check_colocated(R"("ep": 8)",
                  R"("ep": 1, "placement": {"policy": "contiguous"})",
                  "/pools/0/unit/placement: given, but with ep 1 every attention rank holds all "
                  "experts");
  check_colocated(
      R"("comm_sms": 20)",
      R"("comm_sms": 0)",
      "/pools/0/unit/comm_sms: is 0, but the \"normal\" exchange of prefill runs on SMs "
      "of its own; expected at least 1");
  check_disaggregated(R"("expert_weights": "fp4")",
                      R"("decode_exchange": "normal")",
                      "/pools/1/unit/comm_sms: is 0, but the \"normal\" exchange of decode runs on "
                      "SMs of its own; expected at least 1");
  check_colocated(R"("comm_sms": 20)",
                  R"("comm_sms": 132)",
                  "/pools/0/unit/comm_sms: 132 leaves no SM of 132 for compute");
  check_colocated(R"("ep": 8)",
                  R"("ep": 1, "two_batch_overlap": true)",
                  "/pools/0/unit/two_batch_overlap: is true, but with ep 1 there is no expert "
                  "exchange to hide; expected false");
  check_colocated(R"("weights": "bf16")",
                  R"("weights": "fp6")",
                  R"(/pools/0/unit/weights: unknown value "fp6"; known: bf16, fp8, int8, fp4)");
  check_colocated(R"("tp": 8)", R"("pp": 8)", R"(/pools/0/unit: missing key "tp")");
}

TEST_CASE("bad serving: degrees that the model does not have", "[serving]") {
  const ModelSpec llama = shipped_model("llama-3.1-70b"), qwen = shipped_model("qwen3-235b-a22b");
  auto said = [](const ModelSpec& model, const std::string& from, const std::string& to) {
    return refusal([&] { read(edited(kColocated, from, to), model); });
  };
  CHECK(said(llama, "\"comm_sms\"", "\"comm_sms\"") ==
        "x.json: /pools/0/unit/ep: is 8, but llama-3.1-70b has no experts; expected 1");
  CHECK(said(llama, "\"ep\": 8", "\"ep\": 1") == "nothing was refused");
  CHECK(said(llama, "\"ep\": 8", "\"ep\": 1, \"placement\": {}") ==
        "x.json: /pools/0/unit/placement: given, but llama-3.1-70b has no experts");
  CHECK(said(llama,
             "\"unit\": {\"tp\": 8, \"dp\": 1, \"ep\": 8",
             std::string(kTiers) + ": {\"tp\": 8, \"dp\": 1, \"ep\": 1") ==
        "x.json: /pools/0/expert_tiers: given, but llama-3.1-70b has no experts");
  CHECK(said(qwen, "\"kv\"", "\"speculative\": {\"acceptance\": [0.5]}, \"kv\"") ==
        "x.json: /pools/0/speculative: given, but qwen3-235b-a22b has no multi-token prediction "
        "module to make drafts");
  // Four key-value heads: each of eight ranks holds one that another holds too.
  CHECK(said(qwen, "\"tp\": 8", "\"tp\": 8") == "nothing was refused");
}

TEST_CASE("bad serving: the engine", "[serving]") {
  check_colocated(R"("max_requests": 256)",
                  R"("max_requests": 0)",
                  "/pools/0/engine/max_requests: expected an integer from 1 to 16777216, found 0");
  check_colocated(R"("max_requests": 256)",
                  R"("max_seqs": 256)",
                  R"(/pools/0/engine: missing key "max_requests")");
  check_colocated(R"("max_batch_tokens": 8192)",
                  R"("max_batch_tokens": 128)",
                  "/pools/0/engine/max_batch_tokens: a step of 128 tokens cannot hold one for each "
                  "of max_requests 256");
  check_colocated(R"("max_batch_tokens": 8192)",
                  R"("chunked_prefill": false, "max_batch_tokens": 8192)",
                  "/pools/0/engine/max_batch_tokens: a step of 8192 tokens cannot hold a whole "
                  "prompt of up to max_context_tokens 32768; expected as many, or chunked_prefill");
  check_colocated(R"("max_batch_tokens": 8192)",
                  R"("batching": "static", "chunked_prefill": true, "max_batch_tokens": 8192)",
                  "/pools/0/engine/chunked_prefill: is true, but \"static\" batches take whole "
                  "prompts; expected false");
  check_colocated(
      R"("max_batch_tokens": 8192)",
      R"("chunked_prefill": false, "long_prefill_tokens": 5, "max_batch_tokens": 32768)",
      "/pools/0/engine/long_prefill_tokens: given, but \"chunked_prefill\" is false: "
      "prompts are computed whole");
  check_colocated(R"("step_overhead": "0 us")",
                  R"("step_overhead": 0)",
                  "/pools/0/engine/step_overhead: expected a quantity with a unit such as \"2.8 "
                  "us\", found the number 0");
  check_colocated(R"("max_requests": 256)",
                  R"("policy": "lifo", "max_requests": 256)",
                  "/pools/0/engine/policy: unknown value \"lifo\"; known: fcfs, priority, "
                  "shortest_prompt, slo_aware");
  check_colocated(
      R"("max_requests": 256)",
      R"("preemption": "swap", "max_requests": 256)",
      "/pools/0/kv/tiers: expected a tier that \"preemption\": \"swap\" moves pages to, "
      "found none");
  check_disaggregated(
      "[0.85]",
      "[1.2]",
      "/pools/1/speculative/acceptance/0: expected a number from 0 to 1, found 1.2");
  check_disaggregated(
      "[0.85]",
      "[0.85, -0.1]",
      "/pools/1/speculative/acceptance/1: expected a number from 0 to 1, found -0.1");
  check_disaggregated("[0.85]",
                      "[]",
                      "/pools/1/speculative/acceptance: expected an array of one acceptance rate a "
                      "draft, found an empty one");
  check_disaggregated(R"("kv": {"page_tokens": 64, "kv_cache": "bf16")",
                      R"("speculative": {"acceptance": [1]},
                         "kv": {"page_tokens": 64, "kv_cache": "bf16")",
                      "/pools/0/speculative: given, but a prefill pool makes only first tokens and "
                      "drafts none");
}

TEST_CASE("bad serving: the KV cache", "[serving]") {
  const std::string expected =
      "/pools/0/kv/kv_cache: expected \"bf16\", \"fp8\", \"fp4\" or bits an element from 1 to 32 "
      "such as \"6 bits\", found ";
  for (const char* wrong : {"fp16",
                            "6bits",
                            "six bits",
                            "0.5 bits",
                            "33 bits",
                            "-6 bits",
                            " bits",
                            "1e1 bits",
                            "6..0 bits"})
    check_colocated(R"("kv_cache": "fp8")",
                    "\"kv_cache\": \"" + std::string(wrong) + "\"",
                    expected + "\"" + wrong + "\"");
  check_colocated(R"("page_tokens": 16)",
                  R"("page_tokens": 0)",
                  "/pools/0/kv/page_tokens: expected an integer from 1 to 1048576, found 0");
  check_disaggregated(R"("pages": 9000)",
                      R"("pages": 0)",
                      "/pools/1/kv/pages: expected an integer from 1 to 1099511627776, found 0");
  check_disaggregated(R"("pages": 9000)",
                      R"("pages": 2000)",
                      "/pools/1/kv/pages: 2000 pages x 64 tokens = 128000 tokens are too few for "
                      "one request of max_context_tokens 131072");
  check_colocated(R"(, "framework": "2 GiB")", "", R"(/pools/0/kv: missing key "framework")");
  check_colocated(R"("framework")",
                  R"("memory_fraction": 1.2, "framework")",
                  "/pools/0/kv/memory_fraction: expected a number from 0.01 to 1, found 1.2");
  check_colocated(R"("framework")",
                  R"("tiers": [{"name": "host", "capacity": "1 GB", "bandwidth": "25 GB/s",
                                "latency": "1 us"}], "framework")",
                  "/pools/0/kv/tiers: given, but nothing goes there: \"prefix_cache\" is false and "
                  "\"preemption\" is not \"swap\"");
  check_disaggregated(R"("bandwidth": "5 GB/s")",
                      R"("bandwidth": "5 KB/s")",
                      R"(/pools/0/kv/tiers/0/bandwidth: expected at least 1 MB/s, found "5 KB/s")");
}

TEST_CASE("bad serving: scalers and failures", "[serving]") {
  check_disaggregated(R"("min_units": 2)",
                      R"("min_units": 7)",
                      "/pools/1/units: starts with 6, but its scaler keeps 7 to 8");
  check_disaggregated(R"("min_units": 2)",
                      R"("min_units": 0)",
                      "/pools/1/scaler/min_units: expected an integer from 1 to 1000000, found 0");
  check_disaggregated(R"("max_units": 8)",
                      R"("max_units": 1)",
                      "/pools/1/scaler/max_units: 1 is below min_units 2");
  check_disaggregated(R"("interval": "1 min")",
                      R"("interval": "0 s")",
                      R"(/pools/1/scaler/interval: expected a time above zero, found "0 s")");
  check_disaggregated(R"("kind": "predictive")",
                      R"("kind": "reactive")",
                      R"(/pools/1/scaler: unknown key "horizon"; known: interval, kind, )"
                      R"(max_units, min_units, start_up, target)");
  check_disaggregated(R"("kind": "predictive")",
                      R"("kind": "scheduled")",
                      R"(/pools/1/scaler: missing key "schedule")");
  const std::string dynamic =
      R"("kind": "predictive", "min_units": 2, "max_units": 8, "start_up": "5 min",
                "interval": "1 min", "target": 0.7, "horizon": "10 min")";
  const std::string scheduled =
      R"("kind": "scheduled", "min_units": 2, "max_units": 8, "start_up": "5 min", "schedule": )";
  check_disaggregated(dynamic,
                      scheduled + R"([{"at": "8 h", "units": 8}, {"at": "7 h", "units": 4}])",
                      R"(/pools/1/scaler/schedule/1/at: expected changes in order of time, found )"
                      R"("7 h" after 28800 s)");
  check_disaggregated(dynamic,
                      scheduled + R"([{"at": "8 h", "units": 9}])",
                      "/pools/1/scaler/schedule/0/units: expected an integer from 2 to 8, found 9");
  check_disaggregated(R"("unit": 7)",
                      R"("unit": 8)",
                      "/pools/1/failures/stated/0/unit: expected an integer from 0 to 7, found 8");
  check_disaggregated(R"("mean_between": "1000 h")",
                      R"("mean_between": "0 h")",
                      R"(/pools/1/failures/mean_between: expected a time above zero, found "0 h")");
  check_disaggregated(R"("repair": "1 h", )", "", R"(/pools/1/failures: missing key "repair")");
  check_disaggregated(
      R"("mean_between": "1000 h", "repair": "1 h", "stated": [{"at": "2 h", "unit": 7}])",
      R"("repair": "1 h")",
      R"(/pools/1/failures: missing key "mean_between" or "stated": when units fail)");
}

TEST_CASE("bad serving: experts in tiers", "[serving]") {
  auto said = [](const std::string& from, const std::string& to) {
    return refusal([&] { read(edited(edited(kColocated, "\"unit\"", kTiers), from, to)); });
  };
  CHECK(said("20 GiB", "200 GB") ==
        "x.json: /pools/0/expert_tiers/hbm: \"200 GB\" for experts, but the H800 has 79.6 GiB");
  CHECK(said("lfu", "fifo") ==
        "x.json: /pools/0/expert_tiers/eviction: unknown value \"fifo\"; known: lru, lfu");
  CHECK(said("0.8", "1.8") ==
        "x.json: /pools/0/expert_tiers/preload_accuracy: expected a number from 0 to 1, found 1.8");
}
