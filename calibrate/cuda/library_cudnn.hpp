// Causal attention by cuDNN's graph API, which is looked for when the program runs; built without
// its headers, there is none. The graphs are those of calibrate/cuda/attention_graph.hpp. Backward
// is what we have no kernel for; forward is compared with ours.
//
// Left out: fewer SMs (it is not told how many there are), and the deterministic variant.
#pragma once

#include <string>

#include "calibrate/cuda/gpu_call.hpp"

namespace moesim {

// False where the library is not there or refuses any of the case's checks, of which it is asked
// once a program: an operation whose checks cannot run is not measured.
bool can_run_attention_backward(const Call& call);
void prepare_attention_backward(const Call& call, GpuCall& gpu);
// Why it cannot, on one line; empty where it can.
std::string attention_backward_problem();
// The same of the forward pass.
bool can_run_library_attention(const Call& call);
void prepare_library_attention(const Call& call, GpuCall& gpu);
std::string library_attention_problem();
// "9.19.0"; empty where it is not there.
std::string cudnn_version();

}  // namespace moesim
