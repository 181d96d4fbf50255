#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "sim/goodput_sampling.hpp"

namespace moesim {
namespace {

std::string format_days(double seconds) { return digits4(seconds / 86400) + " days"; }
std::string format_hours(double seconds) { return digits4(seconds / 3600) + " h"; }

using Format = std::string (*)(double);

struct Line {
  const char *key, *title;
  Format format;
};
// Of kRunNumbers, in their order.
constexpr Line kLines[] = {{"wall_time_s", "wall time", format_days},
                           {"effective_training_time_ratio",
                            "effective training time ratio (steps, once, over wall time)",
                            format_percent},
                           {"goodput", "goodput (the same, steps as simulated)", format_percent},
                           {"interruptions", "interruptions by failures", digits4},
                           {"gpu_hours_with_interruptions", "GPU hours", digits4},
                           {"cost_with_interruptions_usd", "cost", format_usd}};
static_assert(std::size(kLines) == kRunNumbers.size());

std::string sure(const ReportInput& input,
                 double highest,
                 Format format,
                 const std::function<double(const OperationsResult&, const RunTimes&)>& number) {
  const OperationsResult& result = *input.run.operations;
  return with_interval(number(result, result.expected),
                       operations_interval(input.run, input.uncertainty, highest, number),
                       format);
}

Table numbers_table(const ReportInput& input) {
  const OperationsResult& result = *input.run.operations;
  const DollarRate price = input.scenario.cluster.price;
  OperationsResult undisturbed = result;
  undisturbed.gpus_paid = static_cast<double>(input.scenario.cluster.num_gpus());
  RunTimes ideal;
  ideal.ideal = result.expected.ideal;
  Table table{"", {"quantity", "with all of it", "steps alone"}, {}};
  for (std::size_t i = 0; i < kRunNumbers.size(); ++i) {
    const RunNumber& number = kRunNumbers[i];
    ENSURE(std::string(kLines[i].key) == number.key);
    table.rows.push_back(
        {kLines[i].title,
         sure(input,
              number.highest,
              kLines[i].format,
              [&](const OperationsResult& r, const RunTimes& t) { return number.of(r, t, price); }),
         kLines[i].format(number.of(undisturbed, ideal, price))});
  }
  return table;
}

Table lost_table(const ReportInput& input) {
  const RunTimes& expected = input.run.operations->expected;
  Table table{"Where the time goes", {"cause", "hours", "share of wall time"}, {}};
  const auto share = [&](Seconds t) { return format_percent(t / expected.wall()); };
  table.rows.push_back(
      {"steps as simulated, once", format_hours(expected.ideal.in(s)), share(expected.ideal)});
  for (std::size_t cause = 0; cause < kNumLost; ++cause) {
    const Seconds lost = expected.lost[cause];
    // Sums of thousands of terms leave rounding where there is nothing.
    if (lost < 1e-9 * expected.wall()) continue;
    table.rows.push_back(
        {kLostNames[cause].title,
         sure(input,
              kUnbounded,
              format_hours,
              [&](const OperationsResult&, const RunTimes& t) { return t.lost[cause].in(s); }),
         share(lost)});
  }
  table.rows.push_back({"wall time", format_hours(expected.wall().in(s)), share(expected.wall())});
  return table;
}

Chart lost_chart(const RunTimes& expected) {
  BarChart chart;
  chart.value = {"time lost", "h", false};
  chart.category_name = "cause";
  chart.sideways = true;
  BarChart::Series series{"expected", {}};
  Seconds sum;
  for (std::size_t cause = 0; cause < kNumLost; ++cause) {
    const Seconds lost = expected.lost[cause];
    if (lost < 1e-9 * expected.wall()) continue;
    chart.categories.emplace_back(kLostNames[cause].title);
    series.bars.push_back({0, lost.in(hour)});
    sum += lost;
  }
  chart.series.push_back(std::move(series));
  return {"Time lost, by cause",
          format_percent(sum / expected.wall()) + " of the wall time is lost.",
          std::move(chart)};
}

Table failures_table(const Scenario& scenario, const OperationsResult& result) {
  Table table{
      "What fails",
      {"component", "units", "mean time between failures of one", "interruptions", "source"},
      {}};
  for (std::size_t i = 0; i < result.components.size(); ++i) {
    const ComponentInterruptions& c = result.components[i];
    table.rows.push_back({c.component,
                          std::to_string(std::llround(c.units)) + " " +
                              kFailureUnits[static_cast<std::size_t>(c.per)],
                          format_hours(c.mtbf.in(s)),
                          digits4(c.expected),
                          scenario.operations->failures[i].source});
  }
  return table;
}

Table checkpoint_table(const Operations& operations, const OperationsResult& result) {
  const Checkpoints& c = *operations.checkpoint;
  const CheckpointFacts& facts = *result.checkpoint;
  Table table{"Checkpoints", {"quantity", "value"}, {}};
  const auto add = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  add(c.size_is_derived ? "size: BF16 weights, FP32 master weights, moments" : "size, as stated",
      format_bytes(facts.size));
  add(c.asynchronous() ? "training stops for the copy to the hosts" : "training stops to write",
      format_seconds(facts.pause.in(s)));
  if (c.asynchronous()) add("written behind training in", format_seconds(facts.write.in(s)));
  add("loaded after a failure in", format_seconds(facts.load.in(s)));
  add("steps between two", digits4(facts.steps) + " (" + format_seconds(facts.work.in(s)) + ")");
  if (facts.exact > Seconds()) {
    add("best interval", format_seconds(facts.exact.in(s)));
    add("the same by Daly's and Young's formulas",
        format_seconds(facts.daly.in(s)) + ", " + format_seconds(facts.young.in(s)));
  }
  add("written over the run", digits4(facts.written));
  return table;
}

}  // namespace

std::optional<Section> operations_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  if (main.phase.plan.schedule == ScheduleKind::overlapped_pair || !main.refusal.empty())
    return std::nullopt;
  Section section;
  section.title = "What interrupts the run";
  if (!input.scenario.operations) {
    section.paragraphs.push_back(
        "No interruptions are assumed: no failures, checkpoints, evaluation pauses, slow nodes or "
        "maintenance (docs/physics.md, \"Interruptions\").");
    return section;
  }
  if (!input.run.operations) return std::nullopt;  // a later phase cannot run; a warning says so
  const OperationsResult& result = *input.run.operations;
  const Operations& operations = *input.scenario.operations;
  if (!result.refusal.empty()) {
    section.paragraphs.push_back("Infeasible: " + result.refusal + ".");
  } else {
    section.tables.push_back(numbers_table(input));
    section.tables.push_back(lost_table(input));
    section.charts.push_back(lost_chart(result.expected));
  }
  if (!result.components.empty()) {
    section.paragraphs.push_back("The run fails every " + format_hours(result.mtbf.in(s)) +
                                 " of work on average.");
    section.tables.push_back(failures_table(input.scenario, result));
  }
  if (result.checkpoint) section.tables.push_back(checkpoint_table(operations, result));
  if (operations.stragglers)
    section.notes.push_back("The slowest node of a step takes " + digits4(result.slowest_node) +
                            " times the compute time of the simulated one.");
  if (operations.spares)
    section.notes.push_back("GPU hours and cost include " +
                            std::to_string(operations.spares->nodes) + " spare nodes.");
  else if (!result.components.empty())
    section.notes.push_back(
        "No spares are given: a failed node is back, or replaced, when the run restarts.");
  if (!result.samples.empty())
    section.notes.push_back(
        "Values are expectations; in brackets: 90 % intervals of what chance does (" +
        std::to_string(result.samples.size()) +
        " sampled runs) and the errors of the calibration, in quadrature. How well failure rates "
        "and recovery times are known is not in them.");
  return section;
}

}  // namespace moesim
