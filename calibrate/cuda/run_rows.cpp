// Kernels over rows of the hidden width: sums, norms, rotations, and rows put into another order.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cuda/routes.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/naive.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kHidden = 7168, kHiddenScales = kHidden / kScaleBlock;
constexpr std::int64_t kPermuteCopies = 2;
constexpr float kNormEpsilon = 1e-6F;

std::int64_t hidden_rows(const Call& call, std::int64_t row_bytes) {
  return static_cast<std::int64_t>(rows_of(call, row_bytes));
}

}  // namespace

void prepare_elementwise(const Call& call, GpuCall& gpu) {
  AddTensors p = {};
  p.size = hidden_rows(call, kHidden * 3 * 2) * kHidden;
  p.a = gpu.bf16(p.size, 0);
  p.b = gpu.bf16(p.size, 1);
  p.out = gpu.output<Bf16>("sum", Element::bf16, p.size);
  gpu.run(p, add_tensors, add_tensors_naive);
}

void prepare_rmsnorm(const Call& call, GpuCall& gpu) {
  Rmsnorm p = {};
  p.in.rows = hidden_rows(call, kHidden * 4 * 2);
  p.in.columns = kHidden;
  p.in.epsilon = kNormEpsilon;
  const std::int64_t size = p.in.rows * kHidden;
  p.in.x = gpu.bf16(size, 0);
  p.in.residual = gpu.bf16(size, 1);
  p.in.weight = gpu.bf16(kHidden, 2);
  p.out = gpu.output<Bf16>("normed", Element::bf16, size);
  p.in.sum = gpu.output<Bf16>("residual", Element::bf16, size);
  gpu.run(p, rmsnorm, rmsnorm_naive);
}

void prepare_rmsnorm_backward(const Call& call, GpuCall& gpu) {
  RmsnormBackward p = {};
  p.rows = hidden_rows(call, kHidden * 4 * 2);
  p.columns = kHidden;
  p.epsilon = kNormEpsilon;
  const std::int64_t size = p.rows * kHidden;
  p.sum = gpu.bf16(size, 0);
  p.d_out = gpu.bf16(size, 1);
  p.d_residual = gpu.bf16(size, 2);
  p.weight = gpu.bf16(kHidden, 3);
  p.d_sum = gpu.output<Bf16>("d_sum", Element::bf16, size);
  float* const d_weight = gpu.fp32(kHidden, 4);
  p.d_weight = d_weight;
  gpu.changed_in_place(
      d_weight, "d_weight", Element::fp32, kHidden, [=, seed = gpu.seed, stream = gpu.stream] {
        fill_normal(d_weight, kHidden, {seed, 4}, stream);
      });
  p.scratch = gpu.allocate<float>(kRmsnormParts * kHidden);
  gpu.run(p, rmsnorm_backward, rmsnorm_backward_naive);
}

void prepare_rope(const Call& call, GpuCall& gpu) {
  constexpr std::int32_t kRopeHeads = 128, kRopeHeadDim = 192, kRopeRotated = 64;
  constexpr double kRopeBase = 10000;
  Rope p = {};
  p.rows = hidden_rows(call, std::int64_t{kRopeHeads} * kRopeRotated * 2 * 2);
  p.heads = kRopeHeads;
  p.head_dim = kRopeHeadDim;
  p.rotated = kRopeRotated;
  auto* const table = gpu.allocate<float>(p.rows * kRopeRotated);
  rope_table({table, p.rows, kRopeRotated, kRopeBase}, gpu.stream);
  p.table = table;
  const std::int64_t size = p.rows * kRopeHeads * kRopeHeadDim;
  Bf16* const x = gpu.bf16(size, 0);
  p.x = x;
  gpu.changed_in_place(
      x, "x", Element::bf16, size, [x, size, seed = gpu.seed, stream = gpu.stream] {
        fill_normal(x, size, {seed, 0}, stream);
      });
  gpu.run(p, rope, rope_naive);
}

