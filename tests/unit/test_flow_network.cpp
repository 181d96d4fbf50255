// Flows over time: closed forms, hand-solved cases, conservation, and a brute force that solves
// everything again at every end.
#include <algorithm>
#include <map>

#include "model/random.hpp"
#include "sim/flow_network.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

struct Message {
  std::vector<std::uint32_t> path;
  double bytes = 0;
  Tick at = 0, latency = 0;
};

// Ends of all messages, each handed over at once.
std::vector<Tick> ends_of(const std::vector<double>& capacities,
                          const std::vector<Message>& messages,
                          double tolerance = 0) {
  FlowNetwork network(capacities, {tolerance});
  std::vector<std::uint32_t> id;
  for (const Message& m : messages) id.push_back(network.start(m.path, m.bytes, m.at, m.latency));
  std::vector<Tick> ends(messages.size(), -1);
  std::vector<std::uint32_t> ended;
  while (network.next()) {
    ended.clear();
    network.advance(ended);
    for (const std::uint32_t flow : ended)
      ends[static_cast<std::size_t>(std::ranges::find(id, flow) - id.begin())] = network.now();
  }
  return ends;
}

// The same by its definition: after every beginning and end all rates are found anew.
std::vector<double> brute_force_s(const std::vector<double>& capacities,
                                  const std::vector<Message>& messages) {
  std::vector<double> left, begin_s, end_s(messages.size(), -1);
  for (const Message& m : messages) {
    left.push_back(m.bytes);
    begin_s.push_back(static_cast<double>(m.at + m.latency) / 1e12);
  }
  double now = 0;
  while (std::ranges::count(end_s, -1.0) > 0) {
    std::vector<std::size_t> active;
    std::vector<std::vector<std::uint32_t>> paths;
    double next = 1e30;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (end_s[i] >= 0) continue;
      if (begin_s[i] > now) {
        next = std::min(next, begin_s[i]);
      } else {
        active.push_back(i);
        paths.push_back(messages[i].path);
      }
    }
    const auto rates = fair_share(capacities, paths);
    for (std::size_t a = 0; a < active.size(); ++a)
      next = std::min(next, now + left[active[a]] / rates[a]);
    for (std::size_t a = 0; a < active.size(); ++a) {
      left[active[a]] -= rates[a] * (next - now);
      if (left[active[a]] <= 1e-9 * messages[active[a]].bytes) end_s[active[a]] = next;
    }
    now = next;
  }
  return end_s;
}

std::vector<Message> random_messages(Random& random, std::size_t num_links, int count) {
  std::vector<Message> messages;
  for (int i = 0; i < count; ++i) {
    Message m;
    for (std::uint32_t l = 0; l < num_links; ++l)
      if (random.uniform() < 0.3) m.path.push_back(l);
    if (m.path.empty()) m.path.push_back(0);
    m.bytes = 1e6 * (1 + 9 * random.uniform());
    m.at = static_cast<Tick>(random.uniform() * 1e9);
    m.latency = static_cast<Tick>(random.uniform() * 1e7);
    messages.push_back(m);
  }
  return messages;
}

constexpr Tick kUs = 1'000'000;

TEST_CASE("flow network: a lone flow takes its latency and its bytes over the slowest link") {
  // 1 MB over 10 GB/s is 100 us.
  CHECK(ends_of({50e9, 10e9}, {{{0, 1}, 1e6, 5 * kUs, 3 * kUs}}) == std::vector<Tick>{108 * kUs});
}

TEST_CASE("flow network: no bytes or no link cost the latency") {
  CHECK(ends_of({1e9}, {{{0}, 0, 0, 3 * kUs}, {{}, 1e6, kUs, 2 * kUs}}) ==
        std::vector<Tick>{3 * kUs, 3 * kUs});
}

