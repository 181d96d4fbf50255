// DeepEP low-latency kernels: every (token, expert) pair is one put into a slot of the expert's
// rank, duplicates included. With experts spread evenly over ep ranks, (ep - ranks of the own node)
// / ep of the copies leave through the NIC and the rest of the node's through NVLink:
//   t = overhead + max(tokens * top_k * row * off-node share / nic, tokens * top_k * row * in-node
//   share / nvlink)
#include <algorithm>

#include "model/collective/collective.hpp"

namespace moesim {

Seconds low_latency_time(const ClusterSpec& cluster,
                         const CommModel& comm,
                         std::int64_t tokens,
                         std::int64_t top_k,
                         std::int64_t ep,
                         Bytes row) {
  const LinkRates links = link_rates(cluster, comm);
  const double copies = static_cast<double>(tokens * top_k), n = static_cast<double>(ep);
  const double local = static_cast<double>(std::min(ep, cluster.gpus_per_node));
  const Seconds nic = copies * (n - local) / n * row / links.nic;
  const Seconds nvlink = copies * (local - 1) / n * row / links.nvlink;
  return comm.low_latency_overhead + std::max(nic, nvlink);
}

}  // namespace moesim
