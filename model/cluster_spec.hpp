// What a cluster is: GPUs, nodes, links, price. Datasheet facts only, each with its source in the
// file; how much of a peak is ever reached is the profile's business (model/profile.hpp), never
// this file's.
//
// A node is an NVLink domain: 8 GPUs of a DGX-class server, 72 of an NVL72 rack. Bandwidths are per
// GPU and per direction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "model/json_reader.hpp"

namespace moesim {

struct GpuSpec {
  std::string name;
  std::string architecture;
  std::int64_t num_sms = 0;
  Bytes hbm;
  Bandwidth hbm_bandwidth;
  Bandwidth nvlink_bandwidth;        // per direction
  std::optional<FlopRate> peak_fp8;  // dense tensor-core peaks
  FlopRate peak_bf16;
};

enum class Topology { single_node, fat_tree, multi_plane_fat_tree };

struct FabricSpec {
  Topology topology = Topology::fat_tree;
  std::int64_t levels = 2;
  std::int64_t planes = 1;
  std::int64_t switch_ports = 64;
  bool rail_optimized = true;
  double oversubscription = 1;
};

struct ClusterSpec {
  std::string name;
  GpuSpec gpu;
  std::int64_t num_nodes = 0;
  std::int64_t gpus_per_node = 0;
  Bandwidth nic_bandwidth;  // per GPU and direction
  Seconds nvlink_latency, nic_latency;
  FabricSpec fabric;
  DollarRate price;  // per GPU
  std::int64_t num_gpus() const { return num_nodes * gpus_per_node; }
};

GpuSpec read_gpu_spec(const JsonNode& node);
// `node` has its `gpu` reference already replaced by the GPU file's object (model/scenario.cpp does
// that).
ClusterSpec read_cluster_spec(const JsonNode& node);

// Switches, links and cost of a network built from switches of `ports` ports, as counted by the
// topology's own arithmetic ("Insights into DeepSeek-V3", ISCA'25, Table 3; Slim Fly: Besta &
// Hoefler, SC'14; dragonfly: Kim et al., ISCA'08).
struct NetworkInventory {
  std::int64_t endpoints = 0, switches = 0,
               links = 0;  // links between switches; endpoint cables are not counted
};
NetworkInventory two_level_fat_tree(std::int64_t ports);
NetworkInventory multi_plane_fat_tree(std::int64_t ports, std::int64_t planes);
NetworkInventory three_level_fat_tree(std::int64_t ports);
// q: the prime power the Slim Fly is built over; its network radix is (3q - delta) / 2 with q = 4w
// + delta.
NetworkInventory slim_fly(std::int64_t q, std::int64_t endpoints_per_switch);
// p endpoints, a switches a group and h global ports a switch; `groups` groups, all global ports
// cabled.
NetworkInventory dragonfly(std::int64_t p, std::int64_t a, std::int64_t h, std::int64_t groups);

}  // namespace moesim
