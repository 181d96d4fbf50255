#include "sim/serving/step_time.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "model/errors.hpp"
#include "sim/serving/step_evaluator.hpp"

namespace moesim {
namespace {

constexpr std::string_view kHostKey = "host_s", kHostTitle = "host between steps";

// What a step asks for, over all ranks.
struct StepLoad {
  StepKind kind = StepKind::decode;
  std::int64_t decode_requests = 0, tokens = 0, most_tokens = 0, most_requests = 0;
  bool can_split = true;  // every rank that has anything has two of it
};

StepLoad load_of(std::span<const RankBatch> ranks, std::int64_t query_tokens) {
  StepLoad load;
  for (const RankBatch& r : ranks) {
    const std::int64_t tokens = r.prefill_tokens + r.decode_requests * query_tokens;
    if (r.prefill_tokens > 0) load.kind = StepKind::prefill;
    load.decode_requests += r.decode_requests;
    load.tokens += tokens;
    load.most_tokens = std::max(load.most_tokens, tokens);
    load.most_requests = std::max(load.most_requests, r.decode_requests);
    if (!r.empty() && r.prefill_tokens < 2 && r.decode_requests < 2) load.can_split = false;
  }
  return load;
}

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

}  // namespace

struct StepTimeModel::Impl {
  ServingCosts costs;
  std::int64_t dense_layers, moe_layers, query_tokens;
  std::int64_t expert_ranks;  // that share a unit's tokens out between them
  double host;
  // [kind][overlapped]; the second only where it can take place.
  std::array<std::array<std::unique_ptr<StepTables>, 2>, kNumStepKinds> tables;

