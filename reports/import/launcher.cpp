#include "reports/import/launcher.hpp"

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/model_flags.hpp"

namespace moesim {

std::span<const Launcher* const> all_launchers() {
  static constexpr const Launcher* kTable[] = {&kMegatron, &kVllm, &kSglang, &kTensorRtLlm};
  return kTable;
}

const Launcher& find_launcher(const std::string& name) {
  std::vector<std::string> names;
  for (const Launcher* launcher : all_launchers()) {
    if (name == launcher->name) return *launcher;
    names.emplace_back(launcher->name);
  }
  throw InputError("--from " + one_line(name), "expected one of " + joined(names));
}

LaunchImport import_launch(const Launcher& launcher,
                           const std::vector<std::string>& words,
                           const LaunchOptions& options) {
  LaunchArguments arguments(launcher.title, launcher.flags, launcher.ignored, words);
  if (options.model) check_model_flags(arguments, *options.model);
  LaunchPlan plan = launcher.read(arguments, options);
  for (const std::string& flag : arguments.unread())
    plan.warnings.push_back(flag + " does nothing beside the other arguments.");
  return {&launcher, std::move(plan), std::move(arguments)};
}

std::string product_text(const std::vector<std::pair<const char*, std::int64_t>>& factors) {
  std::string text;
  std::int64_t product = 1;
  for (const auto& [name, factor] : factors) {
    text += (text.empty() ? "" : " x ") + std::string(name) + " " + std::to_string(factor);
    product *= factor;
  }
  return text + " = " + std::to_string(product);
}

void set_gpus_per_node(LaunchPlan& plan,
                       LaunchArguments& arguments,
                       const LaunchOptions& options,
                       const char* flag) {
  const std::optional<std::int64_t> given =
      flag == nullptr ? std::nullopt : arguments.integer(flag, 1, kMostGpus);
  if (given && options.gpus_per_node && *given != *options.gpus_per_node)
    arguments.fail(flag,
                   "is " + std::to_string(*given) + ", but --gpus-per-node is " +
                       std::to_string(*options.gpus_per_node));
  if (given || options.gpus_per_node) {
    plan.gpus_per_node = given ? *given : *options.gpus_per_node;
    return;
  }
  plan.warnings.push_back(
      "Nothing says how many GPUs a node has: 8 are assumed, which decides what stays on a node. "
      "--gpus-per-node says it.");
}

void check_grids(LaunchPlan& plan, const LaunchArguments& arguments, const char* ep_flag) {
  const ParallelPlan& grid = plan.grid;
  plan.arithmetic.push_back(
      "dense grid: " +
      product_text({{"tp", grid.tp}, {"cp", grid.cp}, {"dp", grid.dp}, {"pp", grid.pp}}) + " GPUs");
  if (plan.has_experts) {
    const std::string group = product_text({{"expert_tp", grid.expert_tp}, {"ep", grid.ep}});
    if (grid.ranks_per_stage() % grid.ranks_per_ep_group() != 0)
      arguments.fail(ep_flag,
                     group + " does not divide the " +
                         product_text({{"tp", grid.tp}, {"cp", grid.cp}, {"dp", grid.dp}}) +
                         " GPUs of a pipeline stage");
    plan.arithmetic.push_back("MoE grid: " +
                              product_text({{"expert_tp", grid.expert_tp},
                                            {"ep", grid.ep},
                                            {"expert replicas", grid.num_ep_groups()},
                                            {"pp", grid.pp}}) +
                              " GPUs");
  }
  if (grid.world() > plan.gpus_per_node && grid.world() % plan.gpus_per_node != 0)
    throw InputError("world size",
                     std::to_string(grid.world()) + " GPUs are not whole nodes of " +
                         std::to_string(plan.gpus_per_node));
}

}  // namespace moesim