void prepare_permute(const Call& call, GpuCall& gpu) {
  const std::int64_t tokens =
      hidden_rows(call, (1 + kPermuteCopies) * (kHidden + 4 * kHiddenScales));
  Permute p = {};
  p.rows = tokens * kPermuteCopies;
  p.row_bytes = kHidden;
  p.num_blocks = kHiddenScales;
  std::vector<std::int32_t> source;
  for (const std::int64_t row : permutation(static_cast<std::size_t>(p.rows), gpu.seed))
    source.push_back(static_cast<std::int32_t>(row / kPermuteCopies));
  // Scales as a sender that quantises them keeps them: scale-major.
  const auto from = gpu.scaled_rows(tokens, kHidden, 0);
  p.from = from.codes;
  p.from_scales = from.scales;
  p.from_token_stride = 1;
  p.from_block_stride = from.ld;
  p.source = gpu.upload(source);
  p.to = gpu.output<E4m3>("codes", Element::e4m3, p.rows * kHidden);
  p.to_scales = gpu.scale_output("scales", p.rows, kHidden);
  gpu.run(p, permute, permute_naive);
}

void prepare_unpermute(const Call& call, GpuCall& gpu) {
  Unpermute p = {};
  p.tokens = hidden_rows(call, (kPermuteCopies + 1) * kHidden * 2);
  p.width = kHidden;
  p.top_k = static_cast<std::int32_t>(kPermuteCopies);
  const std::int64_t rows = p.tokens * kPermuteCopies;
  const std::vector<std::int64_t> order = permutation(static_cast<std::size_t>(rows), gpu.seed);
  p.rows = gpu.bf16(rows * kHidden, 0);
  p.position = gpu.upload(std::vector<std::int32_t>(order.begin(), order.end()));
  p.weight = gpu.fp32(rows, 1);
  p.out = gpu.output<Bf16>("out", Element::bf16, p.tokens * kHidden);
  gpu.run(p, unpermute, unpermute_naive);
}

namespace {

constexpr std::int64_t kKeyHeads = 128, kKeyBytes = 192 * 2, kNopeBytes = 128 * 2,
                       kRopeBytes = 64 * 2, kKeyValueBytes = 256 * 2;

// Keys that a copy fills in part: the rest stays zero.
void run_copy(CopyPieces p, std::int64_t from_values, std::int64_t at_byte, GpuCall& gpu) {
  const std::int64_t size = p.rows * kKeyHeads * kKeyBytes / 2;
  p.from = gpu.bf16(from_values, 0);
  Bf16* const key = gpu.allocate<Bf16>(size);
  p.to = reinterpret_cast<std::byte*>(key) + at_byte;
  p.copies = kKeyHeads;
  p.to_row_stride = kKeyHeads * kKeyBytes;
  p.to_copy_stride = kKeyBytes;
  gpu.changed_in_place(key, "key", Element::bf16, size, [key, size, stream = gpu.stream] {
    gpu_set_bytes(key, 0, static_cast<std::size_t>(size) * sizeof(Bf16), stream);
  });
  gpu.run(p, copy_pieces, copy_pieces_naive);
}

}  // namespace

void prepare_copy(const Call& call, GpuCall& gpu) {
  CopyPieces p = {};
  p.rows = hidden_rows(call, kKeyHeads * kNopeBytes * 2);
  p.piece_bytes = kNopeBytes;
  p.from_row_stride = kKeyHeads * kKeyValueBytes;
  p.from_copy_stride = kKeyValueBytes;
  run_copy(p, p.rows * p.from_row_stride / 2, 0, gpu);
}

void prepare_broadcast_copy(const Call& call, GpuCall& gpu) {
  CopyPieces p = {};
  p.rows = hidden_rows(call, (1 + kKeyHeads) * kRopeBytes);
  p.piece_bytes = kRopeBytes;
  p.from_row_stride = kRopeBytes;
  p.from_copy_stride = 0;
  run_copy(p, p.rows * kRopeBytes / 2, kNopeBytes, gpu);
}

}  // namespace moesim
