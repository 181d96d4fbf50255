#include "model/network/fabric_layout.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/errors.hpp"

namespace moesim {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

[[noreturn]] void ports_do_not_add_up(const FabricSpec& fabric, const std::string& why) {
  throw InputError(fabric.place, "ports do not add up: " + why);
}

std::string leaves_text(const ClusterSpec& cluster, const FabricLayout& l) {
  const std::string on_plane =
      l.planes == 1 ? "" : " on each of " + std::to_string(l.planes) + " planes";
  return std::to_string(cluster.num_gpus() / l.planes) + " GPUs" + on_plane + " are " +
         std::to_string(l.leaves_per_plane) + " leaves of " + std::to_string(l.leaf_down) +
         " ports down and " + std::to_string(l.leaf_up) + " up (" +
         std::to_string(l.nodes_per_leaf) + " nodes x " + std::to_string(l.rails_per_leaf) +
         " GPUs a leaf)";
}

void place_nics(const FabricSpec& fabric, FabricLayout& l) {
  const std::int64_t rails = l.gpus_per_node / l.planes;
  if (fabric.rail_optimized) {
    l.nodes_per_leaf = std::min(l.num_nodes, l.leaf_down);
    l.rails_per_leaf = std::min(rails, l.leaf_down / l.nodes_per_leaf);
  } else {
    l.rails_per_leaf = std::min(rails, l.leaf_down);
    l.nodes_per_leaf = std::min(l.num_nodes, l.leaf_down / l.rails_per_leaf);
  }
  l.leaves_per_block = ceil_div(rails, l.rails_per_leaf);
  l.leaves_per_plane = ceil_div(l.num_nodes, l.nodes_per_leaf) * l.leaves_per_block;
}

void check_shape(const FabricSpec& f, std::int64_t num_gpus) {
  const bool is_slim_fly = f.topology == Topology::slim_fly;
  const SlimFlyShape& s = f.slim_fly;
  const DragonflyShape& d = f.dragonfly;
  const std::int64_t ports_needed =
      is_slim_fly ? slim_fly_radix(s.q) + s.endpoints_per_switch : d.p + d.a - 1 + d.h;
  if (ports_needed > f.switch_ports) {
    const std::string sum = is_slim_fly
                                ? std::to_string(slim_fly_radix(s.q)) + " to switches + " +
                                      std::to_string(s.endpoints_per_switch) + " to endpoints"
                                : "p + (a - 1) + h = " + std::to_string(d.p) + " + " +
                                      std::to_string(d.a - 1) + " + " + std::to_string(d.h);
    ports_do_not_add_up(f,
                        sum + " = " + std::to_string(ports_needed) + " of a switch, which has " +
                            std::to_string(f.switch_ports));
  }
  if (!is_slim_fly && d.groups > d.a * d.h + 1)
    ports_do_not_add_up(f,
                        std::to_string(d.groups) +
                            " groups, but the a x h = " + std::to_string(d.a * d.h) +
                            " global ports of one reach " + std::to_string(d.a * d.h) + " others");
  const std::int64_t endpoints = is_slim_fly ? slim_fly(s.q, s.endpoints_per_switch).endpoints
                                             : dragonfly(d.p, d.a, d.h, d.groups).endpoints;
  if (num_gpus > endpoints)
    ports_do_not_add_up(f,
                        std::to_string(num_gpus) + " GPUs, but these switches carry " +
                            std::to_string(endpoints) + " endpoints");
}

// Links cut in a block of `nodes` nodes of which `apart` are parted from the spines and the rest: a
// leaf goes to the side where that costs less.
std::int64_t links_cut(const FabricLayout& l, std::int64_t nodes, std::int64_t apart) {
  std::int64_t cut = 0;
  std::int64_t rails = l.gpus_per_node / l.planes;
  for (std::int64_t leaf = 0; leaf < l.leaves_per_block; ++leaf, rails -= l.rails_per_leaf) {
    const std::int64_t here = std::min(rails, l.rails_per_leaf);
    cut += std::min(apart * here, (nodes - apart) * here + l.leaf_up);
  }
  return l.planes * cut;
}

// The fewest links around any `apart` nodes. links_cut is concave in `apart`, so in the worst
// choice all blocks of one size but one are taken whole or not at all; the last block may be
// smaller.
std::int64_t fewest_links_around(const FabricLayout& l, std::int64_t apart) {
  const std::int64_t block = l.nodes_per_leaf;
  const std::int64_t full_blocks = l.num_nodes / block, last_block = l.num_nodes % block;
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t in_last = 0; in_last <= std::min(last_block, apart); ++in_last) {
    const std::int64_t whole = (apart - in_last) / block, left = (apart - in_last) % block;
    if (whole + (left > 0 ? 1 : 0) > full_blocks) continue;
    fewest = std::min(fewest,
                      whole * links_cut(l, block, block) + links_cut(l, block, left) +
                          links_cut(l, last_block, in_last));
  }
  return fewest;
}

}  // namespace

