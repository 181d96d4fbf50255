#include "model/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moesim {
namespace {

constexpr std::int64_t kTileStep = 16,
                       kTileWidest =
                           128;  // column tiles of the modelled kernels (DeepGEMM, first release)

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool inside(std::int64_t v, const std::array<std::int64_t, 2>& range) {
  return v >= range[0] && v <= range[1];
}

double operand_bytes(Kernel kernel) { return kernel == Kernel::gemm_bf16 ? 2 : 1; }

}  // namespace

Seconds gemm_time(const GemmModel& g,
                  FlopRate peak,
                  const GpuSpec& gpu,
                  const GemmShape& shape,
                  double in_bytes,
                  std::int64_t sms) {
  const std::int64_t rows_per_group = ceil_div(shape.m, shape.groups);
  const std::int64_t bm = rows_per_group <= 64 ? 64 : 128;
  const std::int64_t row_tiles = shape.groups * ceil_div(rows_per_group, bm);
  const FlopRate per_sm = g.mma_efficiency * peak / static_cast<double>(gpu.num_sms);
  const auto k = static_cast<double>(shape.k);
  double waves_s = std::numeric_limits<double>::infinity();
  for (std::int64_t bn = kTileStep; bn <= kTileWidest; bn += kTileStep) {
    const auto waves = static_cast<double>(ceil_div(row_tiles * ceil_div(shape.n, bn), sms));
    const auto area = static_cast<double>(bm * bn);
    const Seconds mma = (2 * area * k * FLOP) / per_sm;
    const Seconds load = (static_cast<double>(bm + bn) * k * in_bytes * B) / g.load;
    const Seconds store = (area * g.out_bytes * B) / g.store;
    waves_s = std::min(waves_s, waves * (std::max(mma, load) + store).in(s));
  }
  const double mn = static_cast<double>(shape.m) * static_cast<double>(shape.n);
  const double operands =
      static_cast<double>(shape.m) * k + static_cast<double>(shape.groups * shape.n) * k;
  const Seconds memory =
      ((in_bytes * operands + g.out_bytes * mn) * B) / (g.hbm_efficiency * gpu.hbm_bandwidth);
  const double w2 = waves_s * waves_s, m2 = memory.in(s)*memory.in(s);
  return g.overhead + std::sqrt(std::sqrt(w2 * w2 + m2 * m2)) * s;
}

CostModel::CostModel(const Profile& profile, const GpuSpec& gpu)
    : profile_(profile),
      gpu_(gpu),
      derived_(profile.gpu.name != gpu.name),
      same_compute_(profile.gpu.num_sms == gpu.num_sms && profile.gpu.peak_bf16 == gpu.peak_bf16 &&
                    profile.gpu.peak_fp8 == gpu.peak_fp8 &&
                    profile.gpu.hbm_bandwidth == gpu.hbm_bandwidth) {}

FlopRate CostModel::peak(Kernel kernel) const {
  const bool fp8 = kernel == Kernel::gemm_fp8 || kernel == Kernel::gemm_fp8_wgrad;
  if (!fp8) return gpu_.peak_bf16;
  ENSURE(gpu_.peak_fp8.has_value());  // read_scenario refuses an FP8 recipe on a GPU without FP8
  return *gpu_.peak_fp8;
}

Seconds CostModel::ideal_time(const Op& op) const {
  return op.flops > Flop() ? op.flops / peak(op.kernel) : Seconds();
}

Cost CostModel::cost(const Op& op, const SmShare& share) const {
  const auto index = static_cast<std::size_t>(op.kernel);
  Cost c;
  if (profile_.gemm[index])
    c = gemm_cost(op, share);
  else if (profile_.attention[index])
    c = attention_cost(op, share);
  else if (profile_.memory[index])
    c = memory_cost(op, share);
  else {
    const double sms = static_cast<double>(share.compute_sms) / static_cast<double>(gpu_.num_sms);
    const Seconds work = op.flops > Flop() ? op.flops / (sms * peak(op.kernel)) : Seconds();
    return {std::max(work, op.launches * (op.bytes / gpu_.hbm_bandwidth)), Origin::roofline};
  }
  if (derived_) c.origin = Origin::extrapolated;
  return c;
}

