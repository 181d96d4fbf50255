// Intervals against closed forms, against simulating everything again, and what must hold of any of
// them.
#include <algorithm>
#include <cmath>
#include <set>

#include "reports/known_figures.hpp"
#include "reports/report.hpp"
#include "sim/uncertainty.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

std::size_t at(Kernel kernel) { return static_cast<std::size_t>(kernel); }

template <class Change>
void change_errors(Profile& profile, Change change) {
  for (ModelError& error : profile.error) change(error);
  CommModel& comm = profile.comm;
  for (ModelError* error : {&comm.links, &comm.overlap, &comm.copies, &comm.overheads})
    change(*error);
  change(profile.launch_error);
}

Scenario without_errors(Scenario scenario) {
  change_errors(scenario.profile, [](ModelError& e) { e.inside = e.outside = 0; });
  return scenario;
}

// A pair of chunks in BF16 of which nothing but GEMMs and launch gaps takes time, GEMMs being
// inside what was measured; no error but theirs.
Scenario gemms_and_gaps(double gemm_error, double gap_error) {
  Scenario sc = without_errors(
      shipped_scenario("deepseek-v3-chunk",
                       {{"/plan/recipe", "\"bf16\""}, {"/routing", R"({"kind": "balanced"})"}}));
  for (GpuSpec* gpu : {&sc.cluster.gpu, &sc.profile.gpu}) {
    gpu->hbm_bandwidth = 1e20 * TB_per_s;
    gpu->nvlink_bandwidth = 1e20 * TB_per_s;
  }
  sc.cluster.nic_bandwidth = 1e20 * TB_per_s;
  sc.cluster.nic_latency = sc.cluster.nvlink_latency = 0 * s;
  Profile& p = sc.profile;
  for (auto& memory : p.memory)
    if (memory) {
      memory->bandwidth.reset();
      memory->overhead = 0 * s;
    }
  for (auto& attention : p.attention)
    if (attention) {
      attention->rate = 1e20 * TFLOP_per_s;
      attention->bandwidth = 1e20 * TB_per_s;
      attention->overhead = 0 * s;
    }
  p.comm.layout = p.chunk_startup = 0 * s;
  p.comm.dispatch_per_sm = p.comm.combine_per_sm = 1e20 * TB_per_s;
  GemmModel& gemm = *p.gemm[at(Kernel::gemm_bf16)];
  gemm.m = gemm.n = gemm.k = {1, 1 << 30};
  gemm.sms = {1, 132};
  gemm.residual = {};
  p.error[at(Kernel::gemm_bf16)].inside = gemm_error;
  p.error[at(Kernel::gemm_bf16)].basis = "held_out";
  p.launch_error.inside = gap_error;
  return sc;
}

RunResult run_of(const Scenario& scenario, RunOptions options = {}) {
  return run_scenario(scenario, options);
}

double step_s(const RunResult& run) { return run.phases.front().step_time.in(s); }

Interval step_interval(const Scenario& scenario) {
  const RunResult run = run_of(scenario);
  return interval_of(run, *uncertainty_of(scenario, run, 1), step_s);
}

double width(const Interval& interval) { return interval.high - interval.low; }

const SourceEffect& effect_of(const Uncertainty& uncertainty, const std::string& source) {
  const auto found = std::find_if(uncertainty.effects.begin(),
                                  uncertainty.effects.end(),
                                  [&](const SourceEffect& e) { return e.source == source; });
  REQUIRE(found != uncertainty.effects.end());
  return *found;
}

ErrorSource source_named(const Profile& profile, const std::string& name) {
  for (const ErrorSource& source : error_sources(profile))
    if (source.name == name) return source;
  FAIL("no source " << name);
  return {};
}

std::set<std::string> names_of(const Profile& profile) {
  std::set<std::string> names;
  for (const ErrorSource& source : error_sources(profile)) names.insert(source.name);
  return names;
}

}  // namespace

