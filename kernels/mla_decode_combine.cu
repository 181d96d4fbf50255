#include "kernels/mla_decode.hpp"
#include "kernels/online_softmax.hpp"

namespace moesim {
namespace {

template <class Fold>
__device__ float over_warp(float value, Fold fold) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    value = fold(value, __shfl_xor_sync(~0u, value, other));
  return value;
}

// A row of a split request: the parts' means, weighted by the sums of their exponentials. Every
// warp takes the same sum of weights, and every thread four columns.
__global__ void mla_decode_combine_kernel(const __grid_constant__ MlaDecode d) {
  const MlaDecodeSplit split = d.splits[blockIdx.y];
  const int rows = d.s_q * d.heads, row = static_cast<int>(blockIdx.x);
  const auto at = [&](int slot) { return std::int64_t{split.first_slot + slot} * rows + row; };
  const int lane = static_cast<int>(threadIdx.x % 32);
  float highest = -INFINITY, sum = 0;
  for (int slot = lane; slot < split.num_slots; slot += 32)
    highest = fmaxf(highest, d.partial_lse[at(slot)]);
  highest = over_warp(highest, [](float a, float b) { return fmaxf(a, b); });
  if (highest == -INFINITY) highest = 0;  // no key is seen: all weights are 0
  for (int slot = lane; slot < split.num_slots; slot += 32)
    sum += exp2f_approx(d.partial_lse[at(slot)] - highest);
  sum = over_warp(sum, [](float a, float b) { return a + b; });

  const float inverse = sum > 0 ? 1 / sum : 0;
  float4 out = make_float4(0, 0, 0, 0);
#pragma unroll 8
  for (int slot = 0; slot < split.num_slots; ++slot) {
    const float weight = exp2f_approx(d.partial_lse[at(slot)] - highest) * inverse;
    const float4 part =
        *reinterpret_cast<const float4*>(d.partial_out + at(slot) * kMlaValue + 4 * threadIdx.x);
    out.x += weight * part.x;
    out.y += weight * part.y;
    out.z += weight * part.z;
    out.w += weight * part.w;
  }
  const std::int64_t to = std::int64_t{split.request} * rows + row;
  *reinterpret_cast<uint2*>(d.out + to * kMlaValue + 4 * threadIdx.x) =
      make_uint2(pack_bf16(out.x, out.y), pack_bf16(out.z, out.w));
  if (threadIdx.x == 0) d.lse[to] = sum > 0 ? (highest + log2f(sum)) * kLn2 : -INFINITY;
}

}  // namespace

void mla_decode_combine(const MlaDecode& d, Stream stream) {
  launch("mla_decode_combine",
         stream,
         mla_decode_combine_kernel,
         dim3(static_cast<unsigned>(d.s_q * d.heads), static_cast<unsigned>(d.num_splits)),
         dim3(kMlaValue / 4),
         0,
         d);
}

}  // namespace moesim
