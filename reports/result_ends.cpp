#include "reports/result_ends.hpp"

#include <algorithm>

#include "model/profile_transfer.hpp"
#include "model/scenario_document.hpp"
#include "reports/report.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

ResultWithEnds training_ends(const Scenario& scenario, int num_threads) {
  RunOptions options;
  options.simulation.num_threads = num_threads;
  const RunResult run = run_scenario(scenario, options);
  const std::optional<Uncertainty> uncertainty = uncertainty_of(scenario, run, num_threads);
  ResultWithEnds results;
  results.result = result_node(run_json(scenario, run, uncertainty));
  results.profile = scenario.profile.id;
  if (!uncertainty) {
    results.no_ends = uncertainty_refusal(run);
    if (results.no_ends.empty()) results.no_ends = "the first phase was not simulated";
    return results;
  }
  const std::vector<ErrorSource> sources = error_sources(scenario);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto effect = std::find_if(
        uncertainty->effects.begin(), uncertainty->effects.end(), [&](const SourceEffect& e) {
          return e.source == sources[i].name;
        });
    if (effect == uncertainty->effects.end()) continue;  // no operation of this run
    ResultEnd end{effect->source, effect->basis, effect->half_width, {}};
    for (std::size_t side = 0; side < 2; ++side)
      end.results[side] = result_node(run_json(scenario, uncertainty->ends[i][side], std::nullopt));
    results.ends.push_back(std::move(end));
  }
  return results;
}

// Of a source in the pools' profiles: the bases of its models, and its error where it has one.
void describe(const ServingScenario& scenario, ResultEnd& end) {
  std::vector<std::string> bases;
  for (const PoolSpec& pool : scenario.serving.pools) {
    const Profile profile = transferred(pool.profile, pool.cluster.gpu);
    for (const ErrorSource& source : error_sources(profile)) {
      if (source.name != end.source) continue;
      if (source.kernels.empty()) {
        const ModelError& error = error_of(profile, source);
        end.half_width = std::max(end.half_width.value_or(0), error.inside);
        bases.push_back(error.basis);
      } else {
        for (const Kernel kernel : source.kernels)
          bases.push_back(source.kind == SourceKind::roofline
                              ? "roofline"
                              : profile.error[static_cast<std::size_t>(kernel)].basis);
      }
    }
  }
  std::sort(bases.begin(), bases.end());
  bases.erase(std::unique(bases.begin(), bases.end()), bases.end());
  for (const std::string& basis : bases)
    if (!basis.empty()) end.basis += (end.basis.empty() ? "" : ", ") + basis;
}

ResultWithEnds serving_ends(const ServingScenario& scenario, int num_threads) {
  const ServingRun run = run_serving(scenario, {num_threads, {}, {}});
  const std::optional<ServingUncertainty> uncertainty =
      serving_uncertainty_of(scenario, run, num_threads);
  ResultWithEnds results;
  results.result = result_node(serving_json(scenario, run, uncertainty));
  results.profile = scenario.profile.id;
  if (!uncertainty) {
    results.no_ends = "no intervals: more than " + std::to_string(kMostRequestsForIntervals) +
                      " requests are not served for every source of error";
    return results;
  }
  for (std::size_t i = 0; i < uncertainty->sources.size(); ++i) {
    ResultEnd end{uncertainty->sources[i], "", {}, {}};
    describe(scenario, end);
    for (std::size_t side = 0; side < 2; ++side)
      end.results[side] =
          result_node(serving_json(scenario, uncertainty->ends[i][side], std::nullopt));
    results.ends.push_back(std::move(end));
  }
  return results;
}

}  // namespace

ResultWithEnds result_with_ends(const std::filesystem::path& path,
                                const Settings& settings,
                                int num_threads) {
  return is_serving_scenario(path)
             ? serving_ends(read_serving_scenario(path, settings), num_threads)
             : training_ends(read_scenario(path, settings), num_threads);
}

std::optional<Interval> interval_of(const ResultWithEnds& results, const ResultMetric& metric) {
  const std::optional<double> value = metric.of(results.result);
  if (!value || results.ends.empty()) return std::nullopt;
  EndValues values;
  for (const ResultEnd& end : results.ends)
    values.push_back(
        {metric.of(end.results[0]).value_or(*value), metric.of(end.results[1]).value_or(*value)});
  Interval interval = combined(*value, values);
  interval.low = std::max(0.0, interval.low);
  return interval;
}

}  // namespace moesim
