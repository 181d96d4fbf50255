// What interrupts a run, against closed forms, brute force and sampled runs.
#include <cmath>
#include <numeric>

#include "sim/checkpoint_interval.hpp"
#include "sim/goodput.hpp"
#include "sim/goodput_sampling.hpp"
#include "sim/run.hpp"
#include "sim/stragglers.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

// 200 stretches of 1800 s of work and a pause of 30 s; a failure every two hours, half of them with
// their node; ten minutes to find one, five to restart.
RunOutline outline(double settling = 0) {
  RunOutline o;
  o.ideal = 200 * 1800 * s;
  o.pauses = (200 * 30 + settling) * s;
  o.stretches = {{150, 1830 * s}, {50, 1830 * s}};
  o.settling = settling * s;
  o.rate = 1.0 / 7200;
  o.node_share = 0.5;
  o.detection = 600 * s;
  o.restart = 300 * s;
  return o;
}

struct Mean {
  double value = 0, error = 0;  // of the mean, one standard deviation
};
template <class Number>
Mean mean_of(const std::vector<RunTimes>& samples, Number number) {
  double sum = 0, squares = 0;
  for (const RunTimes& t : samples) {
    sum += number(t);
    squares += number(t) * number(t);
  }
  const auto n = static_cast<double>(samples.size());
  const double mean = sum / n;
  return {mean, std::sqrt(std::max(0.0, squares / n - mean * mean) / n)};
}

void check_mean(const std::vector<RunTimes>& samples, const RunTimes& expected) {
  for (std::size_t cause = 0; cause < kNumLost; ++cause) {
    CAPTURE(kLostNames[cause].title);
    const Mean mean = mean_of(samples, [&](const RunTimes& t) { return t.lost[cause].in(s); });
    CHECK(std::abs(mean.value - expected.lost[cause].in(s)) <= 4 * mean.error + 1e-6);
  }
  const Mean failures = mean_of(samples, [](const RunTimes& t) { return t.interruptions; });
  CHECK(std::abs(failures.value - expected.interruptions) <= 4 * failures.error);
  const Mean wall = mean_of(samples, [](const RunTimes& t) { return t.wall().in(s); });
  CHECK(std::abs(wall.value - expected.wall().in(s)) <= 4 * wall.error);
}

Scenario small_with(const std::string& operations) {
  return small_v3({{"/operations", operations},
                   {"/phases",
                    R"([{"name": "a", "seq_len": 4096, "batch": 128, "steps": 100000,
                         "routing": {"kind": "balanced"}},
                        {"name": "b", "gpu_hours": 64, "source": "stated"}])"}});
}

}  // namespace

TEST_CASE("goodput: without failures a run takes its steps and its pauses") {
  RunOutline o = outline();
  o.rate = 0;
  const RunTimes t = expected_times(o);
  CHECK(t.wall() == o.ideal + o.pauses);
  CHECK(t.interruptions == 0);
  const RunTimes sampled = sample_runs(o, 1, 1, 1).front();
  CHECK(sampled.wall() == t.wall());
  o.maintenance_share = 0.25;
  CHECK(expected_times(o).wall().in(s) == Approx((o.ideal + o.pauses).in(s) / 0.75));
}

TEST_CASE("goodput: no detection and a written checkpoint give Daly's formula") {
  RunOutline o = outline();
  o.detection = Seconds();
  const double m = 7200, segment = m * std::exp(300 / m) * std::expm1(1830 / m);
  CHECK(expected_times(o).wall().in(s) == Approx(200 * segment).epsilon(1e-12));
}

TEST_CASE("goodput: rare failures cost detection, restart and half an interval each") {
  RunOutline o = outline(120);
  o.rate = 1e-10;
  const RunTimes t = expected_times(o);
  const double exposed = (o.work() + o.settling).in(s);
  CHECK(t.interruptions == Approx(exposed * 1e-10).epsilon(1e-5));
  CHECK(t[LostTo::detection].in(s) / t.interruptions == Approx(600).epsilon(1e-6));
  CHECK(t[LostTo::restart].in(s) / t.interruptions == Approx(300).epsilon(1e-6));
  // An unsettled checkpoint is not gone back to: the write makes the way back longer by itself,
  // but for the first stretch, whose start is settled.
  const double back = (199 * 1830 * (915 + 120.0) + 1950 * 975.0) / exposed;
  CHECK(t[LostTo::recomputed].in(s) / t.interruptions == Approx(back).epsilon(1e-3));
}

