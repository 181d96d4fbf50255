#include "reports/format.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

Chart memory_chart(const ServingReportInput& input) {
  BarChart chart;
  chart.value = {"memory of a GPU", "GB", false};
  chart.category_name = "pool";
  const auto& pools = input.run.pools;
  for (const ServingMemoryLine& line : pools.front().memory.lines)
    chart.series.push_back({line.title, {}});
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const PoolSpec& pool = input.scenario.serving.pools[i];
    chart.categories.push_back(pool.name);
    double stacked = 0;
    for (std::size_t line = 0; line < chart.series.size(); ++line) {
      const double next = stacked + pools[i].memory.lines[line].bytes.in(GB);
      chart.series[line].bars.push_back({stacked, next});
      stacked = next;
    }
  }
  chart.marks.push_back({"HBM", {}, input.scenario.serving.pools.front().cluster.gpu.hbm.in(GB)});
  const ServingMemoryLine& kv = pools.front().memory.lines.back();
  return {"What a GPU's memory is for",
          "Pool " + input.scenario.serving.pools.front().name + " has " + format_bytes(kv.bytes) +
              " for KV pages.",
          std::move(chart)};
}

}  // namespace

std::optional<Section> serving_memory_section(const ServingReportInput& input) {
  Section section;
  section.title = "Memory of a GPU";
  const auto& pools = input.run.pools;
  Table table{"", {"what"}, {}};
  for (const PoolSpec& pool : input.scenario.serving.pools) table.columns.push_back(pool.name);
  const auto row = [&](const std::string& name, const auto& cell) {
    std::vector<std::string> cells = {name};
    for (std::size_t i = 0; i < pools.size(); ++i) cells.push_back(cell(i));
    table.rows.push_back(std::move(cells));
  };
  for (std::size_t line = 0; line < pools.front().memory.lines.size(); ++line)
    row(pools.front().memory.lines[line].title,
        [&](std::size_t i) { return format_bytes(pools[i].memory.lines[line].bytes); });
  row("total", [&](std::size_t i) { return format_bytes(pools[i].memory.total()); });
  row("what the engine may use", [&](std::size_t i) {
    const PoolSpec& pool = input.scenario.serving.pools[i];
    return format_bytes(pools[i].memory.budget) + " (" + format_percent(pool.kv.memory_fraction) +
           " of " + format_bytes(pool.cluster.gpu.hbm) +
           (pool.kv.fraction_is_static ? ", for weights and pages)" : ")");
  });
  row("KV bytes a token", [&](std::size_t i) {
    return std::to_string(static_cast<std::int64_t>(pools[i].memory.kv_per_token.in(B)));
  });
  row("KV pages of an attention rank", [&](std::size_t i) {
    return std::to_string(pools[i].model.pages) + " of " +
           std::to_string(pools[i].memory.page_tokens) + " tokens" +
           (input.scenario.serving.pools[i].kv.pages ? " (given)" : "");
  });
  row("fits", [&](std::size_t i) {
    const ServingMemory& m = pools[i].memory;
    if (m.fits) return std::string("yes");
    return "NO: " + format_bytes(m.without_pages()) + " before any KV page; pages for " +
           std::to_string(m.least_pages * m.page_tokens) + " tokens are needed";
  });
  section.tables.push_back(std::move(table));
  section.charts.push_back(memory_chart(input));
  return section;
}

}  // namespace moesim
