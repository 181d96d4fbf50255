// Whether a device, as its driver calls it ("NVIDIA A100-SXM4-80GB"), is a GPU of our own data
// files ("A100-80GB"): the model is what stands before the dash, and has to be a word of its own.
#pragma once

#include <string>

namespace moesim {

bool device_is_gpu(const std::string& device, const std::string& gpu);

}  // namespace moesim