TEST_CASE("sources of error are those the profile has and no kernel is in two") {
  Profile profile = shipped_scenario("deepseek-v3-chunk").profile;
  profile.gemm[at(Kernel::grouped_gemm_fp8)].reset();
  std::vector<int> uses(kNumKernels, 0);
  for (const ErrorSource& source : error_sources(profile))
    for (const Kernel kernel : source.kernels) ++uses[at(kernel)];
  // These are costed as others, which the profile knows: they have no error of their own.
  const std::set<Kernel> as_others = {
      Kernel::grouped_gemm_fp8, Kernel::swiglu_backward, Kernel::adam};
  for (std::size_t k = 0; k < kNumKernels; ++k)
    CHECK(uses[k] == (as_others.count(static_cast<Kernel>(k)) != 0 ? 0 : 1));
  CHECK(names_of(profile).count("kernels nobody measured") == 0);
  CHECK(names_of(profile).count("BF16 GEMM") == 1);

  profile.gemm[at(Kernel::gemm_bf16)].reset();
  profile.memory[at(Kernel::rope)].reset();
  CHECK(names_of(profile).count("BF16 GEMM") == 0);
  const ErrorSource roofline = source_named(profile, "kernels nobody measured");
  CHECK(roofline.kernels == std::vector{Kernel::gemm_bf16, Kernel::rope});
  profile.gemm[at(Kernel::gemm_fp8)].reset();
  CHECK(names_of(profile).count("FP8 GEMM") == 0);
  CHECK(judged_as(profile, Kernel::grouped_gemm_fp8) == Kernel::grouped_gemm_fp8);
}

TEST_CASE("kernels move to the ends of their own intervals") {
  const Scenario sc = shipped_scenario("deepseek-v3-chunk");
  Op op;
  op.kernel = Kernel::cast;
  op.bytes = 1 * GB;
  const SmShare share{112, false};
  const auto time = [&](const Profile& p) {
    return CostModel(p, sc.cluster.gpu).cost(op, share).time.in(s);
  };
  const ErrorSource memory = source_named(sc.profile, "memory-bound kernels");
  const double e = sc.profile.error[at(Kernel::cast)].inside;
  REQUIRE(e > 0);
  CHECK(time(perturbed(sc.profile, memory, 1)) == Approx(time(sc.profile) * (1 + e)));
  CHECK(time(perturbed(sc.profile, memory, -1)) == Approx(time(sc.profile) / (1 + e)));
  const ErrorSource other = source_named(sc.profile, "attention");
  CHECK(time(perturbed(sc.profile, other, 1)) == time(sc.profile));
}

TEST_CASE("a kernel nobody measured is never faster than the roofline") {
  Scenario sc = shipped_scenario("deepseek-v3-chunk");
  sc.profile.memory[at(Kernel::cast)].reset();
  const ErrorSource roofline = source_named(sc.profile, "kernels nobody measured");
  CHECK(perturbed(sc.profile, roofline, -1).shift[at(Kernel::cast)] == 0);
  CHECK(perturbed(sc.profile, roofline, 1).shift[at(Kernel::cast)] == 1);
  const RunResult run = run_of(sc);
  const Uncertainty uncertainty = *uncertainty_of(sc, run, 1);
  const SourceEffect& effect = effect_of(uncertainty, "kernels nobody measured");
  CHECK(effect.faster == 0 * s);
  CHECK(effect.slower > 0 * s);
  CHECK(effect.basis == "roofline");
  CHECK(effect.half_width == Approx(2.3));
}

TEST_CASE("communication and launches move as rates and as times") {
  Profile p = shipped_scenario("deepseek-v3-chunk").profile;
  p.comm.nic_efficiency = 0.99;
  const CommModel& was = p.comm;
  const auto moved = [&](const char* name, double sign) {
    return perturbed(p, source_named(p, name), sign);
  };
  const double links = 1 + was.links.inside, overlap = 1 + was.overlap.inside,
               copies = 1 + was.copies.inside, overheads = 1 + was.overheads.inside,
               launch = 1 + p.launch_error.inside;
  CHECK(moved("link rates", 1).comm.nvlink_efficiency == Approx(was.nvlink_efficiency / links));
  CHECK(moved("link rates", -1).comm.nvlink_efficiency == Approx(was.nvlink_efficiency * links));
  CHECK(moved("link rates", -1).comm.nic_efficiency == 1);  // no more than the datasheet
  const CommModel beside = moved("communication beside compute", 1).comm;
  CHECK(beside.dispatch_overlap == Approx(was.dispatch_overlap / overlap));
  CHECK(beside.cached_dispatch_overlap == Approx(was.cached_dispatch_overlap / overlap));
  CHECK(beside.combine_overlap == Approx(was.combine_overlap / overlap));
  CHECK(beside.nvlink_efficiency == was.nvlink_efficiency);
  const CommModel copied = moved("copy rates of communication kernels", -1).comm;
  CHECK(copied.dispatch_per_sm / was.dispatch_per_sm == Approx(copies));
  CHECK(copied.combine_per_sm / was.combine_per_sm == Approx(copies));
  CHECK(copied.cast_per_sm / was.cast_per_sm == Approx(copies));
  const CommModel late = moved("overheads of communication kernels", 1).comm;
  CHECK(late.layout / was.layout == Approx(overheads));
  CHECK(late.low_latency_overhead / was.low_latency_overhead == Approx(overheads));
  const Profile gaps = moved("launch gaps and start-up", -1);
  CHECK(gaps.launch_gap / p.launch_gap == Approx(1 / launch));
  CHECK(gaps.chunk_startup / p.chunk_startup == Approx(1 / launch));
}

