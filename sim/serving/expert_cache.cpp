#include "sim/serving/expert_cache.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/model_counts.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

// Until what was there at first is forgotten, and enough for the mean of a rate to within 1 %.
constexpr int kWarmUpSteps = 1000, kCountedSteps = 2000;
// Beyond so many tokens the number of experts touched hardly depends on how tokens share them out.
constexpr std::int64_t kMostDrawnTokens = 16;

double touch_chance(double visit, double tokens) {
  return visit >= 1 ? 1 : -std::expm1(tokens * std::log1p(-visit));
}

// The experts of a step.
class StepSets {
 public:
  StepSets(const std::vector<double>& visit, std::int64_t tokens)
      : visit_(visit), tokens_(tokens), order_(visit.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    for (const double v : visit) chance_.push_back(touch_chance(v, static_cast<double>(tokens)));
  }
  void draw(Random& random, std::vector<std::uint8_t>& touched) {
    std::fill(touched.begin(), touched.end(), 0);
    if (tokens_ > kMostDrawnTokens) {
      for (std::size_t e = 0; e < touched.size(); ++e) touched[e] = random.uniform() < chance_[e];
      return;
    }
    for (std::int64_t t = 0; t < tokens_; ++t) draw_token(random, touched);
  }

 private:
  // Systematic sampling (Madow 1949): experts in a random order lie end to end, each as long as its
  // chance; those that a comb of spacing 1 hits are visited. Chances are exact, and so is their
  // sum.
  void draw_token(Random& random, std::vector<std::uint8_t>& touched) {
    for (std::size_t i = order_.size(); i > 1; --i) {
      const auto j = static_cast<std::size_t>(random.uniform() * static_cast<double>(i));
      std::swap(order_[i - 1], order_[std::min(j, i - 1)]);
    }
    double next = random.uniform(), end = 0;
    for (const std::size_t e : order_) {
      end += visit_[e];
      if (next >= end) continue;
      touched[e] = 1;
      next += 1;
    }
  }

  const std::vector<double>& visit_;
  std::int64_t tokens_;
  std::vector<std::size_t> order_;
  std::vector<double> chance_;  // that a step touches it
};

// Which tier each expert is in: 0 HBM, 1 host, 2 SSD; the largest keys are nearest.
void assign_tiers(const ExpertCacheProblem& problem,
                  const std::vector<double>& key,
                  std::vector<std::size_t>& order,
                  std::vector<std::uint8_t>& tier) {
  const auto by_key = [&](std::size_t a, std::size_t b) { return key[a] > key[b]; };
  const auto n = std::ssize(key);
  const auto hbm = std::min(problem.hbm_experts, n),
             host = std::min(problem.hbm_experts + problem.host_experts, n);
  std::nth_element(order.begin(), order.begin() + std::min(host, n - 1), order.end(), by_key);
  std::nth_element(order.begin(), order.begin() + std::min(hbm, n - 1), order.end(), by_key);
  for (std::int64_t i = 0; i < n; ++i)
    tier[order[static_cast<std::size_t>(i)]] = static_cast<std::uint8_t>((i >= hbm) + (i >= host));
}

ExpertUse use_by_frequency(const ExpertCacheProblem& problem, std::int64_t tokens) {
  std::vector<std::size_t> order(problem.visit.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<std::uint8_t> tier(problem.visit.size());
  assign_tiers(problem, problem.visit, order, tier);
  ExpertUse use;
  double untouched = 0, absent = 0;
  for (std::size_t e = 0; e < tier.size(); ++e) {
    const double q = touch_chance(problem.visit[e], static_cast<double>(tokens));
    use.touched += q;
    use.from_host += tier[e] == 1 ? q : 0;
    use.from_ssd += tier[e] == 2 ? q : 0;
    untouched += 1 - q;
    absent += tier[e] != 0 ? 1 - q : 0;
  }
  use.absent = untouched > 0 ? absent / untouched : 0;
  return use;
}

}  // namespace

