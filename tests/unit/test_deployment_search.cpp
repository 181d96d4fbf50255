// The search of deployments on a space small enough to simulate all of it: bounds lose nothing,
// rest on properties that step clocks have, and nothing depends on threads.
#include <algorithm>

#include "sim/serving/deployment_axes.hpp"
#include "sim/serving/deployment_bound.hpp"
#include "sim/serving/deployment_search.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/serving_pools.hpp"

using namespace moesim;

namespace {

const std::filesystem::path kAzure = scenario_folder() / "azure-conversation-h200.jsonc";

std::pair<std::string, JsonNode> set_to(const std::string& pointer, const std::string& text) {
  return {pointer, parse_json(text, pointer)};
}

// Layouts whose names are among `wanted`, and one other choice.
DeploymentRequest small_search(const std::vector<std::string>& wanted, Settings settings = {}) {
  DeploymentRequest request;
  request.scenario = kAzure;
  request.settings = std::move(settings);
  const ServingScenario scenario = read_serving_scenario(kAzure, request.settings);
  std::vector<FieldAxis> axes = serving_axes(scenario, compose_document(kAzure, request.settings));
  FieldAxis layout{"layout", {}};
  for (const FieldAxis::Alternative& alternative : axes[0].alternatives)
    if (std::find(wanted.begin(), wanted.end(), alternative.name) != wanted.end())
      layout.alternatives.push_back(alternative);
  REQUIRE(layout.alternatives.size() == wanted.size());
  FieldAxis tokens{"max_batch_tokens", {}};
  for (const std::string n : {"2048", "8192"})
    tokens.alternatives.push_back(
        {"max_batch_tokens " + n, {set_to("/serving/pools/*/engine/max_batch_tokens", n)}});
  request.axes = {layout, tokens};
  request.bounds = parse_slo("p99_ttft<2s,p99_tpot<50ms");
  request.num_best = 2;
  request.num_threads = 2;
  return request;
}

const std::vector<std::string> kLayouts = {"colocated, units of 8 GPUs ep 8",
                                           "colocated, units of 8 GPUs tp 8 ep 8",
                                           "prefill 8 GPUs ep 8, decode 8 GPUs ep 8",
                                           "prefill 8 GPUs tp 8 ep 8, decode 8 GPUs tp 8 ep 8",
                                           "prefill 16 GPUs ep 16, decode 16 GPUs ep 16"};

struct Found {
  std::vector<std::size_t> choice;
  std::vector<std::int64_t> units;
  double usd_per_hour, margin;
  friend bool operator==(const Found&, const Found&) = default;
};
std::vector<Found> best_of(const DeploymentSearch& search, std::size_t most) {
  std::vector<Found> best;
  for (const std::size_t i : search.ranking) {
    if (i == 0 || best.size() == most) continue;  // the scenario's own is simulated whatever it is
    const DeploymentRun& run = search.points[i].runs.back();
    best.push_back({search.points[i].choice, run.units, run.usd_per_hour, run.found.margin});
  }
  return best;
}

// Numbers from a counter.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::int64_t to(std::int64_t most) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::int64_t>((state_ >> 33) % static_cast<std::uint64_t>(most + 1));
  }

 private:
  std::uint64_t state_;
};

}  // namespace

TEST_CASE("deployment search: bounds lose nothing that simulating everything finds",
          "[deployment_search]") {
  for (const std::string scale : {"1", "8"}) {
    DeploymentRequest request = small_search(
        kLayouts,
        {set_to("/requests/trace/rate_scale", scale), set_to("/measure/warm_up", "\"1 s\"")});
    const DeploymentSearch quick = search_deployments(request);
    request.exhaustive = true;
    const DeploymentSearch all = search_deployments(request);
    INFO("rate_scale " << scale);
    REQUIRE(all.complete);
    CHECK(best_of(quick, 2) == best_of(all, 2));
    CHECK(quick.num_runs < all.num_runs);
    std::size_t num_raised = 0;
    for (std::size_t i = 1; i < all.points.size(); ++i) {
      // What a bound says is kept by what simulating everything finds.
      const DeploymentPoint &bounded = quick.points[i], &simulated = all.points[i];
      if (simulated.outcome != DeploymentOutcome::holds) continue;
      CHECK(bounded.outcome != DeploymentOutcome::impossible);
      CHECK(bounded.least_usd_per_hour <= simulated.runs.back().usd_per_hour);
      for (std::size_t p = 0; p < bounded.pools.size(); ++p) {
        CHECK(bounded.pools[p].least <= simulated.runs.back().units[p]);
        num_raised += bounded.pools[p].least > 1 ? 1 : 0;
      }
    }
    if (scale == "8") CHECK(num_raised > 0);  // else the bound on units says nothing
  }
}

TEST_CASE("deployment search: the same for any number of threads", "[deployment_search]") {
  DeploymentRequest request = small_search({kLayouts[1], kLayouts[2]});
  request.num_threads = 1;
  const DeploymentSearch one = search_deployments(request);
  request.num_threads = 3;
  const DeploymentSearch three = search_deployments(request);
  CHECK(one.num_runs == three.num_runs);
  CHECK(one.ranking == three.ranking);
  CHECK(one.front == three.front);
  CHECK(best_of(one, 100) == best_of(three, 100));
}

