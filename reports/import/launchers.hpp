// The launchers, each in its own file.
#pragma once

#include "reports/import/launcher.hpp"

namespace moesim {

extern const Launcher kMegatron;     // megatron.cpp
extern const Launcher kVllm;         // vllm.cpp
extern const Launcher kSglang;       // sglang.cpp
extern const Launcher kTensorRtLlm;  // tensorrt_llm.cpp

}  // namespace moesim
