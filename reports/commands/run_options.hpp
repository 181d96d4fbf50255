// What `moesim run` was asked, shared by its two kinds of scenario.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/scenario_document.hpp"
#include "reports/commands/deliver.hpp"

namespace moesim {

struct RunArguments {
  std::string scenario, output_folder, trace_file;
  std::vector<std::string> settings;
  std::vector<std::int64_t> trace_ranks;
  bool variants = false, no_folding = false, explain = false;
};

// --set and --seed.
Settings settings_of(const std::vector<std::string>& set, const CommandContext& context);
// Refuses --variants where it makes no sense.
void check_variants(const RunArguments& arguments,
                    const CommandContext& context,
                    const std::vector<Variant>& variants);

// run_serving.cpp: the scenario is one of serving.
int run_serving_command(const RunArguments& arguments, const CommandContext& context);

}  // namespace moesim
