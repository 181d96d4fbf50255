#include "calibrate/measure_plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

// A call, and how far it is along its operation's calls of the same tier.
struct Placed {
  PlannedCall planned;
  double along = 0;
};

}  // namespace

std::vector<const Case*> chosen_cases(const std::vector<std::string>& only) {
  std::vector<const Case*> chosen;
  std::vector<std::string> known;
  for (const Case* c : cases())
    if (c->experiment != nullptr) known.emplace_back(c->op);
  for (const std::string& op : only)
    if (std::find(known.begin(), known.end(), op) == known.end())
      throw InputError(
          "--only",
          in_quotes(op) + (find_case(op) != nullptr
                               ? " is only imported, no device measures it"
                               : " is no operation; expected some of " + joined(known)));
  for (const Case* c : cases())
    if (c->experiment != nullptr &&
        (only.empty() || std::find(only.begin(), only.end(), c->op) != only.end()))
      chosen.push_back(c);
  return chosen;
}

MeasuringPlan measuring_plan(Suite suite,
                             const std::vector<std::string>& only,
                             const Device& device) {
  MeasuringPlan plan;
  std::vector<Placed> placed;
  for (const Case* of : chosen_cases(only)) {
    std::vector<GridCall> grid = of->experiment->grid(device.info().num_sms);
    std::array<double, 3> of_tier{}, seen{};
    for (const GridCall& g : grid) ++of_tier[static_cast<std::size_t>(g.tier)];
    for (GridCall& g : grid) {
      const auto tier = static_cast<std::size_t>(g.tier);
      const double along = ++seen[tier] / of_tier[tier];
      if (suite == Suite::small && g.tier != Tier::core) continue;
      if (device.can_run(*of, g.call))
        placed.push_back({{of, g.tier, std::move(g.call)}, along});
      else
        ++plan.num_left_out;
    }
  }
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.planned.tier, a.along) < std::pair(b.planned.tier, b.along);
  });
  for (Placed& p : placed) plan.calls.push_back(std::move(p.planned));
  return plan;
}

int num_repeats(Seconds time) {
  constexpr double kFewest = 10, kMost = 40;
  constexpr Seconds kEnough = 5 * ms;
  if (!(time > Seconds())) return static_cast<int>(kMost);
  return static_cast<int>(std::clamp(std::ceil(kEnough / time), kFewest, kMost));
}

Seconds estimated_time(const PlannedCall& planned, const GpuSpec& gpu) {
  constexpr double kEfficiency = 0.55;
  constexpr Seconds kOverhead = 4 * us, kHost = 7 * ms;
  constexpr Bytes kFlushed = 256 * MB;
  const Seconds time =
      floor_time(*planned.of, planned.call.shape, planned.call.counts, gpu, false) / kEfficiency +
      kOverhead;
  const double runs = kWarmUps + num_repeats(time);
  return kHost + runs * (2 * time + kFlushed / gpu.hbm_bandwidth);
}

std::string plan_text(const MeasuringPlan& plan, const GpuSpec& gpu) {
  std::string text = "| operation | core calls | all calls | estimated s |\n|---|---|---|---|\n";
  const auto row = [&](const std::string& name, const Case* of) {
    std::size_t core = 0, all = 0;
    Seconds time;
    for (const PlannedCall& p : plan.calls) {
      if (of != nullptr && p.of != of) continue;
      ++all;
      if (p.tier == Tier::core) ++core;
      time += estimated_time(p, gpu);
    }
    if (all == 0 && of != nullptr) return;
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f", time.in(s));
    text += "| " + name + " | " + std::to_string(core) + " | " + std::to_string(all) + " | " +
            seconds + " |\n";
  };
  for (const Case* c : cases())
    if (c->experiment != nullptr) row(std::string(c->op), c);
  row("all", nullptr);
  if (plan.num_left_out > 0)
    text += "\n" + std::to_string(plan.num_left_out) +
            " calls are left out: the device cannot run them.\n";
  return text;
}

std::string call_key(const Case& of, const Call& call) {
  std::string key = std::string(of.op) + " " + shape_text(of, call.shape);
  for (const std::int64_t rows : call.counts) key += "," + std::to_string(rows);
  return key + " " + std::to_string(call.sms) + (call.beside_communication ? " beside" : "");
}

std::string call_text(const Case& of, const Call& call) {
  std::string text = std::string(of.op) + " " + shape_text(of, call.shape);
  if (!call.counts.empty()) text += ", rows per group given";
  if (call.sms > 0) text += ", " + std::to_string(call.sms) + " SMs";
  if (call.beside_communication) text += " beside communication";
  return text;
}

}  // namespace moesim
