// A plan search on a small model: every combination has a result or a reason, the ranking is that
// of the simulations themselves, and it does not depend on threads.
#include <algorithm>

#include "sim/plan_search.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

FieldAxis axis(const std::string& key, const std::vector<std::string>& values) {
  FieldAxis a{key, {}};
  for (const std::string& value : values)
    a.alternatives.push_back(
        {key + " " + value, {{"/plan/" + key, parse_json(value, "/plan/" + key)}}});
  return a;
}

SearchRequest small_request(std::vector<FieldAxis> axes) {
  SearchRequest request;
  request.scenario = scenario_folder() / "deepseek-v3-pretrain.jsonc";
  for (const auto& [pointer, text] : small_v3_changes())
    request.settings.emplace_back(pointer, parse_json(text, pointer));
  request.axes = std::move(axes);
  request.num_best = 3;
  return request;
}

}  // namespace

TEST_CASE("plan search: ranked as simulated one by one", "[plan_search]") {
  const PlanSearch search = search_plans(
      small_request({axis("ep", {"8", "16"}), axis("schedule", {"\"1f1b\"", "\"dualpipe\""})}));
  REQUIRE(search.points.size() == 5);  // the scenario's own, and 2 x 2
  REQUIRE(search.ranking.size() >= 3);
  for (std::size_t i = 1; i < search.ranking.size(); ++i)
    CHECK(search.points[search.ranking[i - 1]].as_asked->step_time <=
          search.points[search.ranking[i]].as_asked->step_time);
  for (std::size_t i = 1; i < search.points.size(); ++i) {
    const SearchPoint& point = search.points[i];
    REQUIRE(point.refusal.empty());
    const std::string ep = point.choice[0] == 0 ? "8" : "16",
                      schedule = point.choice[1] == 0 ? "1f1b" : "dualpipe";
    const Scenario scenario = small_v3({{"/plan/ep", ep},
                                        {"/plan/schedule", "\"" + schedule + "\""},
                                        {"/plan/layers_per_stage", "null"}});
    CHECK(to_tick(point.balanced_step) == simulate_first_phase(scenario).timeline.step);
  }
  // The fastest of the first pass is the first of the second: routing is balanced in both.
  const auto fastest = std::min_element(
      search.points.begin() + 1, search.points.end(), [](const auto& a, const auto& b) {
        return a.balanced_step < b.balanced_step;
      });
  const SearchPoint& best = search.points[search.ranking.front()];
  CHECK(best.as_asked->step_time <= fastest->balanced_step);
}

TEST_CASE("plan search: what cannot be run says why", "[plan_search]") {
  const PlanSearch search =
      search_plans(small_request({axis("pp", {"2", "3", "16"}), axis("ep", {"4"})}));
  REQUIRE(search.points.size() == 4);
  CHECK(search.points[1].refusal.empty());  // dp follows: 64 / 2 = 32
  CHECK(search.points[1].choice == std::vector<std::size_t>{0, 0});
  CHECK(search.points[2].refusal == "64 GPUs are no multiple of tp 1 x cp 1 x pp 3");
  CHECK(search.points[3].refusal == "/plan/pp: 16 stages for the 8 layers of deepseek-v3");
}

TEST_CASE("plan search: the same for any number of threads", "[plan_search]") {
  SearchRequest request =
      small_request({axis("ep", {"8", "16", "32"}), axis("microbatch", {"1", "2"})});
  const PlanSearch one = search_plans(request);
  request.num_threads = 3;
  const PlanSearch three = search_plans(request);
  CHECK(one.ranking == three.ranking);
  REQUIRE(one.points.size() == three.points.size());
  for (std::size_t i = 0; i < one.points.size(); ++i) {
    CHECK(one.points[i].refusal == three.points[i].refusal);
    CHECK(one.points[i].balanced_step == three.points[i].balanced_step);
    CHECK(one.points[i].memory == three.points[i].memory);
  }
}

TEST_CASE("plan search: the choices of a training scenario", "[plan_search]") {
  const std::vector<FieldAxis> axes = training_axes(small_v3());
  std::vector<std::string> names;
  for (const FieldAxis& a : axes) names.push_back(a.name);
  CHECK(names == std::vector<std::string>{"tp", "pp", "ep", "schedule", "microbatch", "recompute"});
  // SMs are set aside where something overlaps only.
  for (const FieldAxis::Alternative& a : axes[3].alternatives) {
    const bool overlaps =
        a.name.rfind("dualpipe", 0) == 0 || a.name.find("overlapped") != std::string::npos;
    CHECK(a.set.back().first == "/plan/comm_sms");
    CHECK((a.set.back().second.integer > 0) == overlaps);
  }
}
