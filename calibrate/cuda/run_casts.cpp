// Casts to E4M3 and transposes, in the widths of their cases.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cuda/routes.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/naive.hpp"

namespace moesim {
namespace {

std::int64_t whole_rows(const Call& call, std::int64_t row_bytes) {
  return static_cast<std::int64_t>(rows_of(call, row_bytes));
}

constexpr std::int64_t kCastWidth = 7168, kTransposeWidth = 1536, kWeightWidth = 2048,
                       kSwigluWidth = 2048;
constexpr float kWeightSpread = 100;

}  // namespace

void prepare_cast(const Call& call, GpuCall& gpu) {
  CastRows p = {};
  p.rows = whole_rows(call, kCastWidth * 3 + kCastWidth / kScaleBlock * 4);
  p.columns = kCastWidth;
  p.x = gpu.bf16(p.rows * p.columns, 0);
  p.codes = gpu.output<E4m3>("codes", Element::e4m3, p.rows * p.columns);
  p.scales = gpu.scale_output("scales", p.rows, p.columns);
  gpu.run(p, cast_rows, cast_rows_naive);
}

void prepare_cast_transpose(const Call& call, GpuCall& gpu) {
  CastTranspose p = {};
  p.tokens =
      kScaleBlock * whole_rows(call, kScaleBlock * kTransposeWidth * 3 + kTransposeWidth * 4);
  p.channels = kTransposeWidth;
  p.stride = p.tokens;
  p.x = gpu.bf16(p.tokens * p.channels, 0);
  p.codes = gpu.output<E4m3>("codes", Element::e4m3, p.channels * p.tokens);
  p.scales = gpu.scale_output("scales", p.channels, p.tokens);
  gpu.run(p, cast_transpose, cast_transpose_naive);
}

void prepare_weight_transpose(const Call& call, GpuCall& gpu) {
  WeightTranspose p = {};
  p.rows = whole_rows(call, kWeightWidth * 2);
  p.columns = kWeightWidth;
  p.stride = p.rows;
  E4m3* const from = gpu.allocate<E4m3>(p.rows * p.columns);
  fill_codes(from, p.rows * p.columns, kWeightSpread, {gpu.seed, 0}, gpu.stream);
  p.from = from;
  p.to = gpu.output<E4m3>("codes", Element::e4m3, p.columns * p.rows);
  gpu.run(p, weight_transpose, weight_transpose_naive);
}

void prepare_swiglu(const Call& call, GpuCall& gpu) {
  SwigluCast p = {};
  p.rows = whole_rows(call, kSwigluWidth * 5 + kSwigluWidth / kScaleBlock * 4);
  p.width = kSwigluWidth;
  p.gate_up = gpu.bf16(p.rows * 2 * p.width, 0);
  p.codes = gpu.output<E4m3>("codes", Element::e4m3, p.rows * p.width);
  p.scales = gpu.scale_output("scales", p.rows, p.width);
  gpu.run(p, swiglu_cast, swiglu_cast_naive);
}

void prepare_cast_back(const Call& call, GpuCall& gpu) {
  CastBack p = {};
  p.rows = whole_rows(call, kCastWidth * 3 + kCastWidth / kScaleBlock * 4);
  p.columns = kCastWidth;
  const auto from = gpu.scaled_rows(p.rows, p.columns, 0);
  p.codes = from.codes;
  p.scales = from.scales;
  p.x = gpu.output<Bf16>("x", Element::bf16, p.rows * p.columns);
  gpu.run(p, cast_back, cast_back_naive);
}

void prepare_recast_transpose(const Call& call, GpuCall& gpu) {
  constexpr std::int64_t kTokenBytes = kTransposeWidth * 2 + kTransposeWidth / kScaleBlock * 4;
  RecastTranspose p = {};
  p.tokens = kScaleBlock * whole_rows(call, kScaleBlock * kTokenBytes + kTransposeWidth * 4);
  p.channels = kTransposeWidth;
  p.stride = p.tokens;
  const auto from = gpu.scaled_rows(p.tokens, p.channels, 0);
  p.from = from.codes;
  p.from_scales = from.scales;
  p.codes = gpu.output<E4m3>("codes", Element::e4m3, p.channels * p.tokens);
  p.scales = gpu.scale_output("scales", p.channels, p.tokens);
  gpu.run(p, recast_transpose, recast_transpose_naive);
}

void prepare_swiglu_backward(const Call& call, GpuCall& gpu) {
  SwigluBackward p = {};
  p.rows = whole_rows(call, kSwigluWidth * 10);
  p.width = kSwigluWidth;
  p.gate_up = gpu.bf16(p.rows * 2 * p.width, 0);
  p.d_out = gpu.bf16(p.rows * p.width, 1);
  p.d_gate_up = gpu.output<Bf16>("d_gate_up", Element::bf16, p.rows * 2 * p.width);
  gpu.run(p, swiglu_backward, swiglu_backward_naive);
}

}  // namespace moesim
