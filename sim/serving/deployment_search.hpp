// Which deployment serves a scenario's requests cheapest: how units are built and run
// (sim/serving/deployment_axes), and how many there are of each pool, so that the bounds of a
// service level hold and queues do not grow.
//
// Every deployment goes through its numbers of units from the cheapest on, and all deployments side
// by side: what is looked at next is the one whose next number is cheapest of all. Before anything
// is known of a deployment that is one unit of each pool; what a unit can do at most then makes it
// more (sim/serving/deployment_bound). So no cheaper number than the one looked at can hold, of any
// deployment: the first that hold are the cheapest, and the search ends when nothing is left that
// costs as little as the worst of the best found. The rest is bounded away.
//
// That more units hold where fewer do is not assumed. The best are those that simulating every
// number of every deployment finds (`exhaustive`; tests/unit/test_deployment_search). Equal ones
// are told apart by the room that the tightest bound leaves.
//
// Points are looked at in batches that do not depend on the number of threads, and so neither does
// what is found. Left out: scalers, failures, more than one pool of a role, several seeds, and
// service levels other than the one asked for: the set of those not beaten is of deployments that
// were simulated and hold it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/search_limits.hpp"
#include "sim/serving/serving_capacity.hpp"

namespace moesim {

enum class DeploymentOutcome : std::uint8_t {
  refused,       // it cannot be read
  too_large,     // a pool does not fit in memory
  impossible,    // no number of units keeps the bounds
  over_limit,    // the fewest units it may need are more than limits or the cluster allow
  fails,         // simulated: no number of units that may be had holds
  bounded_away,  // its fewest units cost more than the worst of the best
  holds
};
inline constexpr std::size_t kNumDeploymentOutcomes = 7;

struct DeploymentPool {
  std::string name;
  std::int64_t gpus_per_unit = 1;
  std::int64_t least = 1;  // units, by bound
  DollarRate price;        // of a GPU
};

// A deployment with so many units, simulated.
struct DeploymentRun {
  std::vector<std::int64_t> units;  // [pool]
  std::int64_t gpus = 0;
  double usd_per_hour = 0;
  CapacityEvaluation found;
  double p99_ttft_s = 0, p99_tpot_s = 0;
  double output_tokens_per_s_per_gpu = 0, usd_per_mtok = 0;  // of output tokens
};

struct DeploymentPoint {
  std::vector<std::size_t> choice;  // [axes]; empty: the scenario's own
  DeploymentOutcome outcome = DeploymentOutcome::refused;
  std::string refusal;  // why, where it is not simulated
  std::vector<DeploymentPool> pools;
  double least_usd_per_hour = 0;    // of its fewest units that were not ruled out
  std::vector<DeploymentRun> runs;  // in order of cost; the last may hold
};

struct DeploymentSearch {
  std::vector<FieldAxis> axes;
  std::vector<DeploymentPoint> points;  // the first is the scenario's own
  std::vector<std::size_t> ranking;     // that hold, cheapest first
  // Of those that hold, not beaten in all of dollars a million output tokens, p99 TPOT and p99
  // TTFT.
  std::vector<std::size_t> front;
  std::int64_t num_runs = 0, num_requests = 0;  // simulated
  bool assumes_transfer_latency = false;        // kAssumedTransferLatency, where pools are apart
  bool complete = true;                         // false: the budget of runs ran out
};

struct DeploymentRequest {
  std::filesystem::path scenario;
  Settings settings;  // of the command line
  std::vector<FieldAxis> axes;
  std::vector<SloBound> bounds;  // not empty
  std::vector<SearchLimit> limits;
  std::size_t num_best = 10;
  std::int64_t budget = 5000;  // runs at most
  bool exhaustive = false;     // every number of units of every deployment, no bounds
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

const std::vector<LimitedQuantity>& deployment_limits();

// The result does not depend on num_threads. Throws an InputError when the scenario itself cannot
// be read or has no requests.
DeploymentSearch search_deployments(const DeploymentRequest& request);

}  // namespace moesim
