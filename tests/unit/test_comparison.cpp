// Comparisons: differences that sum to what they explain, errors that cancel, inputs one at a time.
#include <algorithm>
#include <cmath>

#include "reports/comparison.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

Settings changes(const std::vector<std::pair<std::string, std::string>>& texts) {
  Settings settings;
  for (const auto& [pointer, text] : texts)
    settings.emplace_back(pointer, parse_json(text, "change of " + pointer));
  return settings;
}

ResultComparison with_itself(const std::string& name, const Settings& of_b) {
  ComparisonRequest request;
  request.paths = {scenario_folder() / name, scenario_folder() / name};
  request.settings[1] = of_b;
  request.num_threads = 2;
  return compare_results(request);
}

const MetricDifference* difference_of(const ResultComparison& c, const std::string& name) {
  for (const MetricDifference& d : c.differences)
    if (d.name == name) return &d;
  return nullptr;
}

void check_sums(const ResultComparison& c) {
  for (const DifferenceParts& parts : c.parts) {
    double a = 0, b = 0;
    for (const DifferenceParts::Part& part : parts.parts) {
      a += part.a;
      b += part.b;
    }
    INFO(parts.title);
    CHECK(a == Approx(parts.total_a));
    CHECK(b == Approx(parts.total_b));
  }
}

}  // namespace

TEST_CASE("compare: a scenario with itself has no difference") {
  const ResultComparison c = with_itself("deepseek-v3-interrupted.jsonc", {});
  CHECK(c.differences.empty());
  CHECK(c.inputs.empty());
  CHECK(c.no_effects == "no input differs");
}

TEST_CASE("compare: parts sum to what they explain, in training") {
  const ResultComparison c =
      with_itself("deepseek-v3-interrupted.jsonc", changes({{"/plan/schedule", "\"1f1b\""}}));
  CHECK(c.parts.size() == 4);
  check_sums(c);
  const MetricDifference* step = difference_of(c, "step_time_s");
  REQUIRE(step != nullptr);
  CHECK(step->b > step->a);
  REQUIRE(c.effects.size() == 1);
  CHECK(c.effects[0].pointers.front() == "/plan/schedule");
  CHECK(c.effects[0].metric.value() == Approx(step->b));  // the only change explains all
}

TEST_CASE("compare: parts sum to what they explain, in serving") {
  const ResultComparison steps = with_itself("deepseek-v3-h100-sglang.jsonc",
                                             changes({{"/cluster/nic_bandwidth", "\"25 GB/s\""}}));
  CHECK(steps.parts.size() >= 8);  // six steps, two pools
  check_sums(steps);
  CHECK(difference_of(steps, "steps/2/step_time_s") != nullptr);
}

TEST_CASE("compare: errors that move both alike cancel") {
  // A price changes the cost by the same factor whatever the calibration: no interval is left.
  const ResultComparison price =
      with_itself("deepseek-v3-interrupted.jsonc", changes({{"/cluster/price", "\"3 USD/h\""}}));
  CHECK(price.paired);
  const MetricDifference* cost = difference_of(price, "cost_usd");
  REQUIRE(cost != nullptr);
  REQUIRE(cost->ratio_interval);
  CHECK(cost->ratio.value() == Approx(1.5));
  CHECK(cost->ratio_interval->low == Approx(1.5));
  CHECK(cost->ratio_interval->high == Approx(1.5));
}

TEST_CASE("compare: each input alone and their interaction make the whole") {
  const ResultComparison c = with_itself("deepseek-v3-interrupted.jsonc",
                                         changes({{"/cluster/nic_bandwidth", "\"25 GB/s\""},
                                                  {"/plan/schedule", "\"1f1b\""},
                                                  {"/plan/dp", "64"},
                                                  {"/cluster/num_nodes", "128"}}));
  CHECK(c.inputs.size() == 4);
  REQUIRE(c.effects.size() == 5);  // dp and the number of nodes only together
  CHECK(c.effects.back().pointers.size() == 2);
  CHECK(c.effects.back().metric);
  std::size_t refused = 0;
  for (const FieldEffect& effect : c.effects) refused += effect.metric ? 0U : 1U;
  CHECK(refused == 2);
  const JsonNode json = result_node(comparison_json(c));
  double sum = number_at(json, "/one_at_a_time/remainder").value();
  for (const FieldEffect& effect : c.effects)
    if (effect.metric) sum += *effect.metric - c.effect_a;
  CHECK(sum == Approx(c.effect_b - c.effect_a));
}

TEST_CASE("compare: inputs differ by what is best changed as one") {
  const JsonNode a = parse_json(
      R"({"name": "a", "plan": {"tp": 1, "microbatch": 1}, "routing": {"popularity": {"kind": "uniform"}},
          "cluster": {"name": "x", "price": "2 USD/h"}, "phases": [{"batch": 4}, {"batch": 8}]})",
      "a");
  const JsonNode b = parse_json(
      R"({"name": "b", "plan": {"tp": 2}, "routing": {"popularity": {"kind": "dirichlet", "cv": 1}},
          "cluster": {"name": "y", "price": "3 USD/h"}, "phases": [{"batch": 4}, {"batch": 9}]})",
      "b");
  std::vector<std::string> pointers;
  for (const InputDifference& d : input_differences(a, b)) pointers.push_back(d.pointer);
  CHECK(pointers == std::vector<std::string>{"/plan/tp",
                                             "/plan/microbatch",
                                             "/routing/popularity",
                                             "/cluster/price",
                                             "/phases/1/batch"});
}