TEST_CASE("deployment search: what cannot hold is known without a run", "[deployment_search]") {
  DeploymentRequest request = small_search({kLayouts[0], kLayouts[2]});
  request.bounds = parse_slo("p99_tpot<5ms");
  const DeploymentSearch slow = search_deployments(request);
  CHECK(slow.num_runs == 1);  // the scenario's own
  CHECK(slow.ranking.empty());
  for (std::size_t i = 1; i < slow.points.size(); ++i) {
    CHECK(slow.points[i].outcome == DeploymentOutcome::impossible);
    CHECK(slow.points[i].refusal.find("p99_tpot<5ms cannot hold") != std::string::npos);
  }
  request.bounds = parse_slo("p99_ttft<2s,p99_tpot<200ms");
  request.limits = parse_limits("gpus<=8", deployment_limits());
  const DeploymentSearch few = search_deployments(request);
  for (std::size_t i = 1; i < few.points.size(); ++i) {
    const bool apart = few.points[i].pools.size() == 2;
    CHECK((few.points[i].outcome == DeploymentOutcome::over_limit) == apart);
    if (apart) CHECK(few.points[i].refusal == "needs at least 16 GPUs: gpus<=8");
  }
}

TEST_CASE("deployment search: choices that cannot be built say why", "[deployment_search]") {
  DeploymentRequest request = small_search({kLayouts[0]});
  request.axes.push_back({"ep", {{"ep 3", {set_to("/serving/pools/*/unit/ep", "3")}}}});
  const DeploymentSearch search = search_deployments(request);
  CHECK(search.points[1].outcome == DeploymentOutcome::refused);
  CHECK(search.points[1].refusal.find("/ep: is 3; expected tp 1 x dp 8 = 8") != std::string::npos);
  request.axes.back() = {"eq", {{"eq 3", {set_to("/serving/pools/*/unit/eq", "3")}}}};
  CHECK(refusal([&] { search_deployments(request); }).find("unknown key \"eq\"") !=
        std::string::npos);
}

TEST_CASE("deployment search: step clocks are monotone and even, to the slack of bounds",
          "[deployment_search]") {
  for (const std::int64_t gpus : {8, 16})
    for (const bool overlap : {false, true}) {
      PoolSpec pool = h100_pool(PoolRole::colocated, gpus);
      const ModelSpec model = shipped_model("deepseek-v3");
      const RoutingSpec routing = v3_routing(RoutingKind::sampled);
      const StepTimeModel whole(model, pool, routing, 1);
      pool.plan.two_batch_overlap = overlap;
      PoolModel of_pool;
      of_pool.clock = std::make_shared<const StepTimeModel>(model, pool, routing, 1);
      const PoolClocks fastest{of_pool, overlap ? &whole : nullptr};
      Dice dice(static_cast<std::uint64_t>(gpus) + (overlap ? 100 : 0));
      for (int draw = 0; draw < 300; ++draw) {
        const bool decodes = dice.to(1) == 1;
        std::vector<RankBatch> ranks(static_cast<std::size_t>(gpus));
        std::int64_t sum = 0;
        for (RankBatch& rank : ranks) {
          const std::int64_t n = decodes ? dice.to(200) : dice.to(8192);
          sum += n;
          if (decodes) {
            rank.decode_requests = n;
            rank.decode_context = n * 1000;
          } else if (n > 0) {
            rank.prefill_requests = 1;
            rank.prefill_tokens = rank.prefill_context = n;
          }
        }
        const std::int64_t mean = sum / gpus;
        if (mean == 0) continue;
        RankBatch each;
        if (decodes) {
          each.decode_requests = mean;
          each.decode_context = mean * 1000;
        } else {
          each.prefill_requests = 1;
          each.prefill_tokens = each.prefill_context = mean;
        }
        const auto time = static_cast<double>(of_pool.clock->step_time(ranks));
        const std::vector<RankBatch> even(ranks.size(), each);
        CHECK(static_cast<double>(fastest.step_time(even)) * (1 - kClockSlack) <= time);
        std::vector<RankBatch> less = ranks;
        RankBatch& one = less[static_cast<std::size_t>(dice.to(gpus - 1))];
        one = RankBatch();
        CHECK(static_cast<double>(fastest.step_time(less)) * (1 - kClockSlack) <= time);
      }
    }
}

TEST_CASE("deployment search: fields of all pools and of a role", "[deployment_search]") {
  const JsonNode document = compose_document(scenario_folder() / "conversation-h800.jsonc", {});
  const Settings written = with_pools_written_out({set_to("/serving/pools/*/unit/tp", "2"),
                                                   set_to("/serving/pools/decode/units", "3"),
                                                   set_to("/serving/pools/0/units", "4")},
                                                  document);
  std::vector<std::string> pointers;
  for (const auto& [pointer, value] : written) pointers.push_back(pointer);
  CHECK(pointers == std::vector<std::string>{"/serving/pools/0/unit/tp",
                                             "/serving/pools/1/unit/tp",
                                             "/serving/pools/1/units",
                                             "/serving/pools/0/units"});
}
