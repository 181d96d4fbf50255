#include "calibrate/measure_check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "calibrate/measure_plan.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

std::string three_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string problem(const Array& output, const std::string& where, double error, double tolerance) {
  const auto unwritten = std::count_if(
      output.values.begin(), output.values.end(), [](float v) { return !std::isfinite(v); });
  if (unwritten > 0)
    return std::string(output.name) + " of " + where + " has " + std::to_string(unwritten) +
           " of " + std::to_string(output.values.size()) + " values not written or not finite";
  return std::string(output.name) + " of " + where + " has a relative L2 error of " +
         three_digits(error) + "; tolerated " + three_digits(tolerance);
}

}  // namespace

Verification verify_call(Device& device, const Case& of, const Call& call, std::uint64_t seed) {
  const Experiment& experiment = *of.experiment;
  const std::string where = call_text(of, call);
  Verification result;
  if (!device.can_run(of, call)) {
    result.wrong = "the device cannot run " + where + ", at which it is checked";
    return result;
  }
  const Arrays found = device.prepare(of, call, seed)->outputs(),
               expected = experiment.outputs(call, experiment.inputs(call, seed));
  ENSURE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = relative_l2(found[i].values, expected[i].values);
    result.worst = std::max(result.worst, error);
    if (error > experiment.tolerance && !result.wrong)
      result.wrong = problem(found[i], where, error, experiment.tolerance);
  }
  return result;
}

Verification verify(Device& device, const Case& of, std::uint64_t seed) {
  Verification result;
  for (const Call& call : of.experiment->checks()) {
    Verification one = verify_call(device, of, call, seed);
    result.worst = std::max(result.worst, one.worst);
    result.wrong = std::move(one.wrong);
    if (result.wrong) break;
  }
  return result;
}

}  // namespace moesim