  Impl(const ModelSpec& model,
       const PoolSpec& pool,
       const RoutingSpec& routing,
       std::uint64_t seed,
       int num_threads)
      : costs(model, pool, routing, seed, num_threads),
        dense_layers(model.num_layers - model.num_moe_layers()),
        moe_layers(model.num_moe_layers()),
        query_tokens(pool.engine.draft_tokens() + 1),
        expert_ranks(pool.plan.num_gpus()),
        host(pool.engine.step_overhead.in(s)) {
    for (std::size_t kind = 0; kind < kNumStepKinds; ++kind)
      for (const bool overlapped : {false, true}) {
        if (overlapped && !overlaps()) continue;
        tables[kind][overlapped ? 1 : 0] = std::make_unique<StepTables>(
            costs, StepSetting{static_cast<StepKind>(kind), overlapped}, num_threads);
      }
  }
  bool overlaps() const { return costs.has_exchange() && costs.pool().plan.two_batch_overlap; }
  const StepTables& of(StepSetting setting) const {
    return *tables[static_cast<std::size_t>(setting.kind)][setting.overlapped ? 1 : 0];
  }
  StepSeconds seconds(const StepLoad& load, const PartSource& source) const;
  double draft_seconds(const StepLoad& load, const PartSource& source) const;
};

StepSeconds StepTimeModel::Impl::seconds(const StepLoad& load, const PartSource& source) const {
  const StepSetting alone{load.kind, false};
  const SlowestParts whole = source.slowest(PartSource::Batches::whole, alone);
  StepSeconds step;
  step.before = whole.embedding + static_cast<double>(dense_layers) * whole.dense_layer;
  step.after = whole.head;
  step.slowest = whole;
  const double mean = static_cast<double>(load.tokens) / static_cast<double>(expert_ranks),
               most = static_cast<double>(costs.ops().expert_tokens(load.most_tokens));
  if (moe_layers > 0) {
    step.overlapped = overlaps() && load.can_split;
    if (step.overlapped) {
      const StepSetting beside{load.kind, true};
      step.slowest = source.slowest(PartSource::Batches::halves, beside);
      step.experts = source.experts(mean / 2, most / 2, beside);
      step.layers = two_batch_time(
          half_layer(step.slowest, step.experts),
          moe_layers,
          load.kind == StepKind::prefill ? TurnOrder::prefill : TurnOrder::decode);
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
double StepTimeModel::Impl::draft_seconds(const StepLoad& load, const PartSource& source) const {
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

namespace {

// Batches as a pass sees them.
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

// The ranks that may be the slowest when all only decode. Seconds are nearly affine in requests and
// cached tokens, so it is the rank with most of either, or of both weighed as the tables do at the
// mean rank: 144 ranks need three evaluations.
std::array<std::size_t, 3> slowest_candidates(std::span<const RankBatch> ranks,
                                              const StepTables& tables) {
  double requests = 0, context = 0;
  std::size_t most_requests = 0, most_context = 0, working = 0;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    requests += static_cast<double>(ranks[r].decode_requests);
    context += static_cast<double>(ranks[r].decode_context);
    if (ranks[r].decode_requests > ranks[most_requests].decode_requests) most_requests = r;
    if (ranks[r].decode_context > ranks[most_context].decode_context) most_context = r;
    if (!ranks[r].empty()) ++working;
  }
  const auto n = static_cast<double>(working);
  requests = std::max(1.0, requests / n);
  context = std::max(1.0, context / n);
  constexpr double kStep = 0.125;  // a cell of the tables or more
  const double at = tables.decode_weight(requests, context / requests),
               more_requests = tables.decode_weight(requests * (1 + kStep),
                                                    context / (requests * (1 + kStep))),
               more_context =
                   tables.decode_weight(requests, context * (1 + kStep) / requests);
  const double of_request = (more_requests - at) / (kStep * requests),
               of_context = (more_context - at) / (kStep * context);
  std::size_t heaviest = 0;
  double weight = -1;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const double w = of_request * static_cast<double>(ranks[r].decode_requests) +
                     of_context * static_cast<double>(ranks[r].decode_context);
    if (w > weight) {
      weight = w;
      heaviest = r;
    }
  }
  return {most_requests, most_context, heaviest};
}

}  // namespace

Tick StepTimeModel::step_time(std::span<const RankBatch> ranks) const {
  const Impl& m = *impl_;
  const StepLoad load = load_of(ranks, m.query_tokens);
  if (load.tokens == 0) return 0;
  class FromTables : public PartSource {
   public:
    FromTables(const Impl& model, std::span<const RankBatch> batches, StepKind kind)
        : m_(model), ranks_(batches) {
      if (kind == StepKind::decode)
        candidates_ = slowest_candidates(batches, model.of({kind, false}));
    }
    SlowestParts slowest(Batches batches, StepSetting setting) const override {
      const StepTables& tables = m_.of(setting);
      SlowestParts slowest;
      const auto include = [&](const RankBatch& r) {
        if (!r.empty()) slowest.include(tables.parts(shape_of(r, batches, m_.query_tokens)));
      };
      if (candidates_)
        for (const std::size_t r : *candidates_) include(ranks_[r]);
      else
        for (const RankBatch& r : ranks_) include(r);
      return slowest;
    }
    ExpertParts experts(double mean, double most, StepSetting setting) const override {
      return m_.of(setting).experts(mean, most);
    }

   private:
    const Impl& m_;
    std::span<const RankBatch> ranks_;
    std::optional<std::array<std::size_t, 3>> candidates_;
  };
  return to_tick(
      (m.host + m.seconds(load, FromTables(m, ranks, load.kind)).total()) * s);
}

StepTimeModel::StepTimeModel(const ModelSpec& model,
                             const PoolSpec& pool,
                             const RoutingSpec& routing,
                             std::uint64_t seed,
                             int num_threads)
    : impl_(std::make_unique<Impl>(model, pool, routing, seed, num_threads)) {}
StepTimeModel::~StepTimeModel() = default;

namespace {

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
  DirectParts(const ServingCosts& costs, std::span<const RankBatch> ranks, std::int64_t query_tokens)
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

StepBreakdown StepTimeModel::breakdown(std::span<const RankBatch> ranks) const {
  const Impl& m = *impl_;
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
            ? step.layers -
                  2 * layers * half_layer(step.slowest, step.experts).computing()
            : layers * (step.experts.dispatch + step.experts.combine);
    where.add(Category::exposed_comm, exposed);
    result.exposed_communication = exposed / layers * s;
    result.dispatch =
        (step.experts.dispatch + of_layer.attention - of_layer.mean_attention) * s;
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
