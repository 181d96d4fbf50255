#include "calibrate/check.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "calibrate/measure_check.hpp"
#include "calibrate/measure_plan.hpp"

namespace moesim {
namespace {

std::string error_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

CheckedCall checked_call(Device& device, const Case& of, const Call& call, std::uint64_t seed) {
  CheckedCall checked;
  checked.of = &of;
  checked.call = call;
  checked.tolerance = of.experiment->tolerance;
  try {
    Verification found = verify_call(device, of, call, seed);
    checked.error = found.worst;
    checked.problem = std::move(found.wrong);
  } catch (const std::exception& error) {
    checked.problem = call_text(of, call) + ": " + error.what();
  }
  return checked;
}

}  // namespace

bool CheckResult::all_right() const {
  return std::none_of(
      calls.begin(), calls.end(), [](const CheckedCall& c) { return c.problem.has_value(); });
}

CheckResult check_device(Device& device,
                         const std::vector<std::string>& only,
                         std::uint64_t seed,
                         const std::function<void(const std::string&)>& progress) {
  CheckResult result;
  for (const Case* of : chosen_cases(only)) {
    const std::vector<Call> calls = of->experiment->checks();
    const bool has_kernel = std::any_of(
        calls.begin(), calls.end(), [&](const Call& call) { return device.can_run(*of, call); });
    if (!has_kernel) {
      const std::string problem = device.problem_of(*of);
      result.not_run.push_back(std::string(of->op) + (problem.empty() ? "" : " (" + problem + ")"));
      continue;
    }
    for (const Call& call : calls) {
      progress("checking " + call_text(*of, call));
      result.calls.push_back(checked_call(device, *of, call, seed));
    }
  }
  return result;
}

std::string check_text(const CheckResult& result) {
  std::string text =
      "| operation and shape | relative L2 error | tolerated | verdict |\n"
      "|---|---|---|---|\n";
  for (const CheckedCall& c : result.calls)
    text += "| " + call_text(*c.of, c.call) + " | " + error_text(c.error) + " | " +
            error_text(c.tolerance) + " | " + (c.problem ? "WRONG" : "right") + " |\n";
  const auto wrong = std::count_if(result.calls.begin(), result.calls.end(), [](const auto& c) {
    return c.problem.has_value();
  });
  text +=
      "\n" + std::to_string(result.calls.size()) + " checks, " + std::to_string(wrong) + " wrong\n";
  for (const std::string& op : result.not_run) text += "no kernel for " + op + ": not checked\n";
  return text;
}

}  // namespace moesim
