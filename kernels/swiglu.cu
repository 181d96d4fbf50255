#include "kernels/cast.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kThreads = RowTile::kWarps * 32;

// 1 / (1 + exp(-x)); 0 where the exponential overflows.
__device__ float sigmoid(float x) { return __fdividef(1, 1 + __expf(fminf(-x, 80))); }

__device__ Floats8 silu_times(const Floats8& gate, const Floats8& up, float weight) {
  Floats8 product;
#pragma unroll
  for (int i = 0; i < 8; ++i) product.at[i] = gate.at[i] * sigmoid(gate.at[i]) * up.at[i] * weight;
  return product;
}

// The gates and ups of a tile, all on their way before the first is used.
struct GateUpTile {
  uint4 gate[RowTile::kSteps], up[RowTile::kSteps];

  __device__ GateUpTile(const RowTile& tile,
                        const Bf16* gate_up,
                        std::int64_t rows,
                        std::int64_t width) {
#pragma unroll
    for (int i = 0; i < RowTile::kSteps; ++i) {
      const bool there = tile.row(i) < rows && tile.column < width;
      const Bf16* const at = gate_up + tile.row(i) * 2 * width + tile.column;
      gate[i] = there ? load_words<uint4>(at) : make_uint4(0, 0, 0, 0);
      up[i] = there ? load_words<uint4>(at + width) : make_uint4(0, 0, 0, 0);
    }
  }
};

__global__ void __launch_bounds__(kThreads) swiglu_kernel(const Swiglu p) {
  const RowTile tile = RowTile::mine();
  if (tile.column >= p.width) return;
  const GateUpTile in(tile, p.gate_up, p.rows, p.width);
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i)
    if (tile.row(i) < p.rows)
      store_words(p.out + tile.row(i) * p.width + tile.column,
                  pack_bf16x8(silu_times(unpack_bf16x8(in.gate[i]), unpack_bf16x8(in.up[i]), 1)));
}

__global__ void __launch_bounds__(kThreads) swiglu_cast_kernel(const SwigluCast p) {
  const RowTile tile = RowTile::mine();
  if (tile.block * kQuantBlock >= p.width) return;
  const GateUpTile in(tile, p.gate_up, p.rows, p.width);
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i) {
    const std::int64_t row = tile.row(i);
    const float weight = p.row_weight != nullptr && row < p.rows ? p.row_weight[row] : 1;
    const QuantisedPart part =
        quantise_part(silu_times(unpack_bf16x8(in.gate[i]), unpack_bf16x8(in.up[i]), weight));
    if (row >= p.rows) continue;
    if (tile.column < p.width) store_words(p.codes + row * p.width + tile.column, part.codes);
    if (tile.leader) p.scales[tile.block * scale_stride(p.rows) + row] = part.scale;
  }
}

// With s the sigmoid of the gate: d_up = d * gate * s, d_gate = d * up * (s + gate * s * (1 - s)).
__global__ void __launch_bounds__(kThreads) swiglu_backward_kernel(const SwigluBackward p) {
  const RowTile tile = RowTile::mine();
  if (tile.column >= p.width) return;
  const GateUpTile in(tile, p.gate_up, p.rows, p.width);
  uint4 raw[RowTile::kSteps];
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i)
    if (tile.row(i) < p.rows)
      raw[i] = load_words<uint4>(p.d_out + tile.row(i) * p.width + tile.column);
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i) {
    if (tile.row(i) >= p.rows) continue;
    const Floats8 gate = unpack_bf16x8(in.gate[i]), up = unpack_bf16x8(in.up[i]),
                  d = unpack_bf16x8(raw[i]);
    Floats8 d_gate, d_up;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float g = gate.at[j], s = sigmoid(g);
      d_up.at[j] = d.at[j] * g * s;
      d_gate.at[j] = d.at[j] * up.at[j] * s * (1 + g * (1 - s));
    }
    Bf16* const at = p.d_gate_up + tile.row(i) * 2 * p.width + tile.column;
    store_words(at, pack_bf16x8(d_gate));
    store_words(at + p.width, pack_bf16x8(d_up));
  }
}

template <class Problem>
void launch_tiles(const char* name, Stream stream, void (*kernel)(Problem), const Problem& p) {
  refuse_unless(p.width % 8 == 0, "swiglu: the width is no multiple of 8");
  if (p.rows > 0)
    launch(name, stream, kernel, RowTile::grid(p.rows, p.width), dim3(kThreads), 0, p);
}

}  // namespace

void swiglu(const Swiglu& p, Stream stream) { launch_tiles("swiglu", stream, swiglu_kernel, p); }

void swiglu_cast(const SwigluCast& p, Stream stream) {
  launch_tiles("swiglu_cast", stream, swiglu_cast_kernel, p);
}

void swiglu_backward(const SwigluBackward& p, Stream stream) {
  launch_tiles("swiglu_backward", stream, swiglu_backward_kernel, p);
}

}  // namespace moesim
