// What a sweep found, for people: the best points, those that no other beats in every goal, and the
// reasons of those that cannot be run. And all of it as CSV.
#pragma once

#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "reports/sweep/sweep_file.hpp"

namespace moesim {

struct SweepGoal {
  std::string metric;
  bool largest = false;  // else the smallest is the best
};
// "min:cost_usd,max:mfu_causal"; InputError where it is none.
std::vector<SweepGoal> parse_sweep_goals(const std::string& text);

struct SweepFindings {
  std::string name;                  // of the scenario
  std::vector<std::string> fields;   // that vary
  std::size_t num_points = 0;        // of the whole sweep
  std::vector<SweepRow> rows;        // by point; fewer where this is a shard
  std::vector<std::string> metrics;  // to show; none: the usual ones
  std::vector<SweepGoal> goals;      // none: the usual one
};

// InputError where a metric or a goal is none that any point has. Adds the usual ones where none
// were chosen.
void check_metrics(SweepFindings& findings);
// The same while a sweep runs: whether the row has all that were asked for.
void check_metrics(const SweepFindings& findings, const SweepRow& row);

// Rows by the first goal, best first; feasible ones only.
std::vector<const SweepRow*> ranked(const SweepFindings& findings);
// Those of them that no other row equals or beats in every goal, beating it in one.
std::vector<const SweepRow*> pareto_set(const SweepFindings& findings);

Report make_sweep_report(const SweepFindings& findings, std::size_t num_best);
JsonValue sweep_json(const SweepFindings& findings, std::size_t num_best);
// A line a point: its number and id, the fields that vary, feasible, reason, every metric that any
// point has.
std::string sweep_csv(const SweepFindings& findings);

}  // namespace moesim
