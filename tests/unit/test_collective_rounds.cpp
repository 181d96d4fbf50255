// Collectives as rounds: carried out on sets of ranks, so that they are known to do what they
// promise; their bytes and closed forms against cases solved by hand.
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/collective/rounds.hpp"
#include "tests/catch.hpp"
#include "tests/collective_methods.hpp"

using namespace moesim;

namespace {

// Round numbers: NVLink 100 GB/s, NIC 10 GB/s, latencies 1 and 10 us.
ClusterSpec simple_cluster() {
  ClusterSpec c;
  c.nvlink_latency = 1 * us;
  c.nic_latency = 10 * us;
  return c;
}
const LinkRates kLinks = {100 * GB_per_s, 10 * GB_per_s};

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;

// Whose contributions a rank's copy of a chunk holds, as bits; 0: it does not have the chunk.
using Holdings = std::vector<std::vector<std::uint64_t>>;  // [rank][chunk]

std::uint64_t bit(std::size_t rank) { return std::uint64_t{1} << rank; }

// The rank whose part of the buffer a chunk is in. A tree's buffer is one chunk, of no rank.
std::size_t part_of(const Collective& c, std::size_t chunk) {
  return chunk * static_cast<std::size_t>(c.spec.group.ranks) /
         static_cast<std::size_t>(c.num_chunks);
}

Holdings at_the_start(const Collective& c) {
  const auto n = static_cast<std::size_t>(c.spec.group.ranks),
             chunks = static_cast<std::size_t>(c.num_chunks);
  Holdings held(n, std::vector<std::uint64_t>(chunks, 0));
  for (std::size_t rank = 0; rank < n; ++rank)
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
      const bool own_part = part_of(c, chunk) == rank;
      const bool has = c.spec.kind == Kind::all_gather || c.spec.kind == Kind::all_to_all ? own_part
                       : c.spec.kind == Kind::broadcast || c.spec.kind == Kind::send ? rank == 0
                                                                                     : true;
      if (has) held[rank][chunk] = bit(rank);
    }
  return held;
}

// What the kind promises that rank has of a chunk; nothing when it promises nothing.
std::optional<std::uint64_t> promised(const Collective& c, std::size_t rank, std::size_t chunk) {
  const auto n = static_cast<std::size_t>(c.spec.group.ranks);
  const std::size_t part = part_of(c, chunk);
  const std::uint64_t everyone = n == 64 ? ~std::uint64_t{0} : bit(n) - 1;
  switch (c.spec.kind) {
    case Kind::all_reduce: return everyone;
    case Kind::reduce_scatter: return part == rank ? std::optional(everyone) : std::nullopt;
    case Kind::all_gather: return bit(part);
    case Kind::broadcast:
    case Kind::send: return bit(0);
    case Kind::all_to_all: return chunk % n == rank ? std::optional(bit(part)) : std::nullopt;
  }
  return std::nullopt;
}

// One repetition of a round: all messages leave before any arrives. The first thing that is wrong.
std::string carry_out(const Round& round, const std::vector<Chunks>& carried, Holdings& held) {
  const Holdings before = held;
  std::set<std::pair<std::int32_t, std::int64_t>> written;
  for (std::size_t t = 0; t < round.transfers.size(); ++t) {
    const Transfer& transfer = round.transfers[t];
    if (transfer.source == transfer.destination) return "a message to oneself";
    if (carried[t].count != transfer.chunks.count) return "a message changes its size";
    for (std::int64_t i = 0; i < carried[t].count; ++i) {
      const std::int64_t chunk = carried[t].first + i * carried[t].stride;
      const std::uint64_t incoming =
          before.at(static_cast<std::size_t>(transfer.source)).at(static_cast<std::size_t>(chunk));
      std::uint64_t& target = held.at(static_cast<std::size_t>(transfer.destination))
                                  .at(static_cast<std::size_t>(chunk));
      if (incoming == 0) return "a chunk is sent by a rank that does not have it";
      if (round.reduces) {
        if ((target & incoming) != 0) return "a contribution is added twice";
        target |= incoming;
      } else {
        if (!written.insert({transfer.destination, chunk}).second) return "a chunk arrives twice";
        target = incoming;
      }
    }
  }
  return "";
}

