// Paths over fabrics of small switches, by hand and over all pairs; uplinks shared by adaptive and
// by hashed routing; failures, and the networks that are refused.
#include <algorithm>
#include <set>

#include "model/network/network.hpp"
#include "model/network/path_classes.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

const LinkRates kRates = {100 * GB_per_s, 10 * GB_per_s};

ClusterSpec cluster_of(std::int64_t num_nodes, std::int64_t gpus_per_node, std::int64_t ports) {
  ClusterSpec c;
  c.num_nodes = num_nodes;
  c.gpus_per_node = gpus_per_node;
  c.nvlink_latency = 1 * us;
  c.nic_latency = 10 * us;
  c.fabric.switch_ports = ports;
  return c;
}
ClusterSpec with_planes(ClusterSpec c, std::int64_t planes) {
  c.fabric.topology = Topology::multi_plane_fat_tree;
  c.fabric.planes = planes;
  return c;
}
ClusterSpec hashed(ClusterSpec c) {
  c.fabric.routing = FabricRouting::ecmp;
  return c;
}
ClusterSpec failing(ClusterSpec c,
                    std::vector<std::int64_t> nics,
                    std::vector<FailedUplink> uplinks = {}) {
  c.fabric.failed_nics = std::move(nics);
  c.fabric.failed_uplinks = std::move(uplinks);
  return c;
}

const char* name_of(LinkKind kind) {
  switch (kind) {
    case LinkKind::nvlink_out: return "nvlink_out";
    case LinkKind::nvlink_in: return "nvlink_in";
    case LinkKind::nic_out: return "nic_out";
    case LinkKind::nic_in: return "nic_in";
    case LinkKind::leaf_up: return "leaf_up";
    case LinkKind::leaf_down: return "leaf_down";
    case LinkKind::spine_up: return "spine_up";
    case LinkKind::spine_down: return "spine_down";
  }
  return "?";
}

// A link as its kind and its number among the links of that kind.
struct Hop {
  LinkKind kind;
  std::int64_t index;
};

std::vector<Hop> hops(const Network& network,
                      std::int64_t source,
                      std::int64_t destination,
                      std::uint64_t flow = 0) {
  const NetworkPath path = network.path(source, destination, flow);
  std::vector<Hop> result;
  for (std::size_t i = 0; i < path.num_links; ++i) {
    const NetworkLink& link = network.links().at(path.links[i]);
    const auto first = std::find_if(network.links().begin(),
                                    network.links().end(),
                                    [&](const NetworkLink& l) { return l.kind == link.kind; });
    result.push_back({link.kind, path.links[i] - (first - network.links().begin())});
  }
  return result;
}

std::string text(const std::vector<Hop>& path) {
  std::string all;
  for (const Hop& hop : path)
    all +=
        (all.empty() ? "" : " ") + std::string(name_of(hop.kind)) + ":" + std::to_string(hop.index);
  return all;
}
std::string route(const Network& network, std::int64_t source, std::int64_t destination) {
  return text(hops(network, source, destination));
}
std::vector<LinkKind> kinds(const std::vector<Hop>& path) {
  std::vector<LinkKind> all;
  for (const Hop& hop : path) all.push_back(hop.kind);
  return all;
}

double latency_us(const Network& network, std::int64_t source, std::int64_t destination) {
  return network.path(source, destination).latency.in(us);
}

std::string refused(const ClusterSpec& c) {
  return refusal([&] { Network(c, kRates); });
}

std::int64_t hop_of(const std::vector<Hop>& path, LinkKind kind) {
  for (const Hop& hop : path)
    if (hop.kind == kind) return hop.index;
  return -1;
}

