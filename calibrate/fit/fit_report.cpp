#include "calibrate/fit/fit_profile.hpp"

namespace moesim {
namespace {

std::string triple(const ErrorSummary& e) {
  return percent_text(e.median) + " / " + percent_text(e.p95) + " / " + percent_text(e.max);
}

}  // namespace

std::string fit_report(const FitResult& result) {
  std::string text =
      "| operation | points | left out | median / p95 / max | in sample | repeat noise |\n"
      "|---|---|---|---|---|---|\n";
  const auto row = [&](const std::string& name,
                       std::size_t num_points,
                       const std::string& what,
                       const ErrorSummary& error,
                       const ErrorSummary& in_sample,
                       const std::optional<ErrorSummary>& noise) {
    text += "| " + name + " | " + std::to_string(num_points) + " | " + what + " | " +
            (error.num_points > 0 ? triple(error) : "-") + " | " + triple(in_sample) + " | " +
            (noise ? triple(*noise) : "-") + " |\n";
  };
  for (const KernelFit& fit : result.kernels) {
    const std::string name(fit.of->op);
    if (fit.left_out.empty()) row(name, fit.num_points, "-", {}, fit.in_sample, fit.repeat_noise);
    for (const LeftOut& left : fit.left_out)
      row(name, fit.num_points, left.what, left.error, fit.in_sample, fit.repeat_noise);
  }
  for (const SegmentFit& fit : result.groups)
    row(std::string(fit.of->op) + ", " + std::to_string(fit.ranks) + " ranks, " +
            std::to_string(fit.ranks_per_node) + " a node",
        fit.num_points,
        "size",
        fit.left_out,
        fit.in_sample,
        fit.repeat_noise);
  for (const KernelFit& fit : result.kernels) {
    if (fit.worst.empty()) continue;
    text += "\n" + std::string(fit.of->op) + ", worst when left out:";
    for (const WorstPoint& w : fit.worst)
      text += " " + shape_text(*fit.of, w.shape) + " (" + percent_text(w.error) + ")";
    text += "\n";
  }
  for (const std::string& note : result.notes) text += "\nNote: " + note + ".\n";
  return text;
}

}  // namespace moesim
