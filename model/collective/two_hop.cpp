// Node-limited dispatch (DeepSeek-V3, section 3.2.2; DeepEP "normal" kernels): a token goes once
// over the NIC to the rank with its own local index on every destination node, and is forwarded
// there over NVLink to the ranks that hold its experts. Both hops are pipelined, so the time is
// that of the busier one:
//   t = max(max(rows out, rows in) * row / nic, rows over NVLink * row / nvlink,
//           rows handed out * row / (SMs * copy rate of an SM))
// Combine is the mirror image. Checked against DeepEP's EP8, EP16, EP32 and EP64 rows by `moesim
// validate`.
#include <algorithm>

#include "model/collective/collective.hpp"

namespace moesim {

LinkRates link_rates(const ClusterSpec& cluster, const CommModel& comm) {
  // Of the ports alone: what an oversubscribed fabric leaves of a NIC depends on who else sends
  // (model/network).
  return {comm.nvlink_efficiency * cluster.gpu.nvlink_bandwidth,
          comm.nic_efficiency * cluster.nic_bandwidth};
}

TwoHopTraffic two_hop_traffic(double nic_rows,
                              double received,
                              double node_mean,
                              std::int64_t per_node) {
  const double elsewhere = 1 - 1 / static_cast<double>(per_node);
  return {nic_rows, nic_rows, std::max(received, node_mean) * elsewhere, node_mean};
}

TwoHopTraffic handed_back(TwoHopTraffic dispatch, double received) {
  dispatch.handed_out_rows = received;
  return dispatch;
}

Seconds two_hop_time(const LinkRates& links,
                     const TwoHopTraffic& traffic,
                     Bytes row,
                     Bandwidth copy_rate) {
  const double nic_rows = std::max(traffic.nic_rows_sent, traffic.nic_rows_received);
  return std::max({nic_rows * row / links.nic,
                   traffic.nvlink_rows * row / links.nvlink,
                   traffic.handed_out_rows * row / copy_rate});
}

Bandwidth copy_rate(Bandwidth per_sm, std::int64_t sms) {
  constexpr std::int64_t kBenchmarkSms = 24;
  return static_cast<double>(sms > 0 ? sms : kBenchmarkSms) * per_sm;
}

}  // namespace moesim
