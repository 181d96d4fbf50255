// What a launcher's command line means here: the plan (training) or the serving settings, and the
// degrees of both rank grids.
//
// Degrees mean different things in different launchers: SGLang's --tp-size is all GPUs of a
// pipeline stage, vLLM's is what shares a layer; Megatron derives data parallelism from the world
// size, vLLM is given it. Here they always mean tp x cp x dp x pp for attention and dense layers
// and expert_tp x ep x replicas x pp for experts (model/parallel_plan.hpp).
//
// To add a launcher: its file in this folder (its flag table and how it is read) and its line in
// the table in launcher.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "model/model_spec.hpp"
#include "model/parallel_plan.hpp"
#include "reports/import/launch_arguments.hpp"

namespace moesim {

// What the command line of a launcher does not say.
struct LaunchOptions {
  std::optional<std::int64_t> world_size;     // GPUs
  std::optional<std::int64_t> gpus_per_node;  // 8 when neither this nor the arguments say
  std::optional<ModelSpec> model;             // what the arguments say of the model is compared
};

struct LaunchPlan {
  JsonValue settings = JsonValue::object();  // a scenario's "plan", or the serving settings
  bool serving = false;
  ParallelPlan grid;  // degrees and rank order only
  bool has_experts = false;
  std::int64_t gpus_per_node = 8;
  std::optional<std::int64_t> seq_len, batch;  // training: a scenario has them in its phases
  std::vector<std::string> arithmetic;         // how the degrees came about, a line each
  std::vector<std::string> warnings;
};

struct Launcher {
  const char* name;   // as --from names it
  const char* title;  // as in a sentence
  std::span<const LaunchFlag> flags;
  std::span<const IgnoredFlags> ignored;
  LaunchPlan (*read)(LaunchArguments& arguments, const LaunchOptions& options);
};

std::span<const Launcher* const> all_launchers();
const Launcher& find_launcher(const std::string& name);  // InputError that lists them

struct LaunchImport {
  const Launcher* launcher;
  LaunchPlan plan;
  LaunchArguments arguments;
};
LaunchImport import_launch(const Launcher& launcher,
                           const std::vector<std::string>& words,
                           const LaunchOptions& options);

// For the launchers: the GPUs of a node, by the arguments, the options or the assumption of 8; the
// check that both grids multiply out and lie on whole nodes, with its arithmetic. `ep_flag` is what
// the launcher calls expert parallelism.
void set_gpus_per_node(LaunchPlan& plan,
                       LaunchArguments& arguments,
                       const LaunchOptions& options,
                       const char* flag);
void check_grids(LaunchPlan& plan, const LaunchArguments& arguments, const char* ep_flag);

// "a 2 x b 3 = 6"
std::string product_text(const std::vector<std::pair<const char*, std::int64_t>>& factors);

}  // namespace moesim
