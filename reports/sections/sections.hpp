// Report sections. Each reads the finished run and returns a section, or nothing when it has
// nothing to say. To add one: its file here and its line in the order table in reports/report.cpp.
#pragma once

#include <optional>

#include "reports/report.hpp"

namespace moesim {

std::optional<Section> verdict_section(const ReportInput& input);
std::optional<Section> summary_section(const ReportInput& input);
std::optional<Section> published_section(const ReportInput& input);
std::optional<Section> gap_section(const ReportInput& input);
std::optional<Section> uncertainty_section(const ReportInput& input);
std::optional<Section> run_section(const ReportInput& input);
std::optional<Section> operations_section(const ReportInput& input);
std::optional<Section> breakdown_section(const ReportInput& input);
std::optional<Section> waterfall_section(const ReportInput& input);
std::optional<Section> timeline_section(const ReportInput& input);       // with recorded operations
std::optional<Section> critical_path_section(const ReportInput& input);  // with --explain
std::optional<Section> memory_section(const ReportInput& input);
std::optional<Section> plan_section(const ReportInput& input);
std::optional<Section> routing_section(const ReportInput& input);
std::optional<Section> origins_section(const ReportInput& input);
std::optional<Section> variants_section(const ReportInput& input);
std::optional<Section> assumptions_section(const ReportInput& input);
std::optional<Section> checking_section(const ReportInput& input);
std::optional<Section> inputs_section(const ReportInput& input);

// Of one timeline: more are not told apart on a page. Two are shown, and a page of 12,000 spans
// opens at once.
inline constexpr std::size_t kMostTimelineSpans = 6'000;

// A value with its interval: "18.06 s (17.24 to 18.95)". The unit stands once when all three have
// the same.
std::string with_interval(double value, const Interval& interval, std::string (*format)(double));

// What each source of error does to a number, largest first.
struct TornadoBar {
  std::string source;
  double fast = 0, slow = 0;
};
Chart tornado_chart(const std::string& quantity,
                    const std::string& unit,
                    double base,
                    const std::vector<TornadoBar>& bars);

// How unequal the ranks of an expert-parallel group are, and who sends how much to whom.
std::vector<Chart> routing_charts(const RoutingPicture& picture, const std::string& of);

// The two categories that changed most: "exposed communication -0.71 s, pipeline bubble +0.10 s".
std::string main_changes(const PhaseResult& base, const PhaseResult& changed);

// Published figures that speak to a scenario; nothing where there are none.
std::optional<Section> published_section(const std::vector<KnownRow>& known);
// Known figures as rows of a table; shared by the report and by `moesim validate`.
Table known_table(const std::vector<KnownRow>& rows);
std::string known_legend();

}  // namespace moesim
