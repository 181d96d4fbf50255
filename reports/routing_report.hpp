// What `moesim routing` has computed, and the two ways it prints it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "sim/balancing.hpp"
#include "sim/rebalancing.hpp"
#include "sim/routing_study.hpp"

namespace moesim {

struct BalancingRun {
  std::string mechanism;  // as --balance names it
  BalancingOptions options;
  BalancingResult result;
};

struct RebalancingRun {
  RebalancingOptions options;
  RebalancingResult result;
  RebalanceCost cost;
};

struct RoutingRun {
  const Scenario& scenario;
  const TrainingPhase& phase;
  RoutingStudyOptions options = {};
  // One of the two: synthetic tokens, or a recording.
  std::optional<RoutingStudy> study = {};
  std::string replayed_file = {};
  std::vector<ReplayedLayer> replayed = {};
  std::optional<BalancingRun> balancing = {};
  std::optional<RebalancingRun> rebalancing = {};
};

Report routing_report(const RoutingRun& run);
// Of what was not asked for there is no member; series are whole.
JsonValue routing_json(const RoutingRun& run);

// Of the report: those of `run.study`, which there is.
std::vector<Section> study_sections(const RoutingRun& run);

// How a report words a gate, its groups and their limit, a placement and a popularity.
std::string gate_text(const MoeSpec& moe);
std::string groups_text(const MoeSpec& moe, std::int64_t max_groups);
std::string placement_text(const PlacementSpec& spec, std::int64_t slots_per_rank);
std::string popularity_text(const PopularitySpec& spec);

// Shared by report and document.
std::vector<std::string> routing_warnings(const RoutingRun& run);
const char* algorithm_name(ExpertAlgorithm algorithm);
// Of a series of largest loads over the mean.
struct Summary {
  double mean = 0, worst = 0;
};
Summary summary_of(const std::vector<double>& series);  // not empty

}  // namespace moesim
