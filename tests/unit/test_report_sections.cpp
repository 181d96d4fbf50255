// The sections and charts of reports: sizes, sums, and the arithmetic of a verdict.
#include <set>

#include "reports/format.hpp"
#include "reports/inputs.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/capacity_report.hpp"
#include "reports/serving/serving_report.hpp"
#include "reports/verdict.hpp"
#include "tests/charts_check.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_scenario.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

struct TrainedReport {
  Scenario scenario;
  RunResult run;
  std::optional<Uncertainty> uncertainty;
  Report report;
};

TrainedReport report_of(Scenario scenario) {
  TrainedReport made;
  made.scenario = std::move(scenario);
  RunOptions options;
  options.simulation.num_threads = 2;
  const ParallelPlan& plan = made.scenario.phases.front().plan;
  for (std::int64_t stage = 0; stage < plan.pp; ++stage)
    options.simulation.timeline_ranks.push_back(stage * plan.ranks_per_stage());
  made.run = run_scenario(made.scenario, options);
  made.uncertainty = uncertainty_of(made.scenario, made.run, 2);
  ReportInput input{made.scenario, made.run, made.uncertainty, {}, {}};
  input.routing = routing_picture(made.scenario, made.scenario.phases.front(), 2);
  made.report = make_report(input);
  return made;
}

ServingScenario serving_scenario(const std::string& name, const Settings& settings = {}) {
  return read_serving_scenario(scenario_folder() / (name + ".jsonc"), settings);
}

double width(const BarChart::Bar& bar) { return bar.to - bar.from; }

}  // namespace

TEST_CASE("training report: charts fit together, and sum up to what they say", "[charts]") {
  const TrainedReport made = report_of(sampled_small_v3());
  check_charts(made.report);
  const PhaseResult& main = made.run.phases.front();
  const double step = main.step_time.in(s);
  CHECK(made.report.sections.front().title == "Verdict");

  const auto& categories =
      chart_of<BarChart>(made.report, "Where the step goes", "The step by what the hardware did");
  double sum = 0;
  for (const BarChart::Bar& bar : categories.series.front().bars) sum += width(bar);
  CHECK(sum == Approx(step));

  // Each bar hangs where the one before it ended; what is left at last is the MFU.
  const auto& waterfall = chart_of<BarChart>(
      made.report, "From the peak to the achieved MFU", "From the peak to the achieved MFU");
  const auto& bars = waterfall.series.front().bars;
  for (std::size_t i = 1; i + 1 < bars.size(); ++i) CHECK(bars[i].from == bars[i - 1].to);
  CHECK(bars.back().from == 0);
  CHECK(bars.back().to == Approx(100 * main.mfu_causal));

  const auto& peak = chart_of<BarChart>(made.report, "Memory", "small: memory at the worst moment");
  REQUIRE(peak.categories.size() == 4);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    double stacked = 0;
    for (const BarChart::Series& series : peak.series) {
      CHECK(series.bars[rank].from == Approx(stacked));
      stacked = series.bars[rank].to;
    }
    CHECK(stacked == Approx(main.memory[rank].total().in(GB)));
  }
  const auto& over_time = chart_of<XyChart>(made.report, "Memory", "small: memory over the step");
  REQUIRE(over_time.series.size() == 4);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    double most = 0;
    for (const auto& [at, bytes] : over_time.series[rank].points) most = std::max(most, bytes);
    CHECK(most == Approx(main.memory[rank].total().in(GB)));
  }
  CHECK(over_time.marks.front().y == Approx(made.scenario.cluster.gpu.hbm.in(GB)));

  const auto& tornado = chart_of<BarChart>(made.report, "How sure", "What moves the step time");
  REQUIRE(tornado.series.size() == 2);
  CHECK(tornado.series[0].bars.front().from == Approx(step));
  CHECK(tornado.series[0].bars.front().to < step);
  CHECK(tornado.series[1].bars.front().to > step);

  const auto& loads = chart_of<Heatmap>(
      made.report, "Routing and network", "First group, first microbatch: load of experts");
  CHECK(loads.x_categories.size() == 16);
}

