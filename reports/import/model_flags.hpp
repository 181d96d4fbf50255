// Flags that describe the model: they belong to its config.json, and have to agree with it.
#pragma once

#include "model/model_spec.hpp"
#include "reports/import/launch_arguments.hpp"

namespace moesim {

// InputError at the first flag whose number is not the model's.
void check_model_flags(const LaunchArguments& arguments, const ModelSpec& model);

}  // namespace moesim
