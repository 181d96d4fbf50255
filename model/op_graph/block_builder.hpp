// How the files of this folder append operations to a block. Byte counts are minimal traffic: each
// operand read once, each result written once.
#pragma once

#include <algorithm>

#include "model/op_graph.hpp"

namespace moesim {

inline constexpr std::int64_t kScaleBlock = 128;  // elements that share a scale (V3, section 3.3.2)

// Appends operations to one block. All sizes are elements; the byte counts are minimal traffic:
// each operand read once, each result written once.
class BlockBuilder {
 public:
  BlockBuilder(OpList& ops, Recipe recipe) : ops_(ops), fp8_(is_fp8(recipe)) {}

  // out[m, n] = a[m, k] b[k, n] with BF16 out; FP8 operands when the recipe says so.
  void gemm(std::string_view name,
            Category category,
            Pass pass,
            std::int64_t m,
            std::int64_t n,
            std::int64_t k,
            std::int64_t groups = 1) {
    const Kernel kernel = !fp8_        ? Kernel::gemm_bf16
                          : groups > 1 ? Kernel::grouped_gemm_fp8
                                       : Kernel::gemm_fp8;
    push_gemm(name, kernel, category, pass, {m, n, k, groups}, 1, 2);
  }
  // dW[n_out, n_in] += dY^T X over `tokens` rows, accumulated in FP32 (read and write: 8 bytes an
  // element).
  void wgrad(std::string_view name,
             Category category,
             std::int64_t n_out,
             std::int64_t n_in,
             std::int64_t tokens,
             std::int64_t groups = 1) {
    const std::int64_t k = (tokens + groups - 1) / groups;
    push_gemm(name,
              fp8_ ? Kernel::gemm_fp8_wgrad : Kernel::gemm_bf16,
              category,
              Pass::weight_grad,
              {n_out, n_in, k, 1},
              static_cast<double>(groups),
              8);
  }
  // Always BF16 operands; `out_bytes` per element of the result.
  void gemm_bf16(std::string_view name,
                 Category category,
                 Pass pass,
                 std::int64_t m,
                 std::int64_t n,
                 std::int64_t k,
                 double out_bytes) {
    push_gemm(name, Kernel::gemm_bf16, category, pass, {m, n, k, 1}, 1, out_bytes);
  }
  // Causal attention of a rank's tokens; with context parallelism a rank sees half of the other
  // ranks' tokens on average, as if they were cached before its own.
  void attention(std::string_view name,
                 Kernel kernel,
                 Pass pass,
                 const ModelSpec& m,
                 const ChunkShape& chunk,
                 double flops,
                 double bytes) {
    const std::int64_t batch = chunk.sequences, seq = chunk.tokens / batch;
    Op op;
    op.name = name;
    op.kernel = kernel;
    op.category = Category::attention;
    op.pass = pass;
    op.flops = flops * FLOP;
    op.bytes = bytes * B;
    op.attention = {
        batch, seq, (chunk.context - seq) / 2, m.num_heads, m.head_dim, m.value_head_dim()};
    ops_.push_back(op);
  }
  void memory(std::string_view name,
              Kernel kernel,
              Category category,
              Pass pass,
              double bytes,
              double launches = 1) {
    ops_.push_back({name, kernel, category, pass, launches, {}, Flop(), bytes * B, 0, {}, {}});
  }
  // Kernels that exist only because operands are quantised.
  void quantise(
      std::string_view name, Kernel kernel, Pass pass, double bytes, double launches = 1) {
    if (fp8_) memory(name, kernel, Category::quantise, pass, bytes, launches);
  }
  // Activation of `elements` results, fused with the cast of its result where the recipe has one:
  // gate and up in, act out.
  void swiglu(std::string_view name, Pass pass, double elements) {
    memory(name,
           Kernel::swiglu,
           fp8_ ? Category::quantise : Category::elementwise,
           pass,
           elements * (fp8_ ? 5 : 6));
  }
  void small(std::string_view name, Category category, Pass pass, double launches) {
    memory(name, Kernel::small, category, pass, 0, launches);
  }
  void scale_transposes(Pass pass, double launches) {
    quantise("scale_transpose", Kernel::scale_transpose, pass, 0, launches);
  }

 private:
  void push_gemm(std::string_view name,
                 Kernel kernel,
                 Category category,
                 Pass pass,
                 GemmShape shape,
                 double launches,
                 double out_bytes) {
    const auto m = static_cast<double>(shape.m), n = static_cast<double>(shape.n),
               k = static_cast<double>(shape.k);
    const double in = kernel == Kernel::gemm_bf16 ? 2 : 1;
    const double bytes =
        in * (m * k + static_cast<double>(shape.groups) * n * k) + out_bytes * m * n;
    ops_.push_back({name,
                    kernel,
                    category,
                    pass,
                    launches,
                    shape,
                    2 * m * n * k * launches * FLOP,
                    bytes * B,
                    kernel == Kernel::gemm_bf16 ? out_bytes : 0,
                    {},
                    {}});
  }
  OpList& ops_;
  bool fp8_;
};

struct Dims {
  std::int64_t T, H;  // tokens on this rank, hidden
  double Td, Hd;
  Dims(const ModelSpec& m, const ChunkShape& s)
      : T(s.tokens),
        H(m.hidden),
        Td(static_cast<double>(s.tokens)),
        Hd(static_cast<double>(m.hidden)) {}
};

inline constexpr Category kProj = Category::attention_gemm;
inline constexpr Category kElt = Category::elementwise;

}  // namespace moesim
