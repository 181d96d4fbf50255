// Collectives on a network: each of their rounds starts when the one before has ended, and all that
// run at the same time share the links (sim/flow_network).
//
// Left out: what a GPU does besides (start times are given), and that a rank which has all it needs
// could start its next message before the slowest rank has ended its round.
#pragma once

#include <cstdint>
#include <vector>

#include "model/collective/rounds.hpp"
#include "model/network/network.hpp"

namespace moesim {

struct CollectiveCall {
  Collective collective;
  std::vector<std::int64_t> gpus;  // [ranks] the GPU of every rank, all different
  Seconds start;
  // Overheads delay the messages; below full efficiency a message keeps its links busy as if it had
  // 1 / efficiency of its bytes. Which list a message goes by is a question of the group's nodes.
  std::vector<SizeRegime> nvlink_regimes, nic_regimes;
};

// When each call ends. Calls that share no link, directly or through others, are simulated on their
// own; a call that has its part of the network to itself has a repeated round simulated once.
std::vector<Seconds> run_collectives(const Network& network,
                                     const std::vector<CollectiveCall>& calls);

}  // namespace moesim
