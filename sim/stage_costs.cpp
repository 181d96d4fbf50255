#include "sim/stage_costs.hpp"

#include <algorithm>
#include <map>

#include "model/parallel_for.hpp"
#include "model/rank_grid.hpp"
#include "sim/exposed_time.hpp"

namespace moesim {
namespace {

// That depend on routing, a slot each; the last only where layers are recomputed.
constexpr std::array<Block, 4> kLoadedBlocks = {
    Block::ffn_f, Block::ffn_b, Block::ffn_w, Block::ffn_r};
// Blocks that do not depend on routing: every layer kind x block x {alone, overlapped}.
constexpr std::size_t kFixedBlocks = kNumLayerKinds * kNumBlocks * 2;

bool depends_on_load(LayerKind layer, Block block) {
  return layer == LayerKind::moe &&
         std::find(kLoadedBlocks.begin(), kLoadedBlocks.end(), block) != kLoadedBlocks.end();
}

std::size_t slot_of(Block block) {
  return static_cast<std::size_t>(std::find(kLoadedBlocks.begin(), kLoadedBlocks.end(), block) -
                                  kLoadedBlocks.begin());
}

// Tokens that an expert-parallel rank dispatches: expert_tp neighbours count as one, and each sends
// its own.
std::int64_t dispatched_tokens(const ChunkShape& shape) {
  return shape.own_tokens() * shape.expert_tp;
}

}  // namespace

RoutingProblem routing_problem(const Scenario& scenario, const TrainingPhase& phase) {
  ENSURE(scenario.model.moe && !phase.stated_gpu_hours);
  RoutingProblem problem;
  problem.moe = *scenario.model.moe;
  problem.spec = phase.routing;
  problem.placement = phase.plan.placement;
  problem.ep = phase.plan.ep;
  problem.ranks_per_node = ep_ranks_per_node(phase.plan, scenario.cluster);
  problem.num_layers = 0;
  for (const auto& stage : stage_layers(phase.plan, scenario.model))
    problem.num_layers += std::count(stage.begin(), stage.end(), LayerKind::moe);
  problem.seed = scenario.seed;
  const std::int64_t sharing = phase.plan.cp * (phase.plan.sequence_parallel ? phase.plan.tp : 1);
  problem.ranks_per_sequence = std::max<std::int64_t>(1, sharing / phase.plan.expert_tp);
  return problem;
}

StageCosts::StageCosts(const Scenario& scenario,
                       const TrainingPhase& phase,
                       const CostModel& model,
                       bool folded,
                       int num_threads,
                       const KnownTraffic& known)
    : folded_(folded) {
  const ParallelPlan& plan = phase.plan;
  const ModelSpec& m = scenario.model;
  stages_ = stage_layers(plan, m);
  num_microbatches_ = moesim::num_microbatches(plan, phase.batch);
  ranks_per_stage_ = folded ? 1 : plan.ranks_per_stage();
  shape_ = chunk_shape(m, plan, phase.seq_len);
  ranks_per_node_ = ep_ranks_per_node(plan, scenario.cluster);
  if (m.moe) {
    message_ = expert_message(m, plan.recipe);
    const RoutingProblem problem = routing_problem(scenario, phase);
    sampler_ = known.sampler != nullptr && known.sampler->has_laws_of(problem)
                   ? std::make_shared<const RoutingSampler>(problem, *known.sampler)
                   : std::make_shared<const RoutingSampler>(problem, num_threads);
    mean_load_ = sampler_->balanced(dispatched_tokens(shape_)).load;
  }
  contention_ =
      known.contention ? *known.contention : network_contention(scenario, phase, sampler_.get());
  draw_loads(phase, num_threads);
  cost(scenario, phase, model);
}

StageCosts StageCosts::under(const Scenario& scenario,
                             const TrainingPhase& phase,
                             const CostModel& model) const {
  StageCosts other = *this;
  other.cost(scenario, phase, model);
  return other;
}

void StageCosts::cost(const Scenario& scenario,
                      const TrainingPhase& phase,
                      const CostModel& model) {
  const ParallelPlan& plan = phase.plan;
  const ModelSpec& m = scenario.model;
  comm_ = scenario.profile.comm;
  links_ = link_rates(scenario.cluster, comm_);
  dispatch_copy_ = copy_rate(comm_.dispatch_per_sm, plan.comm_sms);
  combine_copy_ = copy_rate(comm_.combine_per_sm, plan.comm_sms);
  const Bytes activations = static_cast<double>(shape_.own_tokens() * m.hidden * 2) * B;
  send_ = to_tick(
      contention_.send *
      send_time(scenario.cluster, links_, activations, pipeline_in_node(plan, scenario.cluster)));
  startup_ = to_tick(scenario.profile.chunk_startup);
  layout_ = to_tick(comm_.layout);
  if (plan.recipe == Recipe::fp8_block) {  // gradient rows are cast to FP8 on the communication
                                           // stream before they leave
    const Bytes cast = static_cast<double>(shape_.own_tokens() * m.hidden * 3) * B;
    // Without communication SMs nothing overlaps (the plan is refused otherwise): never used.
    cast_beside_ = plan.comm_sms > 0
                       ? to_tick(cast / (static_cast<double>(plan.comm_sms) * comm_.cast_per_sm))
                       : 0;
    Op op;
    op.name = "cast_dY_fp8(comm stream)";
    op.kernel = Kernel::cast;
    op.category = Category::quantise;
    op.pass = Pass::input_grad;
    op.bytes = cast;
    cast_alone_ = to_tick(model.cost(op, {scenario.cluster.gpu.num_sms, false}).time);
  }
  cost_blocks(scenario, plan, model);
}

void StageCosts::draw_loads(const TrainingPhase& phase, int num_threads) {
  stage_loads_.resize(stages_.size());
  const ParallelPlan& plan = phase.plan;
  std::map<RankLoad, std::uint32_t> class_of;
  std::int64_t first_layer = 0;
  std::int64_t most_rows = 0;
  const std::int64_t tokens = dispatched_tokens(shape_);
  const auto neighbours = static_cast<std::size_t>(folded_ ? 1 : plan.expert_tp);
  const auto sharing = static_cast<double>(plan.expert_tp);  // each moves its part of the rows
  for (std::size_t st = 0; st < stages_.size(); ++st) {
    StageLoads& stage = stage_loads_[st];
    stage.num_moe_layers = std::count(stages_[st].begin(), stages_[st].end(), LayerKind::moe);
    const auto layers = static_cast<std::size_t>(stage.num_moe_layers);
    const auto per_layer = static_cast<std::size_t>(ranks_per_stage_);
    const std::size_t draws = static_cast<std::size_t>(num_microbatches_) * layers;
    std::vector<std::vector<RankTraffic>> drawn(draws);
    parallel_for(draws, num_threads, [&](std::size_t i) {
      const auto mb = static_cast<std::int64_t>(i / std::max<std::size_t>(1, layers)),
                 layer =
                     first_layer + static_cast<std::int64_t>(i % std::max<std::size_t>(1, layers));
      if (folded_) {
        drawn[i] = {sampler_->balanced(tokens)};
        return;
      }
      for (std::int64_t group = 0; group < plan.num_ep_groups(); ++group) {
        auto ranks = sampler_->sample(tokens, group, layer, mb);
        drawn[i].insert(drawn[i].end(), ranks.begin(), ranks.end());
      }
    });
    stage.loads.resize(draws * per_layer);
    for (std::size_t i = 0; i < draws; ++i)
      for (std::size_t r = 0; r < per_layer; ++r) {
        const RankTraffic& traffic = drawn[i][r / neighbours];
        RankLoad load = traffic.load;
        most_rows = std::max(most_rows, load.rows);
        load.rows = 0;  // costs depend on padded rows and received tokens only: fewer classes
        const auto [it, added] =
            class_of.try_emplace(load, static_cast<std::uint32_t>(classes_.size()));
        if (added) classes_.push_back(load);
        stage.loads[i * per_layer + r] = {
            it->second,
            static_cast<float>(std::max(traffic.nic_rows_sent, traffic.nic_rows_received) /
                               sharing),
            static_cast<float>(traffic.node_mean_received / sharing)};
      }
    first_layer += stage.num_moe_layers;
  }
  if (mean_load_.rows > 0 && most_rows > 0)
    max_over_mean_rows_ = static_cast<double>(most_rows) / static_cast<double>(mean_load_.rows);
  for (const RankLoad& load : classes_)
    received_of_class_.push_back(static_cast<double>(load.tokens_received) / sharing);
}

void StageCosts::cost_blocks(const Scenario& scenario,
                             const ParallelPlan& plan,
                             const CostModel& model) {
  const ModelSpec& m = scenario.model;
  const std::int64_t sms = scenario.cluster.gpu.num_sms - plan.comm_sms;
  const ExposedTime exposed(scenario.profile, scenario.cluster, plan);
  CostCache costs(model);
  auto block_cost = [&](LayerKind layer,
                        Block block,
                        const LayerOps& ops,
                        const RankLoad& load,
                        bool overlapped) {
    const SmShare share{sms, overlapped};
    const OpList& of_block = ops.blocks[static_cast<std::size_t>(block)];
    BlockCost cost = cost_of(of_block, costs, share);
    if (of_block.empty()) return cost;
    const Tick extra =
        exposed.of(block_collectives(m, layer, block, shape_, load), ops, costs, share);
    cost.by_category[static_cast<std::size_t>(Category::exposed_comm)] += extra;
    cost.duration += extra;
    return cost;
  };
  blocks_per_class_ = 2 * (plan.recompute.whole_layer ? 4 : 3);
  blocks_.resize(kFixedBlocks + classes_.size() * blocks_per_class_);
  for (std::size_t kind = 0; kind < kNumLayerKinds; ++kind) {
    const auto layer = static_cast<LayerKind>(kind);
    if (layer == LayerKind::moe && !m.moe) continue;
    const LayerOps ops = build_layer_ops(m, layer, shape_, mean_load_);
    for (std::size_t b = 0; b < kNumBlocks; ++b)
      for (const bool overlapped : {false, true}) {
        const auto block = static_cast<Block>(b);
        if (depends_on_load(layer, block)) continue;
        blocks_[block_index(layer, block, 0, overlapped)] =
            block_cost(layer, block, ops, mean_load_, overlapped);
      }
  }
  for (std::uint32_t k = 0; k < classes_.size(); ++k) {
    const LayerOps ops = build_layer_ops(m, LayerKind::moe, shape_, classes_[k]);
    for (std::size_t slot = 0; slot < blocks_per_class_ / 2; ++slot)
      for (const bool overlapped : {false, true}) {
        const Block block = kLoadedBlocks[slot];
        blocks_[block_index(LayerKind::moe, block, k, overlapped)] =
            block_cost(LayerKind::moe, block, ops, classes_[k], overlapped);
      }
  }
}

std::size_t StageCosts::block_index(LayerKind layer,
                                    Block block,
                                    std::uint32_t load_class,
                                    bool overlapped) const {
  if (depends_on_load(layer, block))
    return kFixedBlocks + load_class * blocks_per_class_ + slot_of(block) * 2 +
           (overlapped ? 1 : 0);
  return (static_cast<std::size_t>(layer) * kNumBlocks + static_cast<std::size_t>(block)) * 2 +
         (overlapped ? 1 : 0);
}

TwoHopTraffic StageCosts::dispatch_of(const LayerLoad& load) const {
  return two_hop_traffic(static_cast<double>(load.nic_rows),
                         received_of_class_[load.load_class],
                         static_cast<double>(load.node_mean_received),
                         ranks_per_node_);
}

Tick StageCosts::dispatch_ticks(const LayerLoad& load, bool overlapped, bool cached) const {
  const double rate = !overlapped ? 1
                      : cached    ? comm_.cached_dispatch_overlap
                                  : comm_.dispatch_overlap;
  const Seconds rows = two_hop_time(links_, dispatch_of(load), message_.dispatch, dispatch_copy_);
  return before_dispatch_ticks(overlapped, cached) + to_tick(contention_.dispatch / rate * rows);
}

Tick StageCosts::before_dispatch_ticks(bool overlapped, bool cached) const {
  return cached ? (overlapped ? cast_beside_ : cast_alone_) : layout_;
}

Tick StageCosts::combine_ticks(const LayerLoad& load, bool overlapped) const {
  const double rate = overlapped ? comm_.combine_overlap : 1;
  const TwoHopTraffic traffic = handed_back(dispatch_of(load), received_of_class_[load.load_class]);
  return to_tick(contention_.combine / rate *
                 two_hop_time(links_, traffic, message_.combine, combine_copy_));
}

}  // namespace moesim
