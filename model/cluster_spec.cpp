#include "model/cluster_spec.hpp"

#include <cmath>

namespace moesim {
namespace {

// Every number of a facts file must say where it is from.
void require_sources(ObjectReader& reader, const std::vector<std::string>& keys) {
  ObjectReader sources = reader.object("sources");
  for (const std::string& key : keys) sources.text(key);
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
  gpu.hbm_bandwidth = reader.bandwidth("hbm_bandwidth");
  gpu.nvlink_bandwidth = reader.bandwidth("nvlink_bandwidth");
  ObjectReader peak = reader.object("peak");
  if (peak.has("fp4")) peak.flop_rate("fp4");
  if (peak.has("fp8")) gpu.peak_fp8 = peak.flop_rate("fp8");
  gpu.peak_bf16 = peak.flop_rate("bf16");
  peak.flop_rate("fp32");
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
  cluster.nic_bandwidth = reader.bandwidth("nic_bandwidth");
  cluster.nvlink_latency = reader.seconds("nvlink_latency");
  cluster.nic_latency = reader.seconds("nic_latency");
  ObjectReader fabric = reader.object("fabric");
  const std::string topology = fabric.choice("topology", {"single_node", "fat_tree", "multi_plane_fat_tree"});
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
    reader.fail("fabric/topology", "\"single_node\" with num_nodes " + std::to_string(cluster.num_nodes));
  cluster.price = reader.dollar_rate("price");
  require_sources(reader, {"num_nodes", "nic_bandwidth", "nvlink_latency", "nic_latency", "fabric", "price"});
  reader.finish();
  return cluster;
}

NetworkInventory two_level_fat_tree(std::int64_t ports) {
  // Every leaf has ports/2 endpoints and ports/2 uplinks, one to each spine; a spine reaches `ports` leaves.
  return {ports * ports / 2, ports + ports / 2, ports * ports / 2};
}

NetworkInventory multi_plane_fat_tree(std::int64_t ports, std::int64_t planes) {
  const NetworkInventory plane = two_level_fat_tree(ports);
  return {planes * plane.endpoints, planes * plane.switches, planes * plane.links};
}

NetworkInventory three_level_fat_tree(std::int64_t ports) {
  // Al-Fares et al., SIGCOMM'08: k pods of k/2 edge and k/2 aggregation switches, (k/2)^2 core switches.
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
