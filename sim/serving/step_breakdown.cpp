#include "sim/serving/step_breakdown.hpp"

#include <algorithm>
#include <cmath>

namespace moesim {
namespace {

constexpr std::string_view kHostKey = "host_s", kHostTitle = "host between steps";

RankParts<double> in_seconds(const RankParts<PieceCost>& p) {
  return {p.prepare.seconds(),
          p.core.seconds(),
          p.gate.seconds(),
          p.shared.seconds(),
          p.dense.seconds(),
          p.embedding.seconds(),
          p.head.seconds(),
          p.draft_input.seconds()};
}

std::int64_t whole(double tokens) { return std::max<std::int64_t>(1, std::llround(tokens)); }

// Evaluates what a step asks for, and keeps it.
class DirectParts : public PartSource {
 public:
  DirectParts(const ServingCosts& costs,
              std::span<const RankBatch> ranks,
              std::int64_t query_tokens)
      : costs_(costs), ranks_(ranks), query_tokens_(query_tokens) {}

  struct Seen {
    RankParts<PieceCost> parts;  // of the rank whose attention takes longest
    double attention = 0, mean_attention = 0;
    ServingCosts::ExpertCosts experts;
    ServingCosts::SendCosts sends;
  };
  Seen& seen(Batches batches) const { return seen_[static_cast<std::size_t>(batches)]; }

  SlowestParts slowest(Batches batches, StepSetting setting) const override {
    last_ = batches;
    Seen& s = seen(batches) = {};
    SlowestParts slowest;
    const RankBatch* evaluated = nullptr;
    RankParts<PieceCost> parts;
    double attention = 0;
    for (const RankBatch& r : ranks_) {
      if (r.empty()) continue;
      if (evaluated == nullptr || !(r == *evaluated)) {
        evaluated = &r;
        parts = evaluate(costs_, shape_of(r, batches, query_tokens_), setting);
        slowest.include(in_seconds(parts));
        attention = parts.prepare.seconds() + parts.core.seconds() + parts.gate.seconds();
        if (attention > s.attention) {
          s.attention = attention;
          s.parts = parts;
        }
      }
      s.mean_attention += attention / static_cast<double>(ranks_.size());
    }
    return slowest;
  }
  ExpertParts experts(double mean, double most, StepSetting setting) const override {
    Seen& s = seen(last_);
    s.experts = costs_.experts(whole(costs_.has_exchange() ? mean : most), setting);
    s.sends = costs_.sends(whole(most), setting);
    return moesim::in_seconds(s.experts, s.sends);
  }

 private:
  const ServingCosts& costs_;
  std::span<const RankBatch> ranks_;
  std::int64_t query_tokens_;
  mutable std::array<Seen, 3> seen_;
  mutable Batches last_ = Batches::whole;
};

// A layer of a rank: kernels only.
PieceCost layer_kernels(const DirectParts::Seen& s) {
  PieceCost sum;
  for (const PieceCost& piece : {s.parts.prepare,
                                 s.parts.core,
                                 s.parts.gate,
                                 s.parts.shared,
                                 s.experts.experts,
                                 s.experts.receive,
                                 s.experts.hand_back,
                                 s.sends.send,
                                 s.sends.reduce})
    sum += piece;
  return sum;
}

PieceCost dense_layer_kernels(const DirectParts::Seen& s) {
  PieceCost sum = s.parts.prepare;
  sum += s.parts.core;
  sum += s.parts.dense;
  return sum;
}

}  // namespace

StepBreakdown step_breakdown(const StepComposition& m, std::span<const RankBatch> ranks) {
  const StepLoad load = load_of(ranks, m.query_tokens);
  StepBreakdown result;
  if (load.tokens == 0) return result;
  using Batches = PartSource::Batches;
  const DirectParts direct(m.costs, ranks, m.query_tokens);
  const StepSeconds step = m.seconds(load, direct);
  result.step = (m.host + step.total()) * s;
  result.overlapped = step.overlapped;

  const auto layers = static_cast<double>(m.moe_layers);
  const DirectParts::Seen &whole = direct.seen(Batches::whole),
                          &of_layer = step.overlapped ? direct.seen(Batches::halves) : whole;
  PieceCost where = whole.parts.embedding;
  where += static_cast<double>(m.dense_layers) * dense_layer_kernels(whole);
  where += whole.parts.head;
  if (m.moe_layers > 0) {
    where += layers * (step.overlapped ? 2 : 1) * layer_kernels(of_layer);
    const double exposed =
        step.overlapped
            ? step.layers - 2 * layers * half_layer(step.slowest, step.experts).computing()
            : layers * (step.experts.dispatch + step.experts.combine);
    where.add(Category::exposed_comm, exposed);
    result.exposed_communication = exposed / layers * s;
    result.dispatch = (step.experts.dispatch + of_layer.attention - of_layer.mean_attention) * s;
    result.max_over_mean_rows = of_layer.experts.max_over_mean_rows;
  }
  const auto add_drafts = [&](const DirectParts::Seen& pass, double passes) {
    PieceCost one = pass.parts.embedding;
    one += pass.parts.draft_input;
    one += pass.parts.head;
    one += m.moe_layers > 0 ? layer_kernels(pass) : dense_layer_kernels(pass);
    if (m.moe_layers > 0) {
      const ExpertParts e = moesim::in_seconds(pass.experts, pass.sends);
      one.add(Category::exposed_comm, e.dispatch + e.combine);
    }
    where += passes * one;
  };
  if (m.query_tokens > 1) add_drafts(whole, 1);
  if (m.query_tokens > 2 && load.decode_requests > 0)
    add_drafts(direct.seen(Batches::drafts), static_cast<double>(m.query_tokens - 2));

  // Every part lasts as long as its slowest rank: what this one does not need of it, it waits.
  where.add(Category::peer_wait, std::max(0.0, step.total() - where.seconds()));
  for (std::size_t c = 0; c < kNumCategories; ++c)
    result.parts.push_back(
        {kCategoryNames[c].key, kCategoryNames[c].title, where.by_category[c] * s});
  result.parts.push_back({kHostKey, kHostTitle, m.host * s});
  double kernels = 0;
  for (const double t : where.by_origin) kernels += t;
  for (std::size_t o = 0; o < kNumOrigins; ++o)
    result.origin_share[o] = where.by_origin[o] / kernels;
  return result;
}

}  // namespace moesim
