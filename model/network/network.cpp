#include "model/network/network.hpp"

#include <map>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA'14): every input bit moves every output bit.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::int64_t hashed_index(std::uint64_t hash, std::int64_t size) {
  return static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(size));
}

void append(NetworkPath& path, std::int64_t link) {
  ENSURE(path.num_links < kMostLinksOfAPath);
  path.links[path.num_links++] = static_cast<std::uint32_t>(link);
}

// One of first, first + step, ... below `end` that is usable, by hash.
template <class Usable>
std::int64_t choose(
    std::int64_t first, std::int64_t step, std::int64_t end, std::uint64_t hash, Usable usable) {
  std::int64_t count = 0;
  for (std::int64_t i = first; i < end; i += step) count += usable(i) ? 1 : 0;
  ENSURE(count > 0);
  std::int64_t skip = hashed_index(hash, count);
  for (std::int64_t i = first;; i += step)
    if (usable(i) && skip-- == 0) return i;
}

[[noreturn]] void disconnected(const FabricSpec& fabric, const std::string& what) {
  throw InputError(fabric.place, "failures disconnect the fabric: " + what);
}

}  // namespace

Network::Network(const ClusterSpec& cluster, const LinkRates& rates)
    : num_gpus_(cluster.num_gpus()),
      gpus_per_node_(cluster.gpus_per_node),
      nvlink_latency_(cluster.nvlink_latency),
      nic_latency_(cluster.nic_latency),
      same_leaf_latency_(cluster.same_leaf_latency.value_or(cluster.nic_latency)),
      is_hashed_(cluster.fabric.routing == FabricRouting::ecmp) {
  ENSURE(num_gpus_ > 0 && rates.nvlink > Bandwidth());
  const FabricSpec& fabric = cluster.fabric;
  auto add_links = [&](LinkKind kind, std::int64_t count, Bandwidth capacity) {
    first_link_[static_cast<std::size_t>(kind)] = static_cast<std::uint32_t>(links_.size());
    links_.insert(links_.end(), static_cast<std::size_t>(count), {kind, capacity});
  };
  add_links(LinkKind::nvlink_out, num_gpus_, rates.nvlink);
  add_links(LinkKind::nvlink_in, num_gpus_, rates.nvlink);
  if (cluster.num_nodes == 1) return;
  ENSURE(fabric.topology != Topology::single_node && rates.nic > Bandwidth());
  if (!is_fat_tree(fabric.topology))
    throw InputError(fabric.place,
                     std::string("a \"") + topology_name(fabric.topology) +
                         "\" fabric is counted and priced, but not simulated; a run on " +
                         std::to_string(cluster.num_nodes) +
                         " nodes needs \"fat_tree\" or \"multi_plane_fat_tree\"");
  layout_ = fabric_layout(cluster);
  mark_failures(fabric);
  check_nodes(fabric);
  check_leaves(fabric);
  add_links(LinkKind::nic_out, num_gpus_, rates.nic);
  add_links(LinkKind::nic_in, num_gpus_, rates.nic);
  add_switch_links(rates.nic);
}

// Ranges are checked where failures are read; a spec made in code is checked here.
void Network::mark_failures(const FabricSpec& fabric) {
  nic_failed_.assign(static_cast<std::size_t>(num_gpus_), 0);
  for (const std::int64_t gpu : fabric.failed_nics) {
    ENSURE(gpu >= 0 && gpu < num_gpus_);
    nic_failed_[static_cast<std::size_t>(gpu)] = 1;
  }
  uplink_failed_.assign(static_cast<std::size_t>(layout_.num_leaves() * layout_.leaf_up), 0);
  for (const auto& [leaf, uplink] : fabric.failed_uplinks) {
    ENSURE(leaf >= 0 && leaf < layout_.num_leaves() && uplink >= 0 && uplink < layout_.leaf_up);
    uplink_failed_[static_cast<std::size_t>(leaf * layout_.leaf_up + uplink)] = 1;
  }
}

bool Network::uplink_works(std::int64_t leaf, std::int64_t uplink) const {
  return uplink_failed_[static_cast<std::size_t>(leaf * layout_.leaf_up + uplink)] == 0;
}

bool Network::spine_reaches(std::int64_t spine, std::int64_t leaf) const {
  for (std::int64_t u = spine; u < layout_.leaf_up; u += layout_.spines_per_pod)
    if (uplink_works(leaf, u)) return true;
  return false;
}

