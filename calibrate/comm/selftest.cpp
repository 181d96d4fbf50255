// What can be shown without GPUs: that everything runs and verifies on fake machines, that wrong
// data are noticed, and that processes find each other.
#include <unistd.h>

#include <array>

#include "calibrate/comm/payload.hpp"
#include "calibrate/comm/run_comm.hpp"
#include "model/errors.hpp"

namespace moesim::comm {
namespace {

struct Layout {
  int ranks, nodes;
};
constexpr std::array kLayouts = {Layout{1, 1}, Layout{4, 1}, Layout{3, 3}, Layout{16, 2}};

PointRun nobody(const Transport& /*transport*/, const RankMap& /*map*/) { return {}; }

std::int64_t run_small(const FakeMachine& machine, Timeout timeout) {
  CommOptions options = small_options();
  if (options.num_experts % machine.ranks != 0) options.num_experts = 16 * machine.ranks;
  PointResults results(std::nullopt, {});
  run_on_fake(machine, options, timeout, results, nobody);
  return results.num_points();
}

std::string noticed(const FakeMachine& machine, const char* name, Timeout timeout) {
  try {
    run_small(machine, timeout);
  } catch (const std::runtime_error& error) {
    return std::string(name) + ": " + error.what() + "\n";
  }
  throw std::logic_error(std::string("fault ") + name + " went unseen");
}

}  // namespace

CommOptions small_options() {
  CommOptions options;
  options.max_bytes = 16384;
  options.max_tokens = 4;
  options.num_experts = 64;
  options.top_k = 4;
  options.hidden = 256;
  options.repeats = 3;
  options.warm_ups = 1;
  return options;
}

std::string selftest_on_fake(const FakeRates& rates, Timeout timeout) {
  std::string text;
  for (const Layout& layout : kLayouts) {
    const std::int64_t trials =
        run_small({layout.ranks, layout.nodes, rates, FakeFault::none}, timeout);
    text += std::to_string(layout.ranks) + " ranks on " + std::to_string(layout.nodes) +
            (layout.nodes == 1 ? " node: " : " nodes: ") + std::to_string(trials) +
            " trials, every word as expected\n";
  }
  text += "Faults, noticed:\n";
  for (const auto& [fault, name] : {std::pair(FakeFault::flip, "flip"),
                                    std::pair(FakeFault::drop, "drop"),
                                    std::pair(FakeFault::late, "late")})
    text += noticed({4, 2, rates, fault}, name, timeout);
  return text + "selftest passed\n";
}

std::string selftest_bootstrap(const Launch& launch, Timeout timeout) {
  constexpr std::size_t kWords = std::size_t{1} << 14;  // more than a socket holds
  const auto bootstrap = tcp_bootstrap(launch, timeout);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::string local = launch.local_rank ? std::to_string(*launch.local_rank) : "";
  const auto lines = bootstrap->all_gather(
      "table", "| " + std::to_string(launch.rank) + " | " + host.data() + " | " + local + " |\n");
  std::vector<Word> words(kWords);
  for (std::int64_t round = 0; round < 3; ++round) {
    fill_payload(words, {launch.rank, kEveryone, round});
    const auto texts = bootstrap->all_gather(
        "payload", {reinterpret_cast<const char*>(words.data()), kWords * kWordBytes});
    std::string complaint;
    for (int from = 0; from < bootstrap->size(); ++from) {
      const std::string& text = texts[static_cast<std::size_t>(from)];
      const std::span got(reinterpret_cast<const Word*>(text.data()), text.size() / kWordBytes);
      const auto wrong =
          find_mismatch(got, {from, kEveryone, round}, launch.rank, "rank " + std::to_string(from));
      if (got.size() != kWords || wrong) complaint = wrong.value_or("a text was cut off");
    }
    agree(*bootstrap, "verify", complaint);
  }
  barrier(*bootstrap, "end");
  if (launch.rank != 0) return "";
  std::string text = "| rank | host | local rank |\n|---|---|---|\n";
  for (const std::string& line : lines) text += line;
  return text + std::to_string(launch.world) + " ranks, launched by " + launch.launcher +
         ", met at " + launch.rendezvous + "\n";
}

}  // namespace moesim::comm
