// Collectives on the simulated network against their closed forms, and against each other.
#include <numeric>

#include "sim/collective_run.hpp"
#include "tests/catch.hpp"
#include "tests/collective_methods.hpp"

using namespace moesim;

namespace {

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;

const LinkRates kRates = {153 * GB_per_s, 44.6 * GB_per_s};

ClusterSpec cluster_of(std::int64_t nodes, std::int64_t gpus_per_node) {
  ClusterSpec c;
  c.gpu.nvlink_bandwidth = 200 * GB_per_s;
  c.num_nodes = nodes;
  c.gpus_per_node = gpus_per_node;
  c.nic_bandwidth = 50 * GB_per_s;
  c.nvlink_latency = 3.33 * us;
  c.nic_latency = 3.7 * us;
  if (nodes == 1) c.fabric.topology = Topology::single_node;
  return c;
}

std::vector<std::int64_t> gpus(std::int64_t first, std::int64_t count, std::int64_t step = 1) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = 0; i < count; ++i) list.push_back(first + i * step);
  return list;
}

CollectiveCall call_of(Kind kind,
                       Algorithm algorithm,
                       const RankGroup& group,
                       Bytes bytes,
                       std::vector<std::int64_t> on) {
  return {build_collective({kind, algorithm, group, bytes}), std::move(on), Seconds(), {}, {}};
}

// Rounds end on whole picoseconds.
bool equal(Seconds simulated, Seconds expected, std::int64_t rounds) {
  const double off = std::abs((simulated - expected).in(s));
  return off <= 1e-6 * expected.in(s) + 2e-12 * static_cast<double>(rounds);
}

std::int64_t rounds_of(const Collective& collective) {
  std::int64_t rounds = 0;
  for (const Round& round : collective.rounds) rounds += round.repeat;
  return rounds;
}

}  // namespace

TEST_CASE("collective run: alone it takes its closed form", "[collective_run]") {
  const std::pair<std::int64_t, std::int64_t> shapes[] = {
      {1, 8}, {1, 5}, {2, 8}, {4, 4}, {3, 3}, {6, 1}, {3, 2}};
  for (const auto& [nodes, per_node] : shapes) {
    const ClusterSpec cluster = cluster_of(nodes, per_node);
    const Network network(cluster, kRates);
    const CollectiveLinks links = collective_links(cluster, kRates);
    const RankGroup group{nodes * per_node, per_node};
    for (const CollectiveMethodName& m : kCollectiveMethods)
      for (const Bytes bytes : {0 * B, 10 * KB, 100 * MB}) {
        INFO("kind " << static_cast<int>(m.kind) << ", algorithm " << static_cast<int>(m.algorithm)
                     << ", " << nodes << " x " << per_node << ", " << bytes.in(B) << " bytes");
        const CollectiveCall call =
            call_of(m.kind, m.algorithm, group, bytes, gpus(0, group.ranks));
        const Seconds expected = collective_time(call.collective.spec, links);
        CHECK(expected > Seconds());
        CHECK(equal(run_collectives(network, {call})[0], expected, rounds_of(call.collective)));
      }
  }
}

TEST_CASE("collective run: a group may be any GPUs", "[collective_run]") {
  const ClusterSpec cluster = cluster_of(4, 8);
  const Network network(cluster, kRates);
  const CollectiveLinks links = collective_links(cluster, kRates);
  // One GPU a node, on local index 3: data-parallel replicas on a rail.
  const CollectiveCall rail =
      call_of(Kind::all_reduce, Algorithm::ring, {4, 1}, 40 * MB, gpus(3, 4, 8));
  CHECK(
      equal(run_collectives(network, {rail})[0], collective_time(rail.collective.spec, links), 6));
  // The second node alone.
  const CollectiveCall node =
      call_of(Kind::all_gather, Algorithm::ring, {8, 8}, 40 * MB, gpus(8, 8));
  CHECK(
      equal(run_collectives(network, {node})[0], collective_time(node.collective.spec, links), 7));
  for (const auto& [to, same_node] : {std::pair{1, true}, {9, false}}) {
    CollectiveCall send =
        call_of(Kind::send, Algorithm::direct, {2, same_node ? 2 : 1}, 1 * MB, {0, to});
    send.start = 5 * us;
    CHECK(equal(run_collectives(network, {send})[0],
                5 * us + send_time(cluster, kRates, 1 * MB, same_node),
                1));
  }
}

