// Size regimes from the profile's file to the simulated time, and what `moesim collective`
// measures.
#include "sim/collective_study.hpp"
#include "tests/catch.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

namespace {

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;

Profile profile_with(const std::string& collectives) {
  const TemporaryFolder folder;
  for (auto [name, text] : small_scenario()) {
    if (name == "profile.json")
      replace_once(text, "\"launch\":", "\"collectives\": " + collectives + ", \"launch\":");
    folder.add_file(name, text);
  }
  return read_scenario(folder.path() / "scenario.json").profile;
}

// Nodes of `gpus_per_node`; NVLink 100 GB/s after 1 us, NICs 50 GB/s after 2 us.
ClusterSpec cluster_of(std::int64_t nodes, std::int64_t gpus_per_node) {
  ClusterSpec c;
  c.gpu.nvlink_bandwidth = 100 * GB_per_s;
  c.num_nodes = nodes;
  c.gpus_per_node = gpus_per_node;
  c.nic_bandwidth = 50 * GB_per_s;
  c.nvlink_latency = 1 * us;
  c.nic_latency = 2 * us;
  return c;
}
const LinkRates kRates = {100 * GB_per_s, 50 * GB_per_s};

CollectiveMeasurement measure(const ClusterSpec& cluster,
                              const CollectiveGroups& groups,
                              Kind kind,
                              Algorithm algorithm,
                              Bytes bytes) {
  return measure_collective(Network(cluster, kRates),
                            collective_links(cluster, kRates),
                            groups,
                            {kind, algorithm, groups.shape, bytes});
}

// Eight GPUs of one leaf, each paired with one of the other: groups {i, i + 8}.
CollectiveGroups pairs_across_leaves() {
  CollectiveGroups groups{{2, 1}, {}};
  for (std::int64_t i = 0; i < 8; ++i) groups.gpus.push_back({i, i + 8});
  return groups;
}

// Leaves of two nodes of four, 8 ports down and 4 up.
ClusterSpec oversubscribed_cluster() {
  ClusterSpec cluster = cluster_of(4, 4);
  cluster.fabric.switch_ports = 12;
  cluster.fabric.rail_optimized = false;
  cluster.fabric.oversubscription = 2;
  return cluster;
}

}  // namespace

TEST_CASE("collective regimes: a profile may hold them", "[collective_study]") {
  const Profile profile = profile_with(
      R"({"nvlink": [{"up_to": "64 KB", "overhead": "4 us", "efficiency": 0.3},
                     {"up_to": "1 GB", "overhead": "0 us", "efficiency": 1}],
          "nic": [{"up_to": "8 KiB", "overhead": "6 us", "efficiency": 0.01}], "source": "here"})");
  REQUIRE(profile.collectives);
  const CollectiveRegimes& regimes = *profile.collectives;
  REQUIRE(regimes.nvlink.size() == 2);
  REQUIRE(regimes.nic.size() == 1);
  CHECK(regimes.nvlink[0].up_to == 64 * KB);
  CHECK(regimes.nvlink[0].overhead == 4 * us);
  CHECK(regimes.nvlink[0].efficiency == 0.3);
  CHECK(regimes.nvlink[1].up_to == 1 * GB);
  CHECK(regimes.nvlink[1].overhead == Seconds());
  CHECK(regimes.nvlink[1].efficiency == 1);
  CHECK(regimes.nic[0].up_to == 8 * KiB);
  CHECK(regimes.nic[0].overhead == 6 * us);
  CHECK(regimes.nic[0].efficiency == 0.01);
  CHECK(regimes.source == "here");
  CHECK(!profile_with("null").collectives);
}

