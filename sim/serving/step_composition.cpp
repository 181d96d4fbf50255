#include "sim/serving/step_composition.hpp"

#include <algorithm>
#include <stdexcept>

namespace moesim {

StepLoad load_of(std::span<const RankBatch> ranks, std::int64_t query_tokens) {
  StepLoad load;
  for (const RankBatch& r : ranks) {
    const std::int64_t tokens = r.prefill_tokens + r.decode_requests * query_tokens;
    if (r.prefill_tokens > 0) load.kind = BatchKind::prefill;
    load.decode_requests += r.decode_requests;
    load.tokens += tokens;
    load.most_tokens = std::max(load.most_tokens, tokens);
    load.most_requests = std::max(load.most_requests, r.decode_requests);
    if (!r.empty() && r.prefill_tokens < 2 && r.decode_requests < 2) load.can_split = false;
  }
  return load;
}

BatchShape shape_of(const RankBatch& batch,
                    PartSource::Batches batches,
                    std::int64_t query_tokens) {
  switch (batches) {
    case PartSource::Batches::whole: return whole_batch(batch, query_tokens);
    case PartSource::Batches::halves: return half_batch(batch, query_tokens);
    case PartSource::Batches::drafts: return draft_batch(batch);
  }
  throw std::logic_error("no such batches");
}

StepComposition::StepComposition(const ServingCosts& serving_costs)
    : costs(serving_costs),
      dense_layers(costs.ops().model().num_layers - costs.ops().model().num_moe_layers()),
      moe_layers(costs.ops().model().num_moe_layers()),
      query_tokens(costs.pool().engine.draft_tokens() + 1),
      expert_ranks(costs.pool().plan.num_gpus()),
      host(costs.pool().engine.step_overhead.in(s)),
      can_overlap(costs.has_overlap()) {}

StepSeconds StepComposition::seconds(const StepLoad& load, const PartSource& source) const {
  const StepSetting alone{load.kind, false};
  const SlowestParts whole = source.slowest(PartSource::Batches::whole, alone);
  StepSeconds step;
  step.before = whole.embedding + static_cast<double>(dense_layers) * whole.dense_layer;
  step.after = whole.head;
  step.slowest = whole;
  const double mean = static_cast<double>(load.tokens) / static_cast<double>(expert_ranks),
               most = static_cast<double>(costs.ops().expert_tokens(load.most_tokens));
  if (moe_layers > 0) {
    step.overlapped = can_overlap && load.can_split;
    if (step.overlapped) {
      const StepSetting beside{load.kind, true};
      step.slowest = source.slowest(PartSource::Batches::halves, beside);
      step.experts = source.experts(mean / 2, most / 2, beside);
      step.layers =
          two_batch_time(half_layer(step.slowest, step.experts),
                         moe_layers,
                         load.kind == BatchKind::prefill ? TurnOrder::prefill : TurnOrder::decode);
    } else {
      step.experts = source.experts(mean, most, alone);
      step.layers =
          static_cast<double>(moe_layers) * layer_with_experts(step.slowest, step.experts);
    }
  }
  if (query_tokens > 1) step.drafts = draft_seconds(load, source);
  return step;
}

// Passes of the draft module: over all tokens of the step, then over one of every decoding request.
double StepComposition::draft_seconds(const StepLoad& load, const PartSource& source) const {
  const StepSetting alone{load.kind, false};
  const auto pass = [&](PartSource::Batches batches, std::int64_t tokens, std::int64_t most) {
    const SlowestParts p = source.slowest(batches, alone);
    const double around = p.embedding + p.draft_input + p.head;
    if (moe_layers == 0) return around + p.dense_layer;
    return around +
           layer_with_experts(
               p,
               source.experts(static_cast<double>(tokens) / static_cast<double>(expert_ranks),
                              static_cast<double>(costs.ops().expert_tokens(most)),
                              alone));
  };
  double drafts = pass(PartSource::Batches::whole, load.tokens, load.most_tokens);
  if (load.decode_requests > 0 && query_tokens > 2)
    drafts += static_cast<double>(query_tokens - 2) *
              pass(PartSource::Batches::drafts, load.decode_requests, load.most_requests);
  return drafts;
}

}  // namespace moesim
