// What the benchmarks share. main() is in bench_simulator.cpp.
#pragma once

#include <sys/resource.h>

#include <chrono>

namespace moesim {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of the whole process so far.
inline double peak_memory_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);  // ru_maxrss is in KiB on Linux
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void bench_routing();
void bench_network();
void bench_cost_model();
void bench_fit();
void bench_serving_unit();
void bench_serving_cluster();
void bench_requests();
void bench_sweep();

}  // namespace moesim
