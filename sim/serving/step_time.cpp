#include "sim/serving/step_time.hpp"

#include <algorithm>
#include <array>

#include "sim/serving/step_breakdown.hpp"
#include "sim/serving/step_composition.hpp"

namespace moesim {
namespace {

// Seconds are nearly affine in what a rank has, so the slowest rank is the one with most of
// something or the heaviest when all is weighed at the mean rank: 144 ranks need a few evaluations,
// not 144.
class SlowestRanks {
 public:
  SlowestRanks(std::span<const RankBatch> ranks, const StepTables& tables, BatchKind kind)
      : ranks_(ranks) {
    constexpr std::size_t kFew = 4;
    if (ranks.size() <= kFew) {
      for (std::size_t r = 0; r < ranks.size(); ++r) include(r);
      return;
    }
    if (kind == BatchKind::prefill)
      find(tables.prefill_weights(mean()));
    else
      find(tables.decode_weights(mean()));
  }
  std::span<const std::size_t> ranks() const { return {found_.data(), num_found_}; }

 private:
  BatchShape mean() const {
    RankBatch sum;
    std::int64_t working = 0;
    for (const RankBatch& r : ranks_) {
      sum.decode_requests += r.decode_requests;
      sum.decode_context += r.decode_context;
      sum.prefill_requests += r.prefill_requests;
      sum.prefill_tokens += r.prefill_tokens;
      sum.prefill_context += r.prefill_context;
      sum.prefill_pairs += r.prefill_pairs;
      if (!r.empty()) ++working;
    }
    BatchShape m = whole_batch(sum, 1);
    const auto n = static_cast<double>(working);
    m.decode_requests /= n;
    m.prefill_requests /= n;
    m.prefill_tokens /= n;
    m.prefill_context /= n;
    m.prefill_pairs /= n;
    return m;
  }
  void find(const LoadWeights& w) {
    std::array<double, 4> most{};
    std::array<std::size_t, 4> rank{};
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      const RankBatch& b = ranks_[r];
      const auto requests = static_cast<double>(b.decode_requests),
                 cached = static_cast<double>(b.decode_context),
                 tokens = static_cast<double>(b.prefill_tokens);
      const double all = w.request * requests + w.cached * cached + w.prompt_token * tokens +
                         w.prompt_context * static_cast<double>(b.prefill_context) +
                         w.pair * b.prefill_pairs;
      const std::array<double, 4> of = {
          all, w.request * requests + w.prompt_token * tokens, cached, b.prefill_pairs};
      for (std::size_t k = 0; k < of.size(); ++k)
        if (of[k] > most[k]) {
          most[k] = of[k];
          rank[k] = r;
        }
    }
    for (std::size_t k = 0; k < rank.size(); ++k)
      if (most[k] > 0) include(rank[k]);
  }
  void include(std::size_t r) {
    const auto end = found_.begin() + static_cast<std::ptrdiff_t>(num_found_);
    if (std::find(found_.begin(), end, r) == end) found_[num_found_++] = r;
  }

  std::span<const RankBatch> ranks_;
  std::array<std::size_t, 4> found_{};
  std::size_t num_found_ = 0;
};

}  // namespace

struct StepTimeModel::Impl {
  ServingCosts costs;
  StepComposition composition;
  // [kind][overlapped]; the second only where it can take place.
  std::array<std::array<std::unique_ptr<StepTables>, 2>, kNumBatchKinds> tables;

  Impl(const ModelSpec& model,
       const PoolSpec& pool,
       UnitRouting routing,
       int num_threads)
      : costs(model, pool, std::move(routing)), composition(costs) {
    for (std::size_t kind = 0; kind < kNumBatchKinds; ++kind)
      for (const bool overlapped : {false, true}) {
        if (overlapped && !composition.can_overlap) continue;
        tables[kind][overlapped ? 1 : 0] = std::make_unique<StepTables>(
            costs, StepSetting{static_cast<BatchKind>(kind), overlapped}, num_threads);
      }
  }
  const StepTables& of(StepSetting setting) const {
    return *tables[static_cast<std::size_t>(setting.kind)][setting.overlapped ? 1 : 0];
  }
};

StepTimeModel::StepTimeModel(const ModelSpec& model,
                             const PoolSpec& pool,
                             UnitRouting routing,
                             int num_threads)
    : impl_(std::make_unique<Impl>(model, pool, std::move(routing), num_threads)) {}
StepTimeModel::StepTimeModel(const ModelSpec& model,
                             const PoolSpec& pool,
                             const RoutingSpec& routing,
                             std::uint64_t seed,
                             int num_threads)
    : StepTimeModel(model,
                    pool,
                    [&] {
                      DrawnSamplers drawn;
                      return unit_routing(model, pool, routing, seed, num_threads, drawn);
                    }(),
                    num_threads) {}
StepTimeModel::~StepTimeModel() = default;

Tick StepTimeModel::step_time(std::span<const RankBatch> ranks) const {
  const Impl& m = *impl_;
  const StepLoad load = load_of(ranks, m.composition.query_tokens);
  if (load.tokens == 0) return 0;
  class FromTables : public PartSource {
   public:
    FromTables(const Impl& model, std::span<const RankBatch> batches, BatchKind kind)
        : m_(model), ranks_(batches), candidates_(batches, model.of({kind, false}), kind) {}
    SlowestParts slowest(Batches batches, StepSetting setting) const override {
      const StepTables& tables = m_.of(setting);
      SlowestParts slowest;
      for (const std::size_t r : candidates_.ranks())
        if (!ranks_[r].empty())
          slowest.include(tables.parts(shape_of(ranks_[r], batches, m_.composition.query_tokens)));
      return slowest;
    }
    ExpertParts experts(double mean, double most, StepSetting setting) const override {
      return m_.of(setting).experts(mean, most);
    }

   private:
    const Impl& m_;
    std::span<const RankBatch> ranks_;
    SlowestRanks candidates_;
  };
  return to_tick(
      (m.composition.host + m.composition.seconds(load, FromTables(m, ranks, load.kind)).total()) *
      s);
}

StepBreakdown StepTimeModel::breakdown(std::span<const RankBatch> ranks) const {
  return step_breakdown(impl_->composition, ranks);
}

}  // namespace moesim