// Follows a path cable by cable: each link starts where the one before ended.
void check_connected(const ClusterSpec& c,
                     const std::vector<Hop>& path,
                     std::int64_t source,
                     std::int64_t destination) {
  const FabricLayout l = fabric_layout(c);
  const bool is_hashed = c.fabric.routing == FabricRouting::ecmp;
  const std::int64_t n = c.gpus_per_node;
  std::int64_t gpu = source, leaf = -1, spine = -1, core = -1;  // where the message is
  auto spine_of = [&](std::int64_t at_leaf, std::int64_t uplink) {
    return l.pod_of_leaf(at_leaf) * l.spines_per_pod + uplink % l.spines_per_pod;
  };
  for (const Hop& hop : path) {
    switch (hop.kind) {
      case LinkKind::nvlink_out: REQUIRE(hop.index == gpu); break;
      case LinkKind::nvlink_in:
        REQUIRE(hop.index / n == gpu / n);
        gpu = hop.index;
        break;
      case LinkKind::nic_out:
        REQUIRE(hop.index == gpu);
        leaf = l.leaf_of(gpu);
        gpu = -1;
        break;
      case LinkKind::leaf_up:
        REQUIRE(hop.index / (is_hashed ? l.leaf_up : 1) == leaf);
        if (is_hashed) spine = spine_of(leaf, hop.index % l.leaf_up);
        break;
      case LinkKind::spine_up:
        if (is_hashed) {
          REQUIRE(hop.index / l.spine_up == spine);
          core = spine % l.spines_per_pod * l.cores_per_spine +
                 hop.index % l.spine_up % l.cores_per_spine;
        } else {
          REQUIRE(hop.index == l.pod_of_leaf(leaf));
        }
        break;
      case LinkKind::spine_down:
        if (is_hashed) {
          spine = hop.index / l.spine_up;
          REQUIRE(core == spine % l.spines_per_pod * l.cores_per_spine +
                              hop.index % l.spine_up % l.cores_per_spine);
        }
        break;
      case LinkKind::leaf_down:
        leaf = is_hashed ? hop.index / l.leaf_up : hop.index;
        if (is_hashed) REQUIRE(spine == spine_of(leaf, hop.index % l.leaf_up));
        break;
      case LinkKind::nic_in:
        REQUIRE(l.leaf_of(hop.index) == leaf);
        gpu = hop.index;
        break;
    }
  }
  REQUIRE(gpu == destination);
}

std::vector<ClusterSpec> fabrics() {
  std::vector<ClusterSpec> all = {cluster_of(4, 2, 4),
                                  cluster_of(3, 3, 8),
                                  with_planes(cluster_of(4, 2, 4), 2),
                                  with_planes(cluster_of(4, 4, 4), 2),
                                  cluster_of(8, 2, 4),
                                  cluster_of(7, 2, 6),
                                  with_planes(cluster_of(6, 4, 4), 4)};
  for (const std::size_t i : {4U, 5U, 6U}) all[i].fabric.levels = 3;
  ClusterSpec wide = cluster_of(3, 5, 8);
  wide.fabric.rail_optimized = false;
  all.push_back(wide);
  const std::size_t num_adaptive = all.size();
  for (std::size_t i = 0; i < num_adaptive; ++i) all.push_back(hashed(all[i]));
  return all;
}

}  // namespace

TEST_CASE("network: paths over four-port switches by hand", "[network]") {
  // Two GPUs a node, rail-optimised: leaf 0 holds GPUs 0 and 2, leaf 1 holds 1 and 3, leaf 2 holds
  // 4 and 6, leaf 3 holds 5 and 7.
  ClusterSpec c = cluster_of(4, 2, 4);
  c.same_leaf_latency = 7 * us;
  const Network network(c, kRates);
  CHECK(network.num_gpus() == 8);
  CHECK(network.links().size() == 4 * 8 + 2 * 4);
  CHECK(route(network, 0, 1) == "nvlink_out:0 nvlink_in:1");
  CHECK(route(network, 0, 2) == "nic_out:0 nic_in:2");
  CHECK(route(network, 0, 3) == "nic_out:0 leaf_up:0 leaf_down:1 nic_in:3");
  CHECK(route(network, 7, 0) == "nic_out:7 leaf_up:3 leaf_down:0 nic_in:0");
  CHECK(latency_us(network, 0, 1) == Approx(1));
  CHECK(latency_us(network, 0, 2) == Approx(7));
  CHECK(latency_us(network, 0, 3) == Approx(10));
  c.same_leaf_latency.reset();
  CHECK(latency_us(Network(c, kRates), 0, 2) == Approx(10));
  for (const NetworkLink& link : network.links()) {
    const bool is_nvlink = link.kind == LinkKind::nvlink_out || link.kind == LinkKind::nvlink_in;
    const bool is_nic = link.kind == LinkKind::nic_out || link.kind == LinkKind::nic_in;
    CHECK(link.capacity.in(GB_per_s) == Approx(is_nvlink ? 100 : is_nic ? 10 : 20));
  }
}

