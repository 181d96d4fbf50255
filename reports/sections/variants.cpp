#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

std::string main_changes(const PhaseResult& base, const PhaseResult& changed) {
  std::vector<std::pair<double, std::size_t>> deltas;
  for (std::size_t c = 0; c < kNumCategories; ++c)
    deltas.emplace_back(-std::abs(changed.category_s[c] - base.category_s[c]), c);
  std::sort(deltas.begin(), deltas.end());
  std::string text;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t c = deltas[i].second;
    const double delta = changed.category_s[c] - base.category_s[c];
    if (std::abs(delta) < 1e-3 * base.step_time.in(s)) break;
    text += (i == 0 ? "" : ", ") + std::string(kCategoryNames[c].title) +
            (delta < 0 ? " -" : " +") + format_seconds(std::abs(delta));
  }
  return text.empty() ? "nothing by more than 0.1 % of the step" : text;
}

std::optional<Section> variants_section(const ReportInput& input) {
  if (input.variants.empty()) return std::nullopt;
  Section section;
  section.title = "What a change does";
  section.paragraphs.push_back("The main phase again, each time with one change to the scenario.");
  Table table{"", {"change", "step", "against the base", "memory", "what moved most", "why"}, {}};
  const PhaseResult& base = input.run.phases.front();
  auto memory = [&](const PhaseResult& r) {
    Bytes peak;
    for (const RankMemory& rank : r.memory) peak = std::max(peak, rank.total());
    return format_bytes(peak) + (r.fits ? "" : " (does not fit)");
  };
  table.rows.push_back({"(base)", format_seconds(base.step_time.in(s)), "", memory(base), "", ""});
  for (const VariantResult& v : input.variants) {
    const PhaseResult& r = v.run.phases.front();
    if (!r.refusal.empty()) {
      table.rows.push_back({v.variant->name, "cannot run", "", "", r.refusal, v.variant->because});
      continue;
    }
    table.rows.push_back({v.variant->name,
                          format_seconds(r.step_time.in(s)),
                          format_signed_percent(100 * (r.step_time / base.step_time - 1)),
                          memory(r),
                          main_changes(base, r),
                          v.variant->because});
  }
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace moesim
