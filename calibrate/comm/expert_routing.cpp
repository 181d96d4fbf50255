#include "calibrate/comm/expert_routing.hpp"

#include <algorithm>

#include "model/errors.hpp"
#include "model/popularity.hpp"
#include "model/token_logits.hpp"

namespace moesim::comm {
namespace {

constexpr std::int64_t kNodeLimit = 4;  // V3: 4 of 8 nodes
constexpr double kRoutedScale = 2.5;    // V3's, which moves no bytes
// Enough to give 256 experts their loads within some per cent, and quick.
constexpr std::int64_t kCalibrationTokens = 2048;
constexpr std::int64_t kTileTokens = 1024;  // whose logits are in memory together
constexpr std::uint64_t kTokenStream = 0xc033;
constexpr std::size_t kKeptRoutings = 4;

GateSpec gate_for(const RoutingSetting& setting, const CommOptions& options, const RankMap& map) {
  return {options.num_experts,
          options.top_k,
          map.num_nodes(),
          setting.node_limit,
          ScoreFunction::sigmoid,
          GroupScore::sum_of_best,
          true,
          kRoutedScale};
}

std::vector<double> wanted_loads(const CommOptions& options, double exponent) {
  PopularitySpec popularity;
  popularity.kind = PopularityKind::zipf;
  popularity.exponent = exponent;
  return relative_load(popularity, options.num_experts, options.seed, 0);
}

RoutedTokens tokens_of(int place,
                       const Gate& gate,
                       const TokenLogits& logits,
                       std::int64_t num_tokens,
                       std::uint64_t seed) {
  Random random(seed, kTokenStream, place);
  std::vector<float> values(
      static_cast<std::size_t>(std::min(kTileTokens, num_tokens) * gate.spec().num_experts));
  RoutedTokens tile, own{num_tokens, gate.spec().top_k, {}, {}};
  for (std::int64_t first = 0; first < num_tokens; first += kTileTokens) {
    const std::int64_t count = std::min(kTileTokens, num_tokens - first);
    logits.draw(random, count, values.data());
    gate.route(values.data(), count, {}, tile);
    own.experts.insert(own.experts.end(), tile.experts.begin(), tile.experts.end());
  }
  return own;
}

}  // namespace

std::int64_t usual_node_limit(const RankMap& map) {
  return std::min<std::int64_t>(kNodeLimit, map.num_nodes());
}

void check_routing_options(const CommOptions& options, const RankMap& map) {
  const auto text = [](std::int64_t value) { return std::to_string(value); };
  if (options.num_experts % map.world() != 0)
    throw InputError("--experts",
                     "is " + text(options.num_experts) + "; expected a multiple of the " +
                         text(map.world()) + " ranks");
  const std::int64_t per_node = options.num_experts / map.num_nodes();
  if (options.top_k > per_node)
    throw InputError("--topk",
                     "is " + text(options.top_k) + "; a node has " + text(per_node) +
                         " experts, and a token may be limited to one node");
  if (options.zipf > 0) {
    const std::string refusal =
        popularity_refusal(wanted_loads(options, options.zipf), options.top_k);
    if (!refusal.empty()) throw InputError("--zipf", refusal);
  }
}

RoutedExchange route(const RoutingSetting& setting,
                     const CommOptions& options,
                     const RankMap& map) {
  const Gate gate(gate_for(setting, options, map));
  std::vector<float> offsets(static_cast<std::size_t>(options.num_experts), 0);
  double miss = 0;
  if (setting.zipf > 0) {
    Calibration found = calibrate_offsets(
        gate, wanted_loads(options, setting.zipf), {}, kCalibrationTokens, options.seed);
    offsets = std::move(found.offsets);
    miss = found.residual;
  }
  const TokenLogits logits(options.num_experts, {}, std::move(offsets));
  std::vector<RoutedTokens> tokens;
  for (int place = 0; place < map.world(); ++place)
    tokens.push_back(tokens_of(place, gate, logits, setting.tokens, options.seed));
  const Placement placement = place_experts(
      {}, {options.num_experts, map.num_nodes(), map.world(), map.ranks_per_node(), {}});
  return {count_rows(tokens, placement),
          dispatch_plan(tokens, placement, ExpertAlgorithm::flat),
          dispatch_plan(tokens, placement, ExpertAlgorithm::two_hop),
          dispatch_plan(tokens, placement, ExpertAlgorithm::low_latency),
          miss};
}

std::shared_ptr<const RoutedExchange> RoutingCache::get(const RoutingSetting& setting,
                                                        const CommOptions& options,
                                                        const RankMap& map) {
  const std::lock_guard lock(mutex_);
  for (const auto& [known, routed] : kept_)
    if (known == setting) return routed;
  kept_.emplace_back(setting, std::make_shared<RoutedExchange>(route(setting, options, map)));
  if (kept_.size() > kKeptRoutings) kept_.pop_front();
  return kept_.back().second;
}

}  // namespace moesim::comm
