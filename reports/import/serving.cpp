#include "reports/import/serving.hpp"

#include <map>

#include "model/errors.hpp"

namespace moesim {

void set_serving_settings(LaunchArguments& arguments,
                          const std::vector<ServingDefault>& defaults,
                          LaunchPlan& plan) {
  plan.serving = true;
  const ParallelPlan& grid = plan.grid;
  for (const auto& [key, degree] :
       {std::pair{"tp", grid.tp}, {"cp", grid.cp}, {"pp", grid.pp}, {"dp", grid.dp}})
    plan.settings.set(key, degree);
  if (plan.has_experts) plan.settings.set("ep", grid.ep).set("expert_tp", grid.expert_tp);
  std::map<std::string, std::string> set_by;  // key to flag
  for (const LaunchArguments::Given& given : arguments.given()) {
    if (given.use != FlagUse::plan || !arguments.has(given.flag)) continue;
    const std::size_t equals = given.becomes.find('=');
    const std::string key = given.becomes.substr(0, equals);
    if (const auto [other, is_new] = set_by.emplace(key, given.flag); !is_new)
      arguments.fail(given.flag, "is given beside " + other->second + ", which says the same");
    switch (given.value) {
      case FlagValue::none: plan.settings.set(key, equals == std::string::npos); break;
      case FlagValue::integer: {
        const std::int64_t value = *arguments.integer(given.flag, -1);
        plan.settings.set(key, value == -1 ? JsonValue() : JsonValue(value));  // -1: no limit
        break;
      }
      case FlagValue::fraction: plan.settings.set(key, *arguments.fraction(given.flag)); break;
      case FlagValue::word: plan.settings.set(key, given.values.front()); break;
      case FlagValue::words: throw std::logic_error("a serving setting is one value");
    }
  }
  for (const ServingDefault& fallback : defaults) {
    if (set_by.count(fallback.key) != 0) continue;
    arguments.not_given(fallback.flag, fallback.text);
    if (fallback.value) plan.settings.set(fallback.key, *fallback.value);
  }
}

}  // namespace moesim
