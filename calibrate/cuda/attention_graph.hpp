// Causal attention, forward and backward, as the graphs of small operations that cuDNN recognises
// and runs as one kernel: plain data, which library_cudnn.cpp hands to cuDNN and a test computes by
// itself.
//
// With S the scores, forward:
//   T = mask(scale S),  E = exp(T - rowmax T),  Z = rowsum E,  L = rowmax T + log Z,  O = (E / Z) V
// and backward, with L from there and D = rowsum(dO * O):
//   P = exp(mask(scale S - L)),  dV = P^T dO,  dS = scale P * (dO V^T - D),  dK = dS^T Q,  dQ = dS
//   K.
//
// cuDNN has operations for the whole (CUDNN_BACKEND_OPERATION_SDPA_FWD and _BWD_DESCRIPTOR), but
// backward takes no mask until 9.21. Which operations, and in which order, is what NVIDIA's
// cudnn-frontend builds (sdpa, sdpa_backward; facts, no text). D and dQ in FP32 are no results, yet
// have memory of their own, as they have there.
//
// Left out: requests of different lengths, dropout, bias, fewer key heads than query heads.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "calibrate/cases/attention_reference.hpp"

namespace moesim {

enum class GraphElement : std::uint8_t { bf16, fp32, int32, boolean };
enum class GraphStep : std::uint8_t {
  matmul,
  sum_last,  // over the last dimension
  max_last,
  reshape,  // the same memory or values by other strides
  mul,
  add,
  sub,
  div,
  exp,
  log,
  identity,
  index,     // of an element along `axis`
  at_least,  // x >= b
  select,    // where t: x, else b
};

struct GraphTensor {
  GraphElement element = GraphElement::fp32;
  std::array<std::int64_t, 4> dims{}, strides{};  // in elements
  bool has_memory = false;                        // else it lives inside the kernel alone
  std::optional<double> value;                    // one number, given by the host
};

constexpr std::size_t kNoTensor = static_cast<std::size_t>(-1);
struct GraphNode {
  GraphStep step = GraphStep::identity;
  std::size_t x = kNoTensor, b = kNoTensor, t = kNoTensor, y = kNoTensor;  // indices of tensors
  GraphElement math = GraphElement::fp32;
  std::int64_t axis = 0;
};

struct AttentionGraph {
  std::vector<GraphTensor> tensors;
  std::vector<GraphNode> nodes;  // each after those it reads
};

struct AttentionForwardGraph : AttentionGraph {
  std::size_t q, k, v, out, lse;  // k is described transposed
};
AttentionForwardGraph attention_forward_graph(const AttentionSizes& a);

struct AttentionBackwardGraph : AttentionGraph {
  // Those with memory. k and v are described transposed; their memory is as q's.
  std::size_t q, k, v, out, d_out, lse, d_q, d_k, d_v;
  std::size_t row_sum, d_q_sum;  // scratch: D and dQ in FP32
};
// Tensors of q, k, v, their gradients, out and d_out as the case has them (cases/
// attention_reference.hpp); lse, row_sum [batch, heads, seq]; d_q_sum [batch, heads, seq, qk].
AttentionBackwardGraph attention_backward_graph(const AttentionSizes& a);

}  // namespace moesim
