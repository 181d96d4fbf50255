// One step of Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2) as mixed-precision
// training takes it: FP32 gradients and master weights, moments in FP32 or BF16, BF16 weights
// written beside. Moves what sim/optimizer_step.cpp counts: gradient, master weights and both
// moments read, the last three written, and the BF16 weights.
//
// With moments m, v after step t: weight -= lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) +
// epsilon) + decay * weight). Moments in BF16 are used before they are rounded.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct AdamSettings {
  float learning_rate, beta1, beta2, epsilon, decay;
  std::int64_t step;  // from 1
};

template <class Moment>  // float or Bf16
struct AdamStep {
  const float* gradient;  // [size], as are all of them, aligned to 16 bytes
  float* master;
  Moment *first, *second;
  Bf16* weight;
  std::int64_t size;  // a multiple of 4
  AdamSettings settings;
};
void adam_step(const AdamStep<float>& p, Stream stream);
void adam_step(const AdamStep<Bf16>& p, Stream stream);

}  // namespace moesim
