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

// Whether what was found of one output is what had to be; the first problem stays.
void compare(const Array& found,
             const std::vector<float>& expected,
             const std::string& where,
             double tolerance,
             Verification& result) {
  const double error = relative_l2(found.values, expected);
  result.worst = std::max(result.worst, error);
  if (error > tolerance && !result.wrong) result.wrong = problem(found, where, error, tolerance);
}

}  // namespace

std::vector<Call> runnable_checks(const Device& device, const Case& of) {
  std::vector<Call> calls = of.experiment->checks();
  std::erase_if(calls, [&](const Call& call) { return !device.can_run(of, call); });
  return calls;
}

Verification verify_call(Device& device, const Case& of, const Call& call, std::uint64_t seed) {
  const Experiment& experiment = *of.experiment;
  const std::string where = call_text(of, call);
  Verification result;
  const Arrays found = device.prepare(of, call, seed)->outputs(),
               expected = experiment.outputs(call, experiment.inputs(call, seed));
  ENSURE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    compare(found[i], expected[i].values, where, experiment.tolerance, result);
  return result;
}

Verification verify_samples(Device& device, const Case& of, const Call& call, std::uint64_t seed) {
  const Experiment& experiment = *of.experiment;
  const Pieces expected = experiment.samples(call, seed);
  Pieces wanted = expected;
  for (Piece& piece : wanted) piece.values.assign(piece.values.size(), 0);
  const Pieces found = device.prepare(of, call, seed)->pieces(std::move(wanted));
  ENSURE(found.size() == expected.size());
  Verification result;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::string name = "output " + std::to_string(found[i].output + 1) + ", from " +
                             std::to_string(found[i].first) + " on,";
    compare({name, Element::fp32, found[i].values},
            expected[i].values,
            call_text(of, call),
            experiment.tolerance,
            result);
  }
  return result;
}

Verification verify(Device& device, const Case& of, std::uint64_t seed) {
  Verification result;
  const std::vector<Call> calls = runnable_checks(device, of);
  if (calls.empty())
    result.wrong =
        "the device can run none of the shapes at which " + std::string(of.op) + " is checked";
  for (const Call& call : calls) {
    Verification one = verify_call(device, of, call, seed);
    result.worst = std::max(result.worst, one.worst);
    result.wrong = std::move(one.wrong);
    if (result.wrong) break;
  }
  return result;
}

}  // namespace moesim