// Empty when the collective does what its kind promises.
std::string broken_promise(const Collective& c) {
  Holdings held = at_the_start(c);
  for (const Round& round : c.rounds) {
    std::vector<Chunks> carried;
    for (const Transfer& t : round.transfers) carried.push_back(t.chunks);
    for (std::int64_t i = 0; i < round.repeat; ++i) {
      if (std::string wrong = carry_out(round, carried, held); !wrong.empty()) return wrong;
      std::vector<Chunks> next;
      for (const Transfer& t : round.transfers) {
        const auto follows = static_cast<std::size_t>(t.follows);
        if (round.repeat > 1 && round.transfers.at(follows).destination != t.source)
          return "a message follows one that has not come to its source";
        next.push_back(carried[follows]);
      }
      carried = next;
    }
  }
  for (std::size_t rank = 0; rank < held.size(); ++rank)
    for (std::size_t chunk = 0; chunk < held[rank].size(); ++chunk)
      if (const auto want = promised(c, rank, chunk); want && *want != held[rank][chunk])
        return "rank " + std::to_string(rank) + " lacks chunk " + std::to_string(chunk);
  return "";
}

struct Sent {
  std::vector<double> nvlink, nic;  // bytes, [rank]
  std::int64_t rounds = 0;
};
Sent bytes_sent(const Collective& c) {
  const auto n = static_cast<std::size_t>(c.spec.group.ranks);
  Sent sent{std::vector<double>(n, 0), std::vector<double>(n, 0), 0};
  for (const Round& round : c.rounds) {
    sent.rounds += round.repeat;
    for (const Transfer& t : round.transfers)
      (c.spec.group.same_node(t.source, t.destination) ? sent.nvlink : sent.nic)
          .at(static_cast<std::size_t>(t.source)) +=
          static_cast<double>(round.repeat) * c.bytes(t).in(B);
  }
  return sent;
}

}  // namespace

TEST_CASE("collective rounds: every rank ends with what its collective promises",
          "[collective_rounds]") {
  for (std::int64_t nodes = 1; nodes <= 9; ++nodes)
    for (std::int64_t per_node = 1; nodes * per_node <= 30; ++per_node)
      for (const CollectiveMethodName& m : kCollectiveMethods) {
        const RankGroup group{nodes * per_node, per_node};
        INFO(static_cast<int>(m.kind) << " by " << static_cast<int>(m.algorithm) << " on " << nodes
                                      << " nodes of " << per_node);
        const Collective c = build_collective({m.kind, m.algorithm, group, 1 * MB});
        CHECK(broken_promise(c).empty());
        if (group.ranks == 1) CHECK(c.rounds.empty());
      }
  for (std::int64_t per_node : {1, 2})
    CHECK(broken_promise(build_collective({Kind::send, Algorithm::direct, {2, per_node}, 1 * MB}))
              .empty());
}

TEST_CASE("collective rounds: a broken collective is found out", "[collective_rounds]") {
  for (const CollectiveMethodName& m : kCollectiveMethods) {
    INFO(static_cast<int>(m.kind) << " by " << static_cast<int>(m.algorithm));
    const Collective whole = build_collective({m.kind, m.algorithm, {8, 4}, 1 * MB});
    for (std::size_t r = 0; r < whole.rounds.size(); ++r) {
      if (whole.rounds[r].repeat > 1) {
        Collective short_of_one = whole;
        --short_of_one.rounds[r].repeat;
        CHECK(!broken_promise(short_of_one).empty());
      } else {
        Collective without_last = whole;
        without_last.rounds[r].transfers.pop_back();
        CHECK(!broken_promise(without_last).empty());
      }
    }
  }
  Collective again = build_collective({Kind::all_reduce, Algorithm::tree, {4, 4}, 1 * MB});
  again.rounds.insert(again.rounds.begin(), again.rounds.front());
  CHECK(broken_promise(again) == "a contribution is added twice");
}

