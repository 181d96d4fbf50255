// A collective as data: rounds of messages between the ranks of a group, for the network simulator
// (sim/collective_run), and the same collective in closed form. One source file an algorithm, with
// its derivation, and one line for each kind it serves in the table in rounds.cpp.
//
//   ring          reduce-scatter, all-gather and both: least bytes, latency grows with the ranks
//
//   tree          binomial, over nodes and then inside them: least latency, all bytes at each level
//
//   hierarchical  inside the node, rail-wise between nodes, inside again: few bytes through a NIC
//
//   pairwise      all-to-all, one partner at a time
//
//   direct        send; all-to-all with every message in flight at once
//
// A round starts when the last message of the one before has arrived, at every rank. Left out:
// pipelining of slices across rounds (trees send whole buffers here; the pipelined pair of binary
// trees of Sanders, Speck and Traff, Parallel Computing 35, 2009, which NCCL uses, comes near S /
// rate for any number of ranks), the time that adding numbers takes, and SMs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/collective/collective.hpp"
#include "model/profile.hpp"

namespace moesim {

enum class CollectiveKind {
  all_reduce,      // every rank gets the sum of all buffers
  reduce_scatter,  // rank r gets the r-th part of that sum
  all_gather,      // rank r has the r-th part; every rank gets all parts
  broadcast,       // rank 0 has the buffer; every rank gets it
  all_to_all,      // rank s has a part for every rank d; rank d gets those from every rank
  send             // rank 0 has the buffer; rank 1 gets it
};
enum class CollectiveAlgorithm { ring, tree, hierarchical, pairwise, direct };

// Ranks are numbered node by node, and every node has the same number of them.
struct RankGroup {
  std::int64_t ranks = 1, ranks_per_node = 1;
  std::int64_t num_nodes() const { return ranks / ranks_per_node; }
  bool same_node(std::int64_t a, std::int64_t b) const {
    return a / ranks_per_node == b / ranks_per_node;
  }
};

struct CollectiveSpec {
  CollectiveKind kind = CollectiveKind::all_reduce;
  CollectiveAlgorithm algorithm = CollectiveAlgorithm::ring;
  RankGroup group;
  // A rank's whole buffer, as in nccl-tests: the input of a reduce-scatter or all-to-all, the
  // output of an all-gather.
  Bytes bytes;
};

// Empty when there is such a collective, else why not, for the reader of the plan to put a place
// to: "broadcast by ring is not known; known: ...".
std::string collective_refusal(const CollectiveSpec& spec);

// Chunks first, first + stride, ... The buffer is cut into equal chunks; a rank's part is a range
// of them. In an all-to-all chunk s * ranks + d goes from rank s to rank d.
struct Chunks {
  std::int64_t first = 0, count = 1, stride = 1;
};

struct Transfer {
  std::int32_t source = 0, destination = 0;
  Chunks chunks;  // carried in the first repetition of its round
  // Index in its round; read when the round repeats: the next time this transfer carries what that
  // one has just brought to its source. Its bytes stay the same.
  std::int32_t follows = 0;
};

struct Round {
  std::vector<Transfer> transfers;
  std::int64_t repeat = 1;
  bool reduces = false;  // what arrives is added to what the destination holds, else replaces it
};

struct Collective {
  CollectiveSpec spec;
  std::int64_t num_chunks = 1;
  Bytes chunk;
  std::vector<Round> rounds;  // no round is empty
  Bytes bytes(const Transfer& t) const { return static_cast<double>(t.chunks.count) * chunk; }
};

// ENSUREs that there is no refusal. Memory is linear in the ranks for rings, trees and hierarchical
// collectives (times the ranks of a node), quadratic for pairwise and direct all-to-alls.
Collective build_collective(const CollectiveSpec& spec);

// A message has the regime (model/profile) that is first to reach up to its size; larger ones have
// the last. No regimes: no overhead, full rate.
SizeRegime regime_of(const std::vector<SizeRegime>& regimes, Bytes message);

struct LinkModel {
  Seconds latency;
  Bandwidth rate;
  std::vector<SizeRegime> regimes;  // ascending
};
struct CollectiveLinks {
  LinkModel nvlink, nic;
};
CollectiveLinks collective_links(const ClusterSpec& cluster, const LinkRates& links);

// The collective alone on a fabric that does not block: the sum of its rounds, each as long as its
// busiest port. ENSUREs that there is no refusal.
Seconds collective_time(const CollectiveSpec& spec, const CollectiveLinks& links);

}  // namespace moesim
