#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

constexpr std::size_t kShownAtEachEnd = 12;  // of the segments; the middle of a pipeline repeats

std::vector<std::string> row_of(const PathSegment& segment) {
  const auto phase = static_cast<std::size_t>(segment.phase);
  const Seconds length = to_seconds(segment.end - segment.start);
  const std::string microbatches = segment.phase == SchedulePhase::optimizer ? ""
                                   : segment.first_microbatch == segment.last_microbatch
                                       ? std::to_string(segment.first_microbatch)
                                       : std::to_string(segment.first_microbatch) + " to " +
                                             std::to_string(segment.last_microbatch);
  return {format_seconds(to_seconds(segment.start).in(s)),
          format_seconds(length.in(s)),
          std::to_string(segment.pp),
          std::string(kSchedulePhaseNames[phase].title),
          microbatches,
          format_percent(to_seconds(segment.communication) / length),
          segment.reason};
}

}  // namespace

std::optional<Section> critical_path_section(const ReportInput& input) {
  const StepResult& step = input.run.phases.front().step;
  if (!step.critical_path) return std::nullopt;
  const CriticalPath& path = *step.critical_path;
  Section section;
  section.title = "Critical path of the step";
  section.paragraphs.push_back(
      "The chain of operations of which each began when the one before it ended: making one of "
      "them shorter makes the step shorter, until another chain is the longest. It adds up to the "
      "step.");
  Table shares{"By kind of operation", {"operation", "time", "share"}, {}};
  for (const CriticalPath::Share& share : path.shares)
    shares.rows.push_back(
        {share.kind,
         format_seconds(to_seconds(share.time).in(s)),
         format_percent(to_seconds(share.time) / to_seconds(step.timeline.step))});
  section.tables.push_back(std::move(shares));
  Table segments{"Where it runs",
                 {"from", "for", "pp rank", "phase", "microbatches", "on transfers", "because"},
                 {}};
  const std::size_t n = path.segments.size();
  for (std::size_t i = 0; i < n; ++i) {
    if (i >= kShownAtEachEnd && i + kShownAtEachEnd < n) {
      if (i == kShownAtEachEnd)
        segments.rows.push_back(
            {"...",
             "",
             "",
             "",
             "",
             "",
             std::to_string(n - 2 * kShownAtEachEnd) + " more segments; --json lists all"});
      continue;
    }
    segments.rows.push_back(row_of(path.segments[i]));
  }
  section.tables.push_back(std::move(segments));
  return section;
}

}  // namespace moesim
