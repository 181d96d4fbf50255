// Router logits of synthetic tokens: what stands in for a trained router when no recording is at
// hand.
//
//   logit[t][e] = offset[e] + sqrt(rho) * g[t][e / cluster_size] + sqrt(1 - rho) * z[t][e]
//
// with g and z independent standard normal numbers. Offsets make some experts popular; rho is the
// correlation of two experts of one cluster within a token (tokens of one topic want the same
// neighbours). rho = 0 and no offsets is what DeepEP's benchmark and the public training trace use
// (randn logits).
#pragma once

#include <cstdint>
#include <vector>

#include "model/gate.hpp"
#include "model/random.hpp"

namespace moesim {

struct CorrelationSpec {
  double rho = 0;                 // 0 <= rho < 1
  std::int64_t cluster_size = 1;  // consecutive experts that share a factor

  bool operator==(const CorrelationSpec&) const = default;
};

class TokenLogits {
 public:
  TokenLogits(std::int64_t num_experts,
              const CorrelationSpec& correlation,
              std::vector<float> offsets = {});
  // Fills out[num_tokens, num_experts], vectorised and in float; no normal number is beyond 6.7.
  // The same stream gives the same numbers, but two calls give others than one call for all their
  // tokens: every call seeds its own generators.
  void draw(Random& random, std::int64_t num_tokens, float* out) const;
  const std::vector<float>& offsets() const { return offsets_; }  // [num_experts]

 private:
  std::int64_t num_experts_;
  CorrelationSpec correlation_;
  std::vector<float> offsets_;
};

// Offsets with which `gate` gives every expert its relative load (mean 1), found on one fixed
// sample of `num_tokens` tokens by repeated correction: every offset moves by a part of the
// difference between the logarithms of the wanted and the realised odds of being chosen. It ends
// when no expert of the sample is more than 3 tokens off, or after 30 passes with the best of them.
// The mean chosen expert has offset 0.
//
// What the gate cannot give shows in `residual`, and the caller has to look at it: under a group
// limit an expert is not chosen more often than its group is kept, whatever its offset.
struct Calibration {
  std::vector<float> offsets;    // [num_experts]
  std::vector<double> realised;  // relative load of the sample, [num_experts]
  double residual = 0;           // largest |realised - wanted|, relative to the mean load 1
};
Calibration calibrate_offsets(const Gate& gate,
                              const std::vector<double>& relative_load,
                              const CorrelationSpec& correlation,
                              std::int64_t num_tokens,
                              std::uint64_t seed);

}  // namespace moesim
