// From what a rank has in its batch to the parts of its step, evaluated directly or looked up.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/serving/serving_costs.hpp"
#include "sim/serving/step_parts.hpp"
#include "sim/serving/step_time.hpp"
#include "sim/serving/time_grid.hpp"

namespace moesim {

// What the time of a rank depends on. Means over requests; halves of a batch need not be whole.
struct BatchShape {
  double tokens = 0;                                // in matrix products
  double decode_requests = 0, decode_context = 0;   // cached tokens of a request
  double prefill_requests = 0, prefill_tokens = 0;  // of all requests together
  double prefill_context = 0, prefill_pairs = 0;    // of all
  std::int64_t query_tokens = 1;                    // of a decoding request
  double head_rows() const {
    return prefill_requests + decode_requests * static_cast<double>(query_tokens);
  }
};
BatchShape whole_batch(const RankBatch& batch, std::int64_t query_tokens);
// Requests are shared out; a prompt on its own is cut in the middle.
BatchShape half_batch(const RankBatch& batch, std::int64_t query_tokens);
// One token of every decoding request: a later pass of the draft module.
BatchShape draft_batch(const RankBatch& batch);

RankParts<PieceCost> evaluate(const ServingCosts& costs,
                              const BatchShape& batch,
                              StepSetting setting);
ExpertParts in_seconds(const ServingCosts::ExpertCosts& experts,
                       const ServingCosts::SendCosts& sends);

// Seconds of a rank, as if they were a weighted sum of what it has.
struct LoadWeights {
  double request = 0, cached = 0;  // a decoding request and one of its cached tokens
  double prompt_token = 0, prompt_context = 0, pair = 0;
};

// The same from tables. `costs` must outlive them.
class StepTables {
 public:
  StepTables(const ServingCosts& costs, StepSetting setting, int num_threads);

  RankParts<double> parts(const BatchShape& batch) const;
  ExpertParts experts(double mean_tokens, double most_tokens) const;

  // Around a mean rank. Of ranks that only decode, how many seconds more one request (and one
  // cached token) takes; with prompts, shares of the mean rank's seconds.
  LoadWeights decode_weights(const BatchShape& mean) const;
  LoadWeights prefill_weights(const BatchShape& mean) const;

 private:
  enum Column : std::size_t {
    prepare,
    output,
    gate,
    absorb,
    shared,
    dense,
    embedding,
    draft_input
  };
  static constexpr std::size_t kColumns = draft_input + 1;

  const ServingCosts& costs_;
  StepSetting setting_;
  std::int64_t query_tokens_;
  bool shared_experts_;  // experts lie on every rank: their time follows its own tokens
  TimeTable<kColumns> tokens_;
  TimeTable<1> head_, expand_;
  TimePlane decode_,
      decode_one_;        // (requests, cached tokens of one), with all query tokens and one
  TimeTable<5> experts_;  // experts, receive, hand_back, dispatch, combine
  TimeTable<4> sends_;    // send, reduce, dispatch, combine
};

}  // namespace moesim
