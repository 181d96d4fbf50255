// The gate of DeepSeek-V3 (report, section 2.1.2): sigmoid affinities, a bias that decides who is
// chosen and never enters the weight, experts in groups of which only the best `max_groups` are
// candidates, top-k, weights renormalised and scaled. What Gate (model/gate.hpp) computes for
// sigmoid affinities, sum_of_best groups and renormalised weights, bit by bit: ties go to the
// lowest index, and the exponential is the same series with the same roundings.
//
// One warp a token; a lane holds num_experts / 32 neighbouring scores in registers.
//
// Left out: softmax affinities, groups scored by their best expert, weights that are not
// renormalised. Logits have to be finite.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"

namespace moesim {

struct GateTopK {
  const float* logits;    // [num_tokens, num_experts]
  const float* bias;      // [num_experts]; nullptr: none
  std::int32_t* experts;  // [num_tokens, top_k], the best first
  float* weights;         // [num_tokens, top_k]
  std::int64_t num_tokens;
  std::int32_t num_experts;  // a multiple of 32, at most 512
  std::int32_t num_groups;   // 1, 2, 4, 8, 16 or 32
  std::int32_t max_groups;   // of which experts may be chosen
  std::int32_t top_k;        // at most 32
  float scale;               // of the weights
};
void gate_top_k(const GateTopK& p, Stream stream);

}  // namespace moesim
