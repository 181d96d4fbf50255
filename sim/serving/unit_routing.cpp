#include "sim/serving/unit_routing.hpp"

#include <algorithm>
#include <cmath>

namespace moesim {
namespace {

std::shared_ptr<const RoutingSampler> make_sampler(const ModelSpec& model,
                                                   const PoolSpec& pool,
                                                   const RoutingSpec& routing,
                                                   std::uint64_t seed,
                                                   double sequences_per_rank,
                                                   int num_threads,
                                                   DrawnSamplers& drawn) {
  RoutingProblem problem;
  problem.moe = *model.moe;
  problem.spec = routing;
  problem.ep = pool.plan.ep;
  if (pool.plan.ep > 1) problem.placement = pool.plan.placement;
  problem.ranks_per_node = std::min(pool.plan.ep, pool.cluster.gpus_per_node);
  problem.num_layers = model.num_moe_layers();
  problem.seed = seed;
  problem.ranks_per_sequence = pool.plan.tp;
  problem.spec.sequence_cv /= std::sqrt(sequences_per_rank);
  const auto same = std::find_if(drawn.begin(), drawn.end(), [&](const auto& sampler) {
    return sampler->has_laws_of(problem);
  });
  if (same != drawn.end()) return std::make_shared<const RoutingSampler>(problem, **same);
  drawn.push_back(std::make_shared<const RoutingSampler>(problem, num_threads));
  return drawn.back();
}

}  // namespace

UnitRouting unit_routing(const ModelSpec& model,
                         const PoolSpec& pool,
                         const RoutingSpec& routing,
                         std::uint64_t seed,
                         int num_threads,
                         DrawnSamplers& drawn) {
  if (!model.moe) return {};
  const std::int64_t parts = pool.plan.ep > 1 && pool.plan.two_batch_overlap ? 2 : 1;
  const auto decoding =
      static_cast<double>(std::max<std::int64_t>(1, pool.engine.max_requests / parts));
  UnitRouting result;
  result.prefill = make_sampler(model, pool, routing, seed, 1, num_threads, drawn);
  result.decode = routing.sequence_cv > 0
                      ? make_sampler(model, pool, routing, seed, decoding, num_threads, drawn)
                      : result.prefill;
  return result;
}

}  // namespace moesim
