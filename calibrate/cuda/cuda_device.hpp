// The GPU of this machine: kernels of kernels/ on operands filled where they are, timed by graphs
// (calibrate/graph_timing.hpp), its state sampled by NVML (calibrate/nvml.hpp).
//
// SMs: a call on fewer of them, or beside communication, runs while a kernel holds the others
// (kernels/measuring.hpp), and kernels that choose their own grid are told how many there are.
//
// Left out: more than one GPU (it is the first that CUDA sees), clocks (never set), and a second
// way to take time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

// Our kernels, and libraries' where we have none; what libraries have, to compare ours with; or the
// naive twins of our kernels, which have to compute the same.
enum class Routes : std::uint8_t { own, library, naive };

// `gpu_names` are those of the files in scenarios/gpus. std::runtime_error where there is no GPU,
// none that the kernels are built for, or none that has a file.
std::unique_ptr<Device> make_cuda_device(const std::vector<std::string>& gpu_names, Routes routes);

}  // namespace moesim
