// Latency against load, on servers whose knee is known; throughput against speed, in closed form.
#include <cmath>

#include "sim/serving/expert_cache.hpp"
#include "sim/serving/load_curve.hpp"
#include "sim/serving/speed_curve.hpp"
#include "tests/catch.hpp"
#include "tests/serving_cluster.hpp"

using namespace moesim;

namespace {

// Four servers, each of whom holds one request for its output tokens, 10 ms each: requests of 20
// tokens on average are served at 20 a second at most.
ServingScenario four_servers(double rate_per_s, std::int64_t requests) {
  ServingScenario scenario;
  PoolSpec pool = small_pool(PoolRole::colocated, 4);
  pool.engine.max_requests = 1;
  scenario.serving.pools = {pool};
  RequestSpec spec;
  spec.arrivals = ArrivalSpec{};
  spec.arrivals->rate_per_s = rate_per_s;
  spec.input.kind = LengthKind::constant;
  spec.input.mean = 1;
  spec.output.kind = LengthKind::geometric;
  spec.output.mean = 20;
  spec.num_requests = requests;
  spec.classes = {RequestClass{"all", 1, 0, {}}};
  scenario.requests = spec;
  scenario.seed = 3;
  return scenario;
}

std::vector<PoolSetup> servers_of_fixed_steps() {
  PoolSetup setup;
  setup.model = small_model(10 * ms);
  setup.model.pages = 1 << 20;
  return {setup};
}

}  // namespace

TEST_CASE("load curve: the knee of servers of known speed", "[charts]") {
  const auto pools = servers_of_fixed_steps();
  const LoadCurve curve = load_curve(four_servers(8, 4000), pools, 2);
  REQUIRE(curve.knee.has_value());
  const LoadPoint &holds = curve.points[curve.knee->holds],
                  &fails = curve.points[curve.knee->fails];
  // 20 requests a second are what four servers can do. A run of 4,000 sees growth when it is past
  // chance: somewhat above, and never below.
  CHECK(holds.requests_per_s < fails.requests_per_s);
  CHECK(fails.requests_per_s > 19);
  CHECK(holds.requests_per_s < 23);
  CHECK(fails.requests_per_s / holds.requests_per_s < 1.15);
  CHECK(fails.is_saturated);
  CHECK(fails.binding == "the queue grows");
  CHECK(curve.num_simulated == 4000 * std::ssize(curve.points));
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    CHECK(curve.points[i].speed > curve.points[i - 1].speed);
    // The same requests, only closer: the first token comes no earlier.
    CHECK(curve.points[i].ttft_p99_s >= curve.points[i - 1].ttft_p99_s);
    CHECK(curve.points[i].requests_per_s / curve.points[i].speed ==
          Approx(curve.points[0].requests_per_s / curve.points[0].speed));
  }
  // A batch of one: tokens come every 10 ms however many wait.
  CHECK(curve.points.back().tpot_p99_s == Approx(0.01));
  // What is served at the end is what the servers can do.
  CHECK(curve.points.back().output_tokens_per_s == Approx(400).epsilon(0.05));
}

TEST_CASE("load curve: does not depend on threads, and a bound moves its knee", "[charts]") {
  const auto pools = servers_of_fixed_steps();
  ServingScenario scenario = four_servers(8, 1500);
  scenario.measure.slo = "p90_ttft<100ms";
  scenario.measure.slo_place = "test";
  const LoadCurve one = load_curve(scenario, pools, 1), three = load_curve(scenario, pools, 3);
  REQUIRE(one.points.size() == three.points.size());
  for (std::size_t i = 0; i < one.points.size(); ++i) {
    CHECK(one.points[i].speed == three.points[i].speed);
    CHECK(one.points[i].ttft_p99_s == three.points[i].ttft_p99_s);
  }
  REQUIRE(one.knee.has_value());
  const LoadPoint& fails = one.points[one.knee->fails];
  CHECK(fails.requests_per_s < 20);
  CHECK_FALSE(fails.is_saturated);
  CHECK(fails.binding == "p90_ttft<100ms");

  // One that nothing can hold: no knee, and the search ends.
  scenario.measure.slo = "p50_ttft<1ms";
  const LoadCurve none = load_curve(scenario, pools, 2);
  CHECK_FALSE(none.knee.has_value());
  CHECK(none.points.front().speed < 0.02);
}