TEST_CASE("goodput: sampled runs have the expected means, whatever the threads") {
  for (const double settling : {0.0, 900.0}) {
    CAPTURE(settling);
    RunOutline o = outline(settling);
    o.maintenance_share = 0.02;
    const std::vector<RunTimes> samples = sample_runs(o, 7, 4000, 2);
    check_mean(samples, expected_times(o));
    const std::vector<RunTimes> again = sample_runs(o, 7, 4000, 1);
    for (std::size_t i = 0; i < samples.size(); ++i) REQUIRE(samples[i].wall() == again[i].wall());
  }
}

TEST_CASE("goodput: short runs and single stretches are exact too") {
  RunOutline o = outline(400);
  o.stretches = {{1, 5000 * s}, {1, 700 * s}};
  check_mean(sample_runs(o, 3, 40000, 2), expected_times(o));
  o.stretches = {{1, 5000 * s}};
  check_mean(sample_runs(o, 4, 40000, 2), expected_times(o));
}

TEST_CASE("goodput: failures of a run without anything to redo are a Poisson count") {
  // One stretch a second: next to nothing is computed again, so the exposed time is the run's.
  RunOutline o = outline();
  o.stretches = {{360000, 1 * s}};
  o.ideal = 360000 * s;
  o.pauses = o.restart = Seconds();
  const std::vector<RunTimes> samples = sample_runs(o, 5, 4000, 2);
  const Mean n = mean_of(samples, [](const RunTimes& t) { return t.interruptions; });
  CHECK(n.value == Approx(50).epsilon(0.01));
  const double deviation = n.error * std::sqrt(4000.0);
  CHECK(deviation * deviation == Approx(50).epsilon(0.08));  // the variance of a Poisson count
  const Interval interval =
      chance_interval(samples, [](const RunTimes& t) { return t.interruptions; });
  CHECK(interval.low == Approx(39).margin(1));  // quantiles of Poisson(50): 39 and 62
  CHECK(interval.high == Approx(62).margin(1));
}

TEST_CASE("goodput: waiting for spares follows Erlang's loss formula") {
  CHECK(erlang_loss(1, 1) == Approx(0.5));
  CHECK(erlang_loss(2, 2) == Approx(0.4));
  CHECK(erlang_loss(5, 0) == 0);
  RunOutline o = outline();
  o.detection = o.restart = Seconds();
  o.stretches = {{20000, 180 * s}};
  o.ideal = 20000 * 180 * s;
  o.pauses = Seconds();
  o.spares = Spares{3, 60 * s, 40000 * s, ""};
  const RunTimes expected = expected_times(o);
  const std::vector<RunTimes> samples = sample_runs(o, 9, 500, 2);
  const Mean wait = mean_of(samples, [](const RunTimes& t) { return t[LostTo::spare_wait].in(s); });
  REQUIRE(expected[LostTo::spare_wait] > 1 * hour);
  // The formula is of the steady state; a run starts with all spares and has short downtimes.
  CHECK(wait.value == Approx(expected[LostTo::spare_wait].in(s)).epsilon(0.05));
  o.spares->nodes = 0;  // waits for every node's own repair: no approximation
  check_mean(sample_runs(o, 9, 500, 2), expected_times(o));
  o.spares->nodes = 1000;
  CHECK(expected_times(o)[LostTo::spare_wait].in(s) == Approx(0).margin(1e-9));
}

TEST_CASE("goodput: the best interval between checkpoints is the minimum, near Young and Daly") {
  for (const double pause : {1.0, 30.0, 900.0}) {
    CAPTURE(pause);
    const double m = 11000;
    const auto cost = [&](double work) { return std::expm1((work + pause) / m) / work; };
    double brute = 1;
    for (double work = 1; work < 3 * m; work *= 1.001)
      if (cost(work) < cost(brute)) brute = work;
    const double best = best_interval(pause * s, m * s).in(s);
    CHECK(best == Approx(brute).epsilon(0.002));
    CHECK(cost(best) <= cost(brute) * (1 + 1e-12));
    CHECK(daly_interval(pause * s, m * s).in(s) == Approx(best).epsilon(0.001));
    CHECK(young_interval(pause * s, m * s).in(s) == Approx(best + 2 * pause / 3).epsilon(0.01));
  }
  CHECK(daly_interval(100 * s, 40 * s) == 40 * s);
  CHECK(best_interval(Seconds(), 40 * s).in(s) == Approx(0).margin(1e-9));
}

