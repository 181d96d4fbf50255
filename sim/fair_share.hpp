// Max-min fair rates: no flow can get more without taking from one that has no more than it.
//
// Progressive filling (Bertsekas & Gallager, Data Networks, section 6.5.2): all rates grow together
// until a link is full; the flows on it keep their rate, and the others grow on. Solved link by
// link: the link with the smallest capacity left per flow that still grows is the next to be full.
// That share never falls while others are frozen, so a heap whose keys are refreshed only when they
// come to the top finds it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace moesim {

// capacities: of each link, any unit, all positive. paths: the links of each flow, at least one,
// none twice. Returns the rate of each flow in the unit of the capacities.
std::vector<double> fair_share(std::span<const double> capacities,
                               const std::vector<std::vector<std::uint32_t>>& paths);

// The links of a network and the routes now in use over them; what fair_share and the flow network
// (sim/flow_network) solve on. Flows over the same links share one rate, so they are one route with
// a count. Adding and removing a flow costs the length of its route; nothing is searched.
class SharedLinks {
 public:
  explicit SharedLinks(std::span<const double> capacities);

  // The route over these links, made on first use.
  std::uint32_t route(std::span<const std::uint32_t> links);
  std::size_t num_routes() const { return routes_.size(); }
  void add_flow(std::uint32_t route);
  void remove_flow(std::uint32_t route);
  std::uint32_t num_flows(std::uint32_t route) const { return routes_[route].num_flows; }
  std::span<const std::uint32_t> links_of(std::uint32_t route) const;
  // A route in use on this link; nothing when none is.
  std::optional<std::uint32_t> a_route_on(std::uint32_t link) const;

  // What a flow shares links with, directly or through other flows; rates of one such part do not
  // depend on the rest.
  struct Part {
    std::vector<std::uint32_t> routes, links;
  };
  // The part around `seed`, without what was found since begin_search(): empty when the seed was.
  void begin_search() { ++search_; }
  Part find_part(std::uint32_t seed);

  // Max-min fair rates of the flows on `links`, all the links in use of a part (or of several).
  void solve(std::span<const std::uint32_t> links);
  double rate(std::uint32_t route) const { return routes_[route].rate; }  // of one flow

 private:
  struct Route {
    double rate = 0;
    std::uint32_t frozen_in = 0;  // solution in which the rate was last set
    std::uint32_t num_flows = 0;
    std::uint32_t first_hop = 0, num_hops = 0;
    std::uint32_t found_in = 0;  // search
  };
  // A route on a link's list. Its hop knows its place there, so it leaves by a swap with the last.
  struct Crossing {
    std::uint32_t route = 0, hop = 0;
  };
  struct Link {
    double capacity = 0;
    std::uint32_t num_flows = 0;
    std::uint32_t found_in = 0;
    std::vector<Crossing> crossings;
  };
  // What a link has left for the flows that still grow, while solving.
  struct Filling {
    double left = 0;
    std::uint32_t growing = 0;
    double share() const { return left / growing; }
  };
  void freeze_flows_on(std::uint32_t link, double share);
  void double_table();

  std::vector<Link> links_;
  std::vector<Filling> filling_;  // [link]
  std::vector<Route> routes_;
  std::vector<std::uint32_t> hop_links_,
      hop_positions_;  // [hop]; the hops of a route are neighbours
  std::vector<std::uint32_t>
      table_;  // open addressing: route + 1 by the hash of its links, 0 is free
  std::uint32_t search_ = 0, solution_ = 0;
  std::vector<std::pair<double, std::uint32_t>> heap_;  // share, link
};

}  // namespace moesim
