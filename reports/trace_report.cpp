#include "reports/trace_report.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

constexpr const char* kNoPrediction = "no prediction";
constexpr const char* kNotFound = "not in the trace";
// Of kernels that are not mapped: a trace may have thousands of names.
constexpr std::size_t kMostUnmapped = 60;

std::string seconds(Seconds time) { return format_seconds(time.in(s)); }
std::string count(double value) { return number_text(std::round(100 * value) / 100); }

// Measured, predicted, error.
std::vector<std::string> compared(const Compared& c) {
  const auto error = c.error_pct();
  return {c.measured ? seconds(*c.measured) : kNotFound,
          c.predicted ? seconds(*c.predicted) : kNoPrediction,
          error ? format_signed_percent(*error) : ""};
}

std::vector<std::string> joined_row(std::vector<std::string> cells,
                                    const std::vector<std::string>& more) {
  cells.insert(cells.end(), more.begin(), more.end());
  return cells;
}

std::string runs_text(const ComparedBlock& block) {
  return std::to_string(block.measured->occurrences) +
         (block.is_scaled() ? " (simulated " + std::to_string(block.simulated_runs) + ")" : "");
}

Section pair_section(const TraceComparison& c) {
  Section section{"The pair", {}, {}, {}};
  Table table{"", {"quantity", "measured", "predicted", "error"}, {}};
  for (const ComparedQuantity& quantity : c.pair)
    table.rows.push_back(joined_row({quantity.title}, compared(quantity.time)));
  section.tables.push_back(std::move(table));
  if (c.blocks.empty()) return section;

  Table blocks{"By block, over all layers",
               {"block", "runs", "kernels", "busy", "measured", "predicted", "error"},
               {}};
  Compared sum;
  for (const ComparedBlock& block : c.blocks) {
    const auto& m = block.measured;
    const Compared wall = block.wall();
    std::vector<std::string>& row =
        blocks.rows.emplace_back(joined_row({block.name,
                                             m ? runs_text(block) : "",
                                             m ? seconds(m->times.kernels) : "",
                                             m ? seconds(covered(m->busy)) : ""},
                                            compared(wall)));
    if (m && !wall.measured) row[4] = "no annotation";  // so nobody knows where it began
    if (block.is_transfer || !wall.measured || !wall.predicted) continue;
    sum.measured = sum.measured.value_or(Seconds()) + *wall.measured;
    sum.predicted = sum.predicted.value_or(Seconds()) + *wall.predicted;
  }
  if (sum.measured)
    blocks.rows.push_back(joined_row({"compute blocks found", "", "", ""}, compared(sum)));
  section.tables.push_back(std::move(blocks));
  section.notes = {
      "Of a block, kernels: their durations, summed; busy: time in which at least one ran; "
      "measured: from the first one's start to the last one's end. The prediction of the latter is "
      "the simulated timeline's, launch gaps and waits for peers included."};
  if (std::any_of(c.blocks.begin(), c.blocks.end(), [](const auto& b) { return b.is_scaled(); }))
    section.notes.emplace_back(
        "Where a block ran more or less often than is simulated, its prediction is for as many "
        "runs as were measured, each as long as the mean; and the pair as a whole is not "
        "compared.");
  return section;
}

Section block_section(const ComparedBlock& block) {
  Section section{block.name, {}, {}, {}};
  Table table{"", {"operation", "calls", "kernels", "measured", "predicted", "error"}, {}};
  for (const ComparedOp& op : block.ops) {
    std::string calls = op.measured    ? std::to_string(op.measured->calls)
                        : op.predicted ? count(op.predicted->calls)
                                       : "";
    if (op.measured && op.predicted &&
        std::abs(static_cast<double>(op.measured->calls) - op.predicted->calls) > 1e-6)
      calls += " (predicted " + count(op.predicted->calls) + ")";
    table.rows.push_back(joined_row(
        {op.name, calls, op.measured ? seconds(op.measured->kernels) : ""}, compared(op.time())));
  }
  if (block.unmapped.calls > 0)
    table.rows.push_back({"not mapped",
                          std::to_string(block.unmapped.calls),
                          seconds(block.unmapped.kernels),
                          seconds(block.unmapped.share),
                          kNoPrediction,
                          ""});
  Compared sum;
  if (block.measured) sum.measured = block.measured->times.share;
  if (block.predicted) sum.predicted = block.predicted->kernels;
  table.rows.push_back(
      joined_row({"sum",
                  block.measured ? std::to_string(block.measured->times.calls) : "",
                  block.measured ? seconds(block.measured->times.kernels) : ""},
                 compared(sum)));
  section.tables.push_back(std::move(table));
  return section;
}

