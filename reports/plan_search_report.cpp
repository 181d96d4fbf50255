#include "reports/plan_search_report.hpp"

#include <algorithm>
#include <cctype>
#include <map>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

std::string plan_name(const PlanSearch& search, const SearchPoint& point) {
  if (point.choice.empty()) return "the scenario's own plan";
  std::string name;
  for (std::size_t a = 0; a < point.choice.size(); ++a)
    name += (a == 0 ? "" : ", ") + search.axes[a].alternatives[point.choice[a]].name;
  return name;
}

// A reason without its numbers, so that alike ones are counted together.
std::string kind_of(const std::string& reason) {
  std::string kind;
  for (const char c : reason) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0)
      kind += c;
    else if (kind.empty() || kind.back() != '#')
      kind += '#';
  }
  return kind;
}

Section best_section(const PlanSearch& search) {
  Section section;
  section.title = "Best plans";
  const SearchPoint& own = search.points.front();
  Table table{
      "", {"rank", "plan", "step", "against own", "memory", "MFU (causal)", "what moved most"}, {}};
  for (std::size_t i = 0; i < search.ranking.size(); ++i) {
    const SearchPoint& point = search.points[search.ranking[i]];
    const PhaseResult& result = *point.as_asked;
    table.rows.push_back(
        {std::to_string(i + 1),
         plan_name(search, point),
         format_seconds(result.step_time.in(s)),
         own.as_asked
             ? format_signed_percent(100 * (result.step_time / own.as_asked->step_time - 1))
             : "",
         format_bytes(point.memory),
         format_percent(result.mfu_causal),
         own.as_asked && !point.choice.empty() ? main_changes(*own.as_asked, result) : ""});
  }
  section.tables.push_back(std::move(table));
  if (!own.refusal.empty()) section.notes.push_back("The scenario's own plan: " + own.refusal);
  if (own.refusal.empty() && !own.fits)
    section.notes.push_back("The scenario's own plan does not fit: it needs " +
                            format_bytes(own.memory) + ".");
  if (search.ranking.empty()) section.notes.push_back("No plan can be run and fits.");
  return section;
}

// The fastest of the plans that need more memory than there is: what memory costs.
Section too_large_section(const PlanSearch& search) {
  Section section;
  section.title = "Plans that do not fit";
  std::vector<const SearchPoint*> points;
  for (const SearchPoint& point : search.points)
    if (point.refusal.empty() && !point.fits) points.push_back(&point);
  std::stable_sort(points.begin(), points.end(), [](const SearchPoint* a, const SearchPoint* b) {
    return a->balanced_step < b->balanced_step;
  });
  constexpr std::size_t kShown = 5;
  section.paragraphs.push_back(std::to_string(points.size()) +
                               " plans need more memory than a GPU has. The fastest of them:");
  Table table{"", {"plan", "step, balanced routing", "memory"}, {}};
  for (std::size_t i = 0; i < std::min(points.size(), kShown); ++i)
    table.rows.push_back({plan_name(search, *points[i]),
                          format_seconds(points[i]->balanced_step.in(s)),
                          format_bytes(points[i]->memory)});
  section.tables.push_back(std::move(table));
  return section;
}

Section refused_section(const PlanSearch& search) {
  Section section;
  section.title = "Plans that cannot be run";
  struct Reason {
    std::size_t count = 0;
    std::string example, plan;
  };
  std::map<std::string, Reason> reasons;
  for (const SearchPoint& point : search.points) {
    if (point.refusal.empty()) continue;
    Reason& reason = reasons[kind_of(point.refusal)];
    if (reason.count++ == 0) reason = {1, point.refusal, plan_name(search, point)};
  }
  Table table{"", {"plans", "reason, as for the first of them", "which is"}, {}};
  for (const auto& [kind, reason] : reasons)
    table.rows.push_back({std::to_string(reason.count), reason.example, reason.plan});
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace

Report make_plan_search_report(const Scenario& scenario, const PlanSearch& search) {
  Report report;
  report.title = scenario.name + ": plan search";
  report.facts = {{"scenario", scenario.name + " (" + scenario.hash + ")"},
                  {"profile", scenario.profile.id},
                  {"plans", std::to_string(search.points.size() - 1)}};
  report.sections = {best_section(search), too_large_section(search), refused_section(search)};
  return report;
}

JsonValue plan_search_json(const Scenario& scenario, const PlanSearch& search) {
  JsonValue points = JsonValue::array(), best = JsonValue::array();
  std::int64_t num_refused = 0, num_too_large = 0;
  for (const SearchPoint& point : search.points) {
    JsonValue item = JsonValue::object();
    item.set("plan", plan_name(search, point));
    if (!point.refusal.empty()) {
      ++num_refused;
      item.set("refused", point.refusal);
    } else {
      num_too_large += point.fits ? 0 : 1;
      item.set("balanced_step_time_s", point.balanced_step.in(s));
      item.set("memory_peak_bytes", point.memory.in(B));
      item.set("fits_in_memory", point.fits);
    }
    points.push(std::move(item));
  }
  for (const std::size_t i : search.ranking) {
    const SearchPoint& point = search.points[i];
    best.push(JsonValue::object()
                  .set("plan", plan_name(search, point))
                  .set("step_time_s", point.as_asked->step_time.in(s))
                  .set("tokens_per_s_per_gpu", point.as_asked->tokens_per_s_per_gpu)
                  .set("mfu_causal", point.as_asked->mfu_causal)
                  .set("memory_peak_bytes", point.memory.in(B)));
  }
  return JsonValue::object()
      .set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", scenario.name).set("hash", scenario.hash))
      .set("num_plans", static_cast<std::int64_t>(search.points.size() - 1))
      .set("num_refused", num_refused)
      .set("num_too_large", num_too_large)
      .set("best", std::move(best))
      .set("points", std::move(points));
}

}  // namespace moesim
