#include "sim/fair_share.hpp"

#include <algorithm>
#include <functional>

#include "model/errors.hpp"

namespace moesim {
namespace {

std::size_t hash_of(std::span<const std::uint32_t> links) {
  std::uint64_t h = links.size();
  for (const std::uint32_t link : links) {
    h = (h ^ link) * 0x9e3779b97f4a7c15u;  // Fibonacci hashing; the high half is folded down
    h ^= h >> 32U;
  }
  return h;
}

}  // namespace

SharedLinks::SharedLinks(std::span<const double> capacities)
    : links_(capacities.size()), filling_(capacities.size()), table_(64, 0) {
  for (std::size_t l = 0; l < links_.size(); ++l) {
    ENSURE(capacities[l] > 0);
    links_[l].capacity = capacities[l];
  }
}

std::span<const std::uint32_t> SharedLinks::links_of(std::uint32_t route) const {
  return {hop_links_.data() + routes_[route].first_hop, routes_[route].num_hops};
}

std::optional<std::uint32_t> SharedLinks::a_route_on(std::uint32_t link) const {
  if (links_[link].crossings.empty()) return std::nullopt;
  return links_[link].crossings.front().route;
}

std::uint32_t SharedLinks::route(std::span<const std::uint32_t> links) {
  ENSURE(!links.empty());
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hash_of(links) & mask;
  for (; table_[slot] != 0; slot = (slot + 1) & mask)
    if (std::ranges::equal(links, links_of(table_[slot] - 1))) return table_[slot] - 1;

  const auto id = static_cast<std::uint32_t>(routes_.size());
  table_[slot] = id + 1;
  Route r;
  r.first_hop = static_cast<std::uint32_t>(hop_links_.size());
  r.num_hops = static_cast<std::uint32_t>(links.size());
  routes_.push_back(r);
  for (const std::uint32_t link : links) {
    ENSURE(link < links_.size());
    hop_links_.push_back(link);
  }
  hop_positions_.resize(hop_links_.size());
  if (2 * routes_.size() > table_.size()) double_table();  // half full at most: probes stay short
  return id;
}

void SharedLinks::double_table() {
  table_.assign(2 * table_.size(), 0);
  const std::size_t mask = table_.size() - 1;
  for (std::uint32_t r = 0; r < routes_.size(); ++r) {
    std::size_t slot = hash_of(links_of(r)) & mask;
    while (table_[slot] != 0) slot = (slot + 1) & mask;
    table_[slot] = r + 1;
  }
}

void SharedLinks::add_flow(std::uint32_t route) {
  Route& r = routes_[route];
  const bool was_idle = r.num_flows++ == 0;
  for (std::uint32_t h = r.first_hop; h < r.first_hop + r.num_hops; ++h) {
    Link& link = links_[hop_links_[h]];
    ++link.num_flows;
    if (!was_idle) continue;
    hop_positions_[h] = static_cast<std::uint32_t>(link.crossings.size());
    link.crossings.push_back({route, h});
  }
}

void SharedLinks::remove_flow(std::uint32_t route) {
  Route& r = routes_[route];
  ENSURE(r.num_flows > 0);
  const bool now_idle = --r.num_flows == 0;
  for (std::uint32_t h = r.first_hop; h < r.first_hop + r.num_hops; ++h) {
    Link& link = links_[hop_links_[h]];
    --link.num_flows;
    if (!now_idle) continue;
    const Crossing last = link.crossings.back();
    link.crossings[hop_positions_[h]] = last;
    hop_positions_[last.hop] = hop_positions_[h];
    link.crossings.pop_back();
  }
}

SharedLinks::Part SharedLinks::find_part(std::uint32_t seed) {
  Part part;
  if (routes_[seed].found_in == search_) return part;
  routes_[seed].found_in = search_;
  part.routes.push_back(seed);
  for (std::size_t next = 0; next < part.routes.size(); ++next)
    for (const std::uint32_t l : links_of(part.routes[next])) {
      Link& link = links_[l];
      if (link.found_in == search_) continue;
      link.found_in = search_;
      part.links.push_back(l);
      for (const Crossing& crossing : link.crossings) {
        if (routes_[crossing.route].found_in == search_) continue;
        routes_[crossing.route].found_in = search_;
        part.routes.push_back(crossing.route);
      }
    }
  return part;
}

void SharedLinks::solve(std::span<const std::uint32_t> links) {
  ++solution_;
  heap_.clear();
  for (const std::uint32_t l : links) {
    if (links_[l].num_flows == 0) continue;
    filling_[l] = {links_[l].capacity, links_[l].num_flows};
    heap_.emplace_back(filling_[l].share(), l);
  }
  const std::greater<> smallest_first;
  std::make_heap(heap_.begin(), heap_.end(), smallest_first);
  double level = 0;  // of the last link that filled: shares never fall below it but by rounding
  while (!heap_.empty()) {
    const auto [known_share, link] = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), smallest_first);
    heap_.pop_back();
    if (filling_[link].growing == 0) continue;
    const double share = std::max(level, filling_[link].share());
    if (share > known_share && !heap_.empty() && share > heap_.front().first) {
      heap_.emplace_back(share, link);
      std::push_heap(heap_.begin(), heap_.end(), smallest_first);
      continue;
    }
    level = share;
    freeze_flows_on(link, share);
  }
}

void SharedLinks::freeze_flows_on(std::uint32_t full, double share) {
  for (const Crossing& crossing : links_[full].crossings) {
    Route& r = routes_[crossing.route];
    if (r.frozen_in == solution_) continue;
    r.frozen_in = solution_;
    r.rate = share;
    const double taken = share * r.num_flows;
    for (std::uint32_t h = r.first_hop; h < r.first_hop + r.num_hops; ++h) {
      Filling& f = filling_[hop_links_[h]];
      f.left -= taken;
      f.growing -= r.num_flows;
    }
  }
}

std::vector<double> fair_share(std::span<const double> capacities,
                               const std::vector<std::vector<std::uint32_t>>& paths) {
  SharedLinks links(capacities);
  std::vector<std::uint32_t> routes, all(capacities.size());
  for (const auto& path : paths) {
    routes.push_back(links.route(path));
    links.add_flow(routes.back());
  }
  for (std::uint32_t l = 0; l < all.size(); ++l) all[l] = l;
  links.solve(all);
  std::vector<double> rates;
  for (const std::uint32_t route : routes) rates.push_back(links.rate(route));
  return rates;
}

}  // namespace moesim
