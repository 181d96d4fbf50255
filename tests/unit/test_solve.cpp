// Inverse questions on functions whose answer is known, and on a small training step.
#include <atomic>
#include <cmath>

#include "reports/solve.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

SolveSearch between(double low, double high) {
  SolveSearch search;
  search.field.pointer = "/x";
  search.low = low;
  search.high = high;
  return search;
}

template <class Holds>
Solution solved(const SolveSearch& search, const Holds& holds) {
  return solve(search, [&](double at) {
    SolvePoint point;
    point.holds = holds(at);
    point.values = {at};
    return point;
  });
}

}  // namespace

TEST_CASE("solve finds where a bound begins to hold, on the holding side, to its precision") {
  const Solution solution = solved(between(1, 256), [](double x) { return x >= 41.7; });
  REQUIRE(solution.crossings.size() == 1);
  const SolveCrossing& crossing = solution.crossings.front();
  CHECK(crossing.holds_above());
  CHECK(crossing.holding().at >= 41.7);
  CHECK(crossing.failing().at < 41.7);
  CHECK(crossing.holding().at - crossing.failing().at <= 1e-3 * crossing.holding().at);
  CHECK(solution.points.size() < 30);
}

TEST_CASE("solve finds whole numbers exactly, and bounds that stop holding") {
  SolveSearch search = between(1, 1000);
  search.field.is_whole = true;
  const Solution solution = solved(search, [](double x) { return x <= 137; });
  REQUIRE(solution.crossings.size() == 1);
  CHECK_FALSE(solution.crossings.front().holds_above());
  CHECK(solution.crossings.front().holding().at == 137);
  CHECK(solution.crossings.front().failing().at == 138);
}

TEST_CASE("solve finds every change that the first round shows, and none where there is none") {
  const auto hump = [](double x) { return x >= 5 && x <= 80; };
  const Solution solution = solved(between(1, 256), hump);
  REQUIRE(solution.crossings.size() == 2);
  CHECK(solution.crossings[0].holding().at == Approx(5).epsilon(2e-3));
  CHECK(solution.crossings[1].holding().at == Approx(80).epsilon(2e-3));
  CHECK(solved(between(1, 256), [](double) { return true; }).crossings.empty());
  CHECK(solved(between(1, 256), [](double) { return false; }).crossings.empty());
}

TEST_CASE("solve does the same on any number of threads") {
  const auto run = [](int num_threads) {
    SolveSearch search = between(0, 10);
    search.num_threads = num_threads;
    std::vector<double> at;
    for (const SolvePoint& point : solved(search, [](double x) { return x > std::sqrt(2); }).points)
      at.push_back(point.at);
    return at;
  };
  CHECK(run(1) == run(3));
}

TEST_CASE("solve on a scenario: the price that makes a run cost so much is the closed form's") {
  // Cost is GPU hours times the price: the greatest price is the limit over the hours.
  SolveRequest request;
  request.scenario = scenario_folder() / "deepseek-v3-interrupted.jsonc";
  request.field = "/cluster/price";
  request.bounds = "cost<6M USD";
  request.precision = 1e-4;
  const SolveAnswer answer = solve_scenario(request);
  REQUIRE(answer.solution.crossings.size() == 1);
  const SolveCrossing& crossing = answer.solution.crossings.front();
  CHECK_FALSE(crossing.holds_above());
  REQUIRE(answer.own);
  const double hours = *answer.own->values[0] / answer.own->at;
  CHECK(crossing.holding().at == Approx(6e6 / hours).epsilon(2e-4));
  CHECK(crossing.holding().at < 6e6 / hours);
  CHECK(answer.contradictions.empty());
}

TEST_CASE("solve refuses fields and ranges that make no sense") {
  const auto message = [](const std::string& field,
                          std::optional<std::string> from,
                          std::optional<std::string> to,
                          const std::string& bounds = "step_time<19s") {
    SolveRequest request;
    request.scenario = scenario_folder() / "deepseek-v3-interrupted.jsonc";
    request.field = field;
    request.from = std::move(from);
    request.to = std::move(to);
    request.bounds = bounds;
    try {
      solve_scenario(request);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(message("/cluster/nic_bandwith", {}, {}), "did you mean \"nic_bandwidth\"");
  contains(message("/plan/schedule", {}, {}), "expected a field with a number");
  contains(message("/cluster/nic_bandwidth", "100 GB/s", "10 GB/s"), "expected a range");
  contains(message("/cluster/nic_bandwidth", "3 s", {}), "--from: expected a value like");
  contains(message("/cluster/nic_bandwidth", "10 parsec", {}), "--from: expected");
  contains(message("/cluster/nic_bandwidth", {}, {}, "stp_time<19s"), "unknown metric");
}