TEST_CASE("collective regimes: wrong ones are refused", "[collective_study]") {
  const std::string one = R"([{"up_to": "1 KB", "overhead": "1 us", "efficiency": 0.5}])";
  const auto refused = [](const std::string& collectives) {
    return refusal_of([&] {
      Texts texts = small_scenario();
      replace_once(texts.at("profile.json"),
                   "\"launch\":",
                   "\"collectives\": " + collectives + ", \"launch\":");
      return texts;
    }());
  };
  const auto nvlink = [&](const std::string& regimes) {
    return refused(R"({"source": "s", "nic": )" + one + R"(, "nvlink": )" + regimes + "}");
  };
  const std::string place = "profile.json: /collectives";
  CHECK(refused("[]") == place + ": expected an object, found an array");
  CHECK(refused(R"({"nvlink": )" + one + R"(, "nic": )" + one + "}") ==
        place + ": missing key \"source\"");
  CHECK(refused(R"({"source": "", "nvlink": )" + one + R"(, "nic": )" + one + "}") ==
        place + "/source: is empty; expected where the figures are from");
  CHECK(refused(R"({"source": "s", "nvlink": )" + one + "}") == place + ": missing key \"nic\"");
  CHECK(nvlink("[]") == place + "/nvlink: is empty; expected at least one regime");
  CHECK(nvlink("{}") == place + "/nvlink: expected an array, found an object");
  CHECK(nvlink(R"([{"up_to": "1 KB", "overhead": "1 us", "efficiency": 1.1}])") ==
        place + "/nvlink/0/efficiency: expected a number from 0.01 to 1, found 1.1");
  CHECK(nvlink(R"([{"up_to": "1 KB", "overhead": "1 us", "efficiency": 0}])") ==
        place + "/nvlink/0/efficiency: expected a number from 0.01 to 1, found 0");
  CHECK(nvlink(R"([{"up_to": "0 B", "overhead": "1 us", "efficiency": 1}])") ==
        place + "/nvlink/0/up_to: expected a quantity above zero, found \"0 B\"");
  CHECK(nvlink(R"([{"up_to": "1 KB", "overhead": "1 us", "efficiency": 1, "rate": 2}])")
            .rfind(place + "/nvlink/0: unknown key \"rate\"", 0) == 0);
  CHECK(nvlink(R"([{"up_to": "2 KB", "overhead": "1 us", "efficiency": 1},
                   {"up_to": "2 KB", "overhead": "1 us", "efficiency": 1}])") ==
        place +
            "/nvlink/1/up_to: expected more than the 2000 bytes of the regime before, found 2000");
}

TEST_CASE("collective study: two nodes of two by hand", "[collective_study]") {
  // All-gather of 4 MB: 1 MB on the rails, 2 + 20 us; then 2 MB inside the nodes, 1 + 20 us.
  const ClusterSpec cluster = cluster_of(2, 2);
  const CollectiveGroups groups{{4, 2}, {{0, 1, 2, 3}}};
  const CollectiveMeasurement m =
      measure(cluster, groups, Kind::all_gather, Algorithm::hierarchical, 4 * MB);
  CHECK(m.num_rounds == 2);
  CHECK(m.closed_form.in(us) == Approx(43));
  CHECK(m.together.in(us) == Approx(43));
  CHECK(m.alone == m.together);
  CHECK(m.busiest_nic == 1 * MB);
  CHECK(algorithm_bandwidth(m).in(GB_per_s) == Approx(4e3 / 43));
  CHECK(bus_bandwidth(m).in(GB_per_s) == Approx(3e3 / 43));

  // With regimes: 2 + 4 us and 1 MB at 12.5 GB/s; 1 + 5 us and 2 MB at 80 GB/s.
  CollectiveLinks links = collective_links(cluster, kRates);
  links.nic.regimes = {{1 * MB, 4 * us, 0.25}, {1 * GB, 9 * us, 1}};
  links.nvlink.regimes = {{1 * MB, 3 * us, 0.5}, {1 * GB, 5 * us, 0.8}};
  const CollectiveMeasurement slower =
      measure_collective(Network(cluster, kRates), links, groups, m.spec);
  CHECK(slower.closed_form.in(us) == Approx(86 + 31));
  CHECK(slower.together.in(us) == Approx(86 + 31));
  CHECK(slower.busiest_nic == 1 * MB);  // what is sent, not how long it takes
}

TEST_CASE("collective study: bus bandwidth has the factors of nccl-tests", "[collective_study]") {
  const auto factor = [](Kind kind) {
    const CollectiveMeasurement m{
        {kind, Algorithm::ring, {8, 8}, 1 * GB}, 1, 1 * s, 2 * s, 1 * s, {}};
    CHECK(algorithm_bandwidth(m) == 0.5 * GB_per_s);
    return bus_bandwidth(m) / algorithm_bandwidth(m);
  };
  CHECK(factor(Kind::all_reduce) == 1.75);
  CHECK(factor(Kind::reduce_scatter) == 0.875);
  CHECK(factor(Kind::all_gather) == 0.875);
  CHECK(factor(Kind::all_to_all) == 0.875);
  CHECK(factor(Kind::broadcast) == 1);
  CHECK(factor(Kind::send) == 1);
}

