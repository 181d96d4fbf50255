// How a model is served: pools of units, each unit a group of GPUs that steps together, and the
// engine that decides what a step does. Names follow vLLM where it has one for the thing
// (`moesim import` prints its flags under the same names).
//
//   unit      tp x dp GPUs. An attention rank is tp GPUs with a queue, a batch and KV pages of its
//             own; the unit has dp of them. Experts lie over all ep = tp x dp GPUs, so the ranks of
//             a unit step together and the slowest one sets the pace.
//   pool      units that are alike and share a router. Its role is to serve whole requests
//             (colocated), only their prompts (prefill) or only what follows (decode).
//
// Counts (requests, tokens, pages) are per attention rank, as the launchers have them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/op_graph.hpp"
#include "model/placement/placement.hpp"
#include "model/profile.hpp"

namespace moesim {

// Expert exchange: the two-hop kernels for many tokens, or one put per (token, expert).
enum class Exchange : std::uint8_t { normal, low_latency };
inline constexpr std::array<const char*, 2> kExchangeNames = {"normal", "low_latency"};

enum class WeightPrecision : std::uint8_t { bf16, fp8, int8, fp4 };
inline constexpr std::array<const char*, 4> kWeightPrecisionNames = {"bf16", "fp8", "int8", "fp4"};
// Of a weight, with its scales: FP8 128x128 blocks of FP32 scales; INT8 one FP16 scale a row (left
// out, below 0.1 %); FP4 blocks of 16 with an FP8 scale (NVFP4).
double bytes_per_weight(WeightPrecision precision);

struct UnitPlan {
  std::int64_t tp = 1, dp = 1;  // of attention and dense layers
  std::int64_t ep = 1;          // tp x dp, or 1: every rank holds all experts, cut over tp
  Recipe recipe = Recipe::fp8_block;
  WeightPrecision weights = WeightPrecision::fp8;         // attention and dense layers
  WeightPrecision expert_weights = WeightPrecision::fp8;  // routed and shared experts
  Exchange prefill_exchange = Exchange::normal, decode_exchange = Exchange::low_latency;
  std::int64_t comm_sms = 0;       // SMs of the normal exchange's kernels
  bool two_batch_overlap = false;  // halves of a batch take turns: one computes while the other's
                                   // rows travel
  bool cuda_graphs = true;         // decode steps are launched as one graph
  PlacementSpec placement;         // of experts, redundant ones included
  std::int64_t num_gpus() const { return tp * dp; }
};

enum class Batching : std::uint8_t {
  continuous,    // requests join and leave between any two steps; prompts share steps with decoding
                 // (vLLM v1); chunked where `chunked_prefill`
  orca,          // requests join and leave between steps, whole prompts (Yu et al. 2022)
  static_batch,  // a batch is formed, runs to its longest request's end, then the next one
};
inline constexpr std::array<const char*, 3> kBatchingNames = {"continuous", "orca", "static"};

enum class Policy : std::uint8_t { fcfs, priority, shortest_prompt, slo_aware };
inline constexpr std::array<const char*, 4> kPolicyNames = {
    "fcfs", "priority", "shortest_prompt", "slo_aware"};

enum class Preemption : std::uint8_t { recompute, swap };
inline constexpr std::array<const char*, 2> kPreemptionNames = {"recompute", "swap"};

struct EngineSpec {
  Batching batching = Batching::continuous;
  Policy policy = Policy::fcfs;
  Preemption preemption = Preemption::recompute;
  std::int64_t max_requests = 0;      // running at once
  std::int64_t max_batch_tokens = 0;  // of one step
  bool chunked_prefill = true;
  std::int64_t long_prefill_tokens = 0;  // at most so many of one prompt a step; 0: no such limit
  std::int64_t max_context_tokens = 0;   // input and output; longer requests are refused
  Seconds step_overhead;  // of the host between two steps (scheduling, sampling, detokenising)
  // Speculative decoding: acceptance[i] is the chance that draft i + 1 is accepted when draft i
  // was. Empty: none. The model's MTP modules make the drafts.
  std::vector<double> acceptance;
  std::int64_t draft_tokens() const { return static_cast<std::int64_t>(acceptance.size()); }
};

// A tier of memory beyond HBM that keeps cached prefixes (or swapped pages) of one unit.
struct KvTier {
  std::string name;     // "host", "ssd", "remote"
  Bytes capacity;       // of an attention rank
  Bandwidth bandwidth;  // into HBM, of an attention rank
  Seconds latency;
};

struct KvSpec {
  std::int64_t page_tokens = 64;
  double bytes_per_element = 2;       // "bf16" 2, "fp8" 1, "6 bits" 0.75 ...
  // Of HBM: for all the engine holds (vLLM's gpu_memory_utilization), or for weights and pages only,
  // the rest being left to activations, buffers and framework (SGLang's mem_fraction_static).
  double memory_fraction = 0.9;
  bool fraction_is_static = false;
  std::optional<std::int64_t> pages;  // instead of what memory gives
  Bytes framework;                    // CUDA context, communication buffers of NCCL
  double watermark = 0.01;            // pages kept free when a request is admitted
  bool prefix_cache = false;
  std::vector<KvTier> tiers;  // nearest first
};

// How many units are up. Times are of the day for a scheduled scaler.
enum class ScalerKind : std::uint8_t { none, reactive, scheduled, predictive };
inline constexpr std::array<const char*, 4> kScalerNames = {
    "none", "reactive", "scheduled", "predictive"};
struct ScalerSpec {
  ScalerKind kind = ScalerKind::none;
  std::int64_t min_units = 1, max_units = 1;
  Seconds start_up, interval;  // from the decision to the first request served; between decisions
  double target = 0.8;         // how full a unit should be (sim/serving/scaler)
  struct Change {
    Seconds at;  // since the start of the simulation
    std::int64_t units = 0;
  };
  std::vector<Change> schedule;  // ascending
  Seconds horizon;               // predictive: the load is extrapolated so far
};

// Units lost by chance (exponential times between failures) or at stated times.
struct UnitFailures {
  Seconds mean_between;           // of one unit that is up; zero: none by chance
  std::optional<Seconds> repair;  // from the failure to the first request served; absent: never
  struct Outage {
    Seconds at;
    std::int64_t unit = 0;  // of the pool
  };
  std::vector<Outage> stated;
};

// Experts that do not fit in HBM (memory-poor deployments).
struct ExpertTiers {
  Bytes hbm;               // of a GPU, for routed experts
  bool frequency = false;  // evict the least frequently used; else the least recently used
  Bytes host;              // the rest lies on the SSD
  Bandwidth host_bandwidth, ssd_bandwidth;  // into HBM; into host memory
  double preload_accuracy = 0;              // share of a layer's experts known one layer ahead
};

enum class PoolRole : std::uint8_t { colocated, prefill, decode };
inline constexpr std::array<const char*, 3> kPoolRoleNames = {"colocated", "prefill", "decode"};

struct PoolSpec {
  std::string name;
  PoolRole role = PoolRole::colocated;
  std::int64_t units = 1;
  UnitPlan plan;
  EngineSpec engine;
  KvSpec kv;
  ScalerSpec scaler;
  UnitFailures failures;
  std::optional<ExpertTiers> expert_tiers;
  ClusterSpec cluster;  // the scenario's own, or the pool's where pools differ
  Profile profile;
};

enum class RouterKind : std::uint8_t {
  round_robin,
  least_loaded,
  least_kv,
  prefix_aware,
  power_of_two
};
inline constexpr std::array<const char*, 5> kRouterNames = {
    "round_robin", "least_loaded", "least_kv", "prefix_aware", "power_of_two"};

struct ServingSpec {
  std::vector<PoolSpec> pools;  // one or more colocated, or at least one of each other role
  RouterKind router = RouterKind::least_loaded;
  std::int64_t max_waiting =
      0;                     // requests waiting in all of a pool; more are rejected; 0: no limit
  Seconds transfer_latency;  // KV transfer from prefill to decode, once a request
  bool has_prefill_pools() const;
};

// Defined in read_serving.cpp. `scenario` is the node of "serving".
ServingSpec read_serving(const JsonNode& node,
                         const ModelSpec& model,
                         const ClusterSpec& cluster,
                         const Profile& profile);

}  // namespace moesim
