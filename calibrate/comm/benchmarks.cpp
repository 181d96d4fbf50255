#include "calibrate/comm/benchmarks.hpp"

#include <array>
#include <cstdio>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim::comm {

std::span<const Benchmark> benchmarks() {
  static const std::array kBenchmarks = {
      Benchmark{
          "p2p",
          "One pair of ranks: one way (half a ping-pong), both ways at once, and several to one",
          {"operation", "between", "bytes"},
          {"GB/s"},
          measure_point_to_point},
      Benchmark{"collectives",
                "Collectives of world, nodes and rails, all groups of a kind at once",
                {"operation", "group", "ranks", "ranks/node", "bytes"},
                {"algbw GB/s", "busbw GB/s"},
                measure_collectives},
      Benchmark{"alltoallv",
                "Dispatch and combine of routed tokens",
                {"operation",
                 "routing",
                 "tokens/rank",
                 "self B/rank",
                 "NVLink B/rank",
                 "rail B/rank",
                 "cross-rail B/rank",
                 "max/mean rows"},
                {"self GB/s", "NVLink GB/s", "rail GB/s", "cross-rail GB/s"},
                measure_expert_exchange},
      Benchmark{"overlap",
                "Dispatch beside compute, by the blocks that communication may use",
                {"operation", "blocks", "tokens/rank"},
                {"alone us", "compute us", "compute alone us"},
                measure_overlap},
      Benchmark{"pipeline",
                "Microbatches passed along a chain of stages; time of one step",
                {"operation", "stages", "ranks/node", "bytes"},
                {"GB/s"},
                measure_pipeline},
  };
  return kBenchmarks;
}

const Benchmark& find_benchmark(const std::string& name) {
  std::vector<std::string> known;
  for (const Benchmark& b : benchmarks()) {
    if (b.name == name) return b;
    known.emplace_back(b.name);
  }
  throw InputError("--only", "is " + in_quotes(name) + "; known: " + joined(known));
}

std::string digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace moesim::comm
