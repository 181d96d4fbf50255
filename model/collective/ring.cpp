// Reduce-scatter and all-gather. Each rank sends and receives (n-1)/n of the buffer (bus factor of
// nccl-tests). Inside a node the ring runs at the NVLink rate; across nodes `per_node` rings run at
// once, one through each NIC, so a node moves per_node NICs' worth and a rank is bound by
// min(nvlink, per_node * nic). One latency per ring step between nodes.
#include <algorithm>

#include "model/collective/collective.hpp"

namespace moesim {

Seconds ring_time(const ClusterSpec& cluster,
                  const LinkRates& links,
                  Bytes bytes,
                  std::int64_t ranks,
                  std::int64_t per_node) {
  if (ranks <= 1) return Seconds();
  const auto n = static_cast<double>(ranks), g = static_cast<double>(per_node);
  const bool one_node = per_node >= ranks;
  const Bandwidth rate = one_node ? links.nvlink : std::min(links.nvlink, g * links.nic);
  const Seconds latency =
      one_node ? (n - 1) * cluster.nvlink_latency
               : (n / g - 1) * cluster.nic_latency + (g - 1) * cluster.nvlink_latency;
  return (n - 1) / n * bytes / rate + latency;
}

}  // namespace moesim
