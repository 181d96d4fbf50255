// What `moesim compare-trace` prints: a measured pair of chunks next to the simulated one
// (docs/compare-trace.md).
#pragma once

#include <string>
#include <vector>

#include "reports/report.hpp"
#include "reports/trace_comparison.hpp"

namespace moesim {

struct TraceInput {
  const Scenario& scenario;
  std::string trace;    // file name
  std::string device;   // empty: the trace does not say
  std::string mapping;  // file name and what it is about; empty: none fits
  TraceComparison comparison;
  std::vector<std::string> warnings;
};

Report trace_report(const TraceInput& input);
JsonValue trace_json(const TraceInput& input);

}  // namespace moesim