TEST_CASE("collective study: groups wait for uplinks they share", "[collective_study]") {
  // Eight sends over four uplinks: 2 us and twice the 100 us that 5 MB take on a NIC.
  const CollectiveGroups groups = pairs_across_leaves();
  const CollectiveMeasurement m =
      measure(oversubscribed_cluster(), groups, Kind::send, Algorithm::direct, 5 * MB);
  CHECK(m.closed_form.in(us) == Approx(102));
  CHECK(m.alone.in(us) == Approx(102));
  CHECK(m.together.in(us) == Approx(202));
  CHECK(m.busiest_nic == 5 * MB);
  CHECK(fabric_blocking(oversubscribed_cluster()) == "leaves are oversubscribed");
}

TEST_CASE("collective study: under ECMP alone is on the same paths", "[collective_study]") {
  ClusterSpec cluster = oversubscribed_cluster();
  cluster.fabric.routing = FabricRouting::ecmp;
  const Network network(cluster, kRates);
  const CollectiveGroups groups = pairs_across_leaves();
  const CollectiveMeasurement m =
      measure(cluster, groups, Kind::all_reduce, Algorithm::ring, 5 * MB);
  CHECK(m.together > 1.5 * m.alone);  // eight pairs, four uplinks
  // One group at a time, all on the paths they have together: one of them takes `alone`.
  std::vector<CollectiveCall> calls;
  for (std::size_t i = 0; i < groups.gpus.size(); ++i)
    calls.push_back({build_collective(m.spec), groups.gpus[i], static_cast<double>(i) * s, {}, {}});
  const std::vector<Seconds> ends = run_collectives(network, calls);
  bool is_found = false;
  for (std::size_t i = 0; i < ends.size(); ++i)
    is_found = is_found || std::abs((ends[i] - static_cast<double>(i) * s - m.alone).in(ps)) < 1e3;
  CHECK(is_found);
  CHECK(fabric_blocking(cluster) ==
        "leaves are oversubscribed, ECMP may hash messages to the same uplink");
}

TEST_CASE("collective study: a NIC stands in for one that failed", "[collective_study]") {
  // GPU 1's NIC carries both sends; that of GPU 0 has a hop of NVLink before it.
  ClusterSpec cluster = cluster_of(2, 2);
  cluster.fabric.failed_nics = {0};
  const CollectiveGroups groups{{2, 1}, {{0, 2}, {1, 3}}};
  const CollectiveMeasurement m = measure(cluster, groups, Kind::send, Algorithm::direct, 5 * MB);
  CHECK(m.busiest_nic == 10 * MB);
  CHECK(m.closed_form.in(us) == Approx(102));
  CHECK(m.together.in(us) > 200);
  CHECK(m.alone.in(us) < 104);
  CHECK(fabric_blocking(cluster) == "NICs or uplinks have failed");
  CHECK(fabric_blocking(cluster_of(2, 2)).empty());
}

TEST_CASE("collective study: a group has as many GPUs on each of its nodes", "[collective_study]") {
  const auto per_node = [](const std::vector<std::int64_t>& gpus) {
    const std::optional<RankGroup> shape = shape_on_nodes(gpus, 4);
    if (shape) CHECK(shape->ranks == std::ssize(gpus));
    return shape ? shape->ranks_per_node : 0;
  };
  CHECK(per_node({0, 1, 2, 3, 4, 5, 6, 7}) == 4);
  CHECK(per_node({2, 3, 4, 5}) == 2);
  CHECK(per_node({1, 5, 13}) == 1);
  CHECK(per_node({5, 6, 7}) == 3);
  CHECK(per_node({0, 1, 2, 3, 4, 5}) == 0);
  CHECK(per_node({3, 4, 5}) == 0);
}

TEST_CASE("collective study: too many messages at once are refused", "[collective_study]") {
  ClusterSpec cluster = cluster_of(512, 8);
  const auto refused = [&](std::int64_t ranks, std::size_t num_groups, Algorithm algorithm) {
    const CollectiveGroups groups{{ranks, 8}, std::vector<std::vector<std::int64_t>>(num_groups)};
    return measurement_refusal(
        cluster, groups, {Kind::all_to_all, algorithm, groups.shape, 1 * GB});
  };
  CHECK(refused(2048, 1, Algorithm::direct).empty());
  CHECK(refused(2048, 1, Algorithm::pairwise).empty());
  CHECK(refused(2048, 2, Algorithm::direct) ==
        "8384512 messages at once; at most 4194304 are simulated");
  cluster.fabric.routing = FabricRouting::ecmp;
  CHECK(refused(256, 1, Algorithm::direct).empty());
  CHECK(refused(512, 1, Algorithm::direct) ==
        "261632 messages at once; at most 131072 are simulated under ECMP");
  CHECK(refused(512, 1, Algorithm::pairwise).empty());
}
