// A plan search on a small model: every combination has a result or a reason, the ranking is that
// of the simulations themselves, what is bounded away is never missed, and nothing depends on
// threads.
#include <algorithm>

#include "sim/plan_axes.hpp"
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
  SearchRequest request =
      small_request({axis("ep", {"8", "16"}), axis("schedule", {"\"1f1b\"", "\"dualpipe\""})});
  request.exhaustive = true;
  const PlanSearch search = search_plans(request);
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
    REQUIRE(point.balanced_step);
    CHECK(to_tick(*point.balanced_step) == simulate_first_phase(scenario).timeline.step);
  }
  // The fastest of the first pass is the first of the second: routing is balanced in both.
  const auto fastest = std::min_element(
      search.points.begin() + 1, search.points.end(), [](const auto& a, const auto& b) {
        return *a.balanced_step < *b.balanced_step;
      });
  const SearchPoint& best = search.points[search.ranking.front()];
  CHECK(best.as_asked->step_time <= *fastest->balanced_step);
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

namespace {

std::vector<FieldAxis> many_axes() {
  std::vector<FieldAxis> axes = training_axes(small_v3());
  axes[1] = axis("pp", {"1", "2", "4", "8"});
  return axes;  // 4 x 4 x 4 x 13 x 2 x 3 and more
}

// Best plans with their steps, as far as two searches can be compared.
std::vector<std::pair<std::vector<std::size_t>, Tick>> best_of(const PlanSearch& search) {
  std::vector<std::pair<std::vector<std::size_t>, Tick>> best;
  for (const std::size_t i : search.ranking)
    best.emplace_back(search.points[i].choice, to_tick(search.points[i].as_asked->step_time));
  return best;
}

std::size_t num_of(const PlanSearch& search, PlanOutcome outcome) {
  return static_cast<std::size_t>(
      std::count_if(search.points.begin(), search.points.end(), [&](const SearchPoint& point) {
        return point.outcome == outcome;
      }));
}

}  // namespace

TEST_CASE("plan search: bounds lose nothing that simulating everything finds", "[plan_search]") {
  SearchRequest request = small_request(many_axes());
  request.num_best = 5;
  request.num_threads = 2;
  const PlanSearch quick = search_plans(request);
  request.exhaustive = true;
  const PlanSearch all = search_plans(request);
  REQUIRE(quick.points.size() == all.points.size());
  REQUIRE(quick.points.size() > 1000);
  CHECK(best_of(quick) == best_of(all));
  REQUIRE(quick.ranking.size() >= 5);
  CHECK(num_of(all, PlanOutcome::bounded_away) == 0);
  CHECK(num_of(quick, PlanOutcome::simulated) < 60);
  CHECK(num_of(quick, PlanOutcome::bounded_away) > 300);
  for (std::size_t i = 0; i < all.points.size(); ++i) {
    CHECK(quick.points[i].memory == all.points[i].memory);
    if (all.points[i].balanced_step) CHECK(all.points[i].bound <= *all.points[i].balanced_step);
  }
}

TEST_CASE("plan search: memory is that of the simulated plan", "[plan_search]") {
  const PlanSearch search =
      search_plans(small_request({axis("ep", {"8", "16"}), axis("microbatch", {"1", "2"})}));
  for (const std::size_t i : search.ranking) {
    Bytes fullest;
    for (const RankMemory& rank : search.points[i].as_asked->memory)
      fullest = std::max(fullest, rank.total());
    CHECK(search.points[i].memory == fullest);
  }
}

TEST_CASE("plan search: limits", "[plan_search]") {
  SearchRequest request =
      small_request({axis("ep", {"8", "16", "32"}), axis("microbatch", {"1", "2"})});
  const PlanSearch free = search_plans(request);
  REQUIRE(free.ranking.size() >= 3);
  const SearchPoint& best = free.points[free.ranking.front()];
  const double step_s = best.as_asked->step_time.in(s);
  // Nothing can be as fast as half of the fastest: known from bounds alone.
  request.limits = parse_limits("step<" + std::to_string(step_s / 2) + " s", plan_limits());
  const PlanSearch none = search_plans(request);
  CHECK(none.ranking.empty());
  CHECK(num_of(none, PlanOutcome::over_limit) ==
        num_of(free, PlanOutcome::simulated) + num_of(free, PlanOutcome::bounded_away));
  CHECK(num_of(none, PlanOutcome::simulated) == 0);
  request.limits = parse_limits("gpus<=63", plan_limits());
  CHECK(search_plans(request).ranking.empty());
  // Memory: only those below what the best needs are left.
  request.limits =
      parse_limits("memory<" + std::to_string(best.memory.in(B)) + " B", plan_limits());
  for (const std::size_t i : search_plans(request).ranking)
    CHECK(free.points[i].memory < best.memory);
}

TEST_CASE("plan search: days against dollars where clusters differ", "[plan_search]") {
  FieldAxis nodes{"num_nodes", {}};
  for (const std::string n : {"4", "8", "3", "16"})
    nodes.alternatives.push_back(
        {"num_nodes " + n, {{"/cluster/num_nodes", parse_json(n, "/cluster/num_nodes")}}});
  SearchRequest request = small_request({nodes, axis("ep", {"8", "16"})});
  request.goal = PlanGoal::cheapest;
  const PlanSearch search = search_plans(request);
  REQUIRE(search.worlds.size() == 5);
  CHECK(search.worlds[0].gpus == 32);
  CHECK(search.worlds[3].gpus == 128);
  REQUIRE(search.best_of_worlds.size() >= 2);  // 24 GPUs do not go with the batch
  REQUIRE(!search.front.empty());
  const auto bill = [&](std::size_t i) {
    return bill_of(search.worlds[search.points[i].world], *search.points[i].balanced_step);
  };
  for (std::size_t i = 1; i < search.front.size(); ++i) {
    CHECK(bill(search.front[i]).days >= bill(search.front[i - 1]).days);
    CHECK(bill(search.front[i]).usd < bill(search.front[i - 1]).usd);
  }
  for (const std::size_t i : search.best_of_worlds)
    CHECK(std::any_of(search.front.begin(), search.front.end(), [&](std::size_t f) {
      return bill(f).days <= bill(i).days && bill(f).usd <= bill(i).usd;
    }));
  // Cheapest first.
  for (std::size_t i = 1; i < search.ranking.size(); ++i) {
    const auto usd = [&](std::size_t k) {
      const SearchPoint& point = search.points[search.ranking[k]];
      return bill_of(search.worlds[point.world], point.as_asked->step_time).usd;
    };
    CHECK(usd(i - 1) <= usd(i));
  }
}