// Two nodes talk over a plane on which both have a NIC left.
void Network::check_nodes(const FabricSpec& fabric) const {
  if (fabric.failed_nics.empty()) return;
  std::map<std::vector<bool>, std::int64_t> node_with;  // planes left to a node -> such a node
  const std::int64_t num_nodes = num_gpus_ / gpus_per_node_;
  for (std::int64_t node = 0; node < num_nodes; ++node) {
    std::vector<bool> planes(static_cast<std::size_t>(layout_.planes), false);
    bool has_nic = false;
    for (std::int64_t gpu = node * gpus_per_node_; gpu < (node + 1) * gpus_per_node_; ++gpu) {
      if (nic_failed_[static_cast<std::size_t>(gpu)] != 0) continue;
      planes[static_cast<std::size_t>(layout_.plane_of(gpu))] = true;
      has_nic = true;
    }
    if (!has_nic) disconnected(fabric, "node " + std::to_string(node) + " has no NIC left");
    node_with.emplace(std::move(planes), node);
  }
  for (auto a = node_with.begin(); a != node_with.end(); ++a)
    for (auto b = node_with.begin(); b != a; ++b) {
      bool is_shared = false;
      for (std::size_t plane = 0; plane < a->first.size(); ++plane)
        is_shared = is_shared || (a->first[plane] && b->first[plane]);
      if (!is_shared)
        disconnected(fabric,
                     "nodes " + std::to_string(b->second) + " and " + std::to_string(a->second) +
                         " have no plane left in common");
    }
}

// Two leaves of a plane talk through a spine (in other pods, the spine of the same index) that both
// reach. A leaf without a working NIC carries nothing.
void Network::check_leaves(const FabricSpec& fabric) const {
  if (layout_.spines_per_pod == 0 || fabric.failed_uplinks.empty()) return;
  std::vector<bool> carries(static_cast<std::size_t>(layout_.num_leaves()), false);
  for (std::int64_t gpu = 0; gpu < num_gpus_; ++gpu)
    if (nic_failed_[static_cast<std::size_t>(gpu)] == 0)
      carries[static_cast<std::size_t>(layout_.leaf_of(gpu))] = true;
  std::map<std::vector<bool>, std::int64_t> leaf_with;  // plane and spines left -> such a leaf
  for (std::int64_t leaf = 0; leaf < layout_.num_leaves(); ++leaf) {
    if (leaf % layout_.leaves_per_plane == 0) leaf_with.clear();
    if (!carries[static_cast<std::size_t>(leaf)]) continue;
    std::vector<bool> spines;
    bool has_uplink = false;
    for (std::int64_t spine = 0; spine < layout_.spines_per_pod; ++spine) {
      spines.push_back(spine_reaches(spine, leaf));
      has_uplink = has_uplink || spines.back();
    }
    if (!has_uplink) disconnected(fabric, "leaf " + std::to_string(leaf) + " has no uplink left");
    for (const auto& [others, other] : leaf_with) {
      bool is_shared = false;
      for (std::size_t i = 0; i < spines.size(); ++i)
        is_shared = is_shared || (spines[i] && others[i]);
      if (!is_shared)
        disconnected(fabric,
                     "leaves " + std::to_string(other) + " and " + std::to_string(leaf) +
                         " have no spine left in common");
    }
    leaf_with.emplace(std::move(spines), leaf);
  }
}

void Network::add_switch_links(Bandwidth port) {
  auto add = [&](LinkKind kind, Bandwidth capacity) { links_.push_back({kind, capacity}); };
  auto start = [&](LinkKind kind) {
    first_link_[static_cast<std::size_t>(kind)] = static_cast<std::uint32_t>(links_.size());
  };
  if (layout_.spines_per_pod == 0) return;
  for (const LinkKind kind : {LinkKind::leaf_up, LinkKind::leaf_down}) {
    start(kind);
    for (std::int64_t leaf = 0; leaf < layout_.num_leaves(); ++leaf) {
      std::int64_t working = 0;
      for (std::int64_t u = 0; u < layout_.leaf_up; ++u) {
        if (is_hashed_) add(kind, port);
        working += uplink_works(leaf, u) ? 1 : 0;
      }
      // A leaf without uplinks carries nothing (check_leaves).
      if (!is_hashed_) add(kind, static_cast<double>(working > 0 ? working : 1) * port);
    }
  }
  const std::int64_t pods = layout_.planes * layout_.pods_per_plane;
  const std::int64_t links_per_pod = layout_.spines_per_pod * layout_.spine_up;
  if (links_per_pod == 0) return;
  for (const LinkKind kind : {LinkKind::spine_up, LinkKind::spine_down}) {
    start(kind);
    if (is_hashed_)
      links_.insert(links_.end(), static_cast<std::size_t>(pods * links_per_pod), {kind, port});
    else
      links_.insert(links_.end(),
                    static_cast<std::size_t>(pods),
                    {kind, static_cast<double>(links_per_pod) * port});
  }
}

