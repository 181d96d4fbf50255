// The same traffic in SimGrid 3.32 (Casanova et al., "Versatile, scalable, and accurate simulation
// of distributed applications and platforms", JPDC 74(10), 2014): an independent flow-level
// simulator.
//
// Model CM02 with everything that makes it a TCP model switched off, so that what is left is a
// latency followed by max-min fair shares.
#pragma once

#include <vector>

#include "model/units.hpp"
#include "tests/simgrid/traffic_pattern.hpp"

namespace moesim {

// [num_messages], when each ends. Once a process: SimGrid has one engine, for good.
std::vector<Seconds> run_in_simgrid(const TrafficPattern& pattern);

}  // namespace moesim
