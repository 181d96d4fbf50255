#include "reports/formulas_routing.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "model/placement/placement.hpp"
#include "model/popularity.hpp"
#include "model/random.hpp"
#include "sim/routing_study.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kSeed = 1, kCountStream = 0xf16;
constexpr double kMostTokens = 1e9, kMostLayers = 1e5, kMostExperts = 1e5;

double number_in(const FormulaInputs& in, const std::string& name, double low, double high) {
  const double value = in.number(name);
  if (!(value >= low && value <= high))
    throw InputError(in.place(),
                     "input \"" + name + "\": expected " + number_text(low) + " to " +
                         number_text(high) + ", found " + number_text(value));
  return value;
}

std::int64_t whole_in(const FormulaInputs& in, const std::string& name, double low, double high) {
  number_in(in, name, low, high);
  return in.whole(name);
}

// Rows of the fullest rank over the mean when every one of `tokens` tokens chooses an expert with
// its own chance: counts follow the normal law of the binomial, each on its own.
double max_over_mean_rows(const Placement& placement,
                          const std::vector<double>& load,
                          std::int64_t top_k,
                          double tokens,
                          Random& random) {
  std::vector<double> counts;
  for (const double relative : load) {
    // A law may ask for more than the hottest expert can get: every token, once.
    const double chance = std::min(
        1.0, relative * static_cast<double>(top_k) / static_cast<double>(placement.num_experts));
    const double spread = std::sqrt(tokens * chance * (1 - chance)) * random.normal();
    counts.push_back(std::clamp(std::round(tokens * chance + spread), 0.0, tokens));
  }
  return spread_of(expected_loads(counts, placement).rank).max_over_mean;
}

}  // namespace

double rank_imbalance(const FormulaInputs& in) {
  const std::int64_t experts = whole_in(in, "experts", 1, kMostExperts);
  const std::int64_t top_k = whole_in(in, "top_k", 1, static_cast<double>(experts));
  const std::int64_t ranks = whole_in(in, "ranks", 1, kMostExperts);
  const std::int64_t slots = whole_in(in, "slots_per_rank", 1, static_cast<double>(experts));
  const std::int64_t layers = whole_in(in, "layers", 1, kMostLayers);
  const double tokens =
      number_in(in, "tokens_per_rank", 1, kMostTokens) * static_cast<double>(ranks);
  // The largest variation of any possible loads: top_k experts get everything.
  const double most_cv = std::sqrt(static_cast<double>(experts) / static_cast<double>(top_k) - 1);
  const PopularitySpec popularity{.kind = PopularityKind::dirichlet,
                                  .cv = number_in(in, "cv", 0, most_cv)};
  PlacementSpec placement;
  if (whole_in(in, "eplb", 0, 1) == 1) placement.policy = PlacementPolicy::eplb_global;
  placement.redundant_experts = ranks * slots - experts;
  PlacementProblem problem{experts, 1, ranks, ranks, {}};
  const std::string refusal = placement_refusal(placement, problem);
  if (!refusal.empty()) throw InputError(in.place(), refusal);

  double total = 0;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    problem.load = relative_load(popularity, experts, kSeed, layer);
    Random random(kSeed, kCountStream, layer);
    total +=
        max_over_mean_rows(place_experts(placement, problem), problem.load, top_k, tokens, random);
  }
  return total / static_cast<double>(layers);
}

}  // namespace moesim
