#include "calibrate/comm/fake_clock.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/random.hpp"

namespace moesim::comm {
namespace {

constexpr double kReached = 0.8;  // of NVLink's datasheet: 160 of 200 GB/s on the H800
constexpr double kMostNoise = 3;  // standard deviations

// The time of one direction of a rank, and what it is made of.
struct Ways {
  Seconds nvlink, network, self;
  Seconds latency;
  std::size_t messages = 0;
};

std::size_t idx(LinkClass link) { return static_cast<std::size_t>(link); }

}  // namespace

FakeRates fake_rates(const GpuSpec& gpu) {
  FakeRates rates;
  rates.bandwidth[idx(LinkClass::nvlink)] = kReached * gpu.nvlink_bandwidth;
  rates.num_sms = gpu.num_sms;
  return rates;
}

Bandwidth FakeClock::bandwidth(LinkClass link, int max_ctas) const {
  const Bandwidth full = rates_.bandwidth[idx(link)];
  if (max_ctas == 0 || link == LinkClass::self) return full;
  return std::min(1.0, static_cast<double>(max_ctas) / rates_.full_blocks) * full;
}

Seconds FakeClock::exchange(std::span<const int> places,
                            int rank,
                            const Traffic& own,
                            int max_ctas) const {
  const int here = places[static_cast<std::size_t>(rank)];
  const auto count = [&](std::span<const Message> messages) {
    Ways ways;
    ways.messages = messages.size();
    for (const Message& m : messages) {
      const LinkClass link = map_.link(here, places[static_cast<std::size_t>(m.peer)]);
      const Seconds busy =
          static_cast<double>(m.words * kWordBytes) * B / bandwidth(link, max_ctas);
      (link == LinkClass::self     ? ways.self
       : link == LinkClass::nvlink ? ways.nvlink
                                   : ways.network) += busy;
      ways.latency = std::max(ways.latency, rates_.latency[idx(link)]);
    }
    return ways;
  };
  const Ways out = count(own.sends), in = count(own.receives);
  const std::size_t messages = std::max(out.messages, in.messages);
  if (messages == 0) return {};
  return std::max(out.latency, in.latency) + static_cast<double>(messages - 1) * rates_.message +
         std::max({out.self, out.nvlink, in.nvlink, out.network, in.network});
}

Seconds FakeClock::collective(Collective what,
                              std::span<const int> places,
                              Bytes size,
                              int max_ctas) const {
  const auto n = static_cast<double>(places.size());
  if (places.size() == 1)
    return rates_.latency[idx(LinkClass::self)] + size / bandwidth(LinkClass::self, max_ctas);
  const auto on_first = std::count_if(places.begin(), places.end(), [&](int p) {
    return map_.node(p) == map_.node(places.front());
  });
  const bool one_node = static_cast<std::size_t>(on_first) == places.size();
  Bandwidth wire = bandwidth(LinkClass::nvlink, max_ctas);
  if (!one_node)
    wire = std::min(wire, static_cast<double>(on_first) * bandwidth(LinkClass::rail, max_ctas));
  const Seconds latency = rates_.latency[idx(one_node ? LinkClass::nvlink : LinkClass::rail)];
  const double others = (n - 1) / n;
  const double factor = what == Collective::all_reduce  ? 2 * others
                        : what == Collective::broadcast ? 1
                                                        : others;
  const double rounds = (what == Collective::all_reduce ? 2 : 1) * std::ceil(std::log2(n));
  return rounds * latency + factor * size / wire;
}

double FakeClock::taken(int max_ctas) const {
  const int blocks = max_ctas == 0 ? rates_.full_blocks : max_ctas;
  return std::min(0.9, static_cast<double>(blocks) / static_cast<double>(rates_.num_sms));
}

double FakeClock::noisy(std::uint64_t group, std::uint64_t call, int rank) const {
  if (rates_.noise == 0) return 1;
  Random random(rates_.seed, group, call, rank);
  return 1 + rates_.noise * std::clamp(random.normal(), -kMostNoise, kMostNoise);
}

}  // namespace moesim::comm
