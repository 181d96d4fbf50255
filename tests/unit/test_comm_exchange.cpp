// Row by row, what the three algorithms send: as model/traffic.hpp counts it, and every row where
// it is wanted.
#include <map>
#include <set>

#include "calibrate/comm/expert_routing.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;
using namespace moesim::comm;

namespace {

CommOptions small() {
  CommOptions options;
  options.num_experts = 64;
  options.top_k = 4;
  options.zipf = 0.5;
  return options;
}

using Flows = std::map<std::pair<int, int>, double>;
Flows wire_rows(const ExchangePlan& plan) {
  Flows flows;
  for (const Hop& hop : plan.hops)
    for (const Parcel& p : hop)
      if (p.from != p.to) flows[{p.from, p.to}] += static_cast<double>(p.rows.size());
  return flows;
}
Flows wire_rows(const ExpertTraffic& traffic) {
  Flows flows;
  for (const auto* way : {&traffic.nvlink, &traffic.network})
    for (const RowFlow& f : *way) flows[{f.source, f.destination}] += f.rows;
  return flows;
}

}  // namespace

TEST_CASE("comm exchange: parcels are the flows of the traffic model", "[comm]") {
  for (const auto& [ranks, nodes] : {std::pair(8, 2), std::pair(16, 4), std::pair(4, 1)}) {
    const RankMap map(ranks, ranks / nodes);
    for (const double zipf : {0.0, 0.5}) {
      const RoutedExchange routed = route({20, usual_node_limit(map), zipf}, small(), map);
      for (const auto& [plan, algorithm] :
           {std::pair(&routed.flat, ExpertAlgorithm::flat),
            std::pair(&routed.two_hop, ExpertAlgorithm::two_hop),
            std::pair(&routed.low_latency, ExpertAlgorithm::low_latency)}) {
        CAPTURE(ranks, zipf, static_cast<int>(algorithm));
        const ExpertTraffic traffic = expert_traffic(routed.counts, algorithm);
        CHECK(wire_rows(*plan) == wire_rows(traffic));
        CHECK(wire_rows(combine_plan(*plan)) == wire_rows(mirrored(traffic)));
        const auto by_link = rows_by_link(*plan, map);
        CHECK(by_link[1] == traffic.wire_rows_nvlink);
        CHECK(by_link[2] + by_link[3] == traffic.wire_rows_network);
        if (algorithm == ExpertAlgorithm::two_hop) CHECK(by_link[3] == 0);
      }
    }
  }
}

TEST_CASE("comm exchange: the node limit holds and more nodes are visited without it", "[comm]") {
  const RankMap map(16, 4);
  double before = 0;
  for (std::int64_t limit = 1; limit <= 4; ++limit) {
    const RoutedExchange routed = route({50, limit, 0}, small(), map);
    std::map<RowId, std::set<int>> nodes;
    for (const Parcel& p : routed.flat.hops.front())
      for (const RowId& row : p.rows) nodes[row].insert(map.node(p.to));
    double visited = 0;
    for (const auto& [row, of_row] : nodes) {
      CHECK(static_cast<std::int64_t>(of_row.size()) <= limit);
      visited += static_cast<double>(of_row.size());
    }
    CHECK(nodes.size() == 16 * 50);
    CHECK(visited > before);
    before = visited;
  }
}

TEST_CASE("comm exchange: skewed routing loads ranks unevenly", "[comm]") {
  const RankMap map(16, 8);
  const double even = receive_skew(route({200, 2, 0}, small(), map).counts);
  const double skewed = receive_skew(route({200, 2, 0.7}, small(), map).counts);
  CHECK(even >= 1);
  CHECK(even < 1.15);
  CHECK(skewed > 1.3);
}

TEST_CASE("comm exchange: what cannot be routed is refused by option", "[comm]") {
  const RankMap map(6, 3);
  CommOptions options = small();
  CHECK(refusal([&] { check_routing_options(options, map); }) ==
        "--experts: is 64; expected a multiple of the 6 ranks");
  options.num_experts = 6;
  CHECK(refusal([&] { check_routing_options(options, map); }) ==
        "--topk: is 4; a node has 3 experts, and a token may be limited to one node");
  options.num_experts = 252;
  options.zipf = 3;
  CHECK(refusal([&] { check_routing_options(options, map); }).find("--zipf: ") == 0);
}