TEST_CASE("network: another plane is reached over NVLink first", "[network]") {
  const Network network(with_planes(cluster_of(4, 2, 4), 2), kRates);
  // Plane 0: leaf 0 of GPUs 0 and 2, leaf 1 of 4 and 6; plane 1: leaves 2 and 3.
  CHECK(route(network, 0, 4) == "nic_out:0 leaf_up:0 leaf_down:1 nic_in:4");
  CHECK(route(network, 0, 3) == "nvlink_out:0 nvlink_in:1 nic_out:1 nic_in:3");
  CHECK(route(network, 0, 5) ==
        "nvlink_out:0 nvlink_in:1 nic_out:1 leaf_up:2 leaf_down:3 nic_in:5");
  CHECK(latency_us(network, 0, 5) == Approx(11));
  // Four GPUs on two planes: the relay has the destination's local index, not just its plane.
  const Network four(with_planes(cluster_of(2, 4, 8), 2), kRates);
  CHECK(route(four, 0, 7) == "nvlink_out:0 nvlink_in:3 nic_out:3 nic_in:7");
}

TEST_CASE("network: three levels", "[network]") {
  ClusterSpec c = cluster_of(8, 2, 4);  // pods of two leaves, 0 and 1 in the first
  c.fabric.levels = 3;
  const Network network(c, kRates);
  CHECK(route(network, 0, 3) == "nic_out:0 leaf_up:0 leaf_down:1 nic_in:3");
  CHECK(route(network, 0, 15) ==
        "nic_out:0 leaf_up:0 spine_up:0 spine_down:3 leaf_down:7 nic_in:15");
  for (const NetworkLink& link : network.links())
    if (link.kind == LinkKind::spine_up) CHECK(link.capacity.in(GB_per_s) == Approx(40));
}

TEST_CASE("network: one node needs no fabric", "[network]") {
  for (const Topology topology : {Topology::single_node, Topology::fat_tree, Topology::dragonfly}) {
    ClusterSpec c = cluster_of(1, 72, 64);
    c.fabric.topology = topology;
    const Network network(c, kRates);
    CHECK(network.links().size() == 2 * 72);
    CHECK(route(network, 71, 3) == "nvlink_out:71 nvlink_in:3");
  }
}

TEST_CASE("network: all pairs of all fabrics are connected, alike in both directions",
          "[network]") {
  for (const ClusterSpec& c : fabrics()) {
    const Network network(c, kRates);
    for (std::int64_t a = 0; a < network.num_gpus(); ++a)
      for (std::int64_t b = 0; b < network.num_gpus(); ++b) {
        if (a == b) continue;
        CAPTURE(a, b, c.num_nodes, c.gpus_per_node, c.fabric.planes, c.fabric.levels);
        const std::vector<Hop> there = hops(network, a, b, 5), back = hops(network, b, a, 5);
        check_connected(c, there, a, b);
        REQUIRE(kinds(there) == kinds(back));
        REQUIRE(network.path(a, b).latency == network.path(b, a).latency);
      }
  }
}

TEST_CASE("network: oversubscription takes uplinks from the pool", "[network]") {
  auto pool = [](double oversubscription) {
    ClusterSpec c = cluster_of(64, 8, 64);
    c.fabric.oversubscription = oversubscription;
    const Network network(c, kRates);
    const std::vector<Hop> path = hops(network, 0, 8 * 63 + 1);
    CHECK(path.size() == 4);
    return network.links()[network.path(0, 8 * 63 + 1).links[1]].capacity.in(GB_per_s);
  };
  CHECK(pool(1) == Approx(32 * 10));
  CHECK(pool(3) == Approx(16 * 10));  // 48 ports down, 16 up
  CHECK(pool(7) == Approx(8 * 10));
}