TEST_CASE("training report: the timeline shows every step of every stage, within the step",
          "[charts]") {
  const TrainedReport made = report_of(small_v3());
  check_charts(made.report);
  const PhaseResult& main = made.run.phases.front();
  const auto& chart =
      chart_of<TimelineChart>(made.report,
                              "Timeline of the step",
                              "What each pipeline rank does, microbatch by microbatch");
  std::size_t steps = 0;
  for (const auto& of_rank : main.step.step_times) steps += of_rank.size();
  CHECK(chart.lanes.size() == 4);
  CHECK(chart.spans.size() >= steps);
  CHECK(chart.spans.size() <= steps + 4);
  double last = 0;
  for (const TimelineChart::Span& span : chart.spans) last = std::max(last, span.end_s);
  CHECK(last == Approx(main.step_time.in(s)));

  // Operations: compute of one rank is no more than the step, and nothing overlaps in a stream.
  const auto& operations = chart_of<TimelineChart>(
      made.report, "Timeline of the step", "Every operation of both streams");
  CHECK(operations.lanes.size() == 8);
  std::vector<double> until(operations.lanes.size());
  for (const TimelineChart::Span& span : operations.spans) {
    REQUIRE(span.start_s >= until[span.lane] - 1e-12);
    until[span.lane] = span.end_s;
  }
  CHECK(find_section(for_terminal(made.report), "Timeline of the step") == nullptr);
}

TEST_CASE("training report: a long timeline is cut at its start, and says so", "[charts]") {
  const TrainedReport made = report_of(small_v3({{"/phases/0/batch", "4096"}}));
  const Section* section = find_section(made.report, "Timeline of the step");
  REQUIRE(section != nullptr);
  const Chart& chart = section->charts.back();
  const auto& body = std::get<TimelineChart>(chart.body);
  CHECK(body.spans.size() <= kMostTimelineSpans);
  CHECK(body.spans.size() > kMostTimelineSpans - 100);
  CHECK(chart.summary.rfind("The first ", 0) == 0);
  double end = 0;
  for (const TimelineChart::Span& span : body.spans) end = std::max(end, span.end_s);
  CHECK(end < made.run.phases.front().step_time.in(s));
  // What is shown is all that starts so early.
  double last_start = 0;
  for (const TimelineChart::Span& span : body.spans)
    last_start = std::max(last_start, span.start_s);
  std::size_t early = 0;
  for (const Span& span : made.run.phases.front().step.timeline.spans)
    early += to_seconds(span.start).in(s) <= last_start ? 1 : 0;
  CHECK(early == body.spans.size());
}

TEST_CASE("training verdict: dollars, kilowatts and what binds", "[charts]") {
  const TrainedReport made = report_of(small_v3());
  const Section& verdict = made.report.sections.front();
  // 64 H800 at 2 USD/h and 700 W.
  CHECK(answer_of(verdict, "GPUs") == "64 H800");
  CHECK(answer_of(verdict, "cost of a month (730 h)") == "$93.44 K at 2.000 USD per GPU hour");
  CHECK(answer_of(verdict, "power, at most").rfind("44.80 kW: ", 0) == 0);
  const PhaseResult& main = made.run.phases.front();
  CHECK(answer_of(verdict, "cost of a million tokens")
            .rfind(format_usd(64 * 2 / 3600.0 * 1e6 / main.tokens_per_s) + " (", 0) == 0);
  std::size_t loss = 1;
  for (std::size_t i = 2; i < main.waterfall.size(); ++i)
    if (main.waterfall[i].seconds > main.waterfall[loss].seconds) loss = i;
  const std::string binds = answer_of(verdict, "what binds");
  CHECK(binds.find("\"" + main.waterfall[loss].name + "\"") != std::string::npos);
  CHECK(binds.find(" ends of the calibration's intervals") != std::string::npos);

  const TrainedReport tight = report_of(small_v3({{"/cluster/gpu/hbm", "\"16 GB\""}}));
  CHECK(answer_of(tight.report.sections.front(), "what binds").rfind("memory: ", 0) == 0);

  const TrainedReport pair = report_of(shipped_scenario("deepseek-v3-chunk"));
  check_charts(pair.report);
  CHECK(answer_of(pair.report.sections.front(), "what binds").rfind("time: ", 0) == 0);
}

