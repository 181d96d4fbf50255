#include "reports/plan_search_report.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

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

std::size_t count_of(const PlanSearch& search, PlanOutcome outcome) {
  return static_cast<std::size_t>(
      std::count_if(search.points.begin() + 1, search.points.end(), [&](const SearchPoint& point) {
        return point.outcome == outcome;
      }));
}
std::size_t num_simulated(const PlanSearch& search) {
  return static_cast<std::size_t>(
      std::count_if(search.points.begin() + 1, search.points.end(), [](const SearchPoint& point) {
        return point.balanced_step.has_value();
      }));
}
std::size_t num_as_asked(const PlanSearch& search) {
  return static_cast<std::size_t>(
      std::count_if(search.points.begin() + 1, search.points.end(), [](const SearchPoint& point) {
        return point.as_asked.has_value();
      }));
}

Section counts_section(const PlanSearch& search) {
  Section section;
  section.title = "What was looked at";
  const auto count = [&](PlanOutcome outcome) { return std::to_string(count_of(search, outcome)); };
  section.tables.push_back(
      {"",
       {"plans", "outcome", "how that is known"},
       {{std::to_string(search.points.size() - 1), "combinations", ""},
        {count(PlanOutcome::refused), "cannot be run", "from the plan"},
        {count(PlanOutcome::too_large), "do not fit in memory", "from what a rank holds"},
        {count(PlanOutcome::over_limit),
         "past a limit",
         "from cluster and price, a bound of the step, or the step"},
        {count(PlanOutcome::bounded_away),
         "bounded away",
         "a proven lower bound of the step is above the worst of the best"},
        {std::to_string(num_simulated(search)), "simulated, balanced routing", "folded simulation"},
        {std::to_string(num_as_asked(search)), "simulated as asked", "every rank"}}});
  return section;
}

std::string nothing_found(const PlanSearch& search) {
  const SearchPoint* closest = nullptr;
  for (const SearchPoint& point : search.points)
    if (point.outcome == PlanOutcome::over_limit && point.bound > Seconds() &&
        (closest == nullptr || point.bound < closest->bound))
      closest = &point;
  std::string text = "No plan can be run, fits and keeps the limits.";
  if (closest != nullptr)
    text += " The closest to what " + closest->refusal + " asks for: a step of at least " +
            format_seconds(closest->bound.in(s)) + ", " +
            digits4(bill_of(search.worlds[closest->world], closest->bound).days) + " days, " +
            format_usd(bill_of(search.worlds[closest->world], closest->bound).usd) + ", with " +
            plan_name(search, *closest) + ".";
  return text;
}

Section best_section(const PlanSearch& search) {
  Section section;
  section.title = "Best plans";
  const SearchPoint& own = search.points.front();
  Table table{"",
              {"rank",
               "plan",
               "step",
               "against own",
               "memory",
               "MFU (causal)",
               "days",
               "cost",
               "what moved most"},
              {}};
  for (std::size_t i = 0; i < search.ranking.size(); ++i) {
    const SearchPoint& point = search.points[search.ranking[i]];
    const PhaseResult& result = *point.as_asked;
    const PhaseBill bill = bill_of(search.worlds[point.world], result.step_time);
    table.rows.push_back(
        {std::to_string(i + 1),
         plan_name(search, point),
         format_seconds(result.step_time.in(s)),
         own.as_asked
             ? format_signed_percent(100 * (result.step_time / own.as_asked->step_time - 1))
             : "",
         format_bytes(point.memory),
         format_percent(result.mfu_causal),
         digits4(bill.days),
         format_usd(bill.usd),
         own.as_asked && !point.choice.empty() ? main_changes(*own.as_asked, result) : ""});
  }
  section.tables.push_back(std::move(table));
  if (!own.refusal.empty()) section.notes.push_back("The scenario's own plan: " + own.refusal);
  if (own.refusal.empty() && !own.fits)
    section.notes.push_back("The scenario's own plan does not fit: it needs " +
                            format_bytes(own.memory) + ".");
  if (search.ranking.empty()) section.notes.push_back(nothing_found(search));
  return section;
}

