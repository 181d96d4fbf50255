// A cluster's network as links with capacities, and the path a message takes over them. What share
// of a link a message gets is decided in sim/flow_network, where it is known what else is on it.
//
// Every link has one direction. A GPU has an NVLink port into and out of its node's switch and a
// NIC port out and in; leaf and spine layers follow the fabric (model/network/fabric_layout):
//
//   nvlink_out -> nvlink_in                              inside a node
//   nic_out -> [leaf_up -> [spine_up -> spine_down] -> leaf_down] -> nic_in     between nodes
//
// Between nodes a message leaves by its GPU's NIC and arrives by its destination's, with two
// exceptions. A failed NIC is replaced by the next working one of its node (by local index,
// cyclic), to which NVLink carries the message. Planes have no link between them: a message to
// another plane first goes over NVLink to the GPU of its own node with the destination's local
// index, which is on that plane (as NCCL's PXN does, "Doubling all2all Performance with NVIDIA
// Collective Communication Library 2.12", NVIDIA 2022).
//
// Adaptive routing spreads every message over all uplinks of a switch, so the uplinks of a leaf
// (the core links of a pod) are one link of their summed capacity. ECMP hashes a message (source,
// destination, flow) to one uplink, and two messages may collide on it while others idle.
//
// A failed uplink is missing from the pool or from the ECMP set; which spines two leaves still have
// in common shrinks the ECMP set, but not the pool. Latency: nvlink_latency for each NVLink hop,
// and nic_latency between leaves however many switches are passed, or same_leaf_latency under one
// leaf where the cluster states it. Left out: failures of spine and core links, congestion control.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/collective/collective.hpp"
#include "model/network/fabric_layout.hpp"

namespace moesim {

enum class LinkKind : std::uint8_t {
  nvlink_out,
  nvlink_in,
  nic_out,
  nic_in,
  leaf_up,
  leaf_down,
  spine_up,
  spine_down
};

struct NetworkLink {
  LinkKind kind = LinkKind::nic_out;
  Bandwidth capacity;  // sustained, not datasheet
};

// NVLink at both ends, two NICs and three switch layers.
inline constexpr std::size_t kMostLinksOfAPath = 10;

struct NetworkPath {
  std::array<std::uint32_t, kMostLinksOfAPath> links{};  // indices into Network::links()
  std::size_t num_links = 0;
  Seconds latency;
};

class Network {
 public:
  // `rates`: what NVLink and NICs sustain (model/collective); a switch port has a NIC's datasheet
  // rate and sustains the same share of it. Refuses (InputError at the fabric's place) fabrics
  // whose ports do not add up, topologies that are only counted (dragonfly, Slim Fly) and failures
  // that disconnect GPUs. A cluster of one node needs no fabric: it has NVLink only.
  Network(const ClusterSpec& cluster, const LinkRates& rates);

  std::int64_t num_gpus() const { return num_gpus_; }
  // Failed links are listed with their capacity; no path leads over them.
  const std::vector<NetworkLink>& links() const { return links_; }
  // From one GPU to another (not itself). `flow` tells parallel messages of one pair apart under
  // ECMP.
  NetworkPath path(std::int64_t source, std::int64_t destination, std::uint64_t flow = 0) const;

 private:
  void mark_failures(const FabricSpec& fabric);
  void check_nodes(const FabricSpec& fabric) const;
  void check_leaves(const FabricSpec& fabric) const;
  void add_switch_links(Bandwidth port);
  bool uplink_works(std::int64_t leaf, std::int64_t uplink) const;
  bool spine_reaches(std::int64_t spine, std::int64_t leaf) const;
  // The GPUs whose NICs send and receive.
  std::pair<std::int64_t, std::int64_t> nics_between(std::int64_t source,
                                                     std::int64_t destination) const;
  void cross_pooled(std::int64_t from, std::int64_t to, NetworkPath& path) const;
  void cross_hashed(std::int64_t from,
                    std::int64_t to,
                    std::uint64_t hash,
                    NetworkPath& path) const;

  std::int64_t num_gpus_ = 0, gpus_per_node_ = 0;
  Seconds nvlink_latency_, nic_latency_, same_leaf_latency_;
  bool is_hashed_ = false;
  FabricLayout layout_;                      // unset for a single node
  std::vector<std::uint8_t> nic_failed_;     // [num_gpus]
  std::vector<std::uint8_t> uplink_failed_;  // [num_leaves, leaf_up]
  std::vector<NetworkLink> links_;
  // First link of each kind; a kind's links are in the order of GPUs, leaves (uplinks) or pods
  // (spines, their uplinks).
  std::array<std::uint32_t, 8> first_link_{};
};

}  // namespace moesim