TEST_CASE("verdict: groups of machines", "[charts]") {
  ClusterSpec a, b;
  a.gpu.name = "A";
  a.gpu.max_power = 500 * W;
  a.price = 2 * USD_per_hour;
  b.gpu.name = "B";
  b.price = 3 * USD_per_hour;
  CHECK(gpus_text({{&a, 8, 8}, {&a, 4, 6}}) == "12 A on average, 14 at most");
  CHECK(gpus_text({{&a, 8, 8}, {&b, 2, 2}}) == "8 A and 2 B");
  CHECK(month_of({{&a, 10, 20}, {&b, 1, 1}}).in(USD) == Approx(730 * 23));
  CHECK(most_power({{&a, 10, 20}})->in(kW) == Approx(10));
  CHECK_FALSE(most_power({{&a, 10, 20}, {&b, 1, 1}}).has_value());  // B does not say
  Table table{"", {"question", "answer"}, {}};
  add_machine_rows({{&b, 1, 1}}, table);
  CHECK(table.rows.back().back() == "not known: the GPU's file gives no \"max_power\"");
}

TEST_CASE("training report: phases and interruptions have charts", "[charts]") {
  const TrainedReport made = report_of(shipped_scenario("deepseek-v3-interrupted"));
  check_charts(made.report);
  const auto& lost =
      chart_of<BarChart>(made.report, "What interrupts the run", "Time lost, by cause");
  const RunTimes& expected = made.run.operations->expected;
  double hours = 0;
  for (const BarChart::Bar& bar : lost.series.front().bars) hours += width(bar);
  CHECK(hours == Approx((expected.wall() - expected.ideal).in(hour)));

  const TrainedReport two = report_of(small_v3(
      {{"/phases",
        R"([{"name": "first", "seq_len": 4096, "batch": 128, "steps": 10, "routing": {"kind": "balanced"}},
            {"name": "after", "gpu_hours": 3, "source": "a report"}])"}}));
  check_charts(two.report);
  const auto& phases = chart_of<BarChart>(two.report, "The whole run", "What each phase costs");
  REQUIRE(phases.categories == std::vector<std::string>{"first", "after"});
  double dollars = 0;
  for (const BarChart::Bar& bar : phases.series.front().bars) dollars += width(bar);
  CHECK(dollars == Approx(two.run.cost_usd));
  CHECK(width(phases.series.front().bars.back()) == Approx(6));  // 3 hours at 2 USD
}

TEST_CASE("serving report: charts fit together, and say what the run did", "[charts]") {
  const ServingScenario scenario = serving_scenario("azure-conversation-h200");
  const ServingRun run = run_serving(scenario, {2, {}, {}});
  const auto uncertainty = serving_uncertainty_of(scenario, run, 2);
  ServingReportInput input{scenario, run, uncertainty, {}, {}};
  input.load = load_curve(scenario, run.pools, 2);
  input.routing = {
      routing_picture(scenario.model, scenario.serving.pools[0], run.routing->pools[0])};
  const Report report = make_report(input);
  check_charts(report);
  const SeedRun& seed = run.runs.front();

  const Section& verdict = report.sections.front();
  REQUIRE(verdict.title == "Verdict");
  CHECK(answer_of(verdict, "GPUs") == "16 H200");
  CHECK(answer_of(verdict, "cost of a month (730 h)") == "$35.04 K at 3.000 USD per GPU hour");
  CHECK(answer_of(verdict, "power, at most").rfind("11.20 kW: ", 0) == 0);
  CHECK(answer_of(verdict, "what binds").rfind("service level: p99_tpot<50ms is ", 0) == 0);

  const auto& cdf = chart_of<XyChart>(report, "Latency", "How many requests are faster than");
  CHECK(cdf.series.size() == 3);
  CHECK(cdf.series[0].points[50].first == seed.metrics.ttft_s.median);
  CHECK(cdf.series[1].points[99].first == seed.metrics.tpot_s.percentile(99));

  const auto& requests = chart_of<XyChart>(report, "Over time", "Requests over time");
  double arrived = 0;
  for (std::size_t i = 0; i < requests.series[0].points.size(); ++i)
    arrived +=
        requests.series[0].points[i].second * to_seconds(seed.cluster.series[i].length).in(s);
  CHECK(arrived == Approx(static_cast<double>(seed.cluster.taken)));

  const auto& memory = chart_of<BarChart>(report, "Memory of a GPU", "What a GPU's memory is for");
  CHECK(memory.series.back().bars.front().to == Approx(run.pools[0].memory.total().in(GB)));

  // No run is better than decoding alone with full batches.
  const auto& speed = chart_of<XyChart>(
      report, "Throughput against speed", "Throughput of a GPU against the speed of a user");
  REQUIRE(speed.series.size() == 2);
  CHECK(speed.series[0].points.front().second > speed.series[1].points.front().second);

  const Report shown = for_terminal(report);
  CHECK(find_section(shown, "Over time") == nullptr);
  CHECK(find_section(shown, "Latency against load") != nullptr);
}

TEST_CASE("serving report: of stated steps, of pools that do not fit, of experts in tiers",
          "[charts]") {
  const std::optional<ServingUncertainty> none;
  const ServingScenario steps = serving_scenario("deepseek-v3-h100-sglang");
  const ServingRun of_steps = run_serving(steps, {2, {}, {}});
  const Report report = make_report(ServingReportInput{steps, of_steps, none, {}, {}});
  check_charts(report);
  CHECK(answer_of(report.sections.front(), "GPUs") == "104 H100");
  CHECK(answer_of(report.sections.front(), "what binds").rfind("step \"prefill 16384\": ", 0) == 0);
  CHECK(chart_of<XyChart>(
            report, "Throughput against speed", "Throughput of a GPU against the speed of a user")
            .series.front()
            .points.size() == 4);

  const ServingScenario tight = serving_scenario(
      "azure-conversation-h200", {{"/cluster/gpu/hbm", parse_json("\"80 GB\"", "test")}});
  const ServingRun unfit = run_serving(tight, {2, {}, {}});
  const Report of_unfit = make_report(ServingReportInput{tight, unfit, none, {}, {}});
  check_charts(of_unfit);
  CHECK(answer_of(of_unfit.sections.front(), "what binds").rfind("memory: ", 0) == 0);

  const ServingScenario tiers = serving_scenario(
      "deepseek-moe-16b-one-gpu",
      {{"/serving/pools/0/expert_tiers",
        parse_json(R"({"hbm": "10 GB", "host": "64 GB", "host_bandwidth": "25 GB/s",
                       "ssd_bandwidth": "3 GB/s"})",
                   "test")},
       {"/requests/num_requests", parse_json("50", "test")}});
  const ServingRun of_tiers = run_serving(tiers, {2, {}, {}});
  const Report tiers_report = make_report(ServingReportInput{tiers, of_tiers, none, {}, {}});
  const Section* section = find_section(tiers_report, "Experts in tiers");
  REQUIRE(section != nullptr);
  CHECK(section->tables.front().rows.size() == of_tiers.pools[0].expert_tiers.size());
  CHECK(find_section(report, "Experts in tiers") == nullptr);
}