TEST_CASE("network: hashed messages spread over all uplinks, and collide", "[network]") {
  const ClusterSpec c = hashed(cluster_of(64, 8, 64));  // 32 uplinks a leaf
  const Network network(c, kRates);
  for (const NetworkLink& link : network.links())
    if (link.kind == LinkKind::leaf_up) REQUIRE(link.capacity.in(GB_per_s) == Approx(10));
  auto uplink = [&](std::int64_t source, std::int64_t destination, std::uint64_t flow) {
    return hop_of(hops(network, source, destination, flow), LinkKind::leaf_up) % 32;
  };
  // Chi-squared of 32 bins: 31 degrees of freedom, exceeds 61.1 once in a thousand.
  auto chi_squared = [](const std::vector<double>& bins, double total) {
    double sum = 0;
    const double mean = total / static_cast<double>(bins.size());
    for (const double n : bins) sum += (n - mean) * (n - mean) / mean;
    return sum;
  };
  std::vector<double> by_flow(32), by_pair(32);
  for (std::uint64_t flow = 0; flow < 3200; ++flow)
    ++by_flow[static_cast<std::size_t>(uplink(0, 8 * 40, flow))];
  for (std::int64_t a = 0; a < 32; ++a)
    for (std::int64_t b = 32; b < 64; ++b)
      ++by_pair[static_cast<std::size_t>(uplink(8 * a, 8 * b, 0))];
  CHECK(chi_squared(by_flow, 3200) < 61.1);
  CHECK(chi_squared(by_pair, 1024) < 61.1);
  // Of 32 messages over 32 uplinks, 32 (1 - (31/32)^32) = 20.4 uplinks see one or more.
  double used = 0;
  for (std::uint64_t round = 0; round < 100; ++round) {
    std::set<std::int64_t> seen;
    for (std::int64_t a = 0; a < 32; ++a) seen.insert(uplink(8 * a, 8 * (a + 32), round));
    used += static_cast<double>(seen.size()) / 100;
  }
  CHECK(used == Approx(20.4).margin(0.7));
  // The same on every machine.
  const Network again(c, kRates);
  for (std::uint64_t flow = 0; flow < 50; ++flow)
    REQUIRE(text(hops(again, 3, 400, flow)) == text(hops(network, 3, 400, flow)));
  CHECK(text(hops(network, 3, 400, 1)) == "nic_out:3 leaf_up:111 leaf_down:287 nic_in:400");
}

TEST_CASE("network: hashing uses every core link and every parallel cable", "[network]") {
  ClusterSpec c = hashed(cluster_of(4, 2, 4));  // two pods; the spines of an index share one core
  c.fabric.levels = 3;
  const Network network(c, kRates);
  std::set<std::int64_t> up, down;
  for (std::uint64_t flow = 0; flow < 100; ++flow) {
    const std::vector<Hop> path = hops(network, 0, 7, flow);
    up.insert(hop_of(path, LinkKind::spine_up));
    down.insert(hop_of(path, LinkKind::spine_down));
  }
  CHECK(up == std::set<std::int64_t>{0, 1, 2, 3});
  CHECK(down == std::set<std::int64_t>{4, 5, 6, 7});
  // Two leaves with two cables each to a single spine.
  const Network parallel(hashed(cluster_of(4, 1, 4)), kRates);
  std::set<std::string> routes;
  for (std::uint64_t flow = 0; flow < 100; ++flow) routes.insert(text(hops(parallel, 0, 3, flow)));
  CHECK(routes.size() == 4);
}

