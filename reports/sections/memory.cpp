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
    if (r.fits) continue;
    if (!r.memory_advice.empty()) section.tables.push_back(advice_table(r, hbm));
    section.notes.push_back(peak_text(r));
  }
  if (section.tables.empty()) return std::nullopt;
  section.notes.push_back(overheads_text(input.run.phases));
  return section;
}

}  // namespace moesim
