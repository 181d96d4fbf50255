// The naive twins of kernels/naive.hpp that cast, transpose and activate.
#include "kernels/each_thread.hpp"
#include "kernels/naive.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

__host__ __device__ std::int64_t blocks_of(std::int64_t size) {
  return (size + kQuantBlock - 1) / kQuantBlock;
}
__device__ std::int64_t block_end(std::int64_t block, std::int64_t size) {
  return (block + 1) * kQuantBlock < size ? (block + 1) * kQuantBlock : size;
}

__device__ float naive_sigmoid(float x) { return 1 / (1 + expf(-x)); }

struct CastBackEach {
  CastBack p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / p.columns, block = i % p.columns / kQuantBlock;
    p.x[i] = to_bf16(__fmul_rn(to_float(p.codes[i]), p.scales[block * scale_stride(p.rows) + row]));
  }
};

// Rows [first, end) of a column of a transposed operand, quantised as one block. `value(t)`: of
// token t. Behind the last token up to 16 columns are zero where rows are aligned.
template <class Value>
__device__ void transposed_block(E4m3* codes,
                                 float* scale,
                                 std::int64_t block,
                                 std::int64_t tokens,
                                 std::int64_t stride,
                                 Value value) {
  const std::int64_t first = block * kQuantBlock, end = block_end(block, tokens);
  float amax = 0;
  for (std::int64_t t = first; t < end; ++t) amax = fmaxf(amax, fabsf(value(t)));
  const QuantScale s = quant_scale(amax);
  for (std::int64_t t = first; t < end; ++t) codes[t] = to_e4m3(__fmul_rn(value(t), s.to_code));
  if (stride % 16 == 0)
    for (std::int64_t t = end; t % 16 != 0; ++t) codes[t] = to_e4m3(0);
  *scale = s.scale;
}

struct CastTransposeEach {
  CastTranspose p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t channel = i % p.channels, block = i / p.channels;
    transposed_block(p.codes + channel * p.stride,
                     p.scales + block * scale_stride(p.channels) + channel,
                     block,
                     p.tokens,
                     p.stride,
                     [&](std::int64_t t) { return to_float(p.x[t * p.channels + channel]); });
  }
};

struct RecastTransposeEach {
  RecastTranspose p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t channel = i % p.channels, block = i / p.channels;
    const float* const from_scales = p.from_scales + channel / kQuantBlock * scale_stride(p.tokens);
    transposed_block(p.codes + channel * p.stride,
                     p.scales + block * scale_stride(p.channels) + channel,
                     block,
                     p.tokens,
                     p.stride,
                     [&](std::int64_t t) {
                       return __fmul_rn(to_float(p.from[t * p.channels + channel]), from_scales[t]);
                     });
  }
};

struct CastWeightEach {
  CastWeight p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row_block = i / blocks_of(p.columns),
                       column_block = i % blocks_of(p.columns);
    const std::int64_t bottom = block_end(row_block, p.rows),
                       right = block_end(column_block, p.columns);
    float amax = 0;
    for (std::int64_t r = row_block * kQuantBlock; r < bottom; ++r)
      for (std::int64_t c = column_block * kQuantBlock; c < right; ++c)
        amax = fmaxf(amax, fabsf(to_float(p.weight[r * p.columns + c])));
    const QuantScale s = quant_scale(amax);
    for (std::int64_t r = row_block * kQuantBlock; r < bottom; ++r)
      for (std::int64_t c = column_block * kQuantBlock; c < right; ++c)
        p.codes[r * p.columns + c] =
            to_e4m3(__fmul_rn(to_float(p.weight[r * p.columns + c]), s.to_code));
    p.scales[i] = s.scale;
  }
};

// Of a row of the result, and of what is zero behind it.
struct WeightTransposeEach {
  WeightTranspose p;
  std::int64_t row_codes;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t column = i / row_codes, row = i % row_codes;
    p.to[column * p.stride + row] = row < p.rows ? p.from[row * p.columns + column] : to_e4m3(0);
  }
};

__device__ float swiglu_at(const Bf16* gate_up,
                           std::int64_t row,
                           std::int64_t width,
                           std::int64_t c) {
  const float gate = to_float(gate_up[row * 2 * width + c]),
              up = to_float(gate_up[row * 2 * width + width + c]);
  return gate * naive_sigmoid(gate) * up;
}

struct SwigluEach {
  Swiglu p;
  __device__ void operator()(std::int64_t i) const {
    p.out[i] = to_bf16(swiglu_at(p.gate_up, i / p.width, p.width, i % p.width));
  }
};

struct SwigluCastEach {
  SwigluCast p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i % p.rows, block = i / p.rows, end = block_end(block, p.width);
    const float weight = p.row_weight == nullptr ? 1 : p.row_weight[row];
    float amax = 0;
    for (std::int64_t c = block * kQuantBlock; c < end; ++c)
      amax = fmaxf(amax, fabsf(swiglu_at(p.gate_up, row, p.width, c) * weight));
    const QuantScale s = quant_scale(amax);
    for (std::int64_t c = block * kQuantBlock; c < end; ++c)
      p.codes[row * p.width + c] =
          to_e4m3(__fmul_rn(swiglu_at(p.gate_up, row, p.width, c) * weight, s.to_code));
    p.scales[block * scale_stride(p.rows) + row] = s.scale;
  }
};

struct SwigluBackwardEach {
  SwigluBackward p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t at = i / p.width * 2 * p.width + i % p.width;
    const float gate = to_float(p.gate_up[at]), up = to_float(p.gate_up[at + p.width]),
                d_out = to_float(p.d_out[i]), q = naive_sigmoid(gate);
    p.d_gate_up[at] = to_bf16(d_out * up * q * (1 + gate * (1 - q)));
    p.d_gate_up[at + p.width] = to_bf16(d_out * gate * q);
  }
};

}  // namespace

void cast_back_naive(const CastBack& p, Stream stream) {
  launch_each("cast_back_naive", stream, p.rows * p.columns, CastBackEach{p});
}
void cast_transpose_naive(const CastTranspose& p, Stream stream) {
  launch_each(
      "cast_transpose_naive", stream, blocks_of(p.tokens) * p.channels, CastTransposeEach{p});
}
void recast_transpose_naive(const RecastTranspose& p, Stream stream) {
  launch_each(
      "recast_transpose_naive", stream, blocks_of(p.tokens) * p.channels, RecastTransposeEach{p});
}
void cast_weight_naive(const CastWeight& p, Stream stream) {
  launch_each(
      "cast_weight_naive", stream, blocks_of(p.rows) * blocks_of(p.columns), CastWeightEach{p});
}
void weight_transpose_naive(const WeightTranspose& p, Stream stream) {
  const std::int64_t row_codes = p.stride % 16 == 0 ? (p.rows + 15) / 16 * 16 : p.rows;
  launch_each(
      "weight_transpose_naive", stream, p.columns * row_codes, WeightTransposeEach{p, row_codes});
}
void swiglu_naive(const Swiglu& p, Stream stream) {
  launch_each("swiglu_naive", stream, p.rows * p.width, SwigluEach{p});
}
void swiglu_cast_naive(const SwigluCast& p, Stream stream) {
  launch_each("swiglu_cast_naive", stream, p.rows * blocks_of(p.width), SwigluCastEach{p});
}
void swiglu_backward_naive(const SwigluBackward& p, Stream stream) {
  launch_each("swiglu_backward_naive", stream, p.rows * p.width, SwigluBackwardEach{p});
}

}  // namespace moesim