TEST_CASE("collective rounds: what a rank sends, and in how many rounds", "[collective_rounds]") {
  // n = 24 ranks on m = 3 nodes of g = 8; S = 240 MB.
  const RankGroup group{24, 8};
  const double size = 240e6;
  auto sent = [&](Kind kind, Algorithm algorithm) {
    return bytes_sent(build_collective({kind, algorithm, group, size * B}));
  };
  auto all_send = [](const Sent& sent_bytes, double nvlink, double nic, std::int64_t rounds) {
    CHECK(sent_bytes.rounds == rounds);
    for (std::size_t rank = 0; rank < sent_bytes.nic.size(); ++rank) {
      CHECK(sent_bytes.nvlink[rank] == Approx(nvlink));
      CHECK(sent_bytes.nic[rank] == Approx(nic));
    }
  };
  // Ring: 23/24 of S, a g-th of it over the NIC.
  all_send(sent(Kind::reduce_scatter, Algorithm::ring), 7 * 230e6 / 8, 230e6 / 8, 23);
  all_send(sent(Kind::all_gather, Algorithm::ring), 7 * 230e6 / 8, 230e6 / 8, 23);
  all_send(sent(Kind::all_reduce, Algorithm::ring), 14 * 230e6 / 8, 2 * 230e6 / 8, 46);
  // Hierarchical: 7/8 of S inside, 2/3 of an eighth between nodes; together 23/24 again.
  all_send(sent(Kind::reduce_scatter, Algorithm::hierarchical), 210e6, 20e6, 9);
  all_send(sent(Kind::all_reduce, Algorithm::hierarchical), 420e6, 40e6, 18);
  // All-to-all: 7 parts of 10 MB inside, 16 between; through the rails 7/8 and 2/3 of S.
  all_send(sent(Kind::all_to_all, Algorithm::direct), 70e6, 160e6, 1);
  all_send(sent(Kind::all_to_all, Algorithm::pairwise), 70e6, 160e6, 23);
  all_send(sent(Kind::all_to_all, Algorithm::hierarchical), 210e6, 160e6, 9);
  // Broadcast: every rank but the root receives S once, whoever sends it.
  const Sent tree = sent(Kind::broadcast, Algorithm::tree);
  double total = 0;
  for (std::size_t rank = 0; rank < 24; ++rank) total += tree.nvlink[rank] + tree.nic[rank];
  CHECK(total == Approx(23 * size));
  CHECK(tree.nic[0] == Approx(2 * size));
  CHECK(tree.nvlink[0] == Approx(3 * size));
  CHECK(tree.rounds == 2 + 3);
  CHECK(sent(Kind::all_reduce, Algorithm::tree).rounds == 10);
}

TEST_CASE("collective rounds: rings stay on their rails", "[collective_rounds]") {
  for (const auto& [nodes, per_node] : {std::pair{2, 8}, {3, 8}, {5, 3}, {4, 2}, {7, 4}}) {
    const std::int64_t g = per_node;
    const Collective c =
        build_collective({Kind::all_gather, Algorithm::ring, {nodes * g, g}, 1 * MB});
    for (const Transfer& t : c.rounds.at(0).transfers)
      if (!c.spec.group.same_node(t.source, t.destination))
        CHECK(t.source % g == t.destination % g);
  }
}

TEST_CASE("collective rounds: rounds in closed form by hand", "[collective_rounds]") {
  const CollectiveLinks links = collective_links(simple_cluster(), kLinks);
  auto time = [&](Kind kind, Algorithm algorithm, const RankGroup& group) {
    return collective_time({kind, algorithm, group, 80 * MB}, links).in(us);
  };
  const RankGroup node{8, 8}, rail{4, 1}, all{32, 8};
  // One node, and one rank a node: as ring_time, which overlaps nothing there.
  CHECK(time(Kind::reduce_scatter, Algorithm::ring, node) == Approx(7 * (1 + 100)));
  CHECK(time(Kind::all_reduce, Algorithm::ring, node) == Approx(2 * 707));
  CHECK(time(Kind::all_gather, Algorithm::ring, rail) == Approx(3 * (10 + 2000)));
  for (const RankGroup& group : {node, rail})
    CHECK(time(Kind::all_gather, Algorithm::ring, group) ==
          Approx(ring_time(simple_cluster(), kLinks, 80 * MB, group.ranks, group.ranks_per_node)
                     .in(us)));
  // Eight rings of 32 chunks of 312.5 KB: NVLink needs 1 + 7 * 3.125 us a round, the NIC 10
  // + 31.25.
  CHECK(time(Kind::reduce_scatter, Algorithm::ring, all) == Approx(31 * 41.25));
  CHECK(time(Kind::reduce_scatter, Algorithm::hierarchical, all) ==
        Approx(7 * (1 + 100) + 3 * (10 + 250)));
  CHECK(time(Kind::all_reduce, Algorithm::hierarchical, all) == Approx(2 * (707 + 780)));
  CHECK(time(Kind::broadcast, Algorithm::tree, all) == Approx(2 * (10 + 8000) + 3 * (1 + 800)));
  CHECK(time(Kind::all_reduce, Algorithm::tree, all) == Approx(2 * 18423));
  CHECK(time(Kind::broadcast, Algorithm::hierarchical, all) ==
        Approx((1 + 700) + 2 * (10 + 1000) + 7 * (1 + 100)));
  CHECK(time(Kind::all_to_all, Algorithm::pairwise, all) == Approx(7 * (1 + 25) + 24 * (10 + 250)));
  CHECK(time(Kind::all_to_all, Algorithm::direct, all) == Approx(10 + 24 * 250));
  CHECK(time(Kind::all_to_all, Algorithm::direct, node) == Approx(1 + 7 * 100));
  CHECK(time(Kind::all_to_all, Algorithm::hierarchical, all) ==
        Approx(7 * (1 + 100) + 3 * (10 + 2000)));
  for (const CollectiveMethodName& m : kCollectiveMethods)
    CHECK(time(m.kind, m.algorithm, {1, 1}) == 0);
  CHECK(time(Kind::send, Algorithm::direct, {2, 2}) == Approx(1 + 800));
  CHECK(time(Kind::send, Algorithm::direct, {2, 1}) == Approx(10 + 8000));
}

