#include "sim/serving/kv_transfer.hpp"

#include <algorithm>

namespace moesim {

std::size_t TransferPorts::add(std::int64_t num_ports, Bandwidth rate) {
  ENSURE(num_ports >= 1 && rate > Bandwidth());
  const std::size_t first = ports_.size();
  ports_.resize(first + static_cast<std::size_t>(num_ports), {0, (1 * B / rate).in(ps)});
  return first;
}

TransferPorts::Transfer TransferPorts::send(std::size_t from,
                                            std::size_t to,
                                            Bytes size,
                                            Tick now) {
  Port &out = ports_[from], &in = ports_[to];
  const Tick start = std::max({now, out.free_at, in.free_at});
  const Tick end = start + to_tick(size.in(B)*std::max(out.ticks_per_byte, in.ticks_per_byte) * ps);
  out.free_at = in.free_at = end;
  return {start, end};
}

}  // namespace moesim
