// A prompt's KV cache on its way from the attention rank that computed it to the one that goes on.
// It leaves through the NICs of the first and enters through those of the second; each side carries
// one transfer at a time, in the order in which they were asked for, at the rate of the slower
// side. A transfer starts when both sides are free, so one that waits for a busy receiver holds up
// those behind it at its sender, as a queue of posted writes does.
//
// Left out: sending layer by layer while the prompt is still being computed (the transfer starts
// with the first token), the fabric between NICs (taken as non-blocking), and transfers inside a
// node over NVLink.
#pragma once

#include <cstdint>
#include <vector>

#include "model/units.hpp"

namespace moesim {

class TransferPorts {
 public:
  // Adds `num_ports` ports of this rate; returns the number of the first.
  std::size_t add(std::int64_t num_ports, Bandwidth rate);

  struct Transfer {
    Tick start = 0, end = 0;
  };
  Transfer send(std::size_t from, std::size_t to, Bytes size, Tick now);

 private:
  struct Port {
    Tick free_at = 0;
    double ticks_per_byte = 0;
  };
  std::vector<Port> ports_;
};

}  // namespace moesim
