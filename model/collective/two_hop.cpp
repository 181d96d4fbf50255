// Node-limited dispatch (DeepSeek-V3, section 3.2.2; DeepEP "normal" kernels): a token goes once
// over the NIC to the rank with its own local index on every destination node, and is forwarded
// there over NVLink to the ranks that hold its experts. Both hops are pipelined, so the time is
// that of the busier one:
//   t = max(max(rows out, rows in) * row / nic, rows forwarded * row / nvlink)
// Combine is the mirror image. Checked against DeepEP's EP8, EP16, EP32 and EP64 rows by `moesim
// validate`.
#include <algorithm>

#include "model/collective/collective.hpp"

namespace moesim {

LinkRates link_rates(const ClusterSpec& cluster, const CommModel& comm) {
  // An oversubscribed fabric gives every NIC its share of the uplinks; all traffic is taken to
  // cross them.
  return {comm.nvlink_efficiency * cluster.gpu.nvlink_bandwidth,
          comm.nic_efficiency * cluster.nic_bandwidth / cluster.fabric.oversubscription};
}

Seconds two_hop_time(const LinkRates& links, const TwoHopTraffic& traffic, Bytes row) {
  const double nic_rows = std::max(traffic.nic_rows_sent, traffic.nic_rows_received);
  return std::max(nic_rows * row / links.nic, traffic.nvlink_rows * row / links.nvlink);
}

}  // namespace moesim
