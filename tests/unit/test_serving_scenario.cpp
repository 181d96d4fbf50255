// A serving scenario as a whole: what may stand beside "serving", and what a run of it is.
#include "model/serving/serving_scenario.hpp"
#include "sim/serving/run_serving.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

const std::filesystem::path kNode = scenario_folder() / "azure-conversation-h200.jsonc";

Settings set(const std::string& pointer, const std::string& json) {
  return {{pointer, parse_json(json, "--set " + pointer)}};
}
std::string said(const std::string& pointer, const std::string& json) {
  return refusal([&] { read_serving_scenario(kNode, set(pointer, json)); });
}

// Small enough for a test: one unit, drawn requests.
ServingScenario small(const std::string& requests) {
  Settings settings = set("/requests", requests);
  settings.push_back(set("/variants", "[]").front());
  settings.push_back(set("/serving/pools/0/units", "1").front());
  settings.push_back(set("/routing", R"({"kind": "balanced"})").front());
  settings.push_back(set("/measure", "{}").front());
  return read_serving_scenario(kNode, settings);
}

const char* const kPoisson = R"({"arrivals": {"process": "poisson", "rate_per_s": 4},
  "input_tokens": {"distribution": "exponential", "mean": 600, "max": 4000},
  "output_tokens": {"distribution": "exponential", "mean": 100, "max": 1000}, "num_requests": 2000})";

}  // namespace

TEST_CASE("serving scenario: what is wrong beside the pools", "[serving]") {
  CHECK(said("/requests", "null") ==
        (kNode.string() + ": missing key \"requests\" or \"steps\": what is served"));
  CHECK(said("/measure/stop_after", "\"30 s\"") ==
        "--set /measure/stop_after: expected more than \"warm_up\"");
  CHECK(said("/measure/compress_time", "3") ==
        "--set /measure/compress_time: given, but when requests come is not the process's alone; "
        "expected 1");
  CHECK(said("/measure/seeds", "0") ==
        "--set /measure/seeds: expected an integer from 1 to 100, found 0");
}

TEST_CASE("serving scenario: a training scenario is not one, nor the other way round", "[serving]") {
  CHECK_FALSE(is_serving_scenario(scenario_folder() / "deepseek-v3-chunk.jsonc"));
  CHECK(is_serving_scenario(kNode));
  CHECK(refusal([] { read_scenario(kNode); }) ==
        kNode.string() +
            ": /serving: a serving scenario; `moesim run` and `moesim capacity` simulate it, and "
            "this needs one of training (\"phases\")");
}

TEST_CASE("serving run: tokens in are tokens served or refused, and threads change nothing",
          "[serving]") {
  const ServingScenario scenario = small(kPoisson);
  const ServingRun one = run_serving(scenario, {1, {}, {}}), two = run_serving(scenario, {2, {}, {}});
  REQUIRE(one.feasible);
  REQUIRE(one.runs.size() == 1);
  const SeedRun &a = one.runs[0], &b = two.runs[0];
  CHECK(a.cluster.taken == 2000);
  CHECK(a.metrics.is_balanced());
  CHECK(a.cluster.served + a.cluster.rejected() == 2000);
  CHECK(a.cluster.end == b.cluster.end);
  CHECK(a.metrics.ttft_s.mean == b.metrics.ttft_s.mean);
  CHECK(a.metrics.itl_s.percentile(99) == b.metrics.itl_s.percentile(99));
  CHECK(a.cost.total.in(USD) ==
        Approx(8 * scenario.cluster.price.in(USD_per_hour) * to_seconds(a.cluster.end).in(hour)));
}

TEST_CASE("serving run: a compressed day has the load, the units and the latencies of the whole one",
          "[serving]") {
  Settings settings;
  const auto change = [&](const char* pointer, const char* json) {
    settings.push_back(set(pointer, json).front());
  };
  change("/variants", "[]");
  change("/routing", R"({"kind": "balanced"})");
  change("/requests/arrivals",
         R"({"process": "diurnal", "rate_per_s": 3, "swing": 0.5, "peak_hour": 1})");
  change("/requests/duration", "\"4 h\"");
  change("/measure/stop_after", "\"4 h\"");
  for (const char* pool : {"/serving/pools/0", "/serving/pools/1"}) {
    const std::string base = pool;
    change((base + "/unit").c_str(),
           R"({"tp": 1, "dp": 8, "ep": 8, "recipe": "fp8_block", "weights": "fp4", "comm_sms": 20})");
    change((base + "/units").c_str(), "2");
    change((base + "/scaler/min_units").c_str(), "1");
    change((base + "/scaler/interval").c_str(), "\"8 min\"");
  }
  change("/serving/pools/0/engine/max_batch_tokens", "8192");
  change("/serving/pools/1/engine/max_requests", "32");
  change("/measure/compress_time", "1");
  ServingScenario scenario =
      read_serving_scenario(scenario_folder() / "deepseek-v3-serving-day.jsonc", settings);
  const ServingRun whole_run = run_serving(scenario, {2, {}, {}});
  REQUIRE(whole_run.feasible);
  const SeedRun& whole = whole_run.runs[0];
  scenario.measure.compress_time = 4;
  const SeedRun thin = run_serving(scenario, {2, {}, {}}).runs[0];
  CHECK(thin.simulated < whole.simulated / 3);
  CHECK(thin.cluster.end == Approx(static_cast<double>(whole.cluster.end)).epsilon(0.01));
  CHECK(static_cast<double>(thin.cluster.taken) ==
        Approx(static_cast<double>(whole.cluster.taken)).epsilon(0.05));
  CHECK(thin.metrics.output_throughput() ==
        Approx(whole.metrics.output_throughput()).epsilon(0.05));
  CHECK(thin.metrics.ttft_s.median == Approx(whole.metrics.ttft_s.median).epsilon(0.1));
  CHECK(thin.metrics.tpot_s.median == Approx(whole.metrics.tpot_s.median).epsilon(0.05));
  for (const std::size_t pool : {0U, 1U})
    CHECK(thin.cluster.pools[pool].gpu_time.in(hour) ==
          Approx(whole.cluster.pools[pool].gpu_time.in(hour)).epsilon(0.1));
}

TEST_CASE("serving run: a plan whose weights do not fit is a result", "[serving]") {
  ServingScenario scenario = small(kPoisson);
  scenario.serving.pools[0].cluster.gpu.hbm = 60 * GB;
  const ServingRun run = run_serving(scenario, {1, {}, {}});
  CHECK_FALSE(run.feasible);
  CHECK(run.runs.empty());
  CHECK_FALSE(run.pools[0].memory.fits);
  CHECK(run.warnings.at(0).rfind("pool node does not fit in memory", 0) == 0);
}
