// Traffic for the comparison with SimGrid: who sends how many bytes to whom over which links.
//
// Nodes of 8 GPUs. A GPU has an NVLink port (153 GB/s, 3.33 us) and a NIC (44.6 GB/s, 3.7 us), each
// one link out and one in; a message within the node takes NVLink, any other the NICs. The rates
// are those of DeepEP's stand-alone runs on H800 (scenarios/profiles/h800-published.json), the
// latencies those of its cluster (scenarios/clusters/h800-64.jsonc). Optionally two nodes share a
// leaf switch whose up and down links carry a quarter of what their NICs can send.
//
// Left out: latencies that differ between flows over one link. SimGrid's CM02 weighs flows by the
// inverse of their latency (TCP's round-trip unfairness), which is not what max-min fairness says;
// tests/simgrid/simgrid_run.cpp refuses such a pattern.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/units.hpp"

namespace moesim {

struct PatternLink {
  Bandwidth capacity;
  Seconds latency;  // of the whole path, held by the link it begins with
};

struct Message {
  int source = 0, destination = 0;  // GPUs
  std::vector<std::uint32_t> path;  // links, from source to destination
  Bytes size;                       // whole bytes, because that is what SimGrid takes
  Tick start = 0;                   // when it is handed over
};

struct TrafficPattern {
  int num_gpus = 0;
  std::vector<PatternLink> links;
  std::vector<Message> messages;
  std::vector<Seconds> known_ends;  // [num_messages], or empty where no closed form is known
};

// The sum over its links.
Seconds path_latency(const TrafficPattern& pattern, const Message& message);

// InputError for an unknown name (the message lists the known ones), or a number of GPUs that is
// not a multiple of 8, too small for the pattern or above 1,024.
TrafficPattern make_traffic_pattern(const std::string& name, int num_gpus);

}  // namespace moesim
