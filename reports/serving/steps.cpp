#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

std::string batch_text(const StepPoint& p) {
  std::string text;
  if (p.requests > 0)
    text = std::to_string(p.requests) + " decoding, " + std::to_string(p.context) + " cached each";
  if (p.prompts > 0)
    text += (text.empty() ? "" : "; ") + std::to_string(p.prompts) + " x " +
            std::to_string(p.prompt_tokens) + " of prompts" +
            (p.prefix > 0 ? " behind " + std::to_string(p.prefix) : "");
  return text;
}

Table steps_table(const ServingReportInput& input) {
  Table table{"",
              {"step",
               "of a rank",
               "time",
               "tokens/s a GPU",
               "tokens/s a node",
               "time per output token",
               "largest that fits"},
              {}};
  for (std::size_t i = 0; i < input.run.steps.size(); ++i) {
    const StepPointResult& r = input.run.steps[i];
    const auto sure = [&](double (*number)(const StepPointResult&), std::string (*format)(double)) {
      if (!input.uncertainty) return format(number(r));
      const auto of_run = [&](const ServingRun& run) { return number(run.steps[i]); };
      return with_interval(number(r), interval_of(input.run, *input.uncertainty, of_run), format);
    };
    table.rows.push_back(
        {r.point.name,
         batch_text(r.point),
         sure([](const StepPointResult& x) { return x.step.in(s); }, format_seconds),
         sure(
             [](const StepPointResult& x) {
               return x.prompt_tokens_per_s_per_gpu + x.output_tokens_per_s_per_gpu;
             },
             digits4),
         digits4(r.tokens_per_s_per_node()),
         r.point.requests > 0 ? format_seconds(r.tpot.in(s)) : "",
         (r.fits ? "" : "DOES NOT FIT; ") + std::to_string(r.largest) +
             (r.point.requests > 0 ? " requests" : " prompts")});
  }
  return table;
}

// A column a step, a row for every part that any of them has.
Table parts_table(const std::vector<StepPointResult>& steps) {
  Table table{"Where a step's time goes", {"part"}, {}};
  for (const StepPointResult& r : steps) table.columns.push_back(r.point.name);
  const auto row = [&](const std::string& name, const auto& cell) {
    std::vector<std::string> cells = {name};
    for (const StepPointResult& r : steps) cells.push_back(cell(r));
    table.rows.push_back(std::move(cells));
  };
  for (std::size_t i = 0; i < steps.front().breakdown.parts.size(); ++i) {
    const bool is_empty = std::all_of(steps.begin(), steps.end(), [&](const StepPointResult& r) {
      return r.breakdown.parts[i].time == Seconds();
    });
    if (!is_empty)
      row(std::string(steps.front().breakdown.parts[i].title), [&](const StepPointResult& r) {
        return format_seconds(r.breakdown.parts[i].time.in(s));
      });
  }
  row("step", [](const StepPointResult& r) { return format_seconds(r.step.in(s)); });
  row("dispatch of a layer, waiting included",
      [](const StepPointResult& r) { return format_seconds(r.breakdown.dispatch.in(s)); });
  row("exposed communication of a layer", [](const StepPointResult& r) {
    return format_seconds(r.breakdown.exposed_communication.in(s));
  });
  row("rows of the fullest rank over the mean",
      [](const StepPointResult& r) { return digits4(r.breakdown.max_over_mean_rows); });
  row("two-batch overlap",
      [](const StepPointResult& r) { return std::string(r.breakdown.overlapped ? "yes" : "no"); });
  return table;
}

}  // namespace

std::optional<Section> serving_steps_section(const ServingReportInput& input) {
  if (input.run.steps.empty()) return std::nullopt;
  Section section;
  section.title = "Stated steps";
  section.paragraphs.push_back("Every attention rank of a unit has the same batch. A node is " +
                               std::to_string(input.run.steps.front().gpus_per_node) +
                               " GPUs. What fits is a question of memory alone.");
  section.tables = {steps_table(input), parts_table(input.run.steps)};
  return section;
}

std::optional<Section> serving_origins_section(const ServingReportInput& input) {
  Section section;
  section.title = "Where the numbers come from";
  if (!input.run.steps.empty()) {
    Table table{"Share of predicted kernel time", {"step"}, {}};
    for (const char* origin : kOriginNames) table.columns.emplace_back(origin);
    for (const StepPointResult& r : input.run.steps) {
      std::vector<std::string> cells = {r.point.name};
      for (const double share : r.breakdown.origin_share) cells.push_back(format_percent(share));
      table.rows.push_back(std::move(cells));
    }
    section.tables.push_back(std::move(table));
  }
  section.paragraphs.push_back(
      "`measured`: the very point was measured; `interpolated`: by a form fitted to points around "
      "it; `extrapolated`: outside them, in shape, in the SMs used or carried over from another "
      "GPU; `roofline`: no measurement at all. docs/serving.md says how a step is put together.");
  section.notes.push_back(
      "The source and the error of each kernel are in the profiles' files, and under \"All "
      "inputs\" "
      "of a report in a file (-o).");
  return section;
}

}  // namespace moesim
