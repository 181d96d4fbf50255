// How a fat-tree fabric is wired: which leaf switch each GPU's NIC is plugged into, and how many
// leaf, spine and core switches that takes. For switches of k ports and a stated oversubscription:
//
//   leaf ports   up = ceil(k / (1 + oversubscription)), down = k - up: never more oversubscribed
//                than stated (38 down and 26 up of 64 ports at 1.5)
//   planes       a GPU with local index r is on plane r mod planes, as that plane's local index
//                i = floor(r / planes). Planes are alike and have no link between them
//   leaves       of a plane; one holds the NICs of `rails_per_leaf` local indices in
//                `nodes_per_leaf` nodes. Rail-optimised: one rail (local index) of up to `down`
//                nodes, or as many whole rails as fit where rails are short. Otherwise: whole
//                nodes, as many as fit; a node of more GPUs than `down` spans several leaves
//   two levels   a spine has k ports down and reaches L <= k leaves with floor(k / L) cables each;
//                spines = ceil(up / floor(k / L)), and uplink u of a leaf goes to spine u mod
//                spines
//   three levels pods of k/2 leaves; a spine has k/2 ports down and k/2 up, so that only leaves are
//                oversubscribed; P <= k pods. Spines with the same index in all pods share
//                ceil((k/2) / floor(k / P)) core switches (Al-Fares et al., SIGCOMM'08, where P =
//                k)
//
// A plane of one leaf has no spines. Leaves are numbered plane by plane, in a plane by nodes first,
// then by rails.
#pragma once

#include <cstdint>
#include <string>

#include "model/cluster_spec.hpp"
#include "model/network/inventory.hpp"

namespace moesim {

struct FabricLayout {
  std::int64_t num_nodes = 0, gpus_per_node = 0;
  std::int64_t planes = 1;
  std::int64_t leaf_down = 0, leaf_up = 0;  // ports of a leaf
  std::int64_t nodes_per_leaf = 0, rails_per_leaf = 0;
  std::int64_t leaves_per_block = 0;  // that hold the same nodes of a plane
  std::int64_t leaves_per_plane = 0;
  std::int64_t leaves_per_pod = 0, pods_per_plane = 1;  // two levels are one pod
  std::int64_t spines_per_pod = 0, spine_up = 0;        // cabled ports to core switches
  std::int64_t cores_per_spine = 0;                     // core switches a spine index reaches

  std::int64_t plane_of(std::int64_t gpu) const { return gpu % gpus_per_node % planes; }
  std::int64_t leaf_of(std::int64_t gpu) const {
    return plane_of(gpu) * leaves_per_plane +
           gpu / gpus_per_node / nodes_per_leaf * leaves_per_block +
           gpu % gpus_per_node / planes / rails_per_leaf;
  }
  // Pods are numbered plane by plane, too.
  std::int64_t pod_of_leaf(std::int64_t leaf) const {
    return leaf / leaves_per_plane * pods_per_plane + leaf % leaves_per_plane / leaves_per_pod;
  }

  std::int64_t num_leaves() const { return planes * leaves_per_plane; }
  std::int64_t num_spines() const { return planes * pods_per_plane * spines_per_pod; }
  std::int64_t num_cores() const { return planes * spines_per_pod * cores_per_spine; }
  std::int64_t num_links() const;  // between switches
  // NICs of a full leaf for each of its uplinks: what all of them sending to other leaves see.
  double worst_oversubscription() const;
};

// Of a cluster with a fat tree. InputError where the ports do not add up.
FabricLayout fabric_layout(const ClusterSpec& cluster);

// Of any cluster; nothing for a single node. InputError where the ports do not add up.
NetworkInventory cluster_inventory(const ClusterSpec& cluster);

// Links that must be cut to part half of the nodes from the others, for the worst choice of half.
// Nodes stay whole, because their GPUs are joined by NVLink as well. Failed links count as working.
std::int64_t bisection_links(const FabricLayout& layout);

// Why messages between nodes that share no port may slow each other ("leaves are oversubscribed,
// ..."), so that the time of a port is not that of an exchange; empty where they do not. The
// cluster has a fat tree or one node.
std::string fabric_blocking(const ClusterSpec& cluster);

}  // namespace moesim
