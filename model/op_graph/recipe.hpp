// What each precision recipe casts, and the bytes that takes: one table.
//
//   bf16        nothing is cast.
//   fp8_block   DeepSeek-V3 (arXiv 2412.19437, section 3.3), as its public trace does it: E4M3 with
//               a float scale per 1x128 activations; operands of weight gradients are cast again,
//               transposed, with 128x1 scales; weights are transposed for every input gradient; the
//               attention output is kept in E5M6 (12 bits); rows are cast before they are
//               dispatched.
//   fp8_tensor  one delayed scale a tensor (NVIDIA Transformer Engine, recipe.DelayedScaling). A
//               scale does not depend on the direction, so weight gradients read transposed copies
//               of the same numbers. Weights are cast and transposed once a step, not a chunk.
//   mxfp8       an E8M0 scale per 32 (OCP MX; Transformer Engine, recipe.MXFP8BlockScaling; Mishra
//               et al., arXiv 2506.08027). A copy scaled along columns is another set of numbers:
//               one kernel reads BF16 and writes both copies, and nothing is transposed later.
//               Weights too: once a step.
//
// Left out: the amax reduction over ranks of fp8_tensor (once a step), E5M2 gradients (the same
// bytes), GEMMs of another speed than the profile's gemm_fp8.
#pragma once

#include "model/op_graph.hpp"

namespace moesim {

// HBM bytes that a kernel moves per element; 0: the recipe has no such kernel.
struct RecipeCasts {
  Recipe recipe;
  double row = 2;            // stored and sent bytes of an operand's element, its scales included
  double gradient_row = 2;   // sent, of an output's gradient, which products read both ways
  double operand = 0;        // BF16 read, FP8 written, all copies that products need later
  double kept = 0;           // BF16 read and FP8 written to be kept; the same back
  double transpose = 0;      // the transposed operand of a weight gradient, after a cast ...
  double transpose_fp8 = 0;  // ... and when only FP8 is left
  double cast_again = 0;     // the same operand from BF16 of which no FP8 is left
  double weight_transpose = 0;  // of a weight, each chunk
  double attention_kept = 0;    // casts of the attention output to a format of its own, and back
  double scale_copy = 0;        // scales brought into another layout
  double swiglu = 6;            // gate and up read in BF16 (4), the result written
  double attention_output = 2;  // bytes kept of an element of the attention output
  bool transposes_requantise = false;  // `transpose` scales anew, else it only moves
  bool quantises_before_dispatch = false;
};
const RecipeCasts& casts_of(Recipe recipe);

}  // namespace moesim