// The fastest of the plans that need more memory than there is: what memory costs. And the one that
// is closest to fitting.
Section too_large_section(const PlanSearch& search) {
  Section section;
  section.title = "Plans that do not fit";
  std::vector<const SearchPoint*> points;
  for (const SearchPoint& point : search.points)
    if (point.outcome == PlanOutcome::too_large) points.push_back(&point);
  section.paragraphs.push_back(std::to_string(points.size()) +
                               " plans need more memory than there is.");
  if (points.empty()) return section;
  const SearchPoint* closest = *std::min_element(
      points.begin(), points.end(), [](const SearchPoint* a, const SearchPoint* b) {
        return a->memory < b->memory;
      });
  section.paragraphs.back() += " The closest to fitting needs " + format_bytes(closest->memory) +
                               ": " + plan_name(search, *closest) +
                               ". The fastest, by the lower bound of their step:";
  std::stable_sort(points.begin(), points.end(), [](const SearchPoint* a, const SearchPoint* b) {
    return a->bound < b->bound;
  });
  constexpr std::size_t kShown = 5;
  Table table{"", {"plan", "step, balanced routing, at least", "memory"}, {}};
  for (std::size_t i = 0; i < std::min(points.size(), kShown); ++i)
    table.rows.push_back({plan_name(search, *points[i]),
                          format_seconds(points[i]->bound.in(s)),
                          format_bytes(points[i]->memory)});
  section.tables.push_back(std::move(table));
  return section;
}

// Where clusters, prices or batches differ: days against dollars of the main phase.
std::optional<Section> front_section(const PlanSearch& search) {
  if (search.best_of_worlds.empty()) return std::nullopt;
  Section section;
  section.title = "Days against dollars";
  section.paragraphs.push_back(
      "The fastest plan of each choice beside the plan, with balanced routing. Marked ones are not "
      "beaten by another in both days and dollars of the main phase.");
  Table table{"", {"choice", "GPUs", "days", "dollars", "step", "plan", "not beaten"}, {}};
  XyChart chart;
  chart.x = {"main phase", "days", false};
  chart.y = {"cost of the main phase", "USD", false};
  XyChart::Series all{"best plan of each choice", XyChart::Drawn::points, {}, {}},
      front{"not beaten in both", XyChart::Drawn::line, {}, {}};
  for (const std::size_t i : search.best_of_worlds) {
    const SearchPoint& point = search.points[i];
    const SearchWorld& world = search.worlds[point.world];
    const PhaseBill bill = bill_of(world, *point.balanced_step);
    const bool is_front =
        std::find(search.front.begin(), search.front.end(), i) != search.front.end();
    table.rows.push_back({world.name,
                          std::to_string(world.gpus),
                          digits4(bill.days),
                          format_usd(bill.usd),
                          format_seconds(point.balanced_step->in(s)),
                          plan_name(search, point),
                          is_front ? "yes" : ""});
    all.points.emplace_back(bill.days, bill.usd);
    all.point_names.push_back(world.name);
  }
  for (const std::size_t i : search.front) {
    const SearchPoint& point = search.points[i];
    const PhaseBill bill = bill_of(search.worlds[point.world], *point.balanced_step);
    front.points.emplace_back(bill.days, bill.usd);
    front.point_names.push_back(search.worlds[point.world].name);
  }
  chart.series = {std::move(all), std::move(front)};
  section.tables.push_back(std::move(table));
  section.charts.push_back({"Days against dollars",
                            std::to_string(search.front.size()) + " of " +
                                std::to_string(search.best_of_worlds.size()) +
                                " choices are not beaten in both days and dollars",
                            std::move(chart)});
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
    if (point.outcome != PlanOutcome::refused && point.outcome != PlanOutcome::over_limit) continue;
    const bool is_limit = point.outcome == PlanOutcome::over_limit;
    const std::string text = (is_limit ? "does not keep " : "") + point.refusal;
    Reason& reason = reasons[is_limit ? text : kind_of(text)];
    if (reason.count++ == 0) reason = {1, text, plan_name(search, point)};
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
                  {"model", scenario.model.name},
                  {"profile", scenario.profile.id},
                  {"plans", std::to_string(search.points.size() - 1)},
                  {"for", search.goal == PlanGoal::fastest ? "fastest" : "cheapest"}};
  report.sections = {best_section(search)};
  if (auto front = front_section(search)) report.sections.push_back(std::move(*front));
  report.sections.push_back(counts_section(search));
  report.sections.push_back(too_large_section(search));
  report.sections.push_back(refused_section(search));
  return report;
}