TEST_CASE("load curve: at another speed all clocks of the requests change together", "[charts]") {
  ServingScenario scenario = four_servers(8, 100);
  scenario.requests->duration = 60 * s;
  scenario.measure.warm_up = 6 * s;
  scenario.measure.stop_after = 30 * s;
  const ServingScenario faster = at_speed(scenario, 4);
  CHECK(faster.requests->arrivals->rate_per_s == 32);
  CHECK(faster.requests->duration->in(s) == Approx(15));
  CHECK(faster.measure.warm_up.in(s) == Approx(1.5));
  CHECK(faster.measure.stop_after->in(s) == Approx(7.5));

  const auto arrivals = [](const ServingScenario& of) {
    const auto source = make_source(*of.requests, of.seed);
    std::vector<Request> requests;
    while (source->next_arrival()) requests.push_back(source->take());
    return requests;
  };
  const auto slow = arrivals(scenario), fast = arrivals(faster);
  REQUIRE(slow.size() == 100);
  REQUIRE(fast.size() == 100);
  for (std::size_t i = 0; i < slow.size(); ++i) {
    CHECK(fast[i].output_tokens == slow[i].output_tokens);
    CHECK(4 * static_cast<double>(fast[i].arrival) ==
          Approx(static_cast<double>(slow[i].arrival)).margin(1000));
  }

  // A day keeps its shape, however slowly it passes.
  scenario.requests->arrivals->kind = ArrivalKind::diurnal;
  scenario.requests->arrivals->swing = 0.5;
  for (const double speed : {0.25, 4.0}) {
    const auto of_day = arrivals(at_speed(scenario, speed));
    REQUIRE(of_day.size() == 100);
    CHECK(speed * static_cast<double>(of_day.back().arrival) ==
          Approx(static_cast<double>(arrivals(scenario).back().arrival)).epsilon(0.05));
  }

  scenario.requests->arrivals = ArrivalSpec{};
  scenario.requests->arrivals->kind = ArrivalKind::closed_loop;
  scenario.requests->arrivals->concurrency = 10;
  CHECK(at_speed(scenario, 2.5).requests->arrivals->concurrency == 25);
  CHECK(at_speed(scenario, 0.01).requests->arrivals->concurrency == 1);
}

TEST_CASE("speed curve: the trade of a step that is affine in its requests", "[charts]") {
  PoolSpec pool = small_pool(PoolRole::decode, 1, 4);
  pool.plan.tp = 2;
  pool.engine.max_requests = 48;
  pool.engine.step_overhead = 1 * ms;
  PoolModel model = small_model(9 * ms, {}, 1 * ms);
  const auto curve = speed_curve(pool, model, 100);
  std::vector<std::int64_t> sizes;
  for (const SpeedPoint& point : curve) {
    const auto n = static_cast<double>(point.requests);
    sizes.push_back(point.requests);
    CHECK(point.step.in(ms) == Approx(10 + n));
    CHECK(point.tokens_per_s_per_user == Approx(1000 / (10 + n)));
    CHECK(point.tokens_per_s_per_gpu == Approx(n / 2 * 1000 / (10 + n)));  // 4 n requests, 8 GPUs
  }
  CHECK(sizes == std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 48});

  // Memory ends it: 1024 pages of 16 tokens, 26 of them a request of 400 and the next token.
  CHECK(speed_curve(pool, model, 400).back().requests == 39);
  CHECK(speed_curve(pool, model, 100'000).empty());
  // Drafts count.
  pool.engine.acceptance = {0.5};
  CHECK(speed_curve(pool, model, 100).front().tokens_per_s_per_user == Approx(1.5 * 1000 / 11));
  pool.role = PoolRole::prefill;
  CHECK(speed_curve(pool, model, 100).empty());
}

TEST_CASE("latency distribution: its curve is monotone and has the percentiles", "[charts]") {
  for (const std::size_t exact : {std::size_t{1'000'000}, std::size_t{100}}) {
    ValueSample sample(exact);
    Random random(5, 0);
    for (int i = 0; i < 5000; ++i) sample.add(-std::log(random.uniform()));
    const Distribution d = sample.distribution({5, 50, 99});
    REQUIRE(d.curve.size() == 101);
    CHECK(d.curve[5] == d.percentile(5));
    CHECK(d.curve[50] == d.median);
    CHECK(d.curve[99] == d.percentile(99));
    CHECK(d.curve[100] == Approx(d.max).epsilon(1e-3));
    for (std::size_t p = 1; p < d.curve.size(); ++p) CHECK(d.curve[p] >= d.curve[p - 1]);
    // Of the exponential law the median is ln 2.
    CHECK(d.curve[50] == Approx(std::log(2)).epsilon(0.05));
  }
  CHECK(ValueSample(10).distribution({50}).curve.empty());
}

TEST_CASE("experts in tiers: a step is what it computes and what it waits", "[charts]") {
  ExpertCacheProblem problem;
  problem.visit = std::vector<double>(64, 4.0 / 64);
  problem.hbm_experts = 16;
  problem.host_experts = 64;
  problem.expert = 100 * MB;
  problem.host_bandwidth = 20 * GB_per_s;
  problem.ssd_bandwidth = 4 * GB_per_s;
  PoolSpec pool = small_pool(PoolRole::colocated, 1);
  const ExpertTierClock clock(std::make_shared<PlainClock>(10 * ms),
                              ExpertCacheTable(problem, 64, 1),
                              /*num_layers=*/5,
                              /*tokens_per_decode_request=*/1,
                              /*tokens_are_shared=*/false);
  const auto points = expert_tier_points(pool, clock);
  REQUIRE(points.size() == 4);
  for (const ExpertTierPoint& point : points) {
    CHECK(point.step.in(ms) == Approx(10 + point.stall.in(ms)));
    CHECK(point.use.hit_rate() == Approx(0.25).margin(0.05));
    // 5 ms an expert that is missing, in each of the five layers.
    CHECK(point.stall.in(ms) == Approx(25 * point.use.from_host));
  }
  CHECK(points.back().requests == 8);
  CHECK(points.back().use.touched > points.front().use.touched);
}
