// What a library's attention is given: the case's operands, and, for its backward, the result and
// log-sum-exp of a forward pass by our own kernel (kernels/mla_prefill.hpp).
#pragma once

#include "calibrate/cuda/attention_graph.hpp"
#include "calibrate/cuda/gpu_call.hpp"

namespace moesim {

struct LibraryAttentionBackward {
  AttentionSizes sizes;
  AttentionBackwardGraph graph;
  std::vector<void*> memory;  // of each tensor of the graph; nullptr: it has none on the GPU
};
// Operands made, the forward pass run, the outputs d_q, d_k and d_v named; the launch is the
// caller's.
LibraryAttentionBackward attention_backward_operands(const Call& call, GpuCall& gpu);

struct LibraryAttentionForward {
  AttentionForwardGraph graph;
  std::vector<void*> memory;
};
LibraryAttentionForward attention_forward_operands(const Call& call, GpuCall& gpu);

}  // namespace moesim