TEST_CASE("flow network: two flows share until the shorter one ends") {
  // 1 MB and 3 MB on 10 GB/s: both at 5 GB/s until 200 us, then 2 MB left at 10 GB/s.
  CHECK(ends_of({10e9}, {{{0}, 1e6, 0, 0}, {{0}, 3e6, 0, 0}}) ==
        std::vector<Tick>{200 * kUs, 400 * kUs});
}

TEST_CASE("flow network: a flow that comes later takes its share from then on") {
  // Alone until 100 us (1 MB done), then half: 1 MB more takes 200 us; the other has 1 MB left
  // then.
  CHECK(ends_of({10e9}, {{{0}, 2e6, 0, 0}, {{0}, 2e6, 100 * kUs, 0}}) ==
        std::vector<Tick>{300 * kUs, 400 * kUs});
}

TEST_CASE("flow network: many flows of one route end in the order of their bytes") {
  std::vector<Message> messages;
  for (int i = 0; i < 50; ++i) messages.push_back({{0}, 1e6 * ((i * 37) % 50 + 1), 0, 0});
  const auto ends = ends_of({1e9}, messages);
  // The k-th to end has k more behind it: sum of (51 - i) over i up to its rank, 1 ms each.
  for (int i = 0; i < 50; ++i) {
    const int rank = (i * 37) % 50 + 1;
    double expected_ms = 0;
    for (int j = 1; j <= rank; ++j) expected_ms += 51 - j;
    CHECK(static_cast<double>(ends[static_cast<std::size_t>(i)]) / 1e9 ==
          Approx(expected_ms).epsilon(1e-9));
  }
}

TEST_CASE("flow network: incast ends when the receiver's port is through") {
  std::vector<double> capacities(9, 10e9);
  std::vector<Message> messages;
  for (std::uint32_t i = 0; i < 8; ++i) messages.push_back({{i, 8}, 1e6 * (i + 1), 0, 0});
  const auto ends = ends_of(capacities, messages);
  CHECK(*std::ranges::max_element(ends) == 3600 * kUs);  // 36 MB into 10 GB/s
}

TEST_CASE("flow network: an all-to-all of equal messages ends everywhere at once") {
  const std::uint32_t n = 16;
  std::vector<Message> messages;
  for (std::uint32_t i = 0; i < n; ++i)
    for (std::uint32_t j = 0; j < n; ++j)
      if (i != j) messages.push_back({{i, n + j}, 1e6, 0, 2 * kUs});
  FlowNetwork network(std::vector<double>(2 * n, 50e9), {0});
  for (const Message& m : messages) network.start(m.path, m.bytes, m.at, m.latency);
  std::vector<std::uint32_t> ended;
  while (network.next()) network.advance(ended);
  CHECK(ended.size() == messages.size());
  CHECK(network.now() == 302 * kUs);  // 15 MB over 50 GB/s
  CHECK(network.num_solutions() == 1);
}

TEST_CASE("flow network: agrees with solving everything at every change") {
  Random random(3);
  for (int i = 0; i < 12; ++i) {
    const std::vector<double> capacities = {5e9, 7e9, 3e9, 11e9, 2e9, 13e9};
    const auto messages = random_messages(random, capacities.size(), 40);
    const auto ends = ends_of(capacities, messages);
    const auto expected = brute_force_s(capacities, messages);
    for (std::size_t m = 0; m < messages.size(); ++m)
      CHECK(static_cast<double>(ends[m]) / 1e12 == Approx(expected[m]).epsilon(1e-7));
  }
}

TEST_CASE("flow network: flows that never meet do not wait for each other's solutions") {
  // Two separate links with ten flows each: what happens on one is solved without the other.
  std::vector<Message> messages;
  for (int i = 0; i < 10; ++i) {
    messages.push_back({{0}, 1e6 * (i + 1), 0, 0});
    messages.push_back({{1}, 1.01e6 * (i + 1), 0, 0});
  }
  const auto together = ends_of({1e9, 1e9}, messages);
  std::vector<Message> alone;
  for (std::size_t i = 0; i < messages.size(); i += 2) alone.push_back(messages[i]);
  const auto one = ends_of({1e9, 1e9}, alone);
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(together[2 * i] == one[i]);
}

