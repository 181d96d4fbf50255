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
  }
  if (section.tables.empty()) return std::nullopt;
  section.notes.push_back(
      "Not counted: allocator fragmentation, CUDA context, library buffers; they must fit in what "
      "is free.");
  return section;
}

}  // namespace moesim