std::int64_t FabricLayout::num_links() const {
  const std::int64_t to_spines = spines_per_pod > 0 ? num_leaves() * leaf_up : 0;
  return to_spines + num_spines() * spine_up;
}

double FabricLayout::worst_oversubscription() const {
  return static_cast<double>(nodes_per_leaf * rails_per_leaf) / static_cast<double>(leaf_up);
}

FabricLayout fabric_layout(const ClusterSpec& cluster) {
  const FabricSpec& fabric = cluster.fabric;
  ENSURE(is_fat_tree(fabric.topology));
  ENSURE(fabric.levels == 2 || fabric.levels == 3);
  FabricLayout l;
  l.num_nodes = cluster.num_nodes;
  l.gpus_per_node = cluster.gpus_per_node;
  l.planes = fabric.planes;
  if (l.gpus_per_node % l.planes != 0)
    throw InputError(fabric.place,
                     std::to_string(l.planes) + " planes do not divide the " +
                         std::to_string(l.gpus_per_node) + " GPUs of a node");
  const std::int64_t ports = fabric.switch_ports;
  // The margin is for quotients such as 22 / 2.2, whose last bit decides.
  const double up = static_cast<double>(ports) / (1 + fabric.oversubscription);
  l.leaf_up = static_cast<std::int64_t>(std::ceil(up - 1e-9));
  l.leaf_down = ports - l.leaf_up;
  ENSURE(l.leaf_up >= 1 && l.leaf_down >= 1);
  place_nics(fabric, l);

  const std::int64_t spine_down = fabric.levels == 3 ? ports / 2 : ports;
  l.leaves_per_pod = std::min(l.leaves_per_plane, spine_down);
  l.pods_per_plane = ceil_div(l.leaves_per_plane, l.leaves_per_pod);
  if (fabric.levels == 2 && l.pods_per_plane > 1)
    ports_do_not_add_up(fabric,
                        leaves_text(cluster, l) + ", but a spine of " + std::to_string(ports) +
                            " ports reaches " + std::to_string(ports) +
                            "; expected fewer GPUs, more ports or 3 levels");
  if (l.pods_per_plane > ports)
    ports_do_not_add_up(fabric,
                        leaves_text(cluster, l) + " in " + std::to_string(l.pods_per_plane) +
                            " pods, but a core switch of " + std::to_string(ports) +
                            " ports reaches " + std::to_string(ports) +
                            "; expected fewer GPUs or more ports");
  if (l.leaves_per_plane > 1) l.spines_per_pod = ceil_div(l.leaf_up, spine_down / l.leaves_per_pod);
  if (l.pods_per_plane > 1) {
    l.spine_up = ports / 2;
    l.cores_per_spine = ceil_div(l.spine_up, ports / l.pods_per_plane);
  }
  return l;
}

NetworkInventory cluster_inventory(const ClusterSpec& cluster) {
  const FabricSpec& f = cluster.fabric;
  if (f.topology == Topology::single_node) return {};
  if (is_fat_tree(f.topology)) {
    const FabricLayout l = fabric_layout(cluster);
    return {cluster.num_gpus(), l.num_leaves() + l.num_spines() + l.num_cores(), l.num_links()};
  }
  check_shape(f, cluster.num_gpus());
  return f.topology == Topology::slim_fly
             ? slim_fly(f.slim_fly.q, f.slim_fly.endpoints_per_switch)
             : dragonfly(f.dragonfly.p, f.dragonfly.a, f.dragonfly.h, f.dragonfly.groups);
}

std::int64_t bisection_links(const FabricLayout& layout) {
  const std::int64_t half = layout.num_nodes / 2;
  // The spines stay with the other nodes; of an odd number either part may be the larger.
  return std::min(fewest_links_around(layout, half),
                  fewest_links_around(layout, layout.num_nodes - half));
}

std::string fabric_blocking(const ClusterSpec& cluster) {
  if (cluster.num_nodes == 1) return "";
  const FabricSpec& fabric = cluster.fabric;
  const FabricLayout layout = fabric_layout(cluster);
  std::string text;
  auto add = [&text](const std::string& reason) { text += (text.empty() ? "" : ", ") + reason; };
  const bool has_spines = layout.spines_per_pod > 0;
  if (has_spines && layout.worst_oversubscription() > 1) add("leaves are oversubscribed");
  if (has_spines && fabric.routing == FabricRouting::ecmp)
    add("ECMP may hash messages to the same uplink");
  if (!fabric.failed_nics.empty() || !fabric.failed_uplinks.empty())
    add("NICs or uplinks have failed");
  return text;
}

}  // namespace moesim
