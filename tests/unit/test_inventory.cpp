// Switches and links of networks: the published table, hand-counted layouts of small switches, the
// worst halving against every halving, and fabrics that are refused.
#include <algorithm>
#include <queue>

#include "model/network/fabric_layout.hpp"
#include "model/network/inventory.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

namespace {

ClusterSpec cluster_of(std::int64_t num_nodes, std::int64_t gpus_per_node, FabricSpec fabric) {
  ClusterSpec c;
  c.num_nodes = num_nodes;
  c.gpus_per_node = gpus_per_node;
  c.fabric = std::move(fabric);
  return c;
}

FabricSpec tree(std::int64_t ports, bool rail_optimized = true, double oversubscription = 1) {
  FabricSpec f;
  f.switch_ports = ports;
  f.rail_optimized = rail_optimized;
  f.oversubscription = oversubscription;
  return f;
}
FabricSpec planes(std::int64_t ports, std::int64_t num_planes) {
  FabricSpec f = tree(ports);
  f.topology = Topology::multi_plane_fat_tree;
  f.planes = num_planes;
  return f;
}
FabricSpec three_levels(FabricSpec f) {
  f.levels = 3;
  return f;
}

using Numbers = std::vector<std::int64_t>;

Numbers counts(const NetworkInventory& n) { return {n.endpoints, n.switches, n.links}; }

Numbers switches(const FabricLayout& l) {
  return {l.num_leaves(), l.num_spines(), l.num_cores(), l.num_links()};
}

Numbers leaves(const FabricLayout& l) {
  Numbers all;
  for (std::int64_t gpu = 0; gpu < l.num_nodes * l.gpus_per_node; ++gpu)
    all.push_back(l.leaf_of(gpu));
  return all;
}

std::string refusal_text(const ClusterSpec& c) {
  try {
    cluster_inventory(c);
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing was refused";
}

// Links cut, as the largest flow from some nodes' NICs to the others' over the switches one by one.
class SwitchGraph {
 public:
  explicit SwitchGraph(const FabricLayout& l) : layout_(l) {
    first_spine_ = l.num_leaves();
    first_core_ = first_spine_ + l.num_spines();
    source_ = first_core_ + l.num_cores();
    sink_ = source_ + 1;
    edges_.assign(size() * size(), 0);
    for (std::int64_t leaf = 0; leaf < l.num_leaves(); ++leaf)
      for (std::int64_t u = 0; l.spines_per_pod > 0 && u < l.leaf_up; ++u)
        join(leaf, first_spine_ + l.pod_of_leaf(leaf) * l.spines_per_pod + u % l.spines_per_pod);
    for (std::int64_t spine = 0; spine < l.num_spines(); ++spine)
      for (std::int64_t v = 0; v < l.spine_up; ++v) {
        const std::int64_t plane = spine / l.spines_per_pod / l.pods_per_plane;
        const std::int64_t group = plane * l.spines_per_pod + spine % l.spines_per_pod;
        join(first_spine_ + spine, first_core_ + group * l.cores_per_spine + v % l.cores_per_spine);
      }
  }

  // Bit i of `half`: node i is apart from the others.
  std::int64_t links_cut(std::uint32_t half) const {
    std::vector<int> room = edges_;
    for (std::int64_t gpu = 0; gpu < layout_.num_nodes * layout_.gpus_per_node; ++gpu) {
      const bool is_apart = (half >> (gpu / layout_.gpus_per_node) & 1U) != 0;
      ++room[is_apart ? at(source_, layout_.leaf_of(gpu)) : at(layout_.leaf_of(gpu), sink_)];
    }
    std::int64_t flow = 0;
    while (augment(room)) ++flow;
    return flow;
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(sink_ + 1); }
  std::size_t at(std::int64_t a, std::int64_t b) const {
    return static_cast<std::size_t>(a) * size() + static_cast<std::size_t>(b);
  }
  void join(std::int64_t a, std::int64_t b) {
    ++edges_[at(a, b)];
    ++edges_[at(b, a)];
  }
  bool augment(std::vector<int>& room) const {
    std::vector<std::int64_t> from(size(), -1);
    std::queue<std::int64_t> open;
    open.push(source_);
    from[static_cast<std::size_t>(source_)] = source_;
    while (!open.empty() && from[static_cast<std::size_t>(sink_)] < 0) {
      const std::int64_t a = open.front();
      open.pop();
      for (std::int64_t b = 0; b <= sink_; ++b) {
        if (room[at(a, b)] == 0 || from[static_cast<std::size_t>(b)] >= 0) continue;
        from[static_cast<std::size_t>(b)] = a;
        open.push(b);
      }
    }
    if (from[static_cast<std::size_t>(sink_)] < 0) return false;
    for (std::int64_t b = sink_; b != source_; b = from[static_cast<std::size_t>(b)]) {
      --room[at(from[static_cast<std::size_t>(b)], b)];
      ++room[at(b, from[static_cast<std::size_t>(b)])];
    }
    return true;
  }

  FabricLayout layout_;
  std::int64_t first_spine_ = 0, first_core_ = 0, source_ = 0, sink_ = 0;
  std::vector<int> edges_;  // [vertex, vertex]
};

std::int64_t fewest_links_cut(const FabricLayout& layout) {
  const SwitchGraph graph(layout);
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  for (std::uint32_t half = 0; half < 1U << layout.num_nodes; ++half)
    if (__builtin_popcount(half) == layout.num_nodes / 2)
      fewest = std::min(fewest, graph.links_cut(half));
  return fewest;
}

}  // namespace

TEST_CASE("inventory: the five topologies of ISCA'25, Table 3", "[inventory]") {
  CHECK(counts(two_level_fat_tree(64)) == Numbers{2048, 96, 2048});
  CHECK(counts(multi_plane_fat_tree(64, 8)) == Numbers{16384, 768, 16384});
  CHECK(counts(three_level_fat_tree(64)) == Numbers{65536, 5120, 131072});
  const SlimFlyShape slim = largest_slim_fly(64);
  CHECK(counts(slim_fly(slim.q, slim.endpoints_per_switch)) == Numbers{32928, 1568, 32928});
  const DragonflyShape fly = largest_dragonfly(64);
  CHECK(counts(dragonfly(fly.p, fly.a, fly.h, fly.groups)) == Numbers{261632, 16352, 384272});
}

TEST_CASE("inventory: Slim Fly and dragonfly of few ports by hand", "[inventory]") {
  // q = 5 = 4 + 1 has radix 7 (the Hoffman-Singleton graph: 50 switches of degree 7, 175 links).
  CHECK(slim_fly_radix(5) == 7);
  CHECK(counts(slim_fly(5, 4)) == Numbers{200, 50, 175});
  CHECK(slim_fly_radix(3) == 5);  // 3 = 4 - 1
  CHECK(slim_fly_radix(4) == 6);
  CHECK(largest_slim_fly(11).q == 5);  // 7 + 4 ports
  CHECK(largest_slim_fly(10).q == 4);  // 6 + 3
  // h = 2: 2 endpoints, groups of 4, 7 of 8 ports; nine groups could be joined.
  const DragonflyShape d = largest_dragonfly(8);
  CHECK(Numbers{d.p, d.a, d.h, d.groups} == Numbers{2, 4, 2, 7});
  CHECK(counts(dragonfly(2, 4, 2, 9)) == Numbers{72, 36, 9 * 6 + 36});
}

TEST_CASE("inventory: cost is switches and links at their prices", "[inventory]") {
  CHECK(inventory_cost({100, 3, 10}, {1000 * USD, 7 * USD}).in(USD) == Approx(3070));
}

TEST_CASE("layout: ports of a leaf are split so that the stated ratio is not exceeded",
          "[inventory]") {
  struct Row {
    std::int64_t ports;
    double oversubscription;
    std::int64_t down, up;
  };
  for (const Row& row : {Row{64, 1, 32, 32},
                         {64, 3, 48, 16},
                         {64, 1.5, 38, 26},
                         {22, 1.2, 12, 10},
                         {64, 1.667, 40, 24},
                         {4, 100, 3, 1},
                         {2, 1, 1, 1},
                         {5, 1, 2, 3}}) {
    const FabricLayout l =
        fabric_layout(cluster_of(1, 1, tree(row.ports, true, row.oversubscription)));
    CHECK(l.leaf_down == row.down);
    CHECK(l.leaf_up == row.up);
    CHECK(static_cast<double>(l.leaf_down) <=
          row.oversubscription * static_cast<double>(l.leaf_up) + 1e-9);
  }
}

TEST_CASE("layout: four-port switches by hand", "[inventory]") {
  // Two ports down and two up. Rail-optimised: a leaf for each rail of two nodes.
  FabricLayout l = fabric_layout(cluster_of(4, 2, tree(4)));
  CHECK(leaves(l) == Numbers{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(switches(l) == Numbers{4, 2, 0, 8});
  CHECK(l.worst_oversubscription() == 1);
  // Otherwise a leaf for each node of two, and for two nodes of one.
  l = fabric_layout(cluster_of(4, 2, tree(4, false)));
  CHECK(leaves(l) == Numbers{0, 0, 1, 1, 2, 2, 3, 3});
  l = fabric_layout(cluster_of(4, 1, tree(4, false)));
  CHECK(leaves(l) == Numbers{0, 0, 1, 1});
  CHECK(switches(l) == Numbers{2, 1, 0, 4});  // each leaf has two cables to the one spine
  // A node of three spans two leaves.
  l = fabric_layout(cluster_of(2, 3, tree(4, false)));
  CHECK(leaves(l) == Numbers{0, 0, 1, 2, 2, 3});
  // One node a plane and leaf: rails of one node, two of which fit a leaf.
  l = fabric_layout(cluster_of(1, 4, tree(4)));
  CHECK(leaves(l) == Numbers{0, 0, 1, 1});
  // Three ports down, one up: six nodes of one GPU on two leaves.
  l = fabric_layout(cluster_of(6, 1, tree(4, true, 3)));
  CHECK(leaves(l) == Numbers{0, 0, 0, 1, 1, 1});
  CHECK(switches(l) == Numbers{2, 1, 0, 2});
  CHECK(l.worst_oversubscription() == 3);
  // A single leaf needs no spine.
  l = fabric_layout(cluster_of(2, 1, tree(4)));
  CHECK(switches(l) == Numbers{1, 0, 0, 0});
}

TEST_CASE("layout: planes and three levels by hand", "[inventory]") {
  // Two planes of four NICs: two leaves and a spine each. Leaves are numbered plane by plane.
  FabricLayout l = fabric_layout(cluster_of(4, 2, planes(4, 2)));
  CHECK(leaves(l) == Numbers{0, 2, 0, 2, 1, 3, 1, 3});
  CHECK(switches(l) == Numbers{4, 2, 0, 8});
  // Four GPUs a node on two planes: 0 and 2 on one, 1 and 3 on the other.
  l = fabric_layout(cluster_of(2, 4, planes(4, 2)));
  CHECK(leaves(l) == Numbers{0, 2, 1, 3, 0, 2, 1, 3});
  // Four-port switches carry 16 endpoints in four pods of two leaves and two spines.
  l = fabric_layout(cluster_of(8, 2, three_levels(tree(4))));
  CHECK(switches(l) == Numbers{8, 8, 4, 32});
  CHECK(l.pod_of_leaf(1) == 0);
  CHECK(l.pod_of_leaf(2) == 1);
  CHECK(l.pod_of_leaf(7) == 3);
  // Half of it: two pods, whose two spines of an index share one core switch.
  l = fabric_layout(cluster_of(4, 2, three_levels(tree(4))));
  CHECK(switches(l) == Numbers{4, 4, 2, 16});
  // A single pod needs no core.
  l = fabric_layout(cluster_of(2, 2, three_levels(tree(4))));
  CHECK(switches(l) == Numbers{2, 2, 0, 4});
}

TEST_CASE("layout: full clusters are the published networks", "[inventory]") {
  CHECK(counts(cluster_inventory(cluster_of(256, 8, tree(64)))) == counts(two_level_fat_tree(64)));
  CHECK(counts(cluster_inventory(cluster_of(256, 8, tree(64, false)))) ==
        counts(two_level_fat_tree(64)));
  CHECK(counts(cluster_inventory(cluster_of(2048, 8, planes(64, 8)))) ==
        counts(multi_plane_fat_tree(64, 8)));
  CHECK(counts(cluster_inventory(cluster_of(8192, 8, three_levels(tree(64))))) ==
        counts(three_level_fat_tree(64)));
}

TEST_CASE("layout: no leaf, spine or core has more cables than ports", "[inventory]") {
  for (const std::int64_t ports : {4, 5, 6, 8, 12})
    for (const double over : {1.0, 1.5, 3.0})
      for (const std::int64_t levels : {2, 3})
        for (std::int64_t nodes = 1; nodes <= 20; ++nodes)
          for (const std::int64_t gpus : {1, 2, 3, 8}) {
            FabricSpec fabric = tree(ports, nodes % 2 == 0, over);
            fabric.levels = levels;
            const ClusterSpec c = cluster_of(nodes, gpus, fabric);
            if (refusal_text(c) != "nothing was refused") continue;
            const FabricLayout l = fabric_layout(c);
            CAPTURE(ports, over, levels, nodes, gpus);
            std::vector<std::int64_t> on_leaf(static_cast<std::size_t>(l.num_leaves()));
            for (const std::int64_t leaf : leaves(l)) ++on_leaf.at(static_cast<std::size_t>(leaf));
            for (const std::int64_t n : on_leaf) REQUIRE((n >= 1 && n <= l.leaf_down));
            REQUIRE(l.leaf_down + l.leaf_up <= ports);
            if (l.spines_per_pod == 0) continue;
            // The spine with the most cables is the first.
            const std::int64_t cables = (l.leaf_up + l.spines_per_pod - 1) / l.spines_per_pod;
            REQUIRE(cables * l.leaves_per_pod + l.spine_up <= ports);
            REQUIRE(l.spines_per_pod <= l.leaf_up);
            if (l.cores_per_spine == 0) continue;
            const std::int64_t up = (l.spine_up + l.cores_per_spine - 1) / l.cores_per_spine;
            REQUIRE(up * l.pods_per_plane <= ports);
          }
}

TEST_CASE("bisection: by hand", "[inventory]") {
  CHECK(bisection_links(fabric_layout(cluster_of(4, 2, tree(4)))) == 4);  // all NICs of a half
  CHECK(bisection_links(fabric_layout(cluster_of(256, 8, tree(64)))) == 1024);
  CHECK(bisection_links(fabric_layout(cluster_of(256, 8, planes(64, 8)))) == 1024);
  // Two leaves of three NICs and one uplink.
  CHECK(bisection_links(fabric_layout(cluster_of(6, 1, tree(4, true, 3)))) == 1);
  // Two nodes under one leaf for each rail: no halving of the nodes crosses an uplink.
  CHECK(bisection_links(fabric_layout(cluster_of(2, 4, tree(8, true, 7)))) == 4);
}

TEST_CASE("bisection: the worst of all halvings, switch by switch", "[inventory]") {
  std::size_t compared = 0;
  for (const std::int64_t ports : {4, 5, 6})
    for (const double over : {1.0, 2.0, 5.0})
      for (const bool is_rail : {false, true})
        for (const std::int64_t levels : {2, 3})
          for (const std::int64_t nodes : {2, 3, 5, 6})
            for (const std::int64_t gpus : {1, 2, 3}) {
              FabricSpec fabric = tree(ports, is_rail, over);
              fabric.levels = levels;
              if (gpus == 2 && nodes % 2 == 1) fabric.planes = 2;
              const ClusterSpec c = cluster_of(nodes, gpus, fabric);
              if (refusal_text(c) != "nothing was refused") continue;
              CAPTURE(ports, over, is_rail, levels, nodes, gpus);
              const FabricLayout l = fabric_layout(c);
              REQUIRE(bisection_links(l) == fewest_links_cut(l));
              ++compared;
            }
  CHECK(compared > 100);
}

TEST_CASE("fabrics whose ports do not add up are refused with the arithmetic", "[inventory]") {
  CHECK(refusal_text(cluster_of(512, 8, tree(64))) ==
        "ports do not add up: 4096 GPUs are 128 leaves of 32 ports down and 32 up (32 nodes x 1 "
        "GPUs a leaf), but a spine of 64 ports reaches 64; expected fewer GPUs, more ports or 3 "
        "levels");
  CHECK(refusal_text(cluster_of(5, 2, planes(2, 2))) ==
        "ports do not add up: 5 GPUs on each of 2 planes are 5 leaves of 1 ports down and 1 up (1 "
        "nodes x 1 GPUs a leaf), but a spine of 2 ports reaches 2; expected fewer GPUs, more ports "
        "or 3 levels");
  CHECK(refusal_text(cluster_of(9, 2, three_levels(tree(4)))) ==
        "ports do not add up: 18 GPUs are 10 leaves of 2 ports down and 2 up (2 nodes x 1 GPUs a "
        "leaf) in 5 pods, but a core switch of 4 ports reaches 4; expected fewer GPUs or more "
        "ports");
  CHECK(refusal_text(cluster_of(2, 8, planes(64, 3))) ==
        "3 planes do not divide the 8 GPUs of a node");
}

TEST_CASE("fabrics in a cluster's file", "[inventory][bad_input]") {
  check_refusals(R"cases(
cluster.json: "levels": 2 => "levels": 1
    cluster.json: /fabric/levels: expected an integer from 2 to 3, found 1
cluster.json: "planes": 1 => "planes": 8
    cluster.json: /fabric/planes: 8 planes; expected 1, or the topology "multi_plane_fat_tree"
cluster.json: "fat_tree", "levels": 2, "planes": 1 => "multi_plane_fat_tree", "levels": 2, "planes": 16
    cluster.json: /fabric: 16 planes do not divide the 8 GPUs of a node
cluster.json: "switch_ports": 64 => "switch_ports": 2
    cluster.json: /fabric: ports do not add up: 16 GPUs are 16 leaves of 1 ports down and 1 up (1 nodes x 1 GPUs a leaf), but a spine of 2 ports reaches 2; expected fewer GPUs, more ports or 3 levels
cluster.json: "levels": 2 => "levels": 2, "routing": "random"
    cluster.json: /fabric/routing: unknown value "random"; known: adaptive, ecmp
cluster.json: "levels": 2 => "levels": 2, "prices": {"switch": 45000, "link": "1 USD"}
    cluster.json: /fabric/prices/switch: expected a quantity with a unit such as "45000 USD", found the number 45000
cluster.json: "levels": 2 => "levels": 2, "prices": {"switch": "45000 USD", "link": "1 USD/h"}
    cluster.json: /fabric/prices/link: unknown unit "USD/h"; known: USD
cluster.json: "levels": 2 => "levels": 2, "prices": {"switch": "-1 USD", "link": "1 USD"}
    cluster.json: /fabric/prices/switch: expected a quantity of zero or more, found "-1 USD"
cluster.json: "levels": 2 => "levels": 2, "prices": {"switch": "1 USD", "link": "1 USD"}
    cluster.json: /sources: missing key "prices"
cluster.json: "nic_latency": "3.7 us" => "nic_latency": "3.7 us", "same_leaf_latency": "2.8 us"
    cluster.json: /sources: missing key "same_leaf_latency"
cluster.json: "levels": 2 => "levels": 2, "failures": {"nics": [3, 16]}
    cluster.json: /fabric/failures/nics/1: expected an integer from 0 to 15, found 16
cluster.json: "levels": 2 => "levels": 2, "failures": {"nic": [3]}
    cluster.json: /fabric/failures: unknown key "nic"; did you mean "nics"?
cluster.json: "levels": 2 => "levels": 2, "failures": {"uplinks": [{"leaf": 0, "uplink": 26}]}
    cluster.json: /fabric/failures/uplinks: no leaf has an uplink: each plane is a single leaf
cluster.json: "switch_ports": 64 => "switch_ports": 8, "failures": {"uplinks": [{"leaf": 4, "uplink": 3}]}
    cluster.json: /fabric/failures/uplinks/0/leaf: expected an integer from 0 to 3, found 4
cluster.json: "switch_ports": 64 => "switch_ports": 8, "failures": {"uplinks": [{"leaf": 3, "uplink": 4}]}
    cluster.json: /fabric/failures/uplinks/0/uplink: expected an integer from 0 to 3, found 4
cluster.json: "fat_tree" => "dragonfly"
    cluster.json: /fabric: missing key "dragonfly"
)cases");
}

TEST_CASE("dragonfly and Slim Fly in a cluster's file", "[inventory][bad_input]") {
  const std::string whole =
      R"("topology": "fat_tree", "levels": 2, "planes": 1, "switch_ports": 64,
             "rail_optimized": true, "oversubscription": 1.5)";
  auto refused = [&](const std::string& fabric) {
    Texts texts = small_scenario();
    replace_once(texts.at("cluster.json"), whole, fabric);
    return refusal_of(texts);
  };
  const std::string fly = R"("topology": "dragonfly", "switch_ports": 64, "dragonfly": )";
  const std::string slim = R"("topology": "slim_fly", "switch_ports": 64, "slim_fly": )";
  CHECK(refused(fly + R"({"p": 16, "a": 32, "h": 16, "groups": 511})") == "nothing was refused");
  CHECK(refused(fly + R"({"p": 17, "a": 33, "h": 16, "groups": 511})") ==
        "cluster.json: /fabric: ports do not add up: p + (a - 1) + h = 17 + 32 + 16 = 65 of a "
        "switch, which has 64");
  CHECK(refused(fly + R"({"p": 2, "a": 4, "h": 2, "groups": 10})") ==
        "cluster.json: /fabric: ports do not add up: 10 groups, but the a x h = 8 global ports of "
        "one reach 8 others");
  CHECK(refused(fly + R"({"p": 1, "a": 3, "h": 1, "groups": 4})") ==
        "cluster.json: /fabric: ports do not add up: 16 GPUs, but these switches carry 12 "
        "endpoints");
  CHECK(refused(fly + R"({"p": 2, "a": 4, "h": 2})") ==
        "cluster.json: /fabric/dragonfly: missing key \"groups\"");
  CHECK(refused(fly + R"({"p": 2, "a": 4, "h": 2, "groups": 9}, "levels": 2)") ==
        "cluster.json: /fabric: unknown key \"levels\"; known: dragonfly, prices, switch_ports, "
        "topology");
  CHECK(refused(slim + R"({"q": 28, "endpoints_per_switch": 21})") == "nothing was refused");
  CHECK(refused(slim + R"({"q": 29, "endpoints_per_switch": 22})") ==
        "cluster.json: /fabric: ports do not add up: 43 to switches + 22 to endpoints = 65 of a "
        "switch, which has 64");
  CHECK(refused(slim + R"({"q": 6, "endpoints_per_switch": 1})") ==
        "cluster.json: /fabric/slim_fly/q: expected a number that is not 4w + 2, found 6");
}

TEST_CASE("shipped clusters: their files alone, and what they are built from", "[inventory]") {
  auto shipped = [](const std::string& name) {
    return read_cluster_file(scenario_folder() / "clusters" / (name + ".jsonc"));
  };
  // 2,048 H800: 8 planes of 8 leaves and 4 spines. ISCA'25, Table 3, prices a two-level tree of
  // as many endpoints, switches and links at 9 million USD.
  const ClusterSpec h800 = shipped("h800-2048");
  CHECK(h800.gpu.name == "H800");
  CHECK(counts(cluster_inventory(h800)) == Numbers{2048, 96, 2048});
  REQUIRE(h800.fabric.prices.has_value());
  CHECK(inventory_cost(cluster_inventory(h800), *h800.fabric.prices).in(USD) ==
        Approx(9e6).epsilon(0.001));
  CHECK(h800.same_leaf_latency.value().in(us) == Approx(2.8));
  CHECK(counts(cluster_inventory(shipped("h100-2048"))) == Numbers{2048, 96, 2048});
  // 72 rails of 8 racks, four on a leaf: 18 leaves, three of whose cables a spine can take.
  CHECK(switches(fabric_layout(shipped("gb200-nvl72"))) == Numbers{18, 11, 0, 18 * 32});
  CHECK(!shipped("a100-512").fabric.prices.has_value());
  const TemporaryFolder folder;
  folder.add_file("c.json", R"({"gpu": "none.json"})");
  CHECK(without(refusal([&] { read_cluster_file(folder.path() / "c.json"); }),
                folder.path().string() + "/") ==
        "c.json: /gpu: none.json: cannot be read: no such file");
}