Cost CostModel::gemm_cost(const Op& op, const SmShare& share) const {
  GemmModel g = *profile_.gemm[static_cast<std::size_t>(op.kernel)];
  if (op.out_bytes > 0) g.out_bytes = op.out_bytes;
  const bool seen = inside(op.gemm.m, g.m) && inside(op.gemm.n, g.n) && inside(op.gemm.k, g.k) &&
                    inside(share.compute_sms, g.sms);
  Cost c;
  c.time =
      gemm_time(g, peak(op.kernel), gpu_, op.gemm, operand_bytes(op.kernel), share.compute_sms);
  c.origin = seen ? Origin::interpolated : Origin::extrapolated;
  if (same_compute_)
    for (const GemmPoint& p : profile_.points)
      if (p.kernel == op.kernel && p.sms == share.compute_sms && p.shape.m == op.gemm.m &&
          p.shape.n == op.gemm.n && p.shape.k == op.gemm.k && p.shape.groups == op.gemm.groups) {
        c.time = (op.flops / op.launches) / p.rate;
        c.origin = Origin::measured;
      }
  // A point measured with fewer than all SMs was measured beside communication: the slowdown is
  // already in it.
  const bool slowed = share.beside_communication && op.kernel != Kernel::gemm_fp8_wgrad;
  c.time = op.launches * (slowed ? profile_.gemm_slowdown_under_comm : 1.0) * c.time;
  return c;
}

Cost CostModel::attention_cost(const Op& op, const SmShare& share) const {
  const AttentionModel& a = *profile_.attention[static_cast<std::size_t>(op.kernel)];
  // Rate per SM carries over; so does the ratio to the tensor peak on another GPU.
  const double scale = (gpu_.peak_bf16 / profile_.gpu.peak_bf16) *
                       (static_cast<double>(profile_.gpu.num_sms) / static_cast<double>(a.sms)) *
                       (static_cast<double>(share.compute_sms) / static_cast<double>(gpu_.num_sms));
  const Seconds work = op.flops / (scale * a.rate);
  const Bandwidth profiled = a.bandwidth.value_or(profile_.gpu.hbm_bandwidth);
  const Seconds memory = op.bytes / ((gpu_.hbm_bandwidth / profile_.gpu.hbm_bandwidth) * profiled);
  const bool seen =
      share.compute_sms == a.sms && op.gemm.n == a.qk_head_dim && op.gemm.k == a.v_head_dim;
  return {a.overhead + std::max(work, memory), seen ? Origin::interpolated : Origin::extrapolated};
}

Cost CostModel::memory_cost(const Op& op, const SmShare& share) const {
  const MemoryModel& m = *profile_.memory[static_cast<std::size_t>(op.kernel)];
  if (!m.bandwidth) return {op.launches * m.overhead, Origin::measured};
  // Streaming kernels are bound by the requests an SM keeps in flight, so their rate follows the SM
  // share (trace README, section 3: casts slow down by 132/112 when 20 SMs communicate), up to the
  // memory's own rate.
  const Bandwidth hbm = gpu_.hbm_bandwidth;
  const double per_sm =
      (hbm / profile_.gpu.hbm_bandwidth) *
      (static_cast<double>(profile_.gpu.num_sms) / static_cast<double>(gpu_.num_sms)) *
      static_cast<double>(share.compute_sms) / static_cast<double>(m.sms);
  const Bandwidth rate = std::min(per_sm * *m.bandwidth, hbm);
  return {op.launches * (m.overhead + op.bytes / rate),
          share.compute_sms == m.sms ? Origin::interpolated : Origin::extrapolated};
}

}  // namespace moesim
