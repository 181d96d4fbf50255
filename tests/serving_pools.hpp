// Serving pools of shipped clusters and profiles, as published deployments have them.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "model/serving/serving_spec.hpp"
#include "sim/serving/step_time.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {

// One attention rank a GPU, experts over all of them.
inline PoolSpec shipped_pool(const std::string& cluster,
                             const std::string& profile,
                             PoolRole role,
                             std::int64_t gpus) {
  PoolSpec pool;
  pool.name = "pool";
  pool.role = role;
  pool.cluster = read_cluster_file(scenario_folder() / "clusters" / (cluster + ".jsonc"));
  pool.profile = read_profile_file(scenario_folder() / "profiles" / (profile + ".json"));
  pool.plan.dp = pool.plan.ep = gpus;
  pool.plan.comm_sms = 24;
  pool.engine.max_requests = 256;
  pool.engine.max_batch_tokens = 16384;
  pool.engine.max_context_tokens = 16384;
  return pool;
}
inline PoolSpec h100_pool(PoolRole role, std::int64_t gpus) {
  return shipped_pool("h100-1024", "h100-published", role, gpus);
}
// 32 experts have a second replica, wherever EPLB puts it.
inline PoolSpec with_redundant_experts(PoolSpec pool) {
  pool.plan.placement = {PlacementPolicy::eplb_global, 32};
  return pool;
}

inline RoutingSpec v3_routing(RoutingKind kind) {
  RoutingSpec routing;
  routing.kind = kind;
  routing.max_groups = 4;
  return routing;
}

inline RankBatch decoding(std::int64_t requests, std::int64_t context) {
  RankBatch b;
  b.decode_requests = requests;
  b.decode_context = requests * context;
  return b;
}
inline RankBatch prompts(std::int64_t requests, std::int64_t tokens, std::int64_t prefix = 0) {
  RankBatch b;
  b.prefill_requests = requests;
  b.prefill_tokens = requests * tokens;
  b.prefill_context = requests * (prefix + tokens);
  b.prefill_pairs = static_cast<double>(requests * tokens) *
                    (static_cast<double>(prefix) + static_cast<double>(tokens) / 2);
  return b;
}

}  // namespace moesim
