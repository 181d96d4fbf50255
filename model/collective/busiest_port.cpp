// A lone exchange on a fabric that does not block ends when its busiest port is through: a port
// that carries R rows takes R * row / rate, and none can be faster. Ports do not make each other
// wait; SMs, where they are the limit, do, and the exchange ends later than this says. One pass
// over the flows, without their paths.
#include <algorithm>

#include "model/collective/collective.hpp"

namespace moesim {
namespace {

// Rows through the busiest of all ports, out or in.
double busiest(const std::vector<RowFlow>& flows, std::size_t num_ranks) {
  std::vector<double> out(num_ranks, 0), in(num_ranks, 0);
  for (const RowFlow& f : flows) {
    out[static_cast<std::size_t>(f.source)] += f.rows;
    in[static_cast<std::size_t>(f.destination)] += f.rows;
  }
  return std::max(*std::max_element(out.begin(), out.end()),
                  *std::max_element(in.begin(), in.end()));
}

}  // namespace

Seconds busiest_port_time(const LinkRates& links,
                          const ExpertTraffic& traffic,
                          Bytes row,
                          Bandwidth copy_rate) {
  const std::size_t n = traffic.rows_handed_out.size();
  const double handed_out =
      *std::max_element(traffic.rows_handed_out.begin(), traffic.rows_handed_out.end());
  return std::max({busiest(traffic.network, n) * row / links.nic,
                   busiest(traffic.nvlink, n) * row / links.nvlink,
                   handed_out * row / copy_rate});
}

}  // namespace moesim