TEST_CASE("goodput: chosen steps between checkpoints are the best whole number") {
  Checkpoints c;
  c.size = 6 * TB;
  c.write = c.read = 200 * GB_per_s;  // 30 s
  const double rate = 1e-4;
  const auto cost = [&](double steps) { return std::expm1(rate * (20 * steps + 30)) / steps; };
  const double chosen = steps_per_checkpoint(c, 20 * s, c.pause(64), rate);
  for (double steps = 1; steps < 500; ++steps) CHECK(cost(chosen) <= cost(steps));
  c.copy = 1000 * GB_per_s;  // next to no pause: as often as the write allows
  CHECK(steps_per_checkpoint(c, 20 * s, c.pause(64), rate) == 2);
  c.kind = CheckpointInterval::time;
  c.time = 95 * s;
  CHECK(steps_per_checkpoint(c, 20 * s, c.pause(64), rate) == 5);
}

TEST_CASE("goodput: the slowest of n nodes") {
  const auto shared = [](double share, std::int64_t n) {
    return slowest_node({share, 1.1, std::nullopt, ""}, n);
  };
  CHECK(shared(0, 256) == 1);
  CHECK(shared(1, 256) == Approx(1.1));
  CHECK(shared(0.01, 1) == Approx(1.001));
  CHECK(shared(0.01, 256) == Approx(1 + 0.1 * (1 - std::pow(0.99, 256))));
  const auto lognormal = [](double sigma, std::int64_t n) {
    return slowest_node({0, 1, sigma, ""}, n);
  };
  CHECK(lognormal(0, 256) == Approx(1));
  CHECK(lognormal(0.3, 1) == Approx(std::exp(0.045)));
  // Of two standard normals the larger has mean 1 / sqrt(pi); of 256, 2.8269 (tables of normal
  // order statistics). Small sigmas only see the mean.
  CHECK((lognormal(1e-6, 2) - 1) / 1e-6 == Approx(1 / std::sqrt(std::acos(-1.0))).epsilon(1e-4));
  CHECK((lognormal(1e-6, 256) - 1) / 1e-6 == Approx(2.8269).epsilon(1e-4));
}