TEST_CASE("a derived profile is judged by its errors outside") {
  const Scenario sc = shipped_scenario("deepseek-v3-chunk");
  REQUIRE(sc.profile.comm.links.outside > sc.profile.comm.links.inside);
  Scenario other = sc;
  other.cluster.gpu.name = "another";
  const ErrorSource links = source_named(other.profile, "link rates");
  CHECK(perturbed(sc, links, 1).profile.comm.nic_efficiency ==
        Approx(sc.profile.comm.nic_efficiency / (1 + sc.profile.comm.links.inside)));
  CHECK(perturbed(other, links, 1).profile.comm.nic_efficiency ==
        Approx(sc.profile.comm.nic_efficiency / (1 + sc.profile.comm.links.outside)));
}

TEST_CASE("deviations are added in quadrature upwards and downwards apart") {
  const auto check = [](const EndValues& ends, double low, double high) {
    const Interval interval = combined(10, ends);
    CHECK(interval.low == Approx(low));
    CHECK(interval.high == Approx(high));
  };
  check({}, 10, 10);
  check({{9, 12}}, 9, 12);
  check({{12, 9}}, 9, 12);              // a rate: fast is more
  check({{7, 13}, {6, 14}}, 5, 15);     // 3 and 4 make 5
  check({{11, 12}, {10, 10}}, 10, 12);  // both ends on one side
  check({{9, 10}, {10, 11}}, 9, 11);
}

TEST_CASE("a step of one kernel moves exactly as the kernel does") {
  const double e = 0.2;
  const Scenario sc = gemms_and_gaps(e, 0);
  Scenario no_gaps = sc;
  no_gaps.profile.launch_gap = 0 * s;
  const RunResult run = run_of(no_gaps);
  const Uncertainty uncertainty = *uncertainty_of(no_gaps, run, 1);
  const double step = step_s(run);
  REQUIRE(step > 0.01);
  const Interval time = interval_of(run, uncertainty, step_s);
  CHECK(time.low == Approx(step / (1 + e)).epsilon(1e-8));
  CHECK(time.high == Approx(step * (1 + e)).epsilon(1e-8));
  const auto rate = [](const RunResult& r) { return r.phases.front().tokens_per_s; };
  const Interval tokens = interval_of(run, uncertainty, rate);
  CHECK(tokens.low == Approx(rate(run) / (1 + e)).epsilon(1e-8));
  CHECK(tokens.high == Approx(rate(run) * (1 + e)).epsilon(1e-8));
  const SourceEffect& first = uncertainty.effects.front();
  CHECK(first.source == "BF16 GEMM");
  CHECK(first.half_width == Approx(e));
  CHECK(first.basis == "held_out");
  CHECK(first.slower.in(s) == Approx(step * e).epsilon(1e-7));
  CHECK(first.faster.in(s) == Approx(step / (1 + e) - step).epsilon(1e-7));
}