TEST_CASE("flow network: the tolerance ends no flow early by more than its share") {
  Random random(5);
  const std::uint32_t n = 12;
  std::vector<Message> messages;
  for (std::uint32_t i = 0; i < n; ++i)
    for (std::uint32_t j = 0; j < n; ++j)
      if (i != j) messages.push_back({{i, n + j}, 1e6 * (1 + 0.05 * random.normal()), 0, 0});
  const std::vector<double> capacities(2 * n, 50e9);
  const auto exact = ends_of(capacities, messages), quick = ends_of(capacities, messages, 1e-2);
  for (std::size_t m = 0; m < messages.size(); ++m)
    CHECK(static_cast<double>(quick[m]) == Approx(static_cast<double>(exact[m])).epsilon(1.5e-2));
  CHECK(quick != exact);
}

TEST_CASE("flow network: the tolerance is for flows that end together, not for some that begin") {
  // 1 GB at 1 GB/s has less than a thousandth left when a thousand others begin: it must share.
  std::vector<Message> messages = {{{0}, 1e9, 0, 0}};
  for (int i = 0; i < 1000; ++i) messages.push_back({{0}, 1e9, 999'100 * kUs, 0});
  CHECK(ends_of({1e9}, messages, 1e-3)[0] == ends_of({1e9}, messages)[0]);
}

TEST_CASE("flow network: every byte arrives, and no link carries more than it can") {
  // Bytes over a link never exceed its capacity times the time it was in use.
  Random random(23);
  const std::vector<double> capacities = {4e9, 6e9, 5e9};
  const auto messages = random_messages(random, capacities.size(), 60);
  const auto ends = ends_of(capacities, messages);
  for (std::uint32_t l = 0; l < capacities.size(); ++l) {
    double bytes = 0;
    Tick first = INT64_MAX, last = 0;
    for (std::size_t m = 0; m < messages.size(); ++m) {
      CHECK(ends[m] >= messages[m].at + messages[m].latency);
      if (std::ranges::find(messages[m].path, l) == messages[m].path.end()) continue;
      bytes += messages[m].bytes;
      first = std::min(first, messages[m].at + messages[m].latency);
      last = std::max(last, ends[m]);
    }
    CHECK(bytes <= capacities[l] * static_cast<double>(last - first) / 1e12 * (1 + 1e-9));
  }
}

TEST_CASE("flow network: doubled rates halve every time") {
  Random random(29);
  auto messages = random_messages(random, 4, 30);
  for (Message& m : messages) {
    m.at -= m.at % 2;
    m.latency -= m.latency % 2;
  }
  const auto slow = ends_of({4e9, 6e9, 5e9, 3e9}, messages);
  for (Message& m : messages) {
    m.at /= 2;
    m.latency /= 2;
  }
  const auto fast = ends_of({8e9, 12e9, 10e9, 6e9}, messages);
  for (std::size_t m = 0; m < slow.size(); ++m)
    CHECK(std::abs(slow[m] - 2 * fast[m]) <=
          60);  // a tick of rounding at each of the events before
}

TEST_CASE("flow network: messages can be sent while others are on their way") {
  FlowNetwork network(std::vector<double>{10e9}, {0});
  const std::vector<std::uint32_t> path = {0};
  const std::uint32_t first = network.start(path, 1e6, 0, 0);
  std::vector<std::uint32_t> ended;
  while (ended.empty()) network.advance(ended);
  CHECK(ended == std::vector<std::uint32_t>{first});
  CHECK(network.now() == 100 * kUs);
  const std::uint32_t second = network.start(path, 2e6, network.now(), 0);
  CHECK(second == first);  // its id is free again
  ended.clear();
  while (network.next()) network.advance(ended);
  CHECK(network.now() == 300 * kUs);
  CHECK(ended.size() == 1);
}

}  // namespace
}  // namespace moesim
