// Messages on shared links: a flow-level discrete-event network with max-min fair sharing
// (sim/fair_share). What it leaves out: packets, buffers, congestion control and its transients.
//
// A flow's first byte arrives after the latency of its path; from then on it gets its max-min fair
// share of every link on it until its bytes are through. Rates change only when flows begin or end,
// and only in the part of the network that shares links with these, directly or through other
// flows: just that part is solved again. Between two changes nothing happens, so nothing is
// computed.
//
// When a flow ends, others with less than `completion_tolerance` of their bytes left end with it:
// hundreds of nearly equal messages cost one solution instead of hundreds. Their ends are early by
// the time those bytes would have taken, at most that share of their duration unless new flows were
// to slow them down. 0 is exact.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/units.hpp"
#include "sim/event_queue.hpp"
#include "sim/fair_share.hpp"

namespace moesim {

struct FlowOptions {
  double completion_tolerance = 1e-3;
};

class FlowNetwork {
 public:
  // capacities: bytes per second of each link, all positive.
  explicit FlowNetwork(std::span<const double> capacities, const FlowOptions& options = {});

  // A flow handed over at `at` (not before now()) whose first byte arrives `latency` later. A flow
  // over no link, or of no bytes, ends then. Ids are small and used again after their flow has
  // ended.
  std::uint32_t start(std::span<const std::uint32_t> path, double bytes, Tick at, Tick latency);

  Tick now() const { return now_; }
  // When something happens next; nothing when no flow is left.
  std::optional<Tick> next() const { return queue_.next(); }
  // Moves to next() and appends the flows that end there.
  void advance(std::vector<std::uint32_t>& ended);

  std::uint64_t num_solutions() const { return num_solutions_; }  // fair-share problems solved

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  // Flows of a route are served alike. They form a pairing heap (Fredman et al., 1986), whose links
  // are in here, ordered by the service (bytes served since the route was last idle) at which each
  // ends.
  struct FlowState {
    double ends_at_service = 0;
    double tolerated = 0;  // bytes that may be left when it ends
    std::uint32_t route = kNone;
    std::uint32_t child = kNone, sibling = kNone;
  };
  struct RouteState {
    double left = 0, tolerated = 0;  // of the flow that ends next
    std::uint32_t first = kNone;     // that flow
    std::uint32_t part = kNone;
  };
  // Routes that are solved together.
  struct PartState {
    SharedLinks::Part in_use;
    std::size_t num_routes_found = 0;  // when the part was last searched for pieces
    Tick since = 0;                    // the rates hold since then
    std::uint64_t solution = 0;        // that gave them; an event of an older one is void
    bool touched = false;
    bool has_end = false;  // a flow of it ends at this instant
  };
  struct Event {
    std::uint32_t id = 0;        // a flow that begins, or a part in which one ends
    std::uint64_t solution = 0;  // 0: a flow begins
  };

  void begin(std::uint32_t flow);
  void touch(std::uint32_t part);
  void bring_up_to_date(PartState& part, std::vector<std::uint32_t>& ended);
  void end_flows(std::uint32_t route, bool tolerant, std::vector<std::uint32_t>& ended);
  void split_touched();
  void solve(std::uint32_t part);
  std::uint32_t new_part();
  std::uint32_t merge(std::uint32_t a, std::uint32_t b);
  void insert(std::uint32_t flow);
  void remove_first(RouteState& route);

  FlowOptions options_;
  SharedLinks links_;
  EventQueue<Event> queue_;
  Tick now_ = 0;
  std::vector<FlowState> flows_;
  std::vector<RouteState> routes_;
  std::vector<PartState> parts_;
  std::vector<std::uint32_t> free_flows_, free_parts_;
  std::vector<std::uint32_t> touched_, begun_;  // parts touched and flows begun at this instant
  std::uint64_t num_solutions_ = 0;
};

}  // namespace moesim