TEST_CASE("goodput: a run's times add up and its checkpoints cover all steps") {
  const Scenario scenario = small_with(R"({
    "failures": [{"component": "GPU", "per": "gpu", "mtbf": "2000 h", "source": "a"},
                 {"component": "switch", "per": "switch", "mtbf": "20000 h", "source": "b"},
                 {"component": "software", "per": "cluster", "mtbf": "100 h", "source": "c"}],
    "recovery": {"detection": "5 min", "reschedule": "1 min", "warm_up": "30 s", "source": "d"},
    "spares": {"nodes": 1, "swap": "2 min", "repair": "12 h", "source": "e"},
    "checkpoint": {"interval": 300, "size": "derived", "per": "node", "write_bandwidth": "5 GB/s",
                   "read_bandwidth": "2 GB/s", "asynchronous": true, "copy_bandwidth": "20 GB/s",
                   "source": "f"},
    "evaluation": {"every_steps": 3000, "pause": "3 min", "source": "g"},
    "stragglers": {"share": 0.05, "slowdown": 1.2, "source": "h"},
    "maintenance": {"pauses_per_month": 4, "pause": "2 h", "source": "i"}})");
  const RunResult run = run_scenario(scenario, {});
  REQUIRE(run.operations);
  const OperationsResult& result = *run.operations;
  const RunOutline o = outline_of(scenario, run);
  const RunTimes& t = result.expected;
  const double step = run.phases[0].step_time.in(s);
  CHECK(t.ideal.in(s) == Approx(100000 * step + 3600));  // 64 GPU hours on 64 GPUs are one hour
  CHECK(o.rate ==
        Approx((64 / 2000.0 + units_in(scenario.cluster, FailureUnit::network_switch) / 20000.0 +
                1 / 100.0) /
               3600));
  CHECK(t[LostTo::evaluation].in(s) == Approx(33 * 180));
  CHECK(result.slowest_node == Approx(1 + 0.2 * (1 - std::pow(0.95, 8))));
  CHECK(t[LostTo::stragglers] > Seconds());
  CHECK(t[LostTo::stragglers].in(s) < (result.slowest_node - 1) * 100000 * step);
  CHECK(result.checkpoint->steps == 300);
  CHECK(result.checkpoint->written == 334);  // 333 whole intervals, and 100 steps at the end
  CHECK(result.checkpoint->size.in(B) ==
        static_cast<double>(count_parameters(scenario.model).total() +
                            count_parameters(scenario.model).mtp) *
            10);
  // Stretches hold all work once: steps with their shares of slow nodes and evaluation.
  CHECK((o.work() + o.settling).in(s) == Approx((t.ideal - o.stated + t[LostTo::stragglers] +
                                                 t[LostTo::evaluation] + t[LostTo::checkpoint])
                                                    .in(s)));
  Seconds sum = t.ideal;
  for (const Seconds lost : t.lost) sum += lost;
  CHECK(sum.in(s) == Approx(t.wall().in(s)).epsilon(1e-15));
  CHECK(t[LostTo::maintenance].in(s) == Approx(8 / 730.5 * (t.wall() - o.stated).in(s)));
  double by_component = 0;
  for (const ComponentInterruptions& c : result.components) by_component += c.expected;
  CHECK(by_component == Approx(t.interruptions));
  CHECK(result.gpus_paid == 72);
  CHECK(run.gpu_hours == Approx(64 + 64 * 100000 * step / 3600));  // as without operations
  REQUIRE(result.samples.size() == kNumSampledRuns);
  const Mean wall = mean_of(result.samples, [](const RunTimes& x) { return x.wall().in(s); });
  CHECK(wall.value == Approx(t.wall().in(s)).epsilon(0.01));
}

TEST_CASE("goodput: the end of a run is settled, however few steps are left") {
  const auto checkpoints = [](const std::string& steps) {
    const Scenario scenario = small_v3(
        {{"/operations",
          R"({"checkpoint": {"interval": )" + steps + R"(, "size": "100 GB", "per": "cluster",
              "write_bandwidth": "10 GB/s", "read_bandwidth": "10 GB/s", "asynchronous": true,
              "copy_bandwidth": "20 GB/s", "source": "a"}})"},
         {"/phases",
          R"([{"name": "a", "seq_len": 4096, "batch": 128, "steps": 1001,
               "routing": {"kind": "balanced"}}])"}});
    const RunResult run = run_scenario(scenario, {});
    const RunOutline o = outline_of(scenario, run);
    CHECK(o.work().in(s) == Approx((run.operations->expected.ideal + o.pauses - o.settling).in(s)));
    return run.operations->checkpoint->written;
  };
  CHECK(checkpoints("100") == 10);  // one step is done before the write: the last is left out
  CHECK(checkpoints("77") == 13);
  CHECK(checkpoints("1001") == 1);
}

TEST_CASE("goodput: a run that cannot finish is a result, not an error") {
  const Scenario scenario = small_with(R"({
    "failures": [{"component": "GPU", "per": "gpu", "mtbf": "1 h", "source": "a"}],
    "recovery": {"detection": "5 min", "reschedule": "30 min", "warm_up": "30 s", "source": "d"},
    "checkpoint": {"interval": "optimal", "size": "derived", "per": "cluster",
                   "write_bandwidth": "1 TB/s", "read_bandwidth": "1 TB/s", "asynchronous": false,
                   "source": "f"}})");
  const RunResult run = run_scenario(scenario, {});
  REQUIRE(run.operations);
  CHECK(run.operations->samples.empty());
  CHECK_FALSE(run.feasible);
  CHECK(run.operations->refusal.rfind("the run would not come to an end: it fails every 56 s", 0) ==
        0);
}
