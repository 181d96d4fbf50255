// Gradients and weights that travel beside a step's chunks, rank by rank (sim/background_traffic),
// and what waits for them.
//
// Gradients. A layer's are ready when its last weight gradient is done, so in a backward chunk they
// come last layer first. They fill buckets of plan.gradient_bucket bytes, of dense and of expert
// parameters apart; a bucket that a layer fills leaves when that layer is done, what is left over
// with the stage's first layer. Under ZeRO 0 and 1 they leave in the stage's last backward chunk of
// the step, under ZeRO 2 and 3 in every one. Without overlap_grad_reduce (ZeRO 2, 3) they leave
// together at the end of a chunk, and the next one waits for them.
// Weights. Under ZeRO 3 a layer waits for its weights, forward and backward; they are asked for
// when the layer before starts (overlap_param_gather), or when the layer itself could. Under ZeRO 1
// and 2 with overlap_param_gather, those that the step before has updated travel from the start of
// the step, layers in the order of their first use, and each layer's first forward pass waits for
// its own: a step as every later one is, too.
//
// Left out: weights that a layer of the next chunk could still hold under ZeRO 3; the bucket size
// of gathered weights (each layer's travel as one).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "sim/background_traffic.hpp"
#include "sim/parameter_traffic.hpp"
#include "sim/planned_steps.hpp"

namespace moesim {

// Ticks that each layer's completion puts on the wire: buckets of `bucket` bytes that it fills, and
// at layer 0 the rest. layers: in forward order; they complete from the last to the first.
std::vector<Tick> bucket_ticks(const std::vector<StageParameters>& layers,
                               double gradient_bytes,
                               Bytes bucket,
                               const ParameterTraffic& traffic);

class DataParallelTraffic {
 public:
  DataParallelTraffic(const Scenario& scenario,
                      const TrainingPhase& phase,
                      const StageCosts& costs,
                      const PlannedSteps& steps);

  // False when nothing travels beside chunks: then only operation() and end() may be asked.
  bool is_active() const { return is_active_; }

  // A compute operation of a rank: the `op`-th of the `step`-th step of its list.
  struct At {
    std::uint32_t rank = 0, step = 0, op = 0;
  };
  // Until when it has to wait for weights or for the gradients before it; nothing: it may start.
  std::optional<Tick> wait(const At& at, Tick now);
  void started(const At& at, Tick now);
  void finished(const At& at, Tick now);
  // How long a communication operation that takes `alone` takes beside the rank's queue.
  Tick operation(std::uint32_t rank, Tick now, Tick alone) {
    return is_active_ ? ranks_[rank].queue.operation(now, alone) : alone;
  }
  // When all of the rank's traffic has arrived; 0: it had none.
  Tick end(std::uint32_t rank) const { return is_active_ ? ranks_[rank].queue.all_due() : 0; }

 private:
  using Mark = BackgroundTraffic::Mark;
  struct OpUse {  // of a step's compute operation
    std::int16_t layer = -1;
    bool needs_weights = false, ends_gradients = false;
  };
  struct StepUse {
    const std::vector<OpUse>* ops = nullptr;
    bool sends_gradients = false;   // of its backward chunk
    bool waits_for_update = false;  // its forward chunk is the first one of its part
  };
  struct StageTicks {
    std::vector<Tick> reduce, gather;  // [layer]
  };
  struct Rank {
    BackgroundTraffic queue;
    std::optional<Mark> weights;    // asked for by the next operation that needs some
    std::optional<Mark> gradients;  // that the next step waits for
  };

  std::int64_t pp_of(std::uint32_t rank) const { return rank / ranks_per_stage_; }
  const StepUse& use(std::int64_t pp, std::size_t step) const {
    return uses_[static_cast<std::size_t>(pp)][step];
  }
  std::vector<OpUse> uses_of(const StepProgram& program,
                             const PlannedStep& planned,
                             std::int64_t pp) const;
  void look_at_steps(std::int64_t pp);
  void queue_updated_weights(std::int64_t pp);
  std::int64_t stage_of(const At& at) const;
  void ask_for_next_weights(const At& after, Tick now);
  void ask_for_weights(const At& at, Tick now);

  const ParallelPlan& plan_;
  const PlannedSteps& steps_;
  PipelineLayout layout_;
  std::int64_t ranks_per_stage_;
  bool is_active_, gathers_layers_, gathers_update_, waits_for_gradients_;
  std::vector<StageTicks> stages_;
  std::map<const StepProgram*, std::vector<OpUse>> op_uses_;
  std::vector<std::vector<StepUse>> uses_;                    // [pp][step]
  std::vector<std::vector<std::vector<Mark>>> update_marks_;  // [pp][part][layer]
  std::vector<Rank> ranks_;
};

}  // namespace moesim
