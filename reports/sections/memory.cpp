#include <algorithm>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

// Neighbouring ranks with the same memory share a row: "1-14".
void append_or_merge(Table& table, std::vector<std::string> row) {
  if (!table.rows.empty() &&
      std::equal(row.begin() + 1, row.end(), table.rows.back().begin() + 1)) {
    std::string& label = table.rows.back().front();
    label = label.substr(0, label.find('-')) + "-" + row.front();
  } else {
    table.rows.push_back(std::move(row));
  }
}

Table advice_table(const PhaseResult& r, Bytes hbm) {
  Table table{r.phase.name + ": what would make room, one change at a time",
              {"change of the plan", "saves", "fullest rank", "free of " + format_bytes(hbm)},
              {}};
  for (const MemoryAdvice& row : r.memory_advice)
    table.rows.push_back(
        {row.change,
         format_bytes(row.saved),
         format_bytes(row.total),
         row.fits ? format_bytes(hbm - row.total) : "short of " + format_bytes(row.total - hbm)});
  return table;
}

// When and where the fullest rank is fullest.
std::string peak_text(const PhaseResult& r) {
  const MemoryCurve& fullest = *std::max_element(
      r.memory_over_time.begin(),
      r.memory_over_time.end(),
      [](const MemoryCurve& a, const MemoryCurve& b) { return a.peak.bytes < b.peak.bytes; });
  return r.phase.name + ": pipeline rank " + std::to_string(fullest.pp_rank) +
         " is fullest, first " + format_seconds(to_seconds(fullest.peak.at).in(s)) +
         " into the step, as microbatch " + std::to_string(fullest.peak_of.f.microbatch) +
         " begins its forward pass (step " + std::to_string(fullest.peak_step) + " of its list).";
}

constexpr std::size_t kMostMemoryLines = 8;  // more are not told apart on a chart
constexpr std::size_t kMostMemoryPoints = 400;

// All ranks where they are few; else the first, the last, the fullest and the emptiest.
std::vector<std::size_t> shown_ranks(const std::vector<MemoryCurve>& curves) {
  std::vector<std::size_t> shown;
  if (curves.size() <= kMostMemoryLines) {
    for (std::size_t i = 0; i < curves.size(); ++i) shown.push_back(i);
    return shown;
  }
  const auto [least, most] = std::minmax_element(
      curves.begin(), curves.end(), [](const MemoryCurve& a, const MemoryCurve& b) {
        return a.peak.bytes < b.peak.bytes;
      });
  shown = {0,
           static_cast<std::size_t>(most - curves.begin()),
           static_cast<std::size_t>(least - curves.begin()),
           curves.size() - 1};
  std::sort(shown.begin(), shown.end());
  shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
  return shown;
}

Chart over_time_chart(const PhaseResult& r, Bytes hbm) {
  XyChart chart;
  chart.x = {"time since the start of the step", "s", false};
  chart.y = {"memory", "GB", false};
  const std::vector<std::size_t> shown = shown_ranks(r.memory_over_time);
  for (const std::size_t i : shown) {
    const MemoryCurve& curve = r.memory_over_time[i];
    XyChart::Series series{
        "pipeline rank " + std::to_string(curve.pp_rank), XyChart::Drawn::steps, {}, {}};
    for (const MemoryPoint& point : thinned(curve.points, kMostMemoryPoints))
      series.points.emplace_back(to_seconds(point.at).in(s), point.bytes.in(GB));
    chart.series.push_back(std::move(series));
  }
  chart.marks.push_back({"HBM", {}, hbm.in(GB)});
  return {r.phase.name + ": memory over the step",
          std::string(shown.size() < r.memory_over_time.size()
                          ? "The first, the last, the fullest and the emptiest pipeline rank"
                          : "Every pipeline rank") +
              ", against the " + format_bytes(hbm) + " of a GPU.",
          std::move(chart)};
}

Chart peak_chart(const PhaseResult& r, Bytes hbm) {
  BarChart chart;
  chart.value = {"memory", "GB", false};
  chart.category_name = "pipeline rank";
  for (std::size_t p = 0; p < r.memory.front().parts.size(); ++p)
    chart.series.push_back({r.memory.front().parts[p].title, {}});
  Bytes most;
  for (const RankMemory& rank : r.memory) {
    chart.categories.push_back(std::to_string(rank.pp_rank));
    double stacked = 0;
    for (std::size_t p = 0; p < rank.parts.size(); ++p) {
      const double next = stacked + rank.parts[p].bytes.in(GB);
      chart.series[p].bars.push_back({stacked, next});
      stacked = next;
    }
    most = std::max(most, rank.total());
  }
  chart.marks.push_back({"HBM", {}, hbm.in(GB)});
  return {r.phase.name + ": memory at the worst moment",
          "The fullest rank has " + format_bytes(most) + " of " + format_bytes(hbm) + ".",
          std::move(chart)};
}

std::string overheads_text(const std::vector<PhaseResult>& phases) {
  const auto counts = [](const PhaseResult& r) { return r.phase.plan.overheads.has_value(); };
  if (std::any_of(phases.begin(), phases.end(), counts))
    return "CUDA context, NCCL buffers and allocator fragmentation as the plan states them "
           "(\"overheads\"); fragmentation is a share of all else but the first two.";
  return "Not counted: allocator fragmentation, CUDA context, library buffers; they must fit in "
         "what is free.";
}

}  // namespace

std::optional<Section> memory_section(const ReportInput& input) {
  Section section;
  section.title = "Memory";
  const Bytes hbm = input.scenario.cluster.gpu.hbm;
  for (const PhaseResult& r : input.run.phases) {
    if (r.phase.stated_gpu_hours || !r.refusal.empty()) continue;
    const bool main = &r == &input.run.phases.front();
    if (!main && r.fits) continue;  // other phases only when they do not fit
    Table table{r.phase.name, {"pipeline rank"}, {}};
    for (const MemoryPart& part : r.memory.front().parts) table.columns.push_back(part.title);
    table.columns.emplace_back("total");
    table.columns.emplace_back("free of " + format_bytes(hbm));
    for (const RankMemory& rank : r.memory) {
      std::vector<std::string> row = {std::to_string(rank.pp_rank)};
      for (const MemoryPart& part : rank.parts) row.push_back(format_bytes(part.bytes));
      row.push_back(format_bytes(rank.total()));
      row.push_back(rank.total() <= hbm ? format_bytes(hbm - rank.total())
                                        : "short of " + format_bytes(rank.total() - hbm));
      append_or_merge(table, std::move(row));
    }
    section.tables.push_back(std::move(table));
    section.charts.push_back(peak_chart(r, hbm));
    if (!r.memory_over_time.empty()) section.charts.push_back(over_time_chart(r, hbm));
    if (r.fits) continue;
    if (!r.memory_advice.empty()) section.tables.push_back(advice_table(r, hbm));
    section.notes.push_back(peak_text(r));
  }
  if (section.tables.empty()) return std::nullopt;
  section.notes.push_back(overheads_text(input.run.phases));
  return section;
}

}  // namespace moesim