std::pair<std::int64_t, std::int64_t> Network::nics_between(std::int64_t source,
                                                            std::int64_t destination) const {
  auto works = [&](std::int64_t gpu) { return nic_failed_[static_cast<std::size_t>(gpu)] == 0; };
  const std::int64_t n = gpus_per_node_;
  const std::int64_t source_node = source / n * n, destination_node = destination / n * n;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t receiver = destination_node + (destination + i) % n;
    if (!works(receiver)) continue;
    const bool own_plane = layout_.plane_of(source) == layout_.plane_of(receiver);
    // On another plane the GPU with the receiver's local index comes first.
    const std::int64_t first = own_plane ? source : receiver;
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t sender = source_node + (first + j) % n;
      if (works(sender) && layout_.plane_of(sender) == layout_.plane_of(receiver))
        return {sender, receiver};
    }
  }
  ENSURE(false);  // check_nodes
  return {};
}

void Network::cross_pooled(std::int64_t from, std::int64_t to, NetworkPath& path) const {
  auto link = [&](LinkKind kind, std::int64_t index) {
    append(path, first_link_[static_cast<std::size_t>(kind)] + index);
  };
  const std::int64_t from_pod = layout_.pod_of_leaf(from), to_pod = layout_.pod_of_leaf(to);
  link(LinkKind::leaf_up, from);
  if (from_pod != to_pod) {
    link(LinkKind::spine_up, from_pod);
    link(LinkKind::spine_down, to_pod);
  }
  link(LinkKind::leaf_down, to);
}

// Each switch on the way hashes anew among the links that lead to `to`: the leaf among its uplinks,
// the spine among its core switches, and on the way down among parallel cables.
void Network::cross_hashed(std::int64_t from,
                           std::int64_t to,
                           std::uint64_t hash,
                           NetworkPath& path) const {
  auto link = [&](LinkKind kind, std::int64_t index) {
    append(path, first_link_[static_cast<std::size_t>(kind)] + index);
  };
  auto next_hash = [&hash] { return hash = mix(hash); };
  const FabricLayout& l = layout_;
  const std::int64_t spines = l.spines_per_pod;
  const std::int64_t uplink = choose(0, 1, l.leaf_up, next_hash(), [&](std::int64_t u) {
    return uplink_works(from, u) && spine_reaches(u % spines, to);
  });
  const std::int64_t spine = uplink % spines;
  link(LinkKind::leaf_up, from * l.leaf_up + uplink);
  const std::int64_t from_pod = l.pod_of_leaf(from), to_pod = l.pod_of_leaf(to);
  if (from_pod != to_pod) {
    // Cable v of a spine goes to core switch v mod cores_per_spine.
    const std::int64_t up = hashed_index(next_hash(), l.spine_up);
    const std::int64_t down = choose(
        up % l.cores_per_spine, l.cores_per_spine, l.spine_up, next_hash(), [](std::int64_t) {
          return true;
        });
    link(LinkKind::spine_up, (from_pod * spines + spine) * l.spine_up + up);
    link(LinkKind::spine_down, (to_pod * spines + spine) * l.spine_up + down);
  }
  const std::int64_t cable = choose(
      spine, spines, l.leaf_up, next_hash(), [&](std::int64_t u) { return uplink_works(to, u); });
  link(LinkKind::leaf_down, to * l.leaf_up + cable);
}

NetworkPath Network::path(std::int64_t source, std::int64_t destination, std::uint64_t flow) const {
  ENSURE(source >= 0 && source < num_gpus_ && destination >= 0 && destination < num_gpus_);
  ENSURE(source != destination);
  NetworkPath path;
  auto link = [&](LinkKind kind, std::int64_t gpu) {
    append(path, first_link_[static_cast<std::size_t>(kind)] + gpu);
  };
  auto over_nvlink = [&](std::int64_t from, std::int64_t to) {
    link(LinkKind::nvlink_out, from);
    link(LinkKind::nvlink_in, to);
    path.latency += nvlink_latency_;
  };
  if (source / gpus_per_node_ == destination / gpus_per_node_) {
    over_nvlink(source, destination);
    return path;
  }
  const auto [sender, receiver] = nics_between(source, destination);
  if (sender != source) over_nvlink(source, sender);
  link(LinkKind::nic_out, sender);
  const std::int64_t from = layout_.leaf_of(sender), to = layout_.leaf_of(receiver);
  path.latency += from == to ? same_leaf_latency_ : nic_latency_;
  if (from != to && !is_hashed_) cross_pooled(from, to, path);
  if (from != to && is_hashed_) {
    const std::uint64_t message =
        mix(mix(static_cast<std::uint64_t>(source)) ^ static_cast<std::uint64_t>(destination));
    cross_hashed(from, to, mix(message ^ flow), path);
  }
  link(LinkKind::nic_in, receiver);
  if (receiver != destination) over_nvlink(receiver, destination);
  return path;
}

}  // namespace moesim
