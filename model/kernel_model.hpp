// The forms that a kernel's time takes: physics with a handful of coefficients, on the kernel's own
// plan (model/kernel_plan.hpp), times a residual (model/residual.hpp). A fit finds the coefficients
// (calibrate/fit), a profile carries them, the cost model evaluates them. docs/physics.md derives
// them; no form here knows which GPU or kernel library it is for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "model/cluster_spec.hpp"
#include "model/kernel_plan.hpp"
#include "model/residual.hpp"
#include "model/units.hpp"

namespace moesim {

// (a^p + b^p)^(1/p): the larger of two bounds, rounded off where they meet.
double rounded_max(double a, double b, double p);

// t = overhead + rounded_max(waves * tile time, bytes / (hbm_efficiency * HBM))
//   tile time = max(2 bm bn k / (mma_efficiency * peak per SM), (bm + bn) k in_bytes / load)
//               + bm bn out_bytes / store + fill
struct GemmModel {
  TileRule rule = TileRule::fastest;
  double mma_efficiency = 0;  // of the datasheet peak
  Bandwidth load, store;      // per SM: operands into, results out of the tensor cores
  Seconds fill;               // of each wave: the pipeline fills before the first product
  Seconds overhead;           // once per launch
  double hbm_efficiency = 0;
  double norm = 4;
  double out_bytes = 2;  // moved per result element (8: read and write of an FP32 accumulator)
  // What was measured: per axis of the shape, and of the SMs in use, lowest and highest. Inside is
  // interpolated, outside extrapolated.
  std::array<std::int64_t, 2> m{}, n{}, k{}, sms{};
  Residual residual;  // over gemm_axes
};

// The same without the residual; `peak` of the whole GPU. `out_bytes` is usually the model's own.
Seconds gemm_base_time(const GemmModel& model,
                       FlopRate peak,
                       const GpuSpec& gpu,
                       const GemmProblem& problem,
                       double in_bytes,
                       double out_bytes,
                       std::int64_t sms);
// Axes of the residual: log2 of the rows of a mean used group, of n and of k, and how full its
// tiles of rows are (a row more than fits costs some libraries half of what a whole tile does).
using GemmAxes = std::array<double, 4>;
GemmAxes gemm_axes(const GemmProblem& problem);

// Of one call: `seq` new tokens of each request behind `prefix` cached ones. In decode `seq` is the
// query tokens and `prefix` the cached ones.
struct AttentionShape {
  std::int64_t batch = 0, seq = 0, prefix = 0, heads = 0, qk_head_dim = 0, v_head_dim = 0;
};

// Causal attention, forward or backward. Score tiles of 128 x 128 are handed to the SMs in blocks
// of queries:
//   t = overhead + max(max(tiles / SMs, longest block) * tile time, bytes / bandwidth)
// A tile's time is its pairs' share of the FLOPs at rate / sms.
struct AttentionModel {
  FlopRate rate;  // sustained on whole tiles, with `sms` SMs
  Seconds overhead;
  std::int64_t sms = 0;
  std::int64_t qk_head_dim = 0, v_head_dim = 0;  // measured for; others are extrapolated
  std::optional<Bandwidth> bandwidth = {};       // when memory-bound; absent: the datasheet's
  Residual residual;                             // over (seq, batch * heads, prefix + seq)
};
// With `sms` SMs of the profile's own GPU, whose memory has `hbm`.
Seconds attention_base_time(const AttentionModel& model,
                            const AttentionShape& shape,
                            Flop flops,
                            Bytes bytes,
                            Bandwidth hbm,
                            std::int64_t sms);
std::array<double, 3> attention_axes(const AttentionShape& shape);  // of the residual

// Absorbed decode. t = overhead + rounded_max(blocks of the fullest partition * block time,
// bytes / bandwidth). A block is 64 cached tokens of 576 values, of which attention returns 512
// (every published kernel; other widths are extrapolated).
inline constexpr std::int64_t kDecodeQkDim = 576, kDecodeVDim = 512;
struct DecodeModel {
  Seconds block, overhead;
  Bandwidth bandwidth;
  double norm = 4;
  std::int64_t sms = 0;
  Residual residual;  // over (batch, kv_len, heads * query tokens)
};
Seconds decode_base_time(const DecodeModel& model,
                         std::int64_t batch,
                         std::int64_t kv_len,
                         std::int64_t query_heads,
                         Bytes bytes,
                         std::int64_t sms);
std::array<double, 3> decode_axes(const AttentionShape& shape);  // of the residual

// t = overhead + bytes / min(per_sm * SMs in use, bandwidth); without bandwidth a kernel of fixed
// duration. An SM keeps so many requests in flight, until the memory has no more to give.
struct MemoryModel {
  std::optional<Bandwidth> bandwidth;  // that more SMs do not raise; without per_sm: with `sms` SMs
  std::optional<Bandwidth> per_sm;  // absent: measured with `sms` SMs only, and the rate is taken
                                    // to follow their number up to the datasheet's
  Seconds overhead;
  std::int64_t sms = 0;
};

// t = min over segments of latency + size / size_per_s: libraries change protocol with the size
// (NCCL: LL, LL128, Simple), and the best one wins. The size is bytes, or tokens of a rank.
struct Segment {
  Seconds latency;
  double size_per_s = 0;
};

}  // namespace moesim
