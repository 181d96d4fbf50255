// A step put together: which parts there are, how often, and in which order, wherever their times
// come from. StepTimeModel looks them up, the breakdown evaluates them.
#pragma once

#include <cstdint>
#include <span>

#include "sim/serving/step_evaluator.hpp"
#include "sim/serving/step_time.hpp"

namespace moesim {

// What a step asks for, over all ranks.
struct StepLoad {
  BatchKind kind = BatchKind::decode;
  std::int64_t decode_requests = 0, tokens = 0;  // of all ranks
  std::int64_t most_tokens = 0, most_requests = 0;
  bool can_split = true;  // every rank that has anything has two of it
};

StepLoad load_of(std::span<const RankBatch> ranks, std::int64_t query_tokens);

// Where the parts of a step come from: tables, or direct evaluation. Made for one step.
class PartSource {
 public:
  virtual ~PartSource() = default;
  // Of the slowest rank, batches whole, in halves, or as a later draft pass sees them.
  enum class Batches : std::uint8_t { whole, halves, drafts };
  virtual SlowestParts slowest(Batches batches, StepSetting setting) const = 0;
  virtual ExpertParts experts(double mean_tokens,
                              double most_tokens,
                              StepSetting setting) const = 0;
};

// Seconds of a step, cut where its nature changes.
struct StepSeconds {
  double before = 0;  // embedding and dense layers
  double layers = 0;  // with experts
  double after = 0;   // head
  double drafts = 0;
  bool overlapped = false;
  // Of one layer with experts: of a half where halves overlap.
  SlowestParts slowest;
  ExpertParts experts;
  double total() const { return before + layers + after + drafts; }
};

// Batches as a pass sees them.
BatchShape shape_of(const RankBatch& batch, PartSource::Batches batches, std::int64_t query_tokens);

struct StepComposition {
  explicit StepComposition(const ServingCosts& costs);

  const ServingCosts& costs;
  std::int64_t dense_layers, moe_layers, query_tokens;
  std::int64_t expert_ranks;  // that share a unit's tokens out between them
  double host;                // seconds
  bool can_overlap;

  // Host time not included.
  StepSeconds seconds(const StepLoad& load, const PartSource& source) const;

 private:
  double draft_seconds(const StepLoad& load, const PartSource& source) const;
};

}  // namespace moesim
