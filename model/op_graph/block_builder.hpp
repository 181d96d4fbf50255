// How the files of this folder append operations to a block. Byte counts are minimal traffic: each
// operand read once, each result written once.
#pragma once

#include <algorithm>

#include "model/op_graph.hpp"
#include "model/op_graph/recipe.hpp"

namespace moesim {

// Appends operations to one block. All sizes are elements; the byte counts are minimal traffic:
// each operand read once, each result written once.
class BlockBuilder {
 public:
  BlockBuilder(OpList& ops, Recipe recipe)
      : ops_(ops), fp8_(is_fp8(recipe)), casts_(casts_of(recipe)) {}

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
    push_gemm(name, kernel, category, pass, {m, n, k, groups}, 1, 2, false);
  }
  // dW[n_out, n_in] += dY^T X over `tokens` rows, accumulated in FP32 (read and write: 8 bytes an
  // element). Only block scales need a kernel that promotes partial sums (V3, section 3.3.2).
  void wgrad(std::string_view name,
             Category category,
             std::int64_t n_out,
             std::int64_t n_in,
             std::int64_t tokens,
             std::int64_t groups = 1) {
    const std::int64_t k = (tokens + groups - 1) / groups;
    const bool promotes = casts_.recipe == Recipe::fp8_block;
    push_gemm(name,
              promotes ? Kernel::gemm_fp8_wgrad
              : fp8_   ? Kernel::gemm_fp8
                       : Kernel::gemm_bf16,
              category,
              Pass::weight_grad,
              {n_out, n_in, k, 1},
              static_cast<double>(groups),
              8,
              !promotes);
  }
  // Always BF16 operands; `out_bytes` per element of the result.
  void gemm_bf16(std::string_view name,
                 Category category,
                 Pass pass,
                 std::int64_t m,
                 std::int64_t n,
                 std::int64_t k,
                 double out_bytes) {
    push_gemm(name, Kernel::gemm_bf16, category, pass, {m, n, k, 1}, 1, out_bytes, true);
  }
  // Causal attention of a rank's tokens. How context parallelism lets them see the whole sequence:
  //   all_gather  a rank sees half of the other ranks' tokens on average, as if they were cached
  //               before its own.
  //   ring        cp kernels, one a piece of keys and values; in the zig-zag order of both ends of
  //               the sequence each has half of the pairs of its square (Transformer Engine,
  //               context_parallel.py).
  //   ulysses     all tokens of the sequence and 1/cp of the heads.
  // `bytes`: of one kernel.
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
    if (chunk.cp_method == ContextMethod::ring) {
      op.launches = static_cast<double>(chunk.cp);
      op.attention.prefix = 0;
    } else if (chunk.cp_method == ContextMethod::ulysses) {
      op.attention.seq = seq * chunk.cp;
      op.attention.prefix = 0;
      op.attention.heads = m.num_heads / chunk.cp;
    }
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
  // Kernels that exist only because operands are quantised; `elements` of one launch. Which of them
  // a recipe has, and their bytes, is its row of the table.
  void quantise(
      std::string_view name, Kernel kernel, Pass pass, double elements, double launches = 1) {
    cast(name, kernel, pass, elements, launches, casts_.operand);
  }
  // To keep a tensor in FP8 until the backward pass, and back.
  void keep(std::string_view name, Kernel kernel, Pass pass, double elements) {
    cast(name, kernel, pass, elements, 1, casts_.kept);
  }
  void keep_attention_output(std::string_view name, Kernel kernel, Pass pass, double elements) {
    cast(name, kernel, pass, elements, 1, casts_.attention_kept);
  }
  // Transposed operands of weight gradients (RecipeCasts).
  void transpose(std::string_view name, Pass pass, double elements, double launches = 1) {
    cast(name,
         casts_.transposes_requantise ? Kernel::cast_transpose : Kernel::weight_transpose,
         pass,
         elements,
         launches,
         casts_.transpose);
  }
  void cast_again(std::string_view name, Pass pass, double elements, double launches) {
    cast(name, Kernel::cast_transpose, pass, elements, launches, casts_.cast_again);
  }
  void transpose_fp8(std::string_view name, Pass pass, double elements, double launches = 1) {
    cast(name,
         casts_.transposes_requantise ? Kernel::recast_transpose : Kernel::weight_transpose,
         pass,
         elements,
         launches,
         casts_.transpose_fp8);
  }
  void transpose_weight(std::string_view name, Pass pass, double elements) {
    cast(name, Kernel::weight_transpose, pass, elements, 1, casts_.weight_transpose);
  }
  void copy_scales(Pass pass, double elements, double launches) {
    cast("scale_copy_contig", Kernel::scale_copy, pass, elements, launches, casts_.scale_copy);
  }
  // Activation of `elements` results, fused with the cast of its result where the recipe has one:
  // gate and up in, act out.
  void swiglu(std::string_view name, Pass pass, double elements) {
    memory(name,
           Kernel::swiglu,
           fp8_ ? Category::quantise : Category::elementwise,
           pass,
           elements * casts_.swiglu);
  }
  void small(std::string_view name, Category category, Pass pass, double launches) {
    memory(name, Kernel::small, category, pass, 0, launches);
  }
  void scale_transposes(Pass pass, double launches) {
    if (casts_.scale_copy > 0)
      memory("scale_transpose", Kernel::scale_transpose, Category::quantise, pass, 0, launches);
  }
  const RecipeCasts& casts() const { return casts_; }

 private:
  void cast(std::string_view name,
            Kernel kernel,
            Pass pass,
            double elements,
            double launches,
            double bytes_per_element) {
    if (bytes_per_element > 0)
      memory(name, kernel, Category::quantise, pass, elements * bytes_per_element, launches);
  }
  void push_gemm(std::string_view name,
                 Kernel kernel,
                 Category category,
                 Pass pass,
                 GemmShape shape,
                 double launches,
                 double out_bytes,
                 bool says_out_bytes) {  // else the profile's kernel knows them
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
                    says_out_bytes || kernel == Kernel::gemm_bf16 ? out_bytes : 0,
                    {},
                    {}});
  }
  OpList& ops_;
  bool fp8_;
  const RecipeCasts& casts_;
};

struct Dims {
  std::int64_t T, own, H;  // tokens in the matrix products, those between them, hidden
  double Td, Od, Hd;
  Recompute recompute;
  Dims(const ModelSpec& m, const ChunkShape& s)
      : T(s.tokens),
        own(s.own_tokens()),
        H(m.hidden),
        Td(static_cast<double>(T)),
        Od(static_cast<double>(own)),
        Hd(static_cast<double>(H)),
        recompute(s.recompute) {}
};

inline constexpr Category kProj = Category::attention_gemm;
inline constexpr Category kElt = Category::elementwise;

}  // namespace moesim
