// Everything at once, in one round. A send is one message from rank 0 to rank 1:
//   t = a + S / rate of the link between them
// In an all-to-all over n ranks on nodes of g, each rank's NVLink port carries g - 1 parts of S / n
// and its NIC n - g, both ways and at the same time, and the busier one ends last:
//   t = max(a_nvlink + (g - 1) S / n / nvlink, a_nic + (n - g) S / n / nic)
// No order of the messages is faster on a fabric that does not block, so this is also the bound of
// every other all-to-all without forwarding.
#include <algorithm>

#include "model/collective/algorithms.hpp"

namespace moesim {

Collective build_direct(const CollectiveSpec& spec) {
  if (spec.kind == CollectiveKind::send) {
    Collective send = without_rounds(spec, 1);
    add_round(send, Round{{Transfer{0, 1, {}, 0}}, 1, false});
    return send;
  }
  const std::int64_t n = spec.group.ranks;
  Collective collective = without_rounds(spec, n);
  collective.num_chunks = n * n;
  Round round;
  for (std::int64_t source = 0; source < n; ++source)
    for (std::int64_t destination = 0; destination < n; ++destination)
      if (destination != source)
        round.transfers.push_back(part_for(collective, source, destination));
  add_round(collective, std::move(round));
  return collective;
}

Seconds time_of_direct(const CollectiveSpec& spec, const CollectiveLinks& links) {
  if (spec.kind == CollectiveKind::send)
    return port_time(spec.group.same_node(0, 1) ? links.nvlink : links.nic, spec.bytes);
  const std::int64_t n = spec.group.ranks, g = spec.group.ranks_per_node;
  const Bytes part = spec.bytes / static_cast<double>(n);
  return std::max(port_time(links.nvlink, part, g - 1), port_time(links.nic, part, n - g));
}

}  // namespace moesim