ExpertCacheProblem expert_cache_problem(const ExpertTiers& tiers,
                                        const ModelSpec& model,
                                        const UnitPlan& plan,
                                        const std::vector<double>& relative_load) {
  ENSURE(model.moe && std::ssize(relative_load) == model.moe->num_experts);
  ExpertCacheProblem problem;
  std::vector<double> sorted = relative_load;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double mean_visit =
      static_cast<double>(model.moe->top_k) / static_cast<double>(model.moe->num_experts);
  for (std::size_t e = 0; e < sorted.size(); e += static_cast<std::size_t>(plan.ep))
    problem.visit.push_back(std::min(1.0, mean_visit * sorted[e]));
  const double cut = plan.ep == 1 ? static_cast<double>(plan.tp) : 1;
  problem.expert = static_cast<double>(expert_parameters(model)) / cut *
                   bytes_per_weight(plan.expert_weights) * B;
  const Bytes of_all_layers = static_cast<double>(model.num_moe_layers()) * problem.expert;
  const auto local = static_cast<std::int64_t>(problem.visit.size());
  auto fit = [&](Bytes memory) {
    return std::min(local, static_cast<std::int64_t>(std::floor(memory / of_all_layers)));
  };
  problem.hbm_experts = fit(tiers.hbm);
  problem.host_experts = fit(tiers.host);
  problem.frequency = tiers.frequency;
  problem.host_bandwidth = tiers.host_bandwidth;
  problem.ssd_bandwidth = tiers.ssd_bandwidth;
  problem.preload_accuracy = tiers.preload_accuracy;
  return problem;
}

double expected_touched(const std::vector<double>& visit, double tokens) {
  double sum = 0;
  for (const double v : visit) sum += touch_chance(v, tokens);
  return sum;
}

double che_hit_rate(const std::vector<double>& visit, double tokens, std::int64_t capacity) {
  if (capacity >= std::ssize(visit)) return 1;
  if (capacity <= 0) return 0;
  // In steps; chances of having been used within it grow with it, so halving finds it.
  auto filled = [&](double steps) { return expected_touched(visit, tokens * steps); };
  double low = 0, high = 1;
  while (filled(high) < static_cast<double>(capacity) && high < 1e18) high *= 2;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (filled(middle) < static_cast<double>(capacity) ? low : high) = middle;
  }
  double hits = 0, touched = 0;
  for (const double v : visit) {
    const double q = touch_chance(v, tokens);
    hits += q * touch_chance(v, tokens * high);
    touched += q;
  }
  return touched > 0 ? hits / touched : 1;
}

ExpertUse expert_use(const ExpertCacheProblem& problem, std::int64_t tokens, std::uint64_t seed) {
  ENSURE(!problem.visit.empty() && tokens >= 0);
  if (problem.frequency) return use_by_frequency(problem, tokens);
  const std::size_t n = problem.visit.size();
  Random random(seed, tokens);
  StepSets sets(problem.visit, tokens);
  std::vector<double> last_used(n);  // in steps; the fraction orders the experts of one step
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<std::uint8_t> touched(n), tier(n);
  for (double& used : last_used) used = -random.uniform();
  double used = 0, from_host = 0, from_ssd = 0, untouched = 0, absent = 0;
  for (int step = 0; step < kWarmUpSteps + kCountedSteps; ++step) {
    assign_tiers(problem, last_used, order, tier);
    sets.draw(random, touched);
    for (std::size_t e = 0; e < n; ++e) {
      if (touched[e] != 0) last_used[e] = step + random.uniform();
      if (step < kWarmUpSteps) continue;
      used += touched[e];
      from_host += touched[e] != 0 && tier[e] == 1;
      from_ssd += touched[e] != 0 && tier[e] == 2;
      untouched += touched[e] == 0;
      absent += touched[e] == 0 && tier[e] != 0;
    }
  }
  return {used / kCountedSteps,
          from_host / kCountedSteps,
          from_ssd / kCountedSteps,
          untouched > 0 ? absent / untouched : 0};
}

ExpertCacheTable::ExpertCacheTable(ExpertCacheProblem problem,
                                   std::int64_t most_tokens,
                                   std::uint64_t seed)
    : problem_(std::move(problem)) {
  // Halfway between powers of two as well.
  for (std::int64_t octave = 1; tokens_.empty() || tokens_.back() < most_tokens; octave *= 2)
    for (const std::int64_t tokens : {octave, octave + octave / 2}) {
      if (!tokens_.empty() && (tokens == tokens_.back() || tokens_.back() >= most_tokens)) continue;
      tokens_.push_back(tokens);
      uses_.push_back(expert_use(problem_, tokens, seed));
    }
}

