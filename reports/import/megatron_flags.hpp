// The flags of Megatron-LM that an import knows (megatron/training/arguments.py and the
// configuration classes of Megatron-Core, 2024 to 2026).
#pragma once

#include "reports/import/launch_arguments.hpp"

namespace moesim {

std::span<const LaunchFlag> megatron_flags();
std::span<const IgnoredFlags> megatron_ignored_flags();

}  // namespace moesim