TEST_CASE("collective run: disjoint groups do not feel each other", "[collective_run]") {
  const ClusterSpec cluster = cluster_of(4, 4);
  const Network network(cluster, kRates);
  std::vector<CollectiveCall> calls;
  for (std::int64_t local = 0; local < 4; ++local)
    calls.push_back(call_of(Kind::all_reduce, Algorithm::ring, {4, 1}, 8 * MB, gpus(local, 4, 4)));
  calls.push_back(call_of(Kind::all_to_all, Algorithm::direct, {4, 4}, 8 * MB, gpus(4, 4)));
  calls[2].start = 100 * us;
  const std::vector<Seconds> together = run_collectives(network, calls);
  for (std::size_t c = 0; c < calls.size(); ++c)
    CHECK(together[c] == run_collectives(network, {calls[c]})[0]);
}

TEST_CASE("collective run: two rings on the same NICs take twice as long", "[collective_run]") {
  // Two groups over the same GPUs: every round's bytes are served at half the rate, latencies are
  // as they were.
  const ClusterSpec cluster = cluster_of(4, 2);
  const Network network(cluster, kRates);
  const CollectiveCall call =
      call_of(Kind::all_gather, Algorithm::ring, {4, 1}, 400 * MB, gpus(0, 4, 2));
  const Seconds alone = run_collectives(network, {call})[0];
  const Seconds latencies = 3 * cluster.nic_latency;
  for (const Seconds end : run_collectives(network, {call, call}))
    CHECK(equal(end, latencies + 2 * (alone - latencies), 3));
  for (const Seconds end : run_collectives(network, {call, call, call}))
    CHECK(equal(end, latencies + 3 * (alone - latencies), 3));
}

TEST_CASE("collective run: what starts later shares only what is left", "[collective_run]") {
  // Two sends out of one NIC, no latency. The first, 20 MB at 40 GB/s, would take 500 us; from 250
  // us on it shares with one of 5 MB, which gets 20 GB/s and is through at 500 us; then 5 MB of
  // the first are left for 125 us.
  ClusterSpec cluster = cluster_of(3, 1);
  cluster.nic_latency = Seconds();
  const Network network(cluster, {153 * GB_per_s, 40 * GB_per_s});
  const CollectiveCall first = call_of(Kind::send, Algorithm::direct, {2, 1}, 20 * MB, {0, 1});
  CollectiveCall second = call_of(Kind::send, Algorithm::direct, {2, 1}, 5 * MB, {0, 2});
  second.start = 250 * us;
  const std::vector<Seconds> end = run_collectives(network, {first, second});
  CHECK(end[0].in(us) == Approx(625));
  CHECK(end[1].in(us) == Approx(500));
}

TEST_CASE("collective run: a ring that another one joins half-way", "[collective_run]") {
  // Reduce-scatter of 80 MB over four nodes at 40 GB/s: three rounds of 20 MB, 500 us each. A send
  // of 20 MB from 500 us on shares the second round at NIC 0: both take 1000 us. The third is alone
  // again. Rounds of the same transfers are thus not all alike.
  ClusterSpec cluster = cluster_of(4, 1);
  cluster.nic_latency = Seconds();
  const Network network(cluster, {153 * GB_per_s, 40 * GB_per_s});
  const CollectiveCall ring =
      call_of(Kind::reduce_scatter, Algorithm::ring, {4, 1}, 80 * MB, gpus(0, 4));
  CollectiveCall send = call_of(Kind::send, Algorithm::direct, {2, 1}, 20 * MB, {0, 1});
  send.start = 500 * us;
  const std::vector<Seconds> end = run_collectives(network, {ring, send});
  CHECK(end[1].in(us) == Approx(1500));
  CHECK(end[0].in(us) == Approx(2000));
}

TEST_CASE("collective run: sharing NICs costs at most the sum of both", "[collective_run]") {
  // No theorem (a delay can move a round out of another's way): true of these.
  const ClusterSpec cluster = cluster_of(4, 4);
  const Network network(cluster, kRates);
  for (const CollectiveMethodName& a : kCollectiveMethods)
    for (const CollectiveMethodName& b : kCollectiveMethods) {
      const std::vector<CollectiveCall> calls = {
          call_of(a.kind, a.algorithm, {16, 4}, 20 * MB, gpus(0, 16)),
          call_of(b.kind, b.algorithm, {8, 4}, 20 * MB, gpus(4, 8))};
      const Seconds alone[] = {run_collectives(network, {calls[0]})[0],
                               run_collectives(network, {calls[1]})[0]};
      const std::vector<Seconds> together = run_collectives(network, calls);
      INFO("algorithms " << static_cast<int>(a.algorithm) << " and "
                         << static_cast<int>(b.algorithm));
      for (std::size_t c = 0; c < 2; ++c) {
        CHECK(together[c] >= alone[c] - 1 * ns);
        CHECK(together[c] <= 1.000001 * (alone[0] + alone[1]));
      }
    }
}