namespace {

JsonValue point_json(const PlanSearch& search, const SearchPoint& point) {
  constexpr std::array<const char*, 5> kOutcomes = {
      "refused", "over_limit", "too_large", "bounded_away", "simulated"};
  JsonValue item = JsonValue::object();
  item.set("plan", plan_name(search, point));
  item.set("outcome", kOutcomes[static_cast<std::size_t>(point.outcome)]);
  if (!point.refusal.empty()) item.set("refused", point.refusal);
  if (point.bound > Seconds()) item.set("step_time_bound_s", point.bound.in(s));
  if (point.balanced_step) item.set("balanced_step_time_s", point.balanced_step->in(s));
  if (point.memory > Bytes()) {
    item.set("memory_peak_bytes", point.memory.in(B));
    item.set("fits_in_memory", point.fits);
  }
  return item;
}

JsonValue bill_json(const SearchWorld& world, Seconds step, JsonValue item) {
  const PhaseBill bill = bill_of(world, step);
  return item.set("gpus", world.gpus)
      .set("days", bill.days)
      .set("gpu_hours", bill.gpu_hours)
      .set("cost_usd", bill.usd);
}

}  // namespace

JsonValue plan_search_json(const Scenario& scenario, const PlanSearch& search) {
  JsonValue points = JsonValue::array(), best = JsonValue::array(), front = JsonValue::array();
  for (const SearchPoint& point : search.points) points.push(point_json(search, point));
  for (const std::size_t i : search.ranking) {
    const SearchPoint& point = search.points[i];
    best.push(bill_json(search.worlds[point.world],
                        point.as_asked->step_time,
                        JsonValue::object()
                            .set("plan", plan_name(search, point))
                            .set("step_time_s", point.as_asked->step_time.in(s))
                            .set("tokens_per_s_per_gpu", point.as_asked->tokens_per_s_per_gpu)
                            .set("mfu_causal", point.as_asked->mfu_causal)
                            .set("memory_peak_bytes", point.memory.in(B))));
  }
  for (const std::size_t i : search.front) {
    const SearchPoint& point = search.points[i];
    front.push(bill_json(search.worlds[point.world],
                         *point.balanced_step,
                         JsonValue::object()
                             .set("plan", plan_name(search, point))
                             .set("balanced_step_time_s", point.balanced_step->in(s))));
  }
  const auto count = [&](PlanOutcome outcome) {
    return static_cast<std::int64_t>(count_of(search, outcome));
  };
  return JsonValue::object()
      .set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", scenario.name).set("hash", scenario.hash))
      .set("goal", search.goal == PlanGoal::fastest ? "fastest" : "cheapest")
      .set("num_plans", static_cast<std::int64_t>(search.points.size() - 1))
      .set("num_refused", count(PlanOutcome::refused))
      .set("num_too_large", count(PlanOutcome::too_large))
      .set("num_over_limit", count(PlanOutcome::over_limit))
      .set("num_bounded_away", count(PlanOutcome::bounded_away))
      .set("num_simulated", static_cast<std::int64_t>(num_simulated(search)))
      .set("num_simulated_as_asked", static_cast<std::int64_t>(num_as_asked(search)))
      .set("best", std::move(best))
      .set("front", std::move(front))
      .set("points", std::move(points));
}

}  // namespace moesim