TEST_CASE("capacity report: the verdict is that of the answer", "[charts]") {
  const ServingScenario scenario = serving_scenario("azure-conversation-h200");
  const auto bounds = parse_slo(scenario.measure.slo);
  const CapacityPlan plan = plan_capacity(scenario, bounds, {2, 200, 2});
  const Report report = capacity_report(scenario, bounds, plan, {{"/seed", "1", "here", ""}});
  check_charts(report);
  const Section& verdict = report.sections.front();
  REQUIRE(verdict.title == "Verdict");
  REQUIRE(plan.search.best.has_value());
  const auto gpus = static_cast<double>(plan.search.best->gpus);
  CHECK(answer_of(verdict, "GPUs") == digits4(gpus).substr(0, 2) + " H200");
  CHECK(
      answer_of(verdict, "cost of a month (730 h)").rfind(format_usd(gpus * 3 * 730) + " at ", 0) ==
      0);
  CHECK(answer_of(verdict, "what binds").rfind(plan.search.best->found.binding, 0) == 0);
  CHECK(find_section(report, "All inputs") != nullptr);
}

TEST_CASE("inputs: every value with its file, overrides marked, profiles summed up", "[charts]") {
  const TemporaryFolder folder;
  for (const auto& [name, text] : small_scenario()) folder.add_file(name, text);
  const JsonNode document = compose_document(
      folder.path() / "scenario.json", {{"/cluster/price", parse_json("\"4 USD/h\"", "--set")}});
  const std::vector<InputRow> rows = input_rows(document, folder.path());
  const auto row = [&](const std::string& pointer) {
    for (const InputRow& r : rows)
      if (r.pointer == pointer) return r.value + " | " + r.from + " | " + r.source;
    return std::string("missing");
  };
  CHECK(row("/plan/pp") == "2 | scenario.json: /plan/pp | ");
  CHECK(row("/model/hidden_size") == "512 | tiny.json: /hidden_size | ");
  CHECK(row("/cluster/nic_bandwidth") == "50 GB/s | cluster.json: /nic_bandwidth | b");
  CHECK(row("/cluster/gpu/peak/bf16") == "989 TFLOP/s | gpu.json: /peak/bf16 | e");
  CHECK(row("/cluster/price") == "4 USD/h | override --set | f");
  CHECK(row("/plan/moments") == "fp32 | override in scenario.json | ");
  CHECK(row("/plan/layers_per_stage") == "[2, 2] | scenario.json: /plan/layers_per_stage | ");
  CHECK(row("/profile/kernels/gemm_bf16") ==
        "a fit, +- 6.5 % where measured, 14.9 % beyond (held_out) | profile.json: "
        "/kernels/gemm_bf16 | s");
  CHECK(row("/profile/comm/nic_efficiency") == "0.85 | profile.json: /comm/nic_efficiency | v");
  CHECK(row("/profile/groups/0") ==
        "a fit of all_reduce, +- 8 % where measured, 17 % beyond (held_out) | profile.json: "
        "/groups/0 | y");
  CHECK(row("/phases/1/plan/cp") == "2 | scenario.json: /phases/1/plan/cp | ");
  std::set<std::string> pointers;
  for (const InputRow& r : rows) {
    CHECK(pointers.insert(r.pointer).second);
    CHECK(r.pointer.rfind("/override", 0) != 0);
    CHECK(r.from.find(folder.path().string()) == std::string::npos);
  }

  const Section section = *inputs_section(rows);
  CHECK(section.only_in_files);
  CHECK(section.tables.front().rows.size() == rows.size());
  CHECK_FALSE(inputs_section({}).has_value());
  CHECK(assumptions_section(std::vector<std::string>{"a", "b"})->notes.size() == 2);
  CHECK_FALSE(assumptions_section(std::vector<std::string>{}).has_value());
}
