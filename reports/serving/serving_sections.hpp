// The sections of a serving report; their order is a table in serving_report.cpp. Each returns
// nothing when it has nothing to say.
#pragma once

#include <optional>

#include "reports/serving/serving_report.hpp"
#include "sim/serving/speed_curve.hpp"

namespace moesim {

std::optional<Section> serving_verdict_section(const ServingReportInput& input);
std::optional<Section> serving_summary_section(const ServingReportInput& input);
std::optional<Section> serving_latency_section(const ServingReportInput& input);
std::optional<Section> serving_cost_section(const ServingReportInput& input);
std::optional<Section> serving_published_section(const ServingReportInput& input);
std::optional<Section> serving_variants_section(const ServingReportInput& input);
std::optional<Section> serving_steps_section(const ServingReportInput& input);
std::optional<Section> serving_pools_section(const ServingReportInput& input);
std::optional<Section> serving_memory_section(const ServingReportInput& input);
std::optional<Section> serving_requests_section(const ServingReportInput& input);
std::optional<Section> serving_origins_section(const ServingReportInput& input);
std::optional<Section> serving_load_section(const ServingReportInput& input);
std::optional<Section> serving_speed_section(const ServingReportInput& input);
std::optional<Section> serving_series_section(const ServingReportInput& input);
std::optional<Section> serving_routing_section(const ServingReportInput& input);
std::optional<Section> serving_tiers_section(const ServingReportInput& input);
std::optional<Section> serving_uncertainty_section(const ServingReportInput& input);
std::optional<Section> serving_assumptions_section(const ServingReportInput& input);
std::optional<Section> serving_checking_section(const ServingReportInput& input);
std::optional<Section> serving_inputs_section(const ServingReportInput& input);

double gpus_provisioned(const SeedRun& run);  // on average
Chart latency_chart(const ServingMetrics& metrics);

// A bound and what was seen: "p99_ttft<2s is 1.204 s".
std::string slo_text(const SloCheck& check);

// A number of a run with its 90 % interval, where there is one.
Interval interval_of(const ServingRun& run,
                     const ServingUncertainty& uncertainty,
                     const std::function<double(const ServingRun&)>& number);

}  // namespace moesim
