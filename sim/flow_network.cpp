#include "sim/flow_network.hpp"

#include <algorithm>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr double kTicksPerSecond = 1e12;

}  // namespace

FlowNetwork::FlowNetwork(std::span<const double> capacities, const FlowOptions& options)
    : options_(options), links_(capacities) {}

std::uint32_t FlowNetwork::start(std::span<const std::uint32_t> path,
                                 double bytes,
                                 Tick at,
                                 Tick latency) {
  ENSURE(at >= now_ && latency >= 0 && bytes >= 0);
  auto id = static_cast<std::uint32_t>(flows_.size());
  if (free_flows_.empty()) {
    flows_.emplace_back();
  } else {
    id = free_flows_.back();
    free_flows_.pop_back();
  }
  FlowState& flow = flows_[id];
  flow = {};
  flow.ends_at_service =
      bytes;  // from its beginning; insert() adds what its route has served by then
  flow.tolerated = options_.completion_tolerance * bytes;
  if (!path.empty() && bytes > 0) {
    flow.route = links_.route(path);
    routes_.resize(links_.num_routes());
  }
  queue_.at(at + latency, {id, 0});
  return id;
}

void FlowNetwork::advance(std::vector<std::uint32_t>& ended) {
  now_ = *queue_.next();
  touched_.clear();
  begun_.clear();
  while (queue_.next() == now_) {
    const Event event = queue_.pop();
    if (event.solution != 0) {
      if (parts_[event.id].solution != event.solution) continue;
      touch(event.id);
      parts_[event.id].has_end = true;
    } else if (flows_[event.id].route == kNone) {
      ended.push_back(event.id);
      free_flows_.push_back(event.id);
    } else {
      begun_.push_back(event.id);
      for (const std::uint32_t link : links_.links_of(flows_[event.id].route))
        if (const auto other = links_.a_route_on(link)) touch(routes_[*other].part);
    }
  }
  for (const std::uint32_t part : touched_) bring_up_to_date(parts_[part], ended);
  for (const std::uint32_t flow : begun_) insert(flow);
  split_touched();
}

void FlowNetwork::touch(std::uint32_t part) {
  if (parts_[part].touched) return;
  parts_[part].touched = true;
  touched_.push_back(part);
}

// Ends flows that are through and leaves out the routes that are idle then.
void FlowNetwork::bring_up_to_date(PartState& part, std::vector<std::uint32_t>& ended) {
  const double elapsed_s = static_cast<double>(now_ - part.since) / kTicksPerSecond;
  part.since = now_;
  const bool tolerant = std::exchange(part.has_end, false);
  std::erase_if(part.in_use.routes, [&](std::uint32_t route) {
    RouteState& r = routes_[route];
    const double rate = links_.rate(route);
    r.left -= rate * elapsed_s;
    // A tick is the shortest time there is: what takes less is done.
    if (r.left > std::max(tolerant ? r.tolerated : 0, rate / kTicksPerSecond)) return false;
    end_flows(route, tolerant, ended);
    return links_.num_flows(route) == 0;
  });
}

void FlowNetwork::end_flows(std::uint32_t route, bool tolerant, std::vector<std::uint32_t>& ended) {
  RouteState& r = routes_[route];
  const double tick = links_.rate(route) / kTicksPerSecond;
  do {
    ended.push_back(r.first);
    free_flows_.push_back(r.first);
    remove_first(r);
    links_.remove_flow(route);
  } while (r.first != kNone && r.left <= std::max(tolerant ? r.tolerated : 0, tick));
}

// Makes parts of what was touched and what has begun, and finds their rates. A part that only lost
// flows is searched for pieces once half of it has gone; until then it is right to solve it whole.
void FlowNetwork::split_touched() {
  const bool only_ends = begun_.empty();
  std::vector<std::uint32_t> seeds;
  for (const std::uint32_t p : touched_) {
    PartState& part = parts_[p];
    part.touched = false;
    if (only_ends && 2 * part.in_use.routes.size() > part.num_routes_found) {
      solve(p);
      continue;
    }
    seeds.insert(seeds.end(), part.in_use.routes.begin(), part.in_use.routes.end());
    part = {};
    free_parts_.push_back(p);
  }
  for (const std::uint32_t flow : begun_) seeds.push_back(flows_[flow].route);
  links_.begin_search();
  for (const std::uint32_t seed : seeds) {
    SharedLinks::Part found = links_.find_part(seed);
    if (found.routes.empty()) continue;
    const std::uint32_t p = new_part();
    for (const std::uint32_t route : found.routes) routes_[route].part = p;
    PartState& part = parts_[p];
    part.num_routes_found = found.routes.size();
    part.in_use = std::move(found);
    part.since = now_;
    solve(p);
  }
}

std::uint32_t FlowNetwork::new_part() {
  if (free_parts_.empty()) {
    parts_.emplace_back();
    return static_cast<std::uint32_t>(parts_.size() - 1);
  }
  const std::uint32_t p = free_parts_.back();
  free_parts_.pop_back();
  return p;
}

void FlowNetwork::solve(std::uint32_t p) {
  PartState& part = parts_[p];
  links_.solve(part.in_use.links);
  part.solution = ++num_solutions_;
  // The route with the least left / rate, found without dividing.
  double left = 0, rate = 0;
  for (const std::uint32_t route : part.in_use.routes)
    if (rate == 0 || routes_[route].left * rate < left * links_.rate(route)) {
      left = routes_[route].left;
      rate = links_.rate(route);
    }
  queue_.at(now_ + std::max<Tick>(1, to_tick(left / rate * s)), {p, part.solution});
}

void FlowNetwork::insert(std::uint32_t flow) {
  FlowState& f = flows_[flow];
  RouteState& r = routes_[f.route];
  // Service so far; counted anew when the route was idle, so that the numbers stay small.
  if (r.first != kNone) f.ends_at_service += flows_[r.first].ends_at_service - r.left;
  const double service = f.ends_at_service;
  if (r.first == kNone || service < flows_[r.first].ends_at_service) {
    r.left = r.first == kNone ? service : r.left - (flows_[r.first].ends_at_service - service);
    r.tolerated = f.tolerated;
  }
  r.first = merge(r.first, flow);
  links_.add_flow(f.route);
}

std::uint32_t FlowNetwork::merge(std::uint32_t a, std::uint32_t b) {
  if (a == kNone) return b;
  if (b == kNone) return a;
  if (flows_[b].ends_at_service < flows_[a].ends_at_service) std::swap(a, b);
  flows_[b].sibling = flows_[a].child;
  flows_[a].child = b;
  return a;
}

void FlowNetwork::remove_first(RouteState& route) {
  const FlowState removed = flows_[route.first];
  // Children are merged in pairs, then the pairs from the last to the first.
  std::uint32_t pairs = kNone;
  for (std::uint32_t a = removed.child; a != kNone;) {
    const std::uint32_t b = flows_[a].sibling;
    const std::uint32_t after = b == kNone ? kNone : flows_[b].sibling;
    flows_[a].sibling = kNone;
    if (b != kNone) flows_[b].sibling = kNone;
    const std::uint32_t pair = merge(a, b);
    flows_[pair].sibling = pairs;
    pairs = pair;
    a = after;
  }
  route.first = kNone;
  while (pairs != kNone) {
    const std::uint32_t following = flows_[pairs].sibling;
    flows_[pairs].sibling = kNone;
    route.first = merge(route.first, pairs);
    pairs = following;
  }
  if (route.first == kNone) return;
  route.left += flows_[route.first].ends_at_service - removed.ends_at_service;
  route.tolerated = flows_[route.first].tolerated;
}

}  // namespace moesim
