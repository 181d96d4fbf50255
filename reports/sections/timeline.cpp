// A step of the first rank of every pipeline stage: what its schedule does over the whole step,
// and, where operations were recorded, each of them as far as a page shows them.
#include <algorithm>
#include <map>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

constexpr std::array<const char*, 6> kStepKinds = {"forward",
                                                   "backward",
                                                   "input gradients",
                                                   "weight gradients",
                                                   "forward beside backward",
                                                   "gradients, optimizer and waiting"};

std::string step_name(const ScheduleStep& step) {
  const std::string f = std::to_string(step.f.microbatch), b = std::to_string(step.b.microbatch);
  switch (step.kind) {
    case StepKind::forward: return "microbatch " + f;
    case StepKind::forward_backward: return "microbatch " + f + " beside " + b;
    default: return "microbatch " + b;
  }
}

// The spans that start first, in their order by lane and time.
bool keep_first(std::vector<TimelineChart::Span>& spans, std::size_t most) {
  if (spans.size() <= most) return false;
  std::vector<double> starts;
  for (const TimelineChart::Span& span : spans) starts.push_back(span.start_s);
  std::nth_element(
      starts.begin(), starts.begin() + static_cast<std::ptrdiff_t>(most), starts.end());
  const double limit = starts[most];
  std::erase_if(spans, [&](const TimelineChart::Span& span) { return span.start_s >= limit; });
  return true;
}

std::string extent_text(const TimelineChart& chart, bool is_cut) {
  double end = 0;
  for (const TimelineChart::Span& span : chart.spans) end = std::max(end, span.end_s);
  return is_cut ? "The first " + format_seconds(end) + " of it: the page shows " +
                      std::to_string(kMostTimelineSpans) + " spans at most."
                : "The whole step.";
}

Chart schedule_chart(const PhaseResult& main) {
  TimelineChart chart;
  chart.kinds = {kStepKinds.begin(), kStepKinds.end()};
  const double step_s = to_seconds(main.step.timeline.step).in(s);
  const Schedule& schedule = schedule_of(main.phase.plan.schedule);
  for (std::size_t pp = 0; pp < main.step.step_times.size(); ++pp) {
    chart.lanes.push_back("pipeline rank " + std::to_string(pp));
    const auto& times = main.step.step_times[pp];
    const auto steps = schedule.steps(pipeline_run(main.phase), static_cast<std::int64_t>(pp));
    ENSURE(steps.size() == times.size());
    double last = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const double start = to_seconds(times[i].start).in(s), end = to_seconds(times[i].end).in(s);
      chart.spans.push_back(
          {pp, static_cast<std::size_t>(steps[i].kind), start, end, step_name(steps[i])});
      last = std::max(last, end);
    }
    if (last < step_s)
      chart.spans.push_back({pp, kStepKinds.size() - 1, last, step_s, "after the last microbatch"});
  }
  const bool is_cut = keep_first(chart.spans, kMostTimelineSpans);
  return {"What each pipeline rank does, microbatch by microbatch",
          extent_text(chart, is_cut) + " Gaps are the pipeline's bubble.",
          std::move(chart)};
}

std::string kind_of_operation(const std::string& name) {
  const std::size_t space = name.rfind(' ');
  const bool numbered = space != std::string::npos && space + 1 < name.size() &&
                        name.find_first_not_of("0123456789", space + 1) == std::string::npos;
  return numbered ? name.substr(0, space) : name;
}

Chart operations_chart(const PhaseResult& main) {
  TimelineChart chart;
  std::map<std::pair<std::int64_t, StreamKind>, std::size_t> lanes;
  for (const Span& span : main.step.timeline.spans) lanes[{span.rank, span.stream}] = 0;
  for (auto& [key, lane] : lanes) {
    lane = chart.lanes.size();
    chart.lanes.push_back("rank " + std::to_string(key.first) +
                          (key.second == StreamKind::compute ? ", compute" : ", communication"));
  }
  std::map<std::string, std::size_t> kinds;
  for (const Span& span : main.step.timeline.spans) {
    const auto [kind, is_new] = kinds.try_emplace(kind_of_operation(span.name), kinds.size());
    if (is_new) chart.kinds.push_back(kind->first);
    chart.spans.push_back({lanes.at({span.rank, span.stream}),
                           kind->second,
                           to_seconds(span.start).in(s),
                           to_seconds(span.end).in(s),
                           span.name});
  }
  const bool is_cut = keep_first(chart.spans, kMostTimelineSpans);
  return {"Every operation of both streams",
          extent_text(chart, is_cut) +
              " Of the first rank of every stage, or of `--trace-ranks`; `--trace` writes all of "
              "them for Perfetto.",
          std::move(chart)};
}

}  // namespace

std::optional<Section> timeline_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  if (main.step.timeline.spans.empty()) return std::nullopt;
  Section section;
  section.title = "Timeline of the step";
  section.charts = {schedule_chart(main), operations_chart(main)};
  section.only_in_files = true;
  return section;
}

}  // namespace moesim
