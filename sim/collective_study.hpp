// What a collective costs on a cluster: closed form and simulation, alone and when groups of the
// same shape have one each at the same time. The measuring behind `moesim collective`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/network/network.hpp"
#include "sim/collective_run.hpp"

namespace moesim {

struct CollectiveGroups {
  RankGroup shape;                              // of every group
  std::vector<std::vector<std::int64_t>> gpus;  // [num_groups, ranks] all different
};

struct CollectiveMeasurement {
  CollectiveSpec spec;
  std::int64_t num_rounds = 0;
  Seconds closed_form;  // of one group
  Seconds together;     // until the last group ends
  Seconds alone;        // the same group, on the same paths, when no other sends
  Bytes busiest_nic;    // all groups together, in the NIC's busier direction
};

// Regimes are those of the links. ENSUREs that there is no refusal (model/collective/rounds).
CollectiveMeasurement measure_collective(const Network& network,
                                         const CollectiveLinks& links,
                                         const CollectiveGroups& groups,
                                         const CollectiveSpec& spec);

// nccl-tests (doc/PERFORMANCE.md): algorithm bandwidth is buffer / time. Bus bandwidth is that
// times a factor of the kind, the bytes a rank has to send at least over the buffer, which makes it
// comparable with a link whatever the number of ranks. Of the group that ends last.
Bandwidth algorithm_bandwidth(const CollectiveMeasurement& m);
Bandwidth bus_bandwidth(const CollectiveMeasurement& m);

// The GPUs of a group, ascending, as ranks; nothing when nodes have different numbers of them.
std::optional<RankGroup> shape_on_nodes(const std::vector<std::int64_t>& gpus,
                                        std::int64_t gpus_per_node);

// Empty, or why so many messages at once are not simulated.
std::string measurement_refusal(const ClusterSpec& cluster,
                                const CollectiveGroups& groups,
                                const CollectiveSpec& spec);

}  // namespace moesim
