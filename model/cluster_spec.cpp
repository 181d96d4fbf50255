#include "model/cluster_spec.hpp"

#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Forty times the largest cluster built; the memory of a simulation grows with it.
constexpr std::int64_t kMostGpus = 1 << 22;
// Below these a prefix of the unit is missing: gigabit Ethernet, and a GPU of 2006.
constexpr const char* kSlowestLink = "100 MB/s";
constexpr const char* kSlowestPeak = "100 GFLOP/s";
constexpr const char* kLongestLatency = "1 s";

// Every number of a facts file must say where it is from.
void require_sources(ObjectReader& reader, const std::vector<std::string>& keys) {
  ObjectReader sources = reader.object("sources");
  for (const std::string& key : keys)
    if (sources.text(key).empty()) sources.fail(key, "is empty; expected where the figure is from");
  sources.finish();
}

}  // namespace

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
  require_sources(reader, {"num_sms", "hbm", "hbm_bandwidth", "nvlink_bandwidth", "peak"});
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
  ObjectReader fabric = reader.object("fabric");
  const std::string topology =
      fabric.choice("topology", {"single_node", "fat_tree", "multi_plane_fat_tree"});
  cluster.fabric.topology = topology == "single_node" ? Topology::single_node
                            : topology == "fat_tree"  ? Topology::fat_tree
                                                      : Topology::multi_plane_fat_tree;
  cluster.fabric.levels = fabric.integer("levels", 1, 3);
  cluster.fabric.planes = fabric.integer("planes", 1, 64);
  cluster.fabric.switch_ports = fabric.integer("switch_ports", 2, 1024);
  cluster.fabric.rail_optimized = fabric.boolean("rail_optimized");
  cluster.fabric.oversubscription = fabric.number("oversubscription", 1, 100);
  fabric.finish();
  if (cluster.fabric.topology == Topology::single_node && cluster.num_nodes != 1)
    fabric.fail("topology",
                "\"single_node\", but num_nodes is " + std::to_string(cluster.num_nodes));
  cluster.price = reader.dollar_rate("price");
  require_sources(
      reader, {"num_nodes", "nic_bandwidth", "nvlink_latency", "nic_latency", "fabric", "price"});
  reader.finish();
  return cluster;
}

NetworkInventory two_level_fat_tree(std::int64_t ports) {
  // Every leaf has ports/2 endpoints and ports/2 uplinks, one to each spine; a spine reaches
  // `ports` leaves.
  return {ports * ports / 2, ports + ports / 2, ports * ports / 2};
}

NetworkInventory multi_plane_fat_tree(std::int64_t ports, std::int64_t planes) {
  const NetworkInventory plane = two_level_fat_tree(ports);
  return {planes * plane.endpoints, planes * plane.switches, planes * plane.links};
}

NetworkInventory three_level_fat_tree(std::int64_t ports) {
  // Al-Fares et al., SIGCOMM'08: k pods of k/2 edge and k/2 aggregation switches, (k/2)^2 core
  // switches.
  const std::int64_t endpoints = ports * ports * ports / 4;
  return {endpoints, ports * ports + ports * ports / 4, 2 * endpoints};
}

NetworkInventory slim_fly(std::int64_t q, std::int64_t endpoints_per_switch) {
  const std::int64_t delta = q % 4 == 3 ? -1 : q % 4 == 1 ? 1 : 0;
  const std::int64_t switches = 2 * q * q, radix = (3 * q - delta) / 2;
  return {switches * endpoints_per_switch, switches, switches * radix / 2};
}

NetworkInventory dragonfly(std::int64_t p, std::int64_t a, std::int64_t h, std::int64_t groups) {
  const std::int64_t switches = groups * a;
  return {switches * p, switches, groups * (a * (a - 1) / 2) + groups * a * h / 2};
}

}  // namespace moesim
