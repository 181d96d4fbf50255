// Runs one traffic pattern in moesim's network and in SimGrid, and compares the ends of all
// messages.
//   simgrid_compare PATTERN NUM_GPUS
// Exit 1 when
//   - the end of the whole pattern, with the options the simulator runs with, is off by more than
//   0.5 %;
//   - the end of any single message, with exact ends, is off by more than 1e-5. This is the sharper
//     one: a pattern whose busiest port is always busy ends alike however the rest is shared.
// Prints both wall times; SimGrid's includes building its platform.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include "model/errors.hpp"
#include "sim/flow_network.hpp"
#include "tests/simgrid/simgrid_run.hpp"
#include "tests/simgrid/traffic_pattern.hpp"

namespace moesim {
namespace {

constexpr double kMaxOfWhole = 0.005;
constexpr double kMaxOfMessage = 1e-5;  // SimGrid's own precision (maxmin/precision)

template <class Work>
Seconds wall_time(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() * s;
}

std::vector<Seconds> run_in_moesim(const TrafficPattern& pattern, const FlowOptions& options) {
  std::vector<double> capacities;  // bytes per second
  for (const PatternLink& link : pattern.links) capacities.push_back(link.capacity.in(B_per_s));
  FlowNetwork network(capacities, options);
  // All are handed over before any ends, so no id is used twice.
  std::vector<std::size_t> message_of(pattern.messages.size());
  for (std::size_t i = 0; i < pattern.messages.size(); ++i) {
    const Message& message = pattern.messages[i];
    const Tick latency = to_tick(path_latency(pattern, message));
    message_of.at(network.start(message.path, message.size.in(B), message.start, latency)) = i;
  }
  std::vector<Seconds> ends(pattern.messages.size());
  std::vector<std::uint32_t> ended;
  while (network.next()) {
    ended.clear();
    network.advance(ended);
    for (const std::uint32_t id : ended) ends[message_of[id]] = to_seconds(network.now());
  }
  return ends;
}

struct Deviation {
  double mean = 0, max = 0;  // share of the time from hand-over to end
};

Deviation deviation(const std::vector<Seconds>& ends,
                    const std::vector<Seconds>& reference,
                    const std::vector<Message>& messages) {
  ENSURE(ends.size() == messages.size() && reference.size() == messages.size());
  Deviation result;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Seconds duration = reference[i] - to_seconds(messages[i].start);
    ENSURE(duration > 0 * s);
    const double share = std::abs((ends[i] - reference[i]) / duration);
    result.mean += share / static_cast<double>(messages.size());
    result.max = std::max(result.max, share);
  }
  return result;
}

// Returns whether they agree.
bool compare(const char* name, int num_gpus) {
  const TrafficPattern pattern = make_traffic_pattern(name, num_gpus);
  std::vector<Seconds> ours, theirs;
  const Seconds our_wall = wall_time([&] { ours = run_in_moesim(pattern, {}); });
  const Seconds their_wall = wall_time([&] { theirs = run_in_simgrid(pattern); });
  const std::vector<Seconds> exact = run_in_moesim(pattern, {.completion_tolerance = 0});

  const Seconds our_last = *std::max_element(ours.begin(), ours.end());
  const Seconds their_last = *std::max_element(theirs.begin(), theirs.end());
  const double whole = our_last / their_last - 1;
  const Deviation message = deviation(ours, theirs, pattern.messages);
  const Deviation exact_message = deviation(exact, theirs, pattern.messages);
  std::printf(
      "%s, %d GPUs, %zu messages: end %.4f us, SimGrid %.4f us, %+.5f %%\n"
      "single messages: mean %.4f %%, max %.4f %%; with exact ends mean %.2g, max %.2g\n"
      "wall: %.4f s, SimGrid %.4f s\n",
      name,
      num_gpus,
      theirs.size(),
      our_last.in(us),
      their_last.in(us),
      100 * whole,
      100 * message.mean,
      100 * message.max,
      exact_message.mean,
      exact_message.max,
      our_wall.in(s),
      their_wall.in(s));
  bool agree = std::abs(whole) <= kMaxOfWhole && exact_message.max <= kMaxOfMessage;
  if (!pattern.known_ends.empty()) {  // are SimGrid's TCP factors really off?
    const Deviation known = deviation(theirs, pattern.known_ends, pattern.messages);
    std::printf("SimGrid from the closed form: max %.2g\n", known.max);
    agree = agree && known.max <= kMaxOfMessage;
  }
  return agree;
}

}  // namespace
}  // namespace moesim

int main(int argc, char** argv) {
  try {
    int num_gpus = 0;
    const std::string_view text = argc == 3 ? argv[2] : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), num_gpus);
    if (argc != 3 || error != std::errc() || end != text.data() + text.size()) {
      throw moesim::InputError("", "usage: simgrid_compare PATTERN NUM_GPUS");
    }
    if (moesim::compare(argv[1], num_gpus)) return 0;
    std::fprintf(stderr, "simgrid_compare: they differ by more than the limit\n");
    return 1;
  } catch (const moesim::InputError& e) {
    std::fprintf(stderr, "simgrid_compare: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "simgrid_compare: %s\n", e.what());
    return 1;
  }
}
