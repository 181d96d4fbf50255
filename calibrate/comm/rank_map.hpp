// Which ranks share a node, and which a rail: gathered from where every rank runs. A node is a
// host; rail l joins the l-th ranks of all hosts, as a rail-optimised fabric joins their NICs.
//
// Launchers number ranks as they like (by host, or dealt out over hosts). Everything measured here
// numbers them by node: place p is rank p % ranks_per_node of node p / ranks_per_node, hosts in the
// order of their lowest rank.
//
// Left out: GPUs of one host that no NVLink joins, which this reports as one node, and fabrics
// whose rails are wired otherwise.
#pragma once

#include <string>
#include <vector>

#include "calibrate/comm/bootstrap.hpp"

namespace moesim::comm {

struct RankPlace {
  std::string host, bus_id, gpu_name;
};

// How two ranks reach each other.
enum class LinkClass { self, nvlink, rail, cross_rail };
inline constexpr int kNumLinkClasses = 4;
const char* link_class_name(LinkClass link);

class RankMap {
 public:
  // places: [rank]. std::runtime_error where hosts have different numbers of ranks, two ranks one
  // GPU, or GPUs differ.
  explicit RankMap(const std::vector<RankPlace>& places);
  // Of `world` ranks in order; the fake's.
  RankMap(int world, int ranks_per_node);

  int world() const { return static_cast<int>(rank_of_place_.size()); }
  int ranks_per_node() const { return ranks_per_node_; }
  int num_nodes() const { return world() / ranks_per_node_; }
  int node(int place) const { return place / ranks_per_node_; }
  int rail(int place) const { return place % ranks_per_node_; }
  int rank_of_place(int place) const { return rank_of_place_[static_cast<std::size_t>(place)]; }
  int place_of_rank(int rank) const { return place_of_rank_[static_cast<std::size_t>(rank)]; }
  LinkClass link(int from, int to) const;  // places

  // Places of the groups that `place` is in.
  std::vector<int> all() const;
  std::vector<int> same_node(int place) const;
  std::vector<int> same_rail(int place) const;

 private:
  std::vector<int> rank_of_place_, place_of_rank_;
  int ranks_per_node_ = 1;
};

// Where all ranks run, by rank; every rank gives its own.
std::vector<RankPlace> gather_places(Bootstrap& bootstrap, const RankPlace& own);

}  // namespace moesim::comm
