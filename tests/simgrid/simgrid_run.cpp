#include "tests/simgrid/simgrid_run.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <set>
#include <simgrid/s4u.hpp>
#include <string>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
namespace {

namespace sg = simgrid::s4u;

// Command-line options, because some are read when the engine is made.
constexpr std::array kOptions = {
    "simgrid_run",  // the program's name, which it skips
    "--log=root.thresh:warning",
    "--cfg=contexts/factory:thread",  // on stacks that AddressSanitizer knows
    "--cfg=network/model:CM02",
    "--cfg=network/crosstraffic:0",      // no load on the way back for acknowledgements
    "--cfg=network/bandwidth-factor:1",  // no protocol overhead
    "--cfg=network/latency-factor:1",
    "--cfg=network/weight-S:0",
    // A flow's rate is at most gamma / (2 latency), TCP's window; 1e15 bytes never bind.
    "--cfg=network/TCP-gamma:1e15",
    // Lazy, the default, keeps rates from event to event. In 3.32 some are wrong when paths with a
    // latency have more than two links: messages off by up to 50 %. Solved anew, they are exact.
    "--cfg=network/optim:Full",
    // Events closer than this are one. The default is 1 ns, a thousand of our ticks.
    "--cfg=surf/precision:1e-12",
    // A link is full when less than this share of it is left. This is the default: with 1e-9,
    // rounding in the sums over many flows passes for capacity and SimGrid aborts.
    "--cfg=maxmin/precision:1e-5",
};

// CM02 weighs flows by the inverse of their latency, so it is max-min fair only among equals.
void require_one_latency_per_link(const TrafficPattern& pattern) {
  std::vector<std::optional<Seconds>> latency_of(pattern.links.size());
  for (const Message& message : pattern.messages) {
    const Seconds latency = path_latency(pattern, message);
    for (const std::uint32_t link : message.path) {
      ENSURE(!latency_of[link] || *latency_of[link] == latency);
      latency_of[link] = latency;
    }
  }
}

sg::Host* host(const std::vector<sg::Host*>& hosts, int gpu) {
  return hosts[static_cast<std::size_t>(gpu)];
}

// One host a GPU, one link a direction, and a route for each pair that sends.
std::vector<sg::Host*> build_platform(const TrafficPattern& pattern) {
  sg::NetZone* zone = sg::create_full_zone("cluster");
  std::vector<sg::Host*> hosts;
  for (int gpu = 0; gpu < pattern.num_gpus; ++gpu) {
    hosts.push_back(zone->create_host("gpu" + std::to_string(gpu), 1.0));
  }
  std::vector<sg::LinkInRoute> links;
  for (const PatternLink& link : pattern.links) {
    sg::Link* created =
        zone->create_link("link" + std::to_string(links.size()), link.capacity.in(B_per_s));
    links.emplace_back(created->set_latency(link.latency.in(s))->seal());
  }
  std::set<std::pair<int, int>> has_route;
  for (const Message& message : pattern.messages) {
    if (!has_route.emplace(message.source, message.destination).second) continue;
    std::vector<sg::LinkInRoute> route;
    for (const std::uint32_t link : message.path) route.push_back(links[link]);
    zone->add_route(host(hosts, message.source)->get_netpoint(),
                    host(hosts, message.destination)->get_netpoint(),
                    nullptr,
                    nullptr,
                    route,
                    /*symmetrical=*/false);
  }
  zone->seal();
  return hosts;
}

}  // namespace

std::vector<Seconds> run_in_simgrid(const TrafficPattern& pattern) {
  require_one_latency_per_link(pattern);
  const std::vector<Message>& messages = pattern.messages;
  std::vector<std::string> options(kOptions.begin(), kOptions.end());
  std::vector<char*> arguments;  // the engine removes those it knows
  for (std::string& option : options) arguments.push_back(option.data());
  int num_arguments = static_cast<int>(arguments.size());
  sg::Engine engine(&num_arguments, arguments.data());
  ENSURE(num_arguments == 1);
  const std::vector<sg::Host*> hosts = build_platform(pattern);

  std::vector<std::size_t> by_start(messages.size());
  std::iota(by_start.begin(), by_start.end(), std::size_t{0});
  std::stable_sort(by_start.begin(), by_start.end(), [&](std::size_t a, std::size_t b) {
    return messages[a].start < messages[b].start;
  });
  std::vector<sg::CommPtr> comms(messages.size());
  // One actor hands over everything. Without one (Engine::run_until and then a message), late
  // messages end at wrong times in 3.32.
  sg::Actor::create("sender", hosts.front(), [&] {
    for (const std::size_t i : by_start) {
      sg::this_actor::sleep_until(to_seconds(messages[i].start).in(s));
      comms[i] = sg::Comm::sendto_async(host(hosts, messages[i].source),
                                        host(hosts, messages[i].destination),
                                        static_cast<std::uint64_t>(messages[i].size.in(B)));
    }
    for (const sg::CommPtr& comm : comms) comm->wait();
  });
  engine.run();

  std::vector<Seconds> ends;
  for (const sg::CommPtr& comm : comms) ends.push_back(comm->get_finish_time() * s);
  return ends;
}

}  // namespace moesim