TEST_CASE("collective rounds: trees win when latency counts, rings when bytes do",
          "[collective_rounds]") {
  const CollectiveLinks links = collective_links(simple_cluster(), kLinks);
  auto time = [&](Algorithm algorithm, Bytes bytes) {
    return collective_time({Kind::all_reduce, algorithm, {32, 8}, bytes}, links);
  };
  CHECK(time(Algorithm::tree, 8 * B) < time(Algorithm::hierarchical, 8 * B));
  CHECK(time(Algorithm::hierarchical, 8 * B) < time(Algorithm::ring, 8 * B));
  CHECK(time(Algorithm::ring, 1 * GB) < time(Algorithm::hierarchical, 1 * GB));
  CHECK(time(Algorithm::hierarchical, 1 * GB) < time(Algorithm::tree, 1 * GB));
}

TEST_CASE("collective rounds: a message's size chooses its overhead and rate",
          "[collective_rounds]") {
  const std::vector<SizeRegime> regimes = {{10 * KB, 2 * us, 0.5}, {1 * MB, 4 * us, 0.8}};
  CHECK(regime_of({}, 1 * MB).efficiency == 1);
  CHECK(regime_of({}, 1 * MB).overhead == Seconds());
  CHECK(regime_of(regimes, 0 * B).efficiency == 0.5);
  CHECK(regime_of(regimes, 10 * KB).efficiency == 0.5);
  CHECK(regime_of(regimes, 11 * KB).efficiency == 0.8);
  CHECK(regime_of(regimes, 1 * GB).efficiency == 0.8);
  CollectiveLinks links = collective_links(simple_cluster(), kLinks);
  links.nvlink.regimes = regimes;
  auto ring = [&](Bytes bytes) {
    return collective_time({Kind::all_gather, Algorithm::ring, {8, 8}, bytes}, links).in(us);
  };
  CHECK(ring(80 * KB) == Approx(7 * (1 + 2 + 0.2)));  // messages of 10 KB at 50 GB/s
  CHECK(ring(8 * MB) == Approx(7 * (1 + 4 + 12.5)));  // of 1 MB at 80 GB/s
}

TEST_CASE("collective rounds: what cannot be built is refused", "[collective_rounds]") {
  auto refused = [](Kind kind, Algorithm algorithm, const RankGroup& group, Bytes bytes = 1 * MB) {
    return collective_refusal({kind, algorithm, group, bytes});
  };
  CHECK(refused(Kind::all_reduce, Algorithm::ring, {8, 8}).empty());
  CHECK(
      refused(Kind::broadcast, Algorithm::ring, {8, 8}) ==
      "broadcast by ring is not known; known: all_reduce by ring, all_reduce by tree, all_reduce "
      "by hierarchical, reduce_scatter by ring, reduce_scatter by hierarchical, all_gather by "
      "ring, all_gather by hierarchical, broadcast by tree, broadcast by hierarchical, all_to_all "
      "by pairwise, all_to_all by hierarchical, all_to_all by direct, send by direct");
  CHECK(refused(Kind::all_reduce, Algorithm::ring, {12, 8}) == "12 ranks do not fill nodes of 8");
  CHECK(refused(Kind::all_reduce, Algorithm::ring, {4, 8}) == "4 ranks do not fill nodes of 8");
  CHECK(refused(Kind::all_reduce, Algorithm::ring, {0, 1}) ==
        "expected 1 to 1048576 ranks, found 0");
  CHECK(refused(Kind::all_reduce, Algorithm::ring, {8, 0}) ==
        "expected at least 1 rank per node, found 0");
  CHECK(refused(Kind::send, Algorithm::direct, {3, 1}) == "a send has 2 ranks, found 3");
  CHECK(refused(Kind::all_to_all, Algorithm::direct, {8192, 8}) ==
        "all_to_all by direct of 8192 ranks has 67100672 messages; at most 16777216 are simulated");
  CHECK(refused(Kind::all_to_all, Algorithm::hierarchical, {8192, 8}).empty());
  for (const double bytes : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK(refused(Kind::all_reduce, Algorithm::ring, {8, 8}, bytes * B) ==
          "expected a size of 0 bytes or more");
  CHECK_THROWS_AS(build_collective({Kind::broadcast, Algorithm::ring, {8, 8}, 1 * MB}),
                  std::logic_error);
}
