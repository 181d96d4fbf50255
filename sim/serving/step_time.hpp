// How long a step of a serving unit takes. The engine asks once a step, so answers come from tables
// that are made when the model of a pool is. Only the attention core of prompts, one kernel with a
// staircase in two lengths, is evaluated in the loop.
//
// A step of a unit with experts over its GPUs, layer by layer:
//   attention of the slowest rank -> dispatch -> experts of the slowest rank -> combine
// Attention differs by what is in a rank's batch; experts and exchanges by the routing: for every
// layer and draw the rank with most rows is the one all wait for, so skew is an outcome of the
// routing (sim/serving/serving_costs). With two-batch overlap the two halves of every rank's batch
// take turns (sim/serving/two_batch); dense layers run on the whole batch (SGLang: "dense layer TBO
// not yet implemented"), and so does a batch that cannot be split.
//
// Speculative decoding: a request brings draft_tokens() + 1 query tokens to verification; the draft
// module then runs draft_tokens() times, the first time over all of them, and once over every
// prompt.
//
// A step with any prompt in it is of the kind `prefill`: its exchange is the prefill exchange and
// its kernels are launched one by one. Otherwise it is of the kind `decode`.
//
// Left out: a rank that is late for one exchange catching up before the next (every layer waits for
// the slowest), host time that outlasts the kernels of a step (EngineSpec::step_overhead is what is
// known of it), that a first draft needs one row of logits a request (its head is counted on all
// query tokens: it is the weights that take the time), attention windows, expert tiers (a layer
// above adds their stalls), and weights of fewer bits than the recipe's operands (memory has them,
// kernels do not).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/cost_model.hpp"
#include "model/routing_spec.hpp"
#include "model/serving/serving_spec.hpp"
#include "model/units.hpp"
#include "sim/serving/unit_routing.hpp"

namespace moesim {

// What one attention rank does in a step. Prefill: chunks of prompts behind what is already in the
// cache. Decode: sequences with draft_tokens() + 1 query tokens each.
struct RankBatch {
  std::int64_t decode_requests = 0;
  std::int64_t decode_context = 0;  // cached tokens of all of them together
  std::int64_t prefill_requests = 0, prefill_tokens = 0;
  std::int64_t prefill_context =
      0;                     // tokens seen by the last of each chunk, summed: prefix + chunk
  double prefill_pairs = 0;  // (query, key) pairs, causal: chunk * prefix + chunk^2 / 2
  bool empty() const { return decode_requests == 0 && prefill_tokens == 0; }
  friend bool operator==(const RankBatch&, const RankBatch&) = default;
};

// [dp] batches of a unit, one a rank, to the time until all have their results. Oracles of queueing
// theory put simple servers here.
class StepClock {
 public:
  virtual ~StepClock() = default;
  virtual Tick step_time(std::span<const RankBatch> ranks) const = 0;
};

// Where the time of a step goes on its slowest path.
struct StepPart {
  std::string_view key, title;  // as CategoryName; and "host_s"
  Seconds time;
};
struct StepBreakdown {
  Seconds step;
  std::vector<StepPart> parts;                     // all categories, in order; they sum to `step`
  std::array<double, kNumOrigins> origin_share{};  // of the kernels' seconds; sums to 1
  bool overlapped = false;                         // two-batch overlap took place
  // Of one layer with experts. Dispatch: of one half where halves overlap, copies into and out of
  // buffers included, and the wait of the mean rank for the slowest one's attention.
  Seconds exposed_communication, dispatch;
  double max_over_mean_rows = 1;  // of expert-parallel ranks, expected
};

class StepTimeModel : public StepClock {
 public:
  // A placement that cannot be made, or a routing that the model cannot give, must have been
  // refused when they were read.
  StepTimeModel(const ModelSpec& model,
                const PoolSpec& pool,
                UnitRouting routing,
                int num_threads = 1);
  StepTimeModel(const ModelSpec& model,
                const PoolSpec& pool,
                const RoutingSpec& routing,
                std::uint64_t seed,
                int num_threads = 1);
  ~StepTimeModel() override;

  // 0 when all ranks are empty.
  Tick step_time(std::span<const RankBatch> ranks) const override;
  // Evaluated directly, without tables. step_time is within 1 % of its `step`, but for batches just
  // past a full tile of rows, where a table's straight line is up to a few per cent early or late.
  StepBreakdown breakdown(std::span<const RankBatch> ranks) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moesim
