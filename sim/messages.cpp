#include "sim/messages.hpp"

#include <algorithm>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Links of the network, then one for the SMs of each GPU when these are limited.
std::vector<double> capacities_of(const Network& network,
                                  const std::optional<Bandwidth>& sm_copy_rate) {
  std::vector<double> capacities;
  capacities.reserve(network.links().size());
  for (const NetworkLink& link : network.links()) capacities.push_back(link.capacity.in(B_per_s));
  if (sm_copy_rate)
    capacities.resize(capacities.size() + static_cast<std::size_t>(network.num_gpus()),
                      sm_copy_rate->in(B_per_s));
  return capacities;
}

struct Route {
  std::array<std::uint32_t, kMostLinksOfAPath + 1> links{};
  std::size_t num_links = 0;
  Seconds latency;
  std::span<const std::uint32_t> span() const { return {links.data(), num_links}; }
};

Route route_of(const Network& network, const Message& m, std::uint64_t index, bool sms_limited) {
  Route route;
  if (m.source != m.destination) {
    const NetworkPath path = network.path(m.source, m.destination, index);
    std::copy_n(path.links.begin(), path.num_links, route.links.begin());
    route.num_links = path.num_links;
    route.latency = path.latency;
  }
  if (sms_limited && m.copied_by_sms)
    route.links[route.num_links++] =
        static_cast<std::uint32_t>(network.links().size() + static_cast<std::size_t>(m.source));
  return route;
}

}  // namespace

MessageEnds simulate_messages(const Network& network,
                              const std::vector<Message>& messages,
                              const MessageOptions& options) {
  FlowNetwork flows(capacities_of(network, options.sm_copy_rate), options.flow);
  MessageEnds ends;
  ends.end.resize(messages.size());
  // All messages are handed over before the first one ends, so ids count them.
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& m = messages[i];
    const Route route = route_of(network, m, i, options.sm_copy_rate.has_value());
    const std::uint32_t id =
        flows.start(route.span(), m.bytes.in(B), m.start, to_tick(route.latency));
    ENSURE(id == i);
  }
  std::vector<std::uint32_t> ended;
  while (flows.next()) {
    ended.clear();
    flows.advance(ended);
    for (const std::uint32_t id : ended) ends.end[id] = flows.now();
  }
  ends.last = flows.now();
  return ends;
}

Seconds busiest_link_time(const Network& network,
                          const std::vector<Message>& messages,
                          const std::optional<Bandwidth>& sm_copy_rate) {
  const std::vector<double> capacities = capacities_of(network, sm_copy_rate);
  std::vector<double> bytes(capacities.size(), 0);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Route route = route_of(network, messages[i], i, sm_copy_rate.has_value());
    for (const std::uint32_t link : route.span()) bytes[link] += messages[i].bytes.in(B);
  }
  double longest_s = 0;
  for (std::size_t l = 0; l < bytes.size(); ++l)
    longest_s = std::max(longest_s, bytes[l] / capacities[l]);
  return longest_s * s;
}

std::vector<Message> expert_messages(const ExpertTraffic& traffic,
                                     std::int64_t first_gpu,
                                     Bytes row) {
  std::vector<Message> messages;
  messages.reserve(traffic.nvlink.size() + traffic.network.size() + traffic.rows_handed_out.size());
  std::vector<double> own = traffic.rows_handed_out;
  auto add = [&](const RowFlow& f, bool by_sms) {
    messages.push_back({first_gpu + f.source, first_gpu + f.destination, f.rows * row, by_sms, 0});
    if (by_sms) own[static_cast<std::size_t>(f.source)] -= f.rows;
  };
  // The SMs that a two-hop kernel is limited by are those that hand rows on; low-latency kernels
  // leave the moving to the NICs.
  for (const RowFlow& f : traffic.network) add(f, traffic.algorithm == ExpertAlgorithm::flat);
  for (const RowFlow& f : traffic.nvlink) add(f, traffic.algorithm != ExpertAlgorithm::low_latency);
  if (traffic.algorithm == ExpertAlgorithm::low_latency) return messages;
  for (std::size_t r = 0; r < own.size(); ++r) {
    const std::int64_t gpu = first_gpu + static_cast<std::int64_t>(r);
    if (own[r] > 0) messages.push_back({gpu, gpu, own[r] * row, true, 0});
  }
  return messages;
}

}  // namespace moesim