TEST_CASE("two sources of one step add in quadrature") {
  const double of_gemms = 0.1, of_gaps = 0.5;
  Scenario sc = gemms_and_gaps(of_gemms, of_gaps);
  sc.profile.launch_gap = 40 * us;  // as large as to count
  const RunResult run = run_of(sc);
  const double gaps = run.phases.front().category_s[static_cast<std::size_t>(Category::launch_gap)];
  const double gemms = step_s(run) - gaps;
  REQUIRE(gaps > 0.05 * gemms);
  const Interval interval = step_interval(sc);
  CHECK(interval.high - step_s(run) == Approx(std::hypot(of_gemms * gemms, of_gaps * gaps)));
  CHECK(step_s(run) - interval.low ==
        Approx(std::hypot(of_gemms / (1 + of_gemms) * gemms, of_gaps / (1 + of_gaps) * gaps)));
}

TEST_CASE("without errors intervals have no width") {
  const Scenario sc = without_errors(small_v3());
  const RunResult run = run_of(sc);
  const Uncertainty uncertainty = *uncertainty_of(sc, run, 1);
  const Interval interval = interval_of(run, uncertainty, step_s);
  CHECK(interval.low == step_s(run));
  CHECK(interval.high == step_s(run));
  for (const SourceEffect& effect : uncertainty.effects) {
    CHECK(effect.half_width == 0);
    CHECK(effect.slower == 0 * s);
    CHECK(effect.faster == 0 * s);
  }
}

TEST_CASE("doubling an error never narrows an interval") {
  const Scenario sc = small_v3();
  const double before = width(step_interval(sc));
  CHECK(before > 0);
  for (const ErrorSource& source : error_sources(sc)) {
    Scenario worse = sc;
    const auto twice = [](ModelError& e) {
      e.inside *= 2;
      e.outside *= 2;
    };
    for (const Kernel kernel : source.kernels) twice(worse.profile.error[at(kernel)]);
    CommModel& comm = worse.profile.comm;
    if (source.kind == SourceKind::links) twice(comm.links);
    if (source.kind == SourceKind::overlap) twice(comm.overlap);
    if (source.kind == SourceKind::copies) twice(comm.copies);
    if (source.kind == SourceKind::overheads) twice(comm.overheads);
    if (source.kind == SourceKind::launch) twice(worse.profile.launch_error);
    INFO(source.name);
    CHECK(width(step_interval(worse)) >= before);
  }
}

TEST_CASE("every number of a run lies in its interval and the sources are sorted") {
  for (const Scenario& sc :
       {small_v3(), sampled_small_v3(), shipped_scenario("deepseek-v3-chunk")}) {
    const RunResult run = run_of(sc);
    const std::optional<Uncertainty> uncertainty = uncertainty_of(sc, run, 2);
    REQUIRE(uncertainty);
    CHECK_FALSE(uncertainty->from_balanced);
    const JsonValue document = run_json(sc, run, uncertainty);
    for (const char* key : {"step_time_s",
                            "tokens_per_s",
                            "tokens_per_s_per_gpu",
                            "tokens_per_day",
                            "flops_per_s_per_gpu_causal",
                            "flops_per_s_per_gpu_noncausal",
                            "mfu_causal",
                            "mfu_noncausal",
                            "bubble_s",
                            "gpu_hours",
                            "gpu_hours_first_phase",
                            "gpu_hours_per_trillion_tokens",
                            "cost_usd",
                            "cost_first_phase_usd"}) {
      INFO(key);
      const std::string name = key;
      const auto value = document.number_at("/metrics/" + name),
                 low = document.number_at("/intervals/" + name + "/0"),
                 high = document.number_at("/intervals/" + name + "/1");
      REQUIRE((value && low && high));
      CHECK(*low <= *value);
      CHECK(*value <= *high);
      if (name != "bubble_s") CHECK(*low < *high);
    }
    CHECK_FALSE(document.number_at("/intervals/memory_peak_bytes/0"));
    double last = 1e300;
    for (std::size_t i = 0; i < uncertainty->effects.size(); ++i) {
      const std::string at_i = "/uncertainty/" + std::to_string(i);
      const auto fast = document.number_at(at_i + "/step_time_effect_s/0"),
                 slow = document.number_at(at_i + "/step_time_effect_s/1");
      REQUIRE((fast && slow && document.number_at(at_i + "/half_width_pct")));
      CHECK(*fast <= 0);
      CHECK(*slow >= 0);
      const double size = std::max(-*fast, *slow);
      CHECK(size <= last);
      last = size;
    }
  }
}

