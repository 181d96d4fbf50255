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

CheckedCall checked_call(
    Device& device, const Case& of, const Call& call, std::uint64_t seed, bool sampled) {
  CheckedCall checked;
  checked.of = &of;
  checked.call = call;
  checked.sampled = sampled;
  checked.tolerance = of.experiment->tolerance;
  try {
    Verification found =
        sampled ? verify_samples(device, of, call, seed) : verify_call(device, of, call, seed);
    checked.error = found.worst;
    checked.problem = std::move(found.wrong);
  } catch (const std::exception& error) {
    checked.problem = call_text(of, call) + ": " + error.what();
  }
  return checked;
}

// What the call computes is the same on fewer SMs: those calls are left out.
std::vector<Call> suite_calls(const Device& device, const Case& of, CheckShapes shapes) {
  std::vector<Call> calls;
  for (const GridCall& g : of.experiment->grid(device.info().num_sms))
    if (g.call.sms == 0 && (shapes == CheckShapes::all || g.tier == Tier::core) &&
        device.can_run(of, g.call))
      calls.push_back(g.call);
  return calls;
}

// A line for all sampled calls of an operation.
std::string sampled_text(const std::vector<CheckedCall>& calls, const Case& of) {
  std::size_t count = 0, wrong = 0;
  double worst = 0;
  for (const CheckedCall& c : calls) {
    if (c.of != &of || !c.sampled) continue;
    ++count;
    wrong += c.problem ? 1 : 0;
    worst = std::max(worst, c.error);
  }
  if (count == 0) return "";
  return "| " + std::string(of.op) + ", samples of " + std::to_string(count) + " shapes | " +
         error_text(worst) + " | " + error_text(of.experiment->tolerance) + " | " +
         (wrong > 0 ? std::to_string(wrong) + " WRONG" : "right") + " |\n";
}

}  // namespace

bool CheckResult::all_right() const {
  return std::none_of(
      calls.begin(), calls.end(), [](const CheckedCall& c) { return c.problem.has_value(); });
}

CheckResult check_device(Device& device,
                         const std::vector<std::string>& only,
                         std::uint64_t seed,
                         const std::function<void(const std::string&)>& progress,
                         CheckShapes shapes) {
  CheckResult result;
  for (const Case* of : chosen_cases(only)) {
    const std::vector<Call> calls = runnable_checks(device, *of);
    if (calls.empty()) {
      const std::string problem = device.problem_of(*of);
      result.not_run.push_back(std::string(of->op) + (problem.empty() ? "" : " (" + problem + ")"));
      continue;
    }
    if (const std::size_t fewer = of->experiment->checks().size() - calls.size(); fewer > 0)
      result.not_taken.push_back(std::string(of->op) + " does not take " + std::to_string(fewer) +
                                 " of its small shapes");
    for (const Call& call : calls) {
      progress("checking " + call_text(*of, call));
      result.calls.push_back(checked_call(device, *of, call, seed, false));
    }
    if (shapes == CheckShapes::small) continue;
    for (const Call& call : suite_calls(device, *of, shapes)) {
      progress("checking samples of " + call_text(*of, call));
      result.calls.push_back(checked_call(device, *of, call, seed, true));
    }
  }
  return result;
}

std::string check_text(const CheckResult& result) {
  std::string text =
      "| operation and shape | relative L2 error | tolerated | verdict |\n"
      "|---|---|---|---|\n";
  for (const CheckedCall& c : result.calls) {
    if (c.sampled && !c.problem) continue;
    text += "| " + call_text(*c.of, c.call) + " | " + error_text(c.error) + " | " +
            error_text(c.tolerance) + " | " + (c.problem ? "WRONG" : "right") + " |\n";
  }
  for (const Case* of : cases()) text += sampled_text(result.calls, *of);
  const auto wrong = std::count_if(result.calls.begin(), result.calls.end(), [](const auto& c) {
    return c.problem.has_value();
  });
  text +=
      "\n" + std::to_string(result.calls.size()) + " checks, " + std::to_string(wrong) + " wrong\n";
  for (const std::string& what : result.not_taken) text += what + "\n";
  for (const std::string& op : result.not_run) text += "no kernel for " + op + ": not checked\n";
  return text;
}

}  // namespace moesim
