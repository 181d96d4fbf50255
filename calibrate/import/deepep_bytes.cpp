#include "calibrate/import/deepep_bytes.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "model/errors.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

constexpr int kSamples = 8192;

void check(const RandomRouting& r, const std::string& file) {
  if (r.experts > 65536 || r.experts % r.ranks != 0)
    throw InputError(file,
                     std::to_string(r.experts) + " experts (--set experts) do not divide among " +
                         std::to_string(r.ranks) + " ranks");
  if (r.groups < 1 || r.groups > r.nodes)
    throw InputError(file,
                     "topk_groups=" + std::to_string(r.groups) + " of " + std::to_string(r.nodes) +
                         " nodes cannot be");
  if (r.topk < 1 || r.topk > r.experts / r.nodes * r.groups)
    throw InputError(file,
                     "topk=" + std::to_string(r.topk) + " is more than the experts of " +
                         std::to_string(r.groups) + " nodes");
}

// The `count` largest of `scores` come first in the result.
std::vector<std::size_t> best(const std::vector<double>& scores, std::int64_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](auto a, auto b) {
    return scores[a] > scores[b];
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

std::size_t num_different(std::vector<std::size_t> of) {
  std::sort(of.begin(), of.end());
  return static_cast<std::size_t>(std::unique(of.begin(), of.end()) - of.begin());
}

}  // namespace

double fp8_row_bytes(std::int64_t hidden) { return static_cast<double>(hidden) * (1 + 4.0 / 128); }
double bf16_row_bytes(std::int64_t hidden) { return 2 * static_cast<double>(hidden); }
double low_latency_row_bytes(std::int64_t hidden) { return fp8_row_bytes(hidden) + 16; }

Visits expected_visits(const RandomRouting& r, const std::string& file) {
  check(r, file);
  const auto per_rank = static_cast<std::size_t>(r.experts / r.ranks),
             per_node = static_cast<std::size_t>(r.experts / r.nodes);
  Random random(0x6465657065705f31u);
  std::vector<double> scores(static_cast<std::size_t>(r.experts));
  std::size_t ranks = 0, nodes = 0;
  for (int sample = 0; sample < kSamples; ++sample) {
    for (double& score : scores) score = random.uniform();
    std::vector<double> node_best(static_cast<std::size_t>(r.nodes), 0);
    for (std::size_t e = 0; e < scores.size(); ++e)
      node_best[e / per_node] = std::max(node_best[e / per_node], scores[e]);
    const auto chosen_nodes = best(node_best, r.groups);
    for (std::size_t e = 0; e < scores.size(); ++e)
      if (std::find(chosen_nodes.begin(), chosen_nodes.end(), e / per_node) == chosen_nodes.end())
        scores[e] = 0;
    auto visited_ranks = best(scores, r.topk), visited_nodes = visited_ranks;
    for (std::size_t& e : visited_ranks) e /= per_rank;
    for (std::size_t& e : visited_nodes) e /= per_node;
    ranks += num_different(std::move(visited_ranks));
    nodes += num_different(std::move(visited_nodes));
  }
  return {static_cast<double>(ranks) / kSamples, static_cast<double>(nodes) / kSamples};
}

}  // namespace moesim
