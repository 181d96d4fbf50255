// Collectives in closed form: bytes on each link class over what that class sustains, plus latency.
// One file each, with its derivation; a collective alone on a non-blocking fabric ends at its
// busiest port. What is left out is contention between collectives, which belongs to the network
// simulator.
//
// "Wire" bytes cross a link; "logical" bytes are what DeepEP's benchmark prints (it counts the copy
// for the own node too).
#pragma once

#include <cstdint>

#include "model/cluster_spec.hpp"
#include "model/profile.hpp"
#include "model/traffic.hpp"
#include "model/units.hpp"

namespace moesim {

// Sustained link rates of a cluster under a profile: datasheet rate times measured efficiency.
struct LinkRates {
  Bandwidth nvlink, nic;
};
LinkRates link_rates(const ClusterSpec& cluster, const CommModel& comm);

// two_hop.cpp: expert dispatch and combine, one copy per destination node over the NIC, forwarded
// over NVLink. Wire rows of one rank.
struct TwoHopTraffic {
  double nic_rows_sent = 0, nic_rows_received = 0;  // leaving and entering its NIC
  double nvlink_rows = 0;                           // over NVLink, in or out
  double handed_out_rows = 0;                       // copied by its SMs, those that stay included
};
// Dispatch of a rank that receives `received` tokens on a node whose ranks receive `node_mean` on
// average, sources being alike: one in per_node of its tokens comes through its own NIC or is its
// own, and crosses no NVLink, and the ranks of the node hand out in equal parts what all of them
// receive.
TwoHopTraffic two_hop_traffic(double nic_rows,
                              double received,
                              double node_mean,
                              std::int64_t per_node);
// Its combine: a rank hands back itself what it had received.
TwoHopTraffic handed_back(TwoHopTraffic dispatch, double received);
// copy_rate: what the SMs of the kernel move.
Seconds two_hop_time(const LinkRates& links,
                     const TwoHopTraffic& traffic,
                     Bytes row,
                     Bandwidth copy_rate);
// What `sms` SMs of a two-hop kernel move; without SMs set aside (0) the kernels take what DeepEP's
// benchmarks give them, 24 (deepseek-ai/DeepEP, tests/test_intranode.py).
Bandwidth copy_rate(Bandwidth per_sm, std::int64_t sms);

// busiest_port.cpp: any exchange of rows, given who sends to whom.
Seconds busiest_port_time(const LinkRates& links,
                          const ExpertTraffic& traffic,
                          Bytes row,
                          Bandwidth copy_rate);

// low_latency.cpp: one put per (token, expert), no reduction of duplicates.
Seconds low_latency_time(const ClusterSpec& cluster,
                         const CommModel& comm,
                         std::int64_t tokens,
                         std::int64_t top_k,
                         std::int64_t ep,
                         Bytes row);

// ring.cpp: reduce-scatter or all-gather of `bytes` (the whole buffer) over `ranks` ranks,
// `per_node` of them in a node.
Seconds ring_time(const ClusterSpec& cluster,
                  const LinkRates& links,
                  Bytes bytes,
                  std::int64_t ranks,
                  std::int64_t per_node);

// send.cpp: one message to a rank of another node (or of the same one).
Seconds send_time(const ClusterSpec& cluster, const LinkRates& links, Bytes bytes, bool same_node);

}  // namespace moesim