TEST_CASE("collective run: an oversubscribed fabric slows what crosses it", "[collective_run]") {
  // Leaves of two nodes with 8 ports down and 4 up. Of the 12 parts that a rank sends to other
  // nodes 8 leave the leaf: 8 ranks' 64 over 4 uplinks take as long as 16 parts on a NIC.
  ClusterSpec cluster = cluster_of(4, 4);
  cluster.fabric.switch_ports = 12;
  cluster.fabric.rail_optimized = false;
  cluster.fabric.oversubscription = 2;
  const Network network(cluster, kRates);
  const CollectiveLinks links = collective_links(cluster, kRates);
  const CollectiveCall all =
      call_of(Kind::all_to_all, Algorithm::direct, {16, 4}, 160 * MB, gpus(0, 16));
  CHECK(equal(
      run_collectives(network, {all})[0], cluster.nic_latency + 16 * (10 * MB) / kRates.nic, 1));
  // A ring has one message a NIC between leaves, four out of each: as many as there are uplinks.
  const CollectiveCall ring =
      call_of(Kind::all_gather, Algorithm::hierarchical, {16, 4}, 160 * MB, gpus(0, 16));
  CHECK(
      equal(run_collectives(network, {ring})[0], collective_time(ring.collective.spec, links), 6));
}

TEST_CASE("collective run: rails need no way between planes", "[collective_run]") {
  // What stays on its rail takes its closed form. A message to another plane crosses NVLink first:
  // a pairwise all-to-all pays for that in every round, a direct one hides it behind its NICs.
  ClusterSpec cluster = cluster_of(3, 8);
  cluster.fabric.topology = Topology::multi_plane_fat_tree;
  cluster.fabric.planes = 8;
  const Network network(cluster, kRates);
  const CollectiveLinks links = collective_links(cluster, kRates);
  for (const CollectiveMethodName& m : kCollectiveMethods) {
    const CollectiveCall call = call_of(m.kind, m.algorithm, {24, 8}, 24 * MB, gpus(0, 24));
    const Seconds expected = collective_time(call.collective.spec, links),
                  simulated = run_collectives(network, {call})[0];
    INFO(static_cast<int>(m.kind) << " by " << static_cast<int>(m.algorithm));
    const bool in_closed_form = equal(simulated, expected, rounds_of(call.collective));
    CHECK(in_closed_form == (m.algorithm != Algorithm::pairwise));
    CHECK(simulated > 0.999999 * expected);
  }
}

TEST_CASE("collective run: size regimes reach the simulation", "[collective_run]") {
  const ClusterSpec cluster = cluster_of(2, 4);
  const Network network(cluster, kRates);
  CollectiveLinks links = collective_links(cluster, kRates);
  links.nvlink.regimes = {{64 * KB, 2 * us, 0.25}, {4 * MB, 5 * us, 0.8}, {1 * GB, 9 * us, 1}};
  links.nic.regimes = {{16 * KB, 1 * us, 0.5}, {1 * GB, 7 * us, 0.9}};
  for (const CollectiveMethodName& m : kCollectiveMethods)
    for (const Bytes bytes : {100 * KB, 1 * MB, 100 * MB}) {
      CollectiveCall call = call_of(m.kind, m.algorithm, {8, 4}, bytes, gpus(0, 8));
      call.nvlink_regimes = links.nvlink.regimes;
      call.nic_regimes = links.nic.regimes;
      const Seconds expected = collective_time(call.collective.spec, links);
      INFO(static_cast<int>(m.kind) << " " << static_cast<int>(m.algorithm) << " " << bytes.in(B));
      CHECK(equal(run_collectives(network, {call})[0], expected, rounds_of(call.collective)));
    }
}

TEST_CASE("collective run: wrong calls are caught", "[collective_run]") {
  const Network network(cluster_of(2, 2), kRates);
  const auto run_on = [&](std::vector<std::int64_t> on) {
    run_collectives(network,
                    {call_of(Kind::broadcast, Algorithm::tree, {2, 1}, 1 * MB, std::move(on))});
  };
  CHECK_NOTHROW(run_on({0, 2}));
  CHECK_THROWS_AS(run_on({0}), std::logic_error);
  CHECK_THROWS_AS(run_on({0, 0}), std::logic_error);
  CHECK_THROWS_AS(run_on({0, 4}), std::logic_error);
  CHECK_THROWS_AS(run_on({-1, 1}), std::logic_error);
  CHECK(run_collectives(network, {}).empty());
}