TEST_CASE("the run at the ends is a run and so are its parts") {
  const Scenario sc = sampled_small_v3();
  const RunResult run = run_of(sc);
  const Uncertainty uncertainty = *uncertainty_of(sc, run, 1);
  const std::vector<ErrorSource> sources = error_sources(sc);
  REQUIRE(uncertainty.ends.size() == sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i)
    for (const std::size_t end : {0, 1}) {
      INFO(sources[i].name << " " << end);
      const PhaseResult& moved = uncertainty.ends[i][end].phases.front();
      double categories = 0, phases = 0;
      for (const double part : moved.category_s) categories += part;
      for (const double part : moved.phase_s) phases += part;
      CHECK(categories == Approx(moved.step_time.in(s)));
      CHECK(phases == Approx(moved.step_time.in(s)));
      CHECK(moved.waterfall.back().mfu_after == Approx(moved.mfu_causal));
      // Simulated from the start with the profile moved.
      const RunResult again = run_of(perturbed(sc, sources[i], end == 0 ? -1 : 1));
      CHECK(step_s(again) == Approx(moved.step_time.in(s)).epsilon(1e-12));
      CHECK(again.gpu_hours == Approx(uncertainty.ends[i][end].gpu_hours).epsilon(1e-12));
    }
}

TEST_CASE("a large run takes its changes from its step with balanced routing") {
  const Scenario sc = sampled_small_v3(
      {{"/phases", R"([{"name": "long", "seq_len": 4096, "batch": 1024, "steps": 1}])"}});
  const RunResult run = run_of(sc);
  REQUIRE(run.phases.front().step.num_events > 100'000);
  const Uncertainty uncertainty = *uncertainty_of(sc, run, 2);
  CHECK(uncertainty.from_balanced);
  const std::vector<ErrorSource> sources = error_sources(sc);
  double largest = 0;
  for (const SourceEffect& e : uncertainty.effects) largest = std::max(largest, e.slower.in(s));
  for (std::size_t i = 0; i < sources.size(); ++i) {
    INFO(sources[i].name);
    const double change = step_s(uncertainty.ends[i][1]) - step_s(run);
    const double simulated = step_s(run_of(perturbed(sc, sources[i], 1))) - step_s(run);
    CHECK(std::abs(change - simulated) < 0.15 * simulated + 0.02 * largest);
  }
}

TEST_CASE("hours of later phases change as the first phase's step does") {
  const Scenario sc = small_v3({{"/phases",
                                 R"([{"name": "main", "seq_len": 4096, "batch": 128, "tokens": "1B",
             "ramp": {"from_batch": 64, "tokens": "10M", "num_stages": 2},
             "routing": {"kind": "balanced"}},
            {"name": "long", "seq_len": 8192, "batch": 64, "steps": 10,
             "routing": {"kind": "balanced"}},
            {"name": "post", "gpu_hours": 5.5, "source": "a report"}])"}});
  const RunResult run = run_of(sc);
  REQUIRE(run.phases.size() == 5);
  const Uncertainty uncertainty = *uncertainty_of(sc, run, 1);
  for (const auto& ends : uncertainty.ends)
    for (const RunResult& end : ends) {
      const double factor = step_s(end) / step_s(run);
      CHECK(end.gpu_hours == Approx(factor * (run.gpu_hours - 5.5) + 5.5));
      CHECK(end.gpu_hours_simulated_main == Approx(factor * run.gpu_hours_simulated_main));
      CHECK(end.cost_usd == Approx(run.cost_usd * end.gpu_hours / run.gpu_hours));
      CHECK(end.phases[1].step_time.in(s) == Approx(factor * run.phases[1].step_time.in(s)));
      CHECK(end.phases[2].gpu_hours == 5.5);
    }
}

TEST_CASE("intervals depend neither on threads nor on folding") {
  const Scenario sc = small_v3();
  RunOptions unfolded;
  unfolded.simulation.allow_folding = false;
  const RunResult run = run_of(sc), every_rank = run_of(sc, unfolded);
  const Uncertainty one = *uncertainty_of(sc, run, 1), two = *uncertainty_of(sc, run, 2),
                    all = *uncertainty_of(sc, every_rank, 2);
  CHECK(run_json(sc, run, one).dump() == run_json(sc, run, two).dump());
  CHECK_FALSE(all.from_balanced);
  REQUIRE(one.effects.size() == all.effects.size());
  for (std::size_t i = 0; i < one.effects.size(); ++i) {
    CHECK(one.effects[i].source == all.effects[i].source);
    CHECK(one.effects[i].slower.in(s) == Approx(all.effects[i].slower.in(s)).epsilon(1e-12));
  }
}

TEST_CASE("another GPU's profile makes a run less sure") {
  const Scenario own = small_v3();
  Scenario other = own;
  other.cluster.gpu.name = "another";  // the same in all but its name
  const Interval narrow = step_interval(own), wide = step_interval(other);
  CHECK(wide.low < narrow.low);
  CHECK(wide.high > narrow.high);
}

TEST_CASE("a run that cannot be repeated gets a warning and no intervals") {
  const Scenario sc = small_v3();
  RunResult run = run_of(sc);
  CHECK(uncertainty_refusal(run).empty());
  run.phases.front().step.num_events = 3'000'001;
  CHECK(uncertainty_refusal(run).find("no intervals: 3000001 events in a folded step") == 0);
  CHECK_FALSE(uncertainty_of(sc, run, 1));
  run.phases.front().step.folded = false;  // 16 ranks a stage, one of them is enough
  CHECK(uncertainty_refusal(run).empty());
  run.phases.front().refusal = "cannot run";
  CHECK_FALSE(uncertainty_of(sc, run, 1));
  const JsonValue document = run_json(sc, run, {});
  CHECK(document.dump().find("intervals") == std::string::npos);
}

TEST_CASE("known figures have the intervals of what they were taken from") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "published");
  folder.add_file("published/a.json", R"({
    "id": "A", "source": "s", "quote": "q",
    "figures": [
      {"id": "step", "quantity": "step", "unit": "ms", "known": 1, "role": "held_out",
       "tolerance_pct": 1000, "scale": 1000,
       "from": {"scenario": "deepseek-v3-chunk.jsonc", "value": "/metrics/step_time_s"}},
      {"id": "defined", "quantity": "step", "known": 1, "role": "definition",
       "tolerance_pct": 1000,
       "from": {"scenario": "deepseek-v3-chunk.jsonc", "value": "/metrics/step_time_s"}},
      {"id": "nodes", "quantity": "nodes", "known": 1, "role": "held_out",
       "tolerance_pct": 1000,
       "from": {"scenario": "deepseek-v3-chunk.jsonc", "value": "/metrics/nodes_per_token"}},
      {"id": "link", "quantity": "link", "known": 1, "role": "fit", "unit": "GB/s",
       "tolerance_pct": 1000, "scale": -1e-9,
       "from": {"scenario": "deepseek-v3-chunk.jsonc", "formula": "link_rate",
                "inputs": {"nic": 1}}},
      {"id": "product", "quantity": "product", "known": 6, "role": "held_out",
       "tolerance_pct": 0, "from": {"formula": "product", "inputs": {"a": 2, "b": 3}}}
    ]})");
  FigureEvaluator evaluator(scenario_folder(), 2);
  const std::vector<KnownFigure> figures = read_known_figures(folder.path());
  REQUIRE(figures.size() == 5);
  const Scenario sc = shipped_scenario("deepseek-v3-chunk");
  const RunResult run = run_of(sc);
  const Interval expected = interval_of(run, *uncertainty_of(sc, run, 1), step_s);
  const KnownRow step = evaluator.evaluate(figures[0]);
  REQUIRE(step.interval);
  CHECK(step.interval->low == Approx(1000 * expected.low));
  CHECK(step.interval->high == Approx(1000 * expected.high));
  CHECK_FALSE(evaluator.evaluate(figures[1]).interval);  // a definition
  CHECK_FALSE(evaluator.evaluate(figures[2]).interval);  // no profile decides it
  const KnownRow link = evaluator.evaluate(figures[3]);
  REQUIRE(link.interval);
  const double e = 1 + sc.profile.comm.links.inside;  // a negative scale turns the ends round
  CHECK(link.interval->low == Approx(*link.predicted * e));
  CHECK(link.interval->high == Approx(*link.predicted / e));
  CHECK_FALSE(evaluator.evaluate(figures[4]).interval);
}
