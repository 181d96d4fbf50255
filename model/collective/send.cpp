// Point to point: latency plus bytes over the link class between the two ranks.
#include "model/collective/collective.hpp"

namespace moesim {

Seconds send_time(const ClusterSpec& cluster, const LinkRates& links, Bytes bytes, bool same_node) {
  return same_node ? cluster.nvlink_latency + bytes / links.nvlink
                   : cluster.nic_latency + bytes / links.nic;
}

}  // namespace moesim
