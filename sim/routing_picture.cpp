#include "sim/routing_picture.hpp"

#include "model/kernel_plan.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<double> relative_rows(const std::vector<RankTraffic>& ranks) {
  double sum = 0;
  for (const RankTraffic& rank : ranks) sum += static_cast<double>(rank.load.rows);
  std::vector<double> relative;
  for (const RankTraffic& rank : ranks)
    relative.push_back(sum > 0 ? static_cast<double>(rank.load.rows * std::ssize(ranks)) / sum : 0);
  return relative;
}

}  // namespace

RoutingPicture routing_picture(const RoutingSampler& sampler,
                               std::int64_t tokens,
                               ExpertAlgorithm algorithm,
                               Bytes row) {
  RoutingPicture picture;
  picture.tokens = tokens;
  const std::int64_t layers = sampler.problem().num_layers;
  for (std::int64_t layer = 0; layer < layers; ++layer)
    picture.relative_rows.push_back(relative_rows(sampler.sample(tokens, 0, layer, 0)));

  const RowCounts counts = sampler.sample_rows(tokens, 0, 0, 0);
  const ExpertTraffic traffic = expert_traffic(counts, algorithm);
  picture.by_node = counts.num_nodes() > 1;
  const std::int64_t size = picture.by_node ? counts.num_nodes() : counts.num_ranks;
  const std::int64_t ranks_each = picture.by_node ? counts.ranks_per_node : 1;
  picture.dispatched.assign(at(size), std::vector<Bytes>(at(size)));
  for (const auto* flows : {&traffic.nvlink, &traffic.network})
    for (const RowFlow& flow : *flows)
      if (flow.source != flow.destination)
        picture.dispatched[at(flow.source / ranks_each)][at(flow.destination / ranks_each)] +=
            flow.rows * row;
  return picture;
}

std::optional<RoutingPicture> routing_picture(const Scenario& scenario,
                                              const TrainingPhase& phase,
                                              int num_threads) {
  if (!scenario.model.moe || phase.stated_gpu_hours) return std::nullopt;
  const RoutingSampler sampler(routing_problem(scenario, phase), num_threads);
  const ChunkShape shape = chunk_shape(scenario.model, phase.plan, phase.seq_len);
  return routing_picture(sampler,
                         shape.own_tokens() * shape.expert_tp,
                         ExpertAlgorithm::two_hop,
                         expert_message(scenario.model, phase.plan.recipe).dispatch);
}

std::optional<RoutingPicture> routing_picture(const ModelSpec& model,
                                              const PoolSpec& pool,
                                              const UnitRouting& routing) {
  const bool decodes = pool.role == PoolRole::decode;
  const auto& sampler = decodes ? routing.decode : routing.prefill;
  if (!sampler || pool.plan.ep <= 1) return std::nullopt;
  // The tp ranks of an attention rank share out its tokens.
  const std::int64_t tokens =
      ceil_div(decodes ? pool.engine.max_requests * (pool.engine.draft_tokens() + 1)
                       : pool.engine.max_batch_tokens,
               pool.plan.tp);
  const Exchange exchange = decodes ? pool.plan.decode_exchange : pool.plan.prefill_exchange;
  return routing_picture(
      *sampler,
      tokens,
      exchange == Exchange::low_latency ? ExpertAlgorithm::low_latency : ExpertAlgorithm::two_hop,
      expert_message(model, pool.plan.recipe).dispatch);
}

}  // namespace moesim
