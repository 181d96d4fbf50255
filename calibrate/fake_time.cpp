#include "calibrate/fake_time.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {
namespace {

// The hidden numbers. All are made up, within what kernels of this kind reach.
struct HiddenGemm {
  double in_bytes, out_bytes;
  double mma_efficiency, hbm_efficiency, norm;
  Bandwidth load, store;
  Seconds fill, overhead;
};
constexpr HiddenGemm kFp8 = {
    1, 2, 0.745, 0.81, 3.5, 131 * GB_per_s, 88 * GB_per_s, 0.62 * us, 2.45 * us};
constexpr HiddenGemm kGrouped = {
    1, 2, 0.715, 0.79, 3.2, 127 * GB_per_s, 84 * GB_per_s, 0.71 * us, 3.35 * us};
constexpr HiddenGemm kWgrad = {
    1, 8, 0.655, 0.77, 3.8, 109 * GB_per_s, 117 * GB_per_s, 0.83 * us, 4.15 * us};
constexpr HiddenGemm kBf16 = {
    2, 2, 0.795, 0.83, 3.0, 214 * GB_per_s, 92 * GB_per_s, 0.57 * us, 2.85 * us};

constexpr double kForwardEfficiency = 0.565, kBackwardEfficiency = 0.455;
constexpr Seconds kForwardOverhead = 11.5 * us, kBackwardOverhead = 23 * us;
constexpr double kAttentionHbm = 0.76;

constexpr double kDecodeEfficiency = 0.58, kDecodeHbm = 0.815, kDecodeNorm = 4.5;
constexpr Seconds kDecodeOverhead = 8.3 * us;

struct HiddenMemory {
  std::string_view op;
  double hbm_efficiency;
  Bandwidth per_sm;
  Seconds overhead;
};
constexpr HiddenMemory kMemory[] = {{"cast", 0.83, 25.5 * GB_per_s, 2.35 * us},
                                    {"cast_transpose", 0.72, 21.5 * GB_per_s, 3.15 * us},
                                    {"weight_transpose", 0.765, 23.5 * GB_per_s, 2.65 * us},
                                    {"rmsnorm", 0.785, 24 * GB_per_s, 2.9 * us},
                                    {"cast_back", 0.825, 25 * GB_per_s, 2.25 * us},
                                    {"recast_transpose", 0.665, 19.6 * GB_per_s, 3.05 * us},
                                    {"rmsnorm_backward", 0.71, 21 * GB_per_s, 5.6 * us},
                                    {"copy", 0.86, 25.5 * GB_per_s, 2.1 * us},
                                    {"broadcast_copy", 0.69, 20 * GB_per_s, 2.5 * us},
                                    {"gate_gather", 0.58, 17.5 * GB_per_s, 4.4 * us},
                                    {"expert_count", 0.55, 16.2 * GB_per_s, 6.7 * us},
                                    {"expert_map", 0.6, 17.6 * GB_per_s, 4.9 * us},
                                    {"swiglu_backward", 0.775, 23 * GB_per_s, 3.2 * us},
                                    {"adam", 0.82, 24.2 * GB_per_s, 2.7 * us},
                                    {"swiglu", 0.805, 24.5 * GB_per_s, 3.45 * us},
                                    {"rope", 0.615, 18 * GB_per_s, 2.2 * us},
                                    {"permute", 0.735, 22.5 * GB_per_s, 3.7 * us},
                                    {"unpermute", 0.755, 23 * GB_per_s, 3.3 * us},
                                    {"elementwise", 0.845, 26.5 * GB_per_s, 2.05 * us}};

constexpr double kSlowdownBesideCommunication = 0.37;
constexpr Bytes kL2 = 50 * MB;
constexpr double kL2OverHbm = 2.3;

double p_norm(double a, double b, double p) {
  return std::pow(std::pow(a, p) + std::pow(b, p), 1 / p);
}

Bandwidth memory_rate(Bytes bytes, const GpuSpec& gpu, Cache cache) {
  if (cache == Cache::cold) return gpu.hbm_bandwidth;
  const double cached = std::min(1.0, kL2 / bytes);
  return gpu.hbm_bandwidth / (cached / kL2OverHbm + (1 - cached));
}

const HiddenGemm& hidden_gemm(const Case& of) {
  if (of.op == "gemm_fp8") return kFp8;
  if (of.op == "grouped_gemm_fp8") return kGrouped;
  if (of.op == "gemm_fp8_wgrad") return kWgrad;
  ENSURE(of.op == "gemm_bf16");
  return kBf16;
}

FlopRate peak_of(const Case& of, const GpuSpec& gpu) {
  return of.peak == Peak::fp8 && gpu.peak_fp8 ? *gpu.peak_fp8 : gpu.peak_bf16;
}

Seconds gemm_time(const Case& of, const Call& call, const GpuSpec& gpu, Cache cache, double sms) {
  const HiddenGemm& h = hidden_gemm(of);
  const bool grouped = call.shape.size() == 4;
  const auto* const mnk = call.shape.data() + (grouped ? 1 : 0);
  const GemmProblem problem{mnk[0], mnk[1], mnk[2], grouped ? call.shape[0] : 1, call.counts};
  const GemmPlan plan = fewest_waves_plan(problem, static_cast<std::int64_t>(sms));
  const auto bm = static_cast<double>(plan.tile.bm), bn = static_cast<double>(plan.tile.bn),
             k = static_cast<double>(mnk[2]);
  const FlopRate per_sm = peak_of(of, gpu) / static_cast<double>(gpu.num_sms);
  const Seconds tile = std::max((2 * bm * bn * k * FLOP) / (h.mma_efficiency * per_sm),
                                ((bm + bn) * k * h.in_bytes * B) / h.load) +
                       (bm * bn * h.out_bytes * B) / h.store + h.fill;
  const Bytes bytes = of.work(call.shape, call.counts).bytes;
  const Seconds moved = bytes / (h.hbm_efficiency * memory_rate(bytes, gpu, cache));
  return h.overhead + p_norm(static_cast<double>(plan.waves) * tile.in(s), moved.in(s), h.norm) * s;
}

Seconds attention_time(
    const Case& of, const Call& call, const GpuSpec& gpu, Cache cache, double sms) {
  const Shape& shape = call.shape;  // batch, seq, prefix, heads, qk, v
  const bool forward = of.op == "attention_forward";
  const PrefillPlan plan = prefill_plan(shape[0], shape[1], shape[2], shape[3]);
  const auto qk = static_cast<double>(shape[4]), v = static_cast<double>(shape[5]);
  const double width = forward ? qk + v : 3 * qk + 2 * v;
  const FlopRate per_sm = gpu.peak_bf16 / static_cast<double>(gpu.num_sms);
  const Seconds tile = (2.0 * kAttentionTile * kAttentionTile * width * FLOP) /
                       ((forward ? kForwardEfficiency : kBackwardEfficiency) * per_sm);
  const double rounds =
      std::max(static_cast<double>(plan.tiles) / sms, static_cast<double>(plan.longest));
  const Bytes bytes = of.work(shape, {}).bytes;
  return (forward ? kForwardOverhead : kBackwardOverhead) +
         std::max(rounds * tile, bytes / (kAttentionHbm * memory_rate(bytes, gpu, cache)));
}

Seconds decode_time(const Case& of, const Call& call, const GpuSpec& gpu, Cache cache, double sms) {
  constexpr double kWidth = 576 + 512;
  const Shape& shape = call.shape;  // batch, kv_len, seq_q, heads
  const DecodePlan plan =
      decode_plan(shape[0], shape[1], shape[2] * shape[3], static_cast<std::int64_t>(sms));
  const FlopRate per_sm = gpu.peak_bf16 / static_cast<double>(gpu.num_sms);
  const Seconds block =
      (2.0 * kDecodeBlock * kDecodeHeadTile * kWidth * FLOP) / (kDecodeEfficiency * per_sm);
  const Bytes bytes = of.work(shape, {}).bytes;
  const Seconds moved = bytes / (kDecodeHbm * memory_rate(bytes, gpu, cache));
  return kDecodeOverhead +
         p_norm(static_cast<double>(plan.blocks) * block.in(s), moved.in(s), kDecodeNorm) * s;
}

Seconds memory_time(const Case& of, const Call& call, const GpuSpec& gpu, Cache cache, double sms) {
  const auto* const h = std::find_if(
      std::begin(kMemory), std::end(kMemory), [&](const auto& m) { return m.op == of.op; });
  ENSURE(h != std::end(kMemory));
  const Bytes bytes = of.work(call.shape, {}).bytes;
  return h->overhead +
         bytes / std::min(sms * h->per_sm, h->hbm_efficiency * memory_rate(bytes, gpu, cache));
}

}  // namespace

Seconds hidden_time(const Case& of, const Call& call, const GpuSpec& gpu, Cache cache) {
  const auto all = static_cast<double>(gpu.num_sms);
  const double sms = call.sms > 0 ? static_cast<double>(call.sms) : all;
  const auto form = of.form == Form::gemm        ? gemm_time
                    : of.form == Form::attention ? attention_time
                    : of.form == Form::decode    ? decode_time
                                                 : memory_time;
  const double slowdown =
      call.beside_communication ? 1 + kSlowdownBesideCommunication * (all - sms) / all : 1;
  return slowdown * form(of, call, gpu, cache, sms);
}

}  // namespace moesim