TEST_CASE("network: a failed NIC's messages take the next one of the node", "[network]") {
  const Network network(failing(cluster_of(4, 2, 4), {0}), kRates);
  CHECK(route(network, 0, 4) ==
        "nvlink_out:0 nvlink_in:1 nic_out:1 leaf_up:1 leaf_down:2 nic_in:4");
  CHECK(route(network, 4, 0) ==
        "nic_out:4 leaf_up:2 leaf_down:1 nic_in:1 nvlink_out:1 nvlink_in:0");
  CHECK(latency_us(network, 4, 0) == Approx(11));
  CHECK(route(network, 0, 1) == "nvlink_out:0 nvlink_in:1");
  CHECK(route(network, 2, 4) == "nic_out:2 leaf_up:0 leaf_down:2 nic_in:4");
  // The next but one, and round the end of the node.
  const Network three(failing(cluster_of(2, 4, 64), {1, 2, 7}), kRates);
  CHECK(route(three, 1, 4) == "nvlink_out:1 nvlink_in:3 nic_out:3 nic_in:4");
  CHECK(route(three, 1, 7) ==
        "nvlink_out:1 nvlink_in:3 nic_out:3 nic_in:4 nvlink_out:4 nvlink_in:7");
  // On planes the message changes the plane at both ends: nothing else is on the failed one.
  const ClusterSpec planes = with_planes(cluster_of(4, 2, 4), 2);
  const Network bent(failing(planes, {0}), kRates);
  CHECK(route(bent, 0, 4) ==
        "nvlink_out:0 nvlink_in:1 nic_out:1 leaf_up:2 leaf_down:3 nic_in:5 nvlink_out:5 "
        "nvlink_in:4");
  // All ten links: NVLink at both ends and a core switch between them.
  ClusterSpec deep = failing(cluster_of(8, 2, 4), {0, 15});
  deep.fabric.levels = 3;
  CHECK(hops(Network(deep, kRates), 0, 15).size() == kMostLinksOfAPath);
}

TEST_CASE("network: all pairs are connected around failures", "[network]") {
  std::size_t checked = 0;
  for (const ClusterSpec& healthy : fabrics()) {
    const ClusterSpec c = failing(healthy, {1, healthy.gpus_per_node}, {{0, 0}, {1, 1}});
    if (fabric_layout(c).spines_per_pod == 0) continue;

    // With two spines, leaves that have lost different ones are apart.
    if (refused(c) != "nothing was refused") continue;
    const Network network(c, kRates);
    const std::int64_t leaf_up = fabric_layout(c).leaf_up;
    for (std::int64_t a = 0; a < network.num_gpus(); ++a)
      for (std::int64_t b = 0; b < network.num_gpus(); ++b) {
        if (a == b) continue;
        for (std::uint64_t flow = 0; flow < 4; ++flow) {
          const std::vector<Hop> path = hops(network, a, b, flow);
          check_connected(c, path, a, b);
          for (const Hop& hop : path) {
            if (hop.kind == LinkKind::nic_out || hop.kind == LinkKind::nic_in)
              REQUIRE((hop.index != 1 && hop.index != c.gpus_per_node));
            if (c.fabric.routing == FabricRouting::ecmp &&
                (hop.kind == LinkKind::leaf_up || hop.kind == LinkKind::leaf_down))
              REQUIRE((hop.index != 0 && hop.index != leaf_up + 1));
          }
        }
      }
    ++checked;
  }
  CHECK(checked >= 6);
}

TEST_CASE("network: a failed uplink leaves the pool", "[network]") {
  const Network network(failing(cluster_of(4, 2, 4), {}, {{0, 1}}), kRates);
  const NetworkPath out = network.path(0, 4), in = network.path(4, 0);
  CHECK(network.links()[out.links[1]].capacity.in(GB_per_s) == Approx(10));
  CHECK(network.links()[out.links[2]].capacity.in(GB_per_s) == Approx(20));
  CHECK(network.links()[in.links[2]].capacity.in(GB_per_s) == Approx(10));
}

