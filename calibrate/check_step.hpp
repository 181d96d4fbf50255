// The cost model against a device: the local operations of one DeepSeek-V3 MoE layer, forward or
// backward, at the shapes of the public training trace (deepseek-ai/profile-data: 4096 tokens, four
// experts a rank), each timed on its own with warm inputs, beside what the cost model predicts from
// a profile.
//
// The backward half is what a rank computes for one microbatch: gradients of inputs and of weights,
// and what DeepSeek-V3 computes again for them (norms, latent up-projections, activations).
//
// An operation whose shape the kernel's case does not have exactly (a case's rows are of one width)
// is timed at the nearest number of bytes that it has, and its time scaled to the bytes.
//
// Then all of them in one stream, in the order of the layer, each on its own operands.
//
// Left out: dispatch and combine, which are no local work; the optimizer; launch gaps; what no
// kernel of ours does (E5M6 casts, scales copied and transposed, the small kernels).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/device.hpp"
#include "model/cost_model.hpp"
#include "model/model_spec.hpp"
#include "model/op.hpp"

namespace moesim {

struct StepOperation {
  Op op;
  Seconds predicted;                 // all launches
  Origin origin = Origin::roofline;  // of the prediction
  std::optional<Call> call;          // what was timed; absent: the device has nothing to time it by
  std::string not_timed;             // why, where the device says
  std::optional<Seconds> measured;   // all launches
};

// The case's call that runs one launch of `op`, if any is that or near it.
std::optional<Call> call_of(const Op& op);

enum class StepHalf : std::uint8_t { forward, backward };

struct StepCheck {
  std::vector<StepOperation> operations;
  std::optional<Seconds> one_stream;  // of what was measured, unscaled; absent: the device cannot
};
StepCheck check_step(Device& device,
                     const ModelSpec& model,
                     const CostModel& costs,
                     std::uint64_t seed,
                     StepHalf half = StepHalf::forward);

// Markdown: operation, shape, measured, predicted, error; their totals over what was measured.
std::string check_step_text(const StepCheck& check);

}  // namespace moesim
