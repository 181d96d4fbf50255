// What is measured between GPUs: one file a benchmark, one line each in the table in
// benchmarks.cpp. Every rank runs every benchmark; each has its own table in the report.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "calibrate/comm/session.hpp"

namespace moesim::comm {

struct Benchmark {
  const char *name, *what;
  std::vector<std::string> columns;  // before the times
  std::vector<std::string> more_columns;
  void (*run)(Session& session);
};
std::span<const Benchmark> benchmarks();
// InputError that lists the known ones.
const Benchmark& find_benchmark(const std::string& name);

void measure_point_to_point(Session& session);
void measure_collectives(Session& session);
void measure_expert_exchange(Session& session);
void measure_overlap(Session& session);
void measure_pipeline(Session& session);

// "1.234 us" without the unit: four significant digits.
std::string digits(double value);

}  // namespace moesim::comm