TEST_CASE("network: failures that disconnect are refused by name", "[network]") {
  const ClusterSpec c = cluster_of(4, 2, 4);
  const std::string start = "failures disconnect the fabric: ";
  CHECK(refused(failing(c, {2, 3})) == start + "node 1 has no NIC left");
  CHECK(refused(failing(with_planes(c, 2), {0, 3})) ==
        start + "nodes 0 and 1 have no plane left in common");
  CHECK(refused(failing(with_planes(c, 2), {0, 2, 4})) == "nothing was refused");
  CHECK(refused(failing(c, {}, {{1, 0}, {1, 1}})) == start + "leaf 1 has no uplink left");
  CHECK(refused(failing(c, {}, {{0, 0}, {2, 1}})) ==
        start + "leaves 0 and 2 have no spine left in common");
  CHECK(refused(failing(hashed(c), {}, {{0, 0}, {2, 0}})) == "nothing was refused");
  // Leaves of different planes never meet.
  CHECK(refused(failing(with_planes(cluster_of(8, 2, 4), 2), {}, {{0, 0}, {4, 1}})) ==
        "nothing was refused");
  // A leaf whose NICs have all failed has nothing to carry.
  const Network dead_leaf(failing(c, {0, 2}, {{0, 0}, {0, 1}}), kRates);
  CHECK(route(dead_leaf, 0, 2) ==
        "nvlink_out:0 nvlink_in:1 nic_out:1 nic_in:3 nvlink_out:3 nvlink_in:2");
  for (const NetworkLink& link : dead_leaf.links()) CHECK(link.capacity > Bandwidth());
}

TEST_CASE("network: what is counted only is not simulated", "[network]") {
  ClusterSpec c = cluster_of(2, 8, 64);
  c.fabric.place = "c.json: /fabric";
  c.fabric.topology = Topology::dragonfly;
  const std::string rest =
      " fabric is counted and priced, but not simulated; a run on 2 nodes needs \"fat_tree\" or "
      "\"multi_plane_fat_tree\"";
  CHECK(refused(c) == "c.json: /fabric: a \"dragonfly\"" + rest);
  c.fabric.topology = Topology::slim_fly;
  CHECK(refused(c) == "c.json: /fabric: a \"slim_fly\"" + rest);
  c = cluster_of(512, 8, 64);
  c.fabric.place = "c.json: /fabric";
  CHECK(refused(c).rfind("c.json: /fabric: ports do not add up: 4096 GPUs are 128 leaves", 0) == 0);
}

TEST_CASE("network: the shipped clusters are simulated", "[network]") {
  for (const auto& entry : std::filesystem::directory_iterator(scenario_folder() / "clusters")) {
    CAPTURE(entry.path().string());
    const ClusterSpec c = read_cluster_file(entry.path());
    const Network network(c, {c.gpu.nvlink_bandwidth, c.nic_bandwidth});
    std::int64_t reached = 0;
    for (const PathClass& path : path_classes(network)) reached += path.gpus;
    CHECK(reached == c.num_gpus() - 1);
  }
}

TEST_CASE("network: the ways out of GPU 0 of 2,048 H800", "[network]") {
  const ClusterSpec c = read_cluster_file(scenario_folder() / "clusters" / "h800-2048.jsonc");
  const auto paths = path_classes(Network(c, {c.gpu.nvlink_bandwidth, c.nic_bandwidth}));
  struct Row {
    const char* passes;
    std::int64_t switches, gpus;
    double latency_us;
  };
  // Eight leaves of 32 nodes on each of eight planes.
  const Row expected[] = {{"NVLink", 0, 7, 3.33},
                          {"leaf", 1, 31, 2.8},
                          {"NVLink, leaf", 1, 7 * 31, 6.13},
                          {"leaf, spine, leaf", 3, 224, 3.7},
                          {"NVLink, leaf, spine, leaf", 3, 7 * 224, 7.03}};
  REQUIRE(paths.size() == std::size(expected));
  for (std::size_t i = 0; i < paths.size(); ++i) {
    CHECK(paths[i].passes == expected[i].passes);
    CHECK(paths[i].switches == expected[i].switches);
    CHECK(paths[i].gpus == expected[i].gpus);
    CHECK(paths[i].latency.in(us) == Approx(expected[i].latency_us));
  }
}