Section unmapped_section(const TraceComparison& c) {
  Section section{"Not mapped", {}, {}, {}};
  const std::vector<UnmappedKernel>& all = c.measured.unmapped;
  if (all.empty()) {
    section.paragraphs.emplace_back("Every kernel is an operation of the mapping.");
    return section;
  }
  Table table{"", {"kernel", "grid", "launched in", "calls", "measured", "predicted"}, {}};
  KernelTimes rest;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const UnmappedKernel& kernel = all[i];
    if (i >= kMostUnmapped) {
      rest += kernel.times;
      continue;
    }
    const auto& grid = kernel.grid;
    table.rows.push_back({short_kernel_name(kernel.name),
                          grid ? std::to_string((*grid)[0]) + "x" + std::to_string((*grid)[1]) +
                                     "x" + std::to_string((*grid)[2])
                               : "",
                          kernel.block,
                          std::to_string(kernel.times.calls),
                          seconds(kernel.times.kernels),
                          kNoPrediction});
  }
  if (rest.calls > 0)
    table.rows.push_back({std::to_string(all.size() - kMostUnmapped) + " others (all in --json)",
                          "",
                          "",
                          std::to_string(rest.calls),
                          seconds(rest.kernels),
                          kNoPrediction});
  section.tables.push_back(std::move(table));
  return section;
}

Section sum_section(const TraceComparison& c) {
  Section section{"What became of the trace's GPU time", {}, {}, {}};
  KernelTimes mapped = c.measured.all, unmapped;
  for (const UnmappedKernel& kernel : c.measured.unmapped) unmapped += kernel.times;
  mapped.calls -= unmapped.calls;
  mapped.kernels -= unmapped.kernels;
  Table table{"", {"", "kernels, copies and fills", "GPU time"}, {}};
  table.rows = {{"mapped to operations", std::to_string(mapped.calls), seconds(mapped.kernels)},
                {"not mapped", std::to_string(unmapped.calls), seconds(unmapped.kernels)},
                {"all", std::to_string(c.measured.all.calls), seconds(c.measured.all.kernels)}};
  section.tables.push_back(std::move(table));
  section.notes = {
      "Of an operation, kernels: their durations, summed over all layers; these columns add up to "
      "the GPU time above. Measured: where kernels of a block run at the same time, each moment is "
      "shared evenly among them, so that a block's operations add up to the time it was busy. The "
      "prediction is for kernels one after the other, which is what the share compares with."};
  return section;
}

std::string loads_text(const std::vector<RankLoad>& loads) {
  std::string text;
  for (const RankLoad& load : loads)
    text += (text.empty() ? "" : ", ") + std::to_string(load.padded_rows) + " rows from " +
            std::to_string(load.tokens_received) + " tokens";
  return text;
}

}  // namespace

Report trace_report(const TraceInput& input) {
  const TraceComparison& c = input.comparison;
  Report report;
  report.title = input.trace + " next to " + input.scenario.name;
  report.facts = {{"trace", input.trace + (input.device.empty() ? "" : ", on " + input.device)},
                  {"mapping", input.mapping.empty() ? "none" : input.mapping},
                  {"scenario hash", input.scenario.hash},
                  {"profile", input.scenario.profile.id}};
  if (!c.forward_loads.empty()) {
    report.facts.emplace_back("loads assumed, forward", loads_text(c.forward_loads));
    report.facts.emplace_back("loads assumed, backward", loads_text(c.backward_loads));
  }
  report.sections.push_back(pair_section(c));
  for (const ComparedBlock& block : c.blocks) report.sections.push_back(block_section(block));
  report.sections.push_back(unmapped_section(c));
  report.sections.push_back(sum_section(c));
  report.warnings = input.warnings;
  return report;
}

}  // namespace moesim
