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
#include <vector>

#include "model/json_reader.hpp"
#include "model/network/inventory.hpp"

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
  std::optional<Power> max_power;  // what the board may draw (TDP): an upper bound of its power
};

// The first three are simulated; dragonfly and Slim Fly are counted and priced only.
enum class Topology { single_node, fat_tree, multi_plane_fat_tree, dragonfly, slim_fly };
inline bool is_fat_tree(Topology t) {
  return t == Topology::fat_tree || t == Topology::multi_plane_fat_tree;
}
const char* topology_name(Topology topology);  // as files write it
enum class FabricRouting { adaptive, ecmp };

struct FailedUplink {
  std::int64_t leaf = 0, uplink = 0;
};

// How nodes are joined; what the numbers build is in model/network/fabric_layout. In a file:
//   {"topology": "fat_tree", "levels": 2, "planes": 1, "switch_ports": 64, "rail_optimized": true,
//    "oversubscription": 1, "routing": "adaptive",
//    "failures": {"nics": [5], "uplinks": [{"leaf": 0, "uplink": 3}]},
//    "prices": {"switch": "83008 USD", "link": "503.5 USD"}}
//   {"topology": "dragonfly", "switch_ports": 64,
//    "dragonfly": {"p": 16, "a": 32, "h": 16, "groups": 511}}
//   {"topology": "slim_fly", "switch_ports": 64, "slim_fly": {"q": 28, "endpoints_per_switch": 21}}
// "routing" is adaptive where a file does not say; "failures" and "prices" may be left out.
struct FabricSpec {
  Topology topology = Topology::fat_tree;
  std::int64_t levels = 2;  // of switches: 2 or 3
  std::int64_t planes = 1;
  std::int64_t switch_ports = 64;
  bool rail_optimized = true;
  double oversubscription = 1;  // down ports over up ports of a leaf
  FabricRouting routing = FabricRouting::adaptive;
  std::vector<std::int64_t> failed_nics;  // GPUs whose NIC is down
  std::vector<FailedUplink> failed_uplinks;
  std::optional<NetworkPrices> prices;
  DragonflyShape dragonfly;
  SlimFlyShape slim_fly;
  std::string place;  // in the file, for refusals
};

struct ClusterSpec {
  std::string name;
  GpuSpec gpu;
  std::int64_t num_nodes = 0;
  std::int64_t gpus_per_node = 0;
  Bandwidth nic_bandwidth;  // per GPU and direction
  Seconds nvlink_latency, nic_latency;
  std::optional<Seconds> same_leaf_latency;  // between NICs of one leaf; absent: nic_latency
  FabricSpec fabric;
  DollarRate price;  // per GPU
  std::int64_t num_gpus() const { return num_nodes * gpus_per_node; }
};

GpuSpec read_gpu_spec(const JsonNode& node);
// `node` has its `gpu` reference already replaced by the GPU file's object (model/scenario.cpp does
// that). Refuses fabrics whose ports do not add up.
ClusterSpec read_cluster_spec(const JsonNode& node);
// A cluster's file alone, with the GPU file it names.
ClusterSpec read_cluster_file(const std::filesystem::path& path);

}  // namespace moesim
