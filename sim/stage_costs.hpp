// Everything the simulator looks up by index: the costed blocks of every kind of layer and load,
// the loads of every rank, and the durations of messages. Built once per phase, read-only
// afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/block_cost.hpp"
#include "model/collective/collective.hpp"
#include "model/routing.hpp"
#include "model/scenario.hpp"
#include "sim/network_contention.hpp"

namespace moesim {

// The routing of a phase; its layers are those with experts of all stages, MTP modules included.
// The model has experts.
RoutingProblem routing_problem(const Scenario& scenario, const TrainingPhase& phase);

// One MoE layer of one microbatch on one rank.
struct LayerLoad {
  std::uint32_t load_class = 0;  // index into the classes of equal RankLoad
  float nic_rows = 0;            // rows through the rank's NIC, out or in, whichever are more
  float node_mean_received = 0;  // tokens received, mean over the ranks of its node
};

// What a caller of many similar phases has at hand.
struct KnownTraffic {
  std::optional<NetworkContention> contention;  // of the fabric
  const RoutingSampler* sampler = nullptr;      // its laws are used where they are those wanted
};

class StageCosts {
 public:
  // `folded`: one rank stands for all identical ranks of a stage.
  StageCosts(const Scenario& scenario,
             const TrainingPhase& phase,
             const CostModel& model,
             bool folded,
             int num_threads,
             const KnownTraffic& known = {});
  // The same loads and contention under another profile: that of `scenario` and `model`, which are
  // otherwise what these costs were made from.
  StageCosts under(const Scenario& scenario,
                   const TrainingPhase& phase,
                   const CostModel& model) const;

  // Where the block of a layer stands in blocks(); the load class matters to MoE layers only.
  std::size_t block_index(LayerKind layer,
                          Block block,
                          std::uint32_t load_class,
                          bool overlapped) const;
  const std::vector<BlockCost>& blocks() const { return blocks_; }

  // microbatch: over both directions; moe_layer: index within the stage; rank: within the stage.
  const LayerLoad& load(std::int64_t stage,
                        std::int64_t microbatch,
                        std::int64_t moe_layer,
                        std::int64_t rank) const {
    const StageLoads& s = stage_loads_[static_cast<std::size_t>(stage)];
    return s.loads[static_cast<std::size_t>(
        (microbatch * s.num_moe_layers + moe_layer) * ranks_per_stage_ + rank)];
  }
  // `cached`: the layout is known, as in the backward pass, where rows are gradients.
  Tick dispatch_ticks(const LayerLoad& load, bool overlapped, bool cached) const;
  // The part of them before the rows leave: the layout, or the cast of the gradients.
  Tick before_dispatch_ticks(bool overlapped, bool cached) const;
  Tick combine_ticks(const LayerLoad& load, bool overlapped) const;
  Tick send_ticks() const { return send_; }
  Tick startup_ticks() const { return startup_; }

  std::int64_t ranks_per_stage() const { return ranks_per_stage_; }  // simulated ones
  const std::vector<std::vector<LayerKind>>& stages() const { return stages_; }
  const RankLoad& mean_load() const { return mean_load_; }  // of an average rank in a MoE layer
  // Padded rows and tokens received of a layer.
  const RankLoad& rank_load(const LayerLoad& load) const { return classes_[load.load_class]; }
  const ChunkShape& shape() const { return shape_; }                // of a microbatch on a rank
  const RoutingSampler* sampler() const { return sampler_.get(); }  // nullptr without experts
  bool folded() const { return folded_; }
  const NetworkContention& contention() const { return contention_; }
  // Rows of the fullest rank over the mean, over all loads drawn.
  double max_over_mean_rows() const { return max_over_mean_rows_; }
  std::int64_t num_microbatches() const { return num_microbatches_; }

 private:
  struct StageLoads {
    std::int64_t num_moe_layers = 0;
    std::vector<LayerLoad> loads;  // [microbatch][moe layer][rank]
  };
  void draw_loads(const TrainingPhase& phase, int num_threads);
  // What depends on the profile: messages, start-up, blocks.
  void cost(const Scenario& scenario, const TrainingPhase& phase, const CostModel& model);
  void cost_blocks(const Scenario& scenario, const ParallelPlan& plan, const CostModel& model);
  TwoHopTraffic dispatch_of(const LayerLoad& load) const;

  std::vector<std::vector<LayerKind>> stages_;
  ChunkShape shape_;
  RankLoad mean_load_;
  std::shared_ptr<const RoutingSampler> sampler_;
  bool folded_ = false;
  std::int64_t ranks_per_stage_ = 1, num_microbatches_ = 0;
  std::vector<StageLoads> stage_loads_;
  std::vector<RankLoad> classes_;          // of equal loads
  std::vector<double> received_of_class_;  // tokens received by the rank itself
  std::size_t blocks_per_class_ = 0;
  std::vector<BlockCost> blocks_;
  LinkRates links_;
  Bandwidth dispatch_copy_, combine_copy_;  // of the kernel's SMs
  std::int64_t ranks_per_node_ = 1;
  NetworkContention contention_;
  ExpertMessage message_;
  CommModel comm_;
  Tick send_ = 0, startup_ = 0, layout_ = 0, cast_alone_ = 0, cast_beside_ = 0;
  double max_over_mean_rows_ = 1;
};

}  // namespace moesim