ExpertUse ExpertCacheTable::at(std::int64_t tokens) const {
  if (tokens <= 0) return {};
  const auto above = static_cast<std::size_t>(
      std::upper_bound(tokens_.begin(), tokens_.end(), tokens) - tokens_.begin());
  // More tokens than asked for: nearly all experts are touched by then.
  if (above == tokens_.size()) return uses_.back();
  const ExpertUse &a = uses_[above - 1], &b = uses_[above];
  const double t = static_cast<double>(tokens - tokens_[above - 1]) /
                   static_cast<double>(tokens_[above] - tokens_[above - 1]);
  auto mix = [&](double from, double to) { return from + t * (to - from); };
  return {mix(a.touched, b.touched),
          mix(a.from_host, b.from_host),
          mix(a.from_ssd, b.from_ssd),
          mix(a.absent, b.absent)};
}

Seconds ExpertCacheTable::fetch_time(double from_host, double from_ssd) const {
  return std::max((from_host + from_ssd) * problem_.expert / problem_.host_bandwidth,
                  from_ssd * problem_.expert / problem_.ssd_bandwidth);
}

Seconds ExpertCacheTable::stall(std::int64_t tokens, Seconds layer) const {
  const ExpertUse use = at(tokens);
  const double accuracy = problem_.preload_accuracy, missed = use.from_host + use.from_ssd;
  if (missed <= 0) return {};
  const double share_of_ssd = use.from_ssd / missed;
  // Wrong guesses are as often on the SSD as what is missed.
  const double guessed = accuracy * missed + (1 - accuracy) * use.touched * use.absent;
  const Seconds ahead = fetch_time(guessed * (1 - share_of_ssd), guessed * share_of_ssd);
  const double in_time = accuracy == 0 ? 0 : ahead > layer ? layer / ahead : 1;
  const double late = missed * (1 - accuracy * in_time);
  return fetch_time(late * (1 - share_of_ssd), late * share_of_ssd);
}

ExpertTierClock::ExpertTierClock(std::shared_ptr<const StepClock> clock,
                                 ExpertCacheTable table,
                                 std::int64_t num_layers,
                                 std::int64_t tokens_per_decode_request,
                                 bool tokens_are_shared)
    : clock_(std::move(clock)),
      table_(std::move(table)),
      num_layers_(num_layers),
      tokens_per_decode_request_(tokens_per_decode_request),
      tokens_are_shared_(tokens_are_shared) {
  ENSURE(num_layers >= 1);
}

std::int64_t ExpertTierClock::tokens_of(std::span<const RankBatch> ranks) const {
  std::int64_t all = 0, most = 0;
  for (const RankBatch& rank : ranks) {
    const std::int64_t tokens =
        rank.prefill_tokens + tokens_per_decode_request_ * rank.decode_requests;
    all += tokens;
    most = std::max(most, tokens);
  }
  return tokens_are_shared_ ? all : most;
}

Seconds ExpertTierClock::stall(std::span<const RankBatch> ranks, Tick compute) const {
  const auto layers = static_cast<double>(num_layers_);
  return layers * table_.stall(tokens_of(ranks), to_seconds(compute) / layers);
}

Tick ExpertTierClock::step_time(std::span<const RankBatch> ranks) const {
  const Tick compute = clock_->step_time(ranks);
  return compute + to_tick(stall(ranks, compute));
}

ExpertUse ExpertTierClock::use(std::span<const RankBatch> ranks) const {
  return table_.at(tokens_of(ranks));
}

Seconds ExpertTierClock::stall(std::span<const RankBatch> ranks) const {
  return stall(ranks, clock_->step_time(ranks));
}

std::vector<ExpertTierPoint> expert_tier_points(const PoolSpec& pool,
                                                const ExpertTierClock& clock) {
  std::vector<ExpertTierPoint> points;
  const std::int64_t most = pool.engine.max_requests;
  for (std::int64_t requests = 1;; requests = std::min(2 * requests, most)) {
    RankBatch batch;
    batch.decode_requests = requests;
    const std::vector<RankBatch> ranks(static_cast<std::size_t>(pool.plan.dp), batch);
    points.push_back(
        {requests, clock.use(ranks), to_seconds(clock.step_time(ranks)), clock.stall(ranks)});
    if (requests == most) return points;
  }
}

}  // namespace moesim
