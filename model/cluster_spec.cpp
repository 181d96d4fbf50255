#include "model/cluster_spec.hpp"

#include <algorithm>
#include <utility>

#include "model/errors.hpp"
#include "model/network/fabric_layout.hpp"

namespace moesim {
namespace {

// Forty times the largest cluster built; the memory of a simulation grows with it.
constexpr std::int64_t kMostGpus = 1 << 22;
// Below these a prefix of the unit is missing: gigabit Ethernet, and a GPU of 2006.
constexpr const char* kSlowestLink = "100 MB/s";
constexpr const char* kSlowestPeak = "100 GFLOP/s";
constexpr const char* kLongestLatency = "1 s";
constexpr Dollars kHighestPrice = 1e9 * USD;  // of one switch or link

// Every number of a facts file must say where it is from.
void require_sources(ObjectReader& reader, const std::vector<std::string>& keys) {
  ObjectReader sources = reader.object("sources");
  for (const std::string& key : keys)
    if (sources.text(key).empty()) sources.fail(key, "is empty; expected where the figure is from");
  sources.ignore("prices");  // may outlive them: an override of the fabric leaves them out
  sources.finish();
}

constexpr std::pair<const char*, Topology> kTopologies[] = {
    {"single_node", Topology::single_node},
    {"fat_tree", Topology::fat_tree},
    {"multi_plane_fat_tree", Topology::multi_plane_fat_tree},
    {"dragonfly", Topology::dragonfly},
    {"slim_fly", Topology::slim_fly}};

Topology read_topology(ObjectReader& fabric) {
  std::vector<std::string> names;
  for (const auto& [name, topology] : kTopologies) names.emplace_back(name);
  const std::string chosen = fabric.choice("topology", names);
  const auto at = std::find(names.begin(), names.end(), chosen);
  return kTopologies[static_cast<std::size_t>(at - names.begin())].second;
}

void read_tree(ObjectReader& fabric, FabricSpec& f) {
  f.levels = fabric.integer("levels", 2, 3);
  f.planes = fabric.integer("planes", 1, 64);
  f.rail_optimized = fabric.boolean("rail_optimized");
  f.oversubscription = fabric.number("oversubscription", 1, 100);
  if (fabric.has("routing"))
    f.routing = fabric.choice("routing", {"adaptive", "ecmp"}) == "ecmp" ? FabricRouting::ecmp
                                                                         : FabricRouting::adaptive;
  if (f.topology != Topology::multi_plane_fat_tree && f.planes != 1)
    fabric.fail(
        "planes",
        std::to_string(f.planes) + " planes; expected 1, or the topology \"multi_plane_fat_tree\"");
}

// The lanes of the largest switch chip (Broadcom Tomahawk 6, 2025).
constexpr std::int64_t kMostPorts = 1024;

void read_dragonfly(ObjectReader shape, DragonflyShape& d) {
  d.p = shape.integer("p", 1, kMostPorts);
  d.a = shape.integer("a", 1, kMostPorts);
  d.h = shape.integer("h", 1, kMostPorts);
  d.groups = shape.integer("groups", 1, kMostPorts * kMostPorts + 1);
  shape.finish();
}

void read_slim_fly(ObjectReader shape, SlimFlyShape& s) {
  s.q = shape.integer("q", 1, kMostPorts);
  // q = 4w + delta with delta -1, 0 or 1 (Besta & Hoefler, SC'14, section II-B1).
  if (s.q % 4 == 2)
    shape.fail("q", "expected a number that is not 4w + 2, found " + std::to_string(s.q));
  s.endpoints_per_switch = shape.integer("endpoints_per_switch", 1, kMostPorts);
  shape.finish();
}

// The leaves and uplinks that failures may name are those the layout has.
void read_failures(ObjectReader failures, const ClusterSpec& cluster, FabricSpec& f) {
  if (failures.has("nics"))
    f.failed_nics = failures.integer_list("nics", 0, cluster.num_gpus() - 1);
  if (const JsonNode* list = failures.optional("uplinks")) {
    if (list->kind != JsonNode::Kind::array)
      failures.fail("uplinks", "expected an array of objects, found " + list->describe());
    const FabricLayout layout = fabric_layout(cluster);
    if (layout.spines_per_pod == 0 && !list->items.empty())
      failures.fail("uplinks", "no leaf has an uplink: each plane is a single leaf");
    for (const JsonNode& item : list->items) {
      ObjectReader reader(item);
      FailedUplink failed;
      failed.leaf = reader.integer("leaf", 0, layout.num_leaves() - 1);
      failed.uplink = reader.integer("uplink", 0, layout.leaf_up - 1);
      reader.finish();
      f.failed_uplinks.push_back(failed);
    }
  }
  failures.finish();
}

// Everything but `fabric` is already in `cluster`.
void read_fabric(ObjectReader& fabric, ClusterSpec& cluster) {
  FabricSpec& f = cluster.fabric;
  f.place = fabric.node().place();
  f.topology = read_topology(fabric);
  f.switch_ports = fabric.integer("switch_ports", 2, kMostPorts);
  if (f.topology == Topology::dragonfly) {
    read_dragonfly(fabric.object("dragonfly"), f.dragonfly);
  } else if (f.topology == Topology::slim_fly) {
    read_slim_fly(fabric.object("slim_fly"), f.slim_fly);
  } else {
    read_tree(fabric, f);
  }
  if (f.topology == Topology::single_node && cluster.num_nodes != 1)
    fabric.fail("topology",
                "\"single_node\", but num_nodes is " + std::to_string(cluster.num_nodes));
  cluster_inventory(cluster);  // refuses what the ports do not carry
  if (is_fat_tree(f.topology) && fabric.has("failures"))
    read_failures(fabric.object("failures"), cluster, f);
  if (fabric.has("prices")) {
    ObjectReader prices = fabric.object("prices");
    f.prices = {prices.dollars("switch"), prices.dollars("link")};
    if (f.prices->per_switch > kHighestPrice) prices.fail("switch", "expected at most 1e9 USD");
    if (f.prices->per_link > kHighestPrice) prices.fail("link", "expected at most 1e9 USD");
    prices.finish();
  }
  fabric.finish();
}

}  // namespace

const char* topology_name(Topology topology) {
  for (const auto& [name, value] : kTopologies)
    if (value == topology) return name;
  ENSURE(false);
  return "";
}

GpuSpec read_gpu_spec(const JsonNode& node) {
  ObjectReader reader(node);
  GpuSpec gpu;
  gpu.name = reader.text("name");
  gpu.architecture = reader.text("architecture");
  gpu.num_sms = reader.integer("num_sms", 1, 4096);
  gpu.hbm = reader.bytes("hbm");
  gpu.hbm_bandwidth = reader.bandwidth_at_least("hbm_bandwidth", kSlowestLink);
  gpu.nvlink_bandwidth = reader.bandwidth_at_least("nvlink_bandwidth", kSlowestLink);
  ObjectReader peak = reader.object("peak");
  if (peak.has("fp4")) peak.flop_rate_at_least("fp4", kSlowestPeak);
  if (peak.has("fp8")) gpu.peak_fp8 = peak.flop_rate_at_least("fp8", kSlowestPeak);
  gpu.peak_bf16 = peak.flop_rate_at_least("bf16", kSlowestPeak);
  peak.flop_rate_at_least("fp32", kSlowestPeak);
  peak.finish();
  std::vector<std::string> facts = {"num_sms", "hbm", "hbm_bandwidth", "nvlink_bandwidth", "peak"};
  if (reader.has("max_power")) {
    gpu.max_power = reader.power("max_power");
    facts.emplace_back("max_power");
  }
  require_sources(reader, facts);
  reader.finish();
  return gpu;
}

ClusterSpec read_cluster_spec(const JsonNode& node) {
  ObjectReader reader(node);
  ClusterSpec cluster;
  cluster.name = reader.text("name");
  cluster.gpu = read_gpu_spec(reader.required("gpu"));
  cluster.num_nodes = reader.integer("num_nodes", 1, 1 << 20);
  cluster.gpus_per_node = reader.integer("gpus_per_node", 1, 1024);
  if (cluster.num_gpus() > kMostGpus)
    reader.fail("num_nodes",
                std::to_string(cluster.num_nodes) + " nodes x " +
                    std::to_string(cluster.gpus_per_node) +
                    " GPUs = " + std::to_string(cluster.num_gpus()) + "; expected at most " +
                    std::to_string(kMostGpus));
  cluster.nic_bandwidth = reader.bandwidth_at_least("nic_bandwidth", kSlowestLink);
  cluster.nvlink_latency = reader.seconds_at_most("nvlink_latency", kLongestLatency);
  cluster.nic_latency = reader.seconds_at_most("nic_latency", kLongestLatency);
  if (reader.has("same_leaf_latency"))
    cluster.same_leaf_latency = reader.seconds_at_most("same_leaf_latency", kLongestLatency);
  ObjectReader fabric = reader.object("fabric");
  read_fabric(fabric, cluster);
  cluster.price = reader.dollar_rate("price");
  std::vector<std::string> facts = {
      "num_nodes", "nic_bandwidth", "nvlink_latency", "nic_latency", "fabric", "price"};
  if (cluster.same_leaf_latency) facts.emplace_back("same_leaf_latency");
  if (cluster.fabric.prices) facts.emplace_back("prices");
  require_sources(reader, facts);
  reader.finish();
  return cluster;
}

ClusterSpec read_cluster_file(const std::filesystem::path& path) {
  JsonNode node = read_json_file(path);
  for (auto& [key, value] : node.members) {
    if (key != "gpu" || value.kind != JsonNode::Kind::string) continue;
    try {
      value = read_json_file((path.parent_path() / value.text).lexically_normal());
    } catch (const InputError& error) {
      throw InputError(value.place(), error.what());
    }
  }
  return read_cluster_spec(node);
}

}  // namespace moesim
