#include "model/cost_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "model/errors.hpp"
#include "model/profile_transfer.hpp"

namespace moesim {
namespace {

// A plain roofline was 3.3 times too fast on the DeepSeek-V3 training trace: a kernel nobody
// measured may be that far off.
constexpr double kRooflineError = 2.3;

bool inside(std::int64_t v, const std::array<std::int64_t, 2>& range) {
  return v >= range[0] && v <= range[1];
}

// Octaves by which v is outside.
double octaves_beyond(std::int64_t v, const std::array<std::int64_t, 2>& range) {
  if (v <= 0) return 0;
  if (v < range[0]) return std::log2(static_cast<double>(range[0]) / static_cast<double>(v));
  if (v > range[1]) return std::log2(static_cast<double>(v) / static_cast<double>(range[1]));
  return 0;
}

bool is_bf16(Kernel kernel) { return kernel == Kernel::gemm_bf16; }

// Weight gradients ran no slower beside communication (trace: -2 to +1 %).
bool is_slowed_by_communication(Kernel kernel) {
  return kernel == Kernel::gemm_fp8 || kernel == Kernel::grouped_gemm_fp8 || is_bf16(kernel);
}

// Of a measured point, and of the call that may be it.
using PointKey = std::array<std::int64_t, 6>;
PointKey point_key(Kernel kernel, const GemmShape& shape, std::int64_t sms) {
  return {static_cast<std::int64_t>(kernel), sms, shape.m, shape.n, shape.k, shape.groups};
}
bool comes_before(const GemmPoint& a, const PointKey& b) {
  return point_key(a.kernel, a.shape, a.sms) < b;
}

Seconds corrected(Seconds base, const Residual::Value& residual) {
  return residual.log_factor == 0 ? base : std::exp(residual.log_factor) * base;
}

}  // namespace

CostModel::CostModel(const Profile& profile, const GpuSpec& gpu)
    : profile_(transferred(profile, gpu)),
      gpu_(gpu),
      derived_(profile_.kind == ProfileKind::derived) {
  // A profile may keep thousands; of equal ones the first in the file counts.
  std::stable_sort(
      profile_.points.begin(), profile_.points.end(), [](const GemmPoint& a, const GemmPoint& b) {
        return comes_before(a, point_key(b.kernel, b.shape, b.sms));
      });
}

FlopRate CostModel::peak(Kernel kernel) const {
  const bool fp8 = kernel == Kernel::gemm_fp8 || kernel == Kernel::gemm_fp8_wgrad ||
                   kernel == Kernel::grouped_gemm_fp8;
  if (!fp8) return gpu_.peak_bf16;
  ENSURE(gpu_.peak_fp8.has_value());  // read_scenario refuses an FP8 recipe on a GPU without FP8
  return *gpu_.peak_fp8;
}

Seconds CostModel::ideal_time(const Op& op) const {
  return op.flops > Flop() ? op.flops / peak(op.kernel) : Seconds();
}

const GemmModel* CostModel::gemm_model(Kernel kernel) const {
  const auto& own = profile_.gemm[static_cast<std::size_t>(kernel)];
  if (own) return &*own;
  const auto& other = profile_.gemm[static_cast<std::size_t>(stand_in(kernel))];
  return other ? &*other : nullptr;
}

Cost CostModel::cost(const Op& op, const SmShare& share) const {
  auto index = static_cast<std::size_t>(op.kernel);
  const auto other = static_cast<std::size_t>(stand_in(op.kernel));
  if (!profile_.memory[index] && profile_.memory[other]) index = other;
  Estimate estimate;
  if (const GemmModel* gemm = gemm_model(op.kernel)) {
    if (!profile_.gemm[index]) index = static_cast<std::size_t>(stand_in(op.kernel));
    estimate = gemm_estimate(op, static_cast<Kernel>(index), *gemm, share);
    if (share.beside_communication && is_slowed_by_communication(op.kernel))
      estimate.time = profile_.gemm_slowdown.at(gpu_.num_sms - share.compute_sms) * estimate.time;
  } else if (const auto& attention = profile_.attention[index]) {
    estimate = attention_estimate(op, *attention, share);
  } else if (op.kernel == Kernel::attention_decode && profile_.decode) {
    estimate = decode_estimate(op, *profile_.decode, share);
  } else if (const auto& memory = profile_.memory[index]) {
    estimate = memory_estimate(op, *memory, share);
  } else {
    const double sms = static_cast<double>(share.compute_sms) / static_cast<double>(gpu_.num_sms);
    const Seconds work = op.flops > Flop() ? op.flops / (sms * peak(op.kernel)) : Seconds();
    const Seconds roofline = std::max(work, op.launches * (op.bytes / gpu_.hbm_bandwidth));
    const double log_error = std::log1p(kRooflineError);
    return {std::exp(profile_.shift[index] * log_error) * roofline, Origin::roofline, log_error};
  }
  if (derived_) estimate.origin = Origin::extrapolated;
  const ModelError& error = profile_.error[index];
  // Every octave adds an error of its own, so that they add up as independent ones do.
  const double log_error = estimate.origin == Origin::extrapolated
                               ? std::sqrt(1 + estimate.distance) * std::log1p(error.outside)
                               : std::log1p(error.inside);
  Seconds time = op.launches * estimate.time;
  if (profile_.shift[index] != 0) time *= std::exp(profile_.shift[index] * log_error);
  return {time, estimate.origin, log_error};
}

CostModel::Estimate CostModel::gemm_estimate(const Op& op,
                                             Kernel measured_as,
                                             const GemmModel& model,
                                             const SmShare& share) const {
  const double out_bytes = op.out_bytes > 0 ? op.out_bytes : model.out_bytes;
  // Points are of even groups, with results as wide as the kernel's own.
  if (op.counts.empty() && out_bytes == model.out_bytes) {
    const PointKey key = point_key(measured_as, op.gemm, share.compute_sms);
    const auto p =
        std::lower_bound(profile_.points.begin(), profile_.points.end(), key, comes_before);
    if (p != profile_.points.end() && point_key(p->kernel, p->shape, p->sms) == key)
      return {(op.flops / op.launches) / p->rate, Origin::measured, 0};
  }

  const GemmProblem problem{op.gemm.m, op.gemm.n, op.gemm.k, op.gemm.groups, op.counts};
  const Residual::Value residual = model.residual.at(gemm_axes(problem));
  Estimate e;
  e.time = corrected(gemm_base_time(model,
                                    peak(op.kernel),
                                    gpu_,
                                    problem,
                                    is_bf16(op.kernel) ? 2 : 1,
                                    out_bytes,
                                    share.compute_sms),
                     residual);
  e.distance = std::max(residual.distance,
                        std::max({octaves_beyond(op.gemm.m, model.m),
                                  octaves_beyond(op.gemm.n, model.n),
                                  octaves_beyond(op.gemm.k, model.k)}));
  if (e.distance > 0 || !inside(share.compute_sms, model.sms)) e.origin = Origin::extrapolated;
  return e;
}

CostModel::Estimate CostModel::attention_estimate(const Op& op,
                                                  const AttentionModel& model,
                                                  const SmShare& share) const {
  const Residual::Value residual = model.residual.at(attention_axes(op.attention));
  Estimate e;
  e.time = corrected(attention_base_time(model,
                                         op.attention,
                                         op.flops / op.launches,
                                         op.bytes,
                                         gpu_.hbm_bandwidth,
                                         share.compute_sms),
                     residual);
  e.distance = residual.distance;
  if (e.distance > 0 || share.compute_sms != model.sms ||
      op.attention.qk_head_dim != model.qk_head_dim || op.attention.v_head_dim != model.v_head_dim)
    e.origin = Origin::extrapolated;
  return e;
}

CostModel::Estimate CostModel::decode_estimate(const Op& op,
                                               const DecodeModel& model,
                                               const SmShare& share) const {
  const AttentionShape& x = op.attention;
  const Residual::Value residual = model.residual.at(decode_axes(x));
  Estimate e;
  e.time = corrected(
      decode_base_time(model, x.batch, x.prefix, x.heads * x.seq, op.bytes, share.compute_sms),
      residual);
  e.distance = residual.distance;
  if (e.distance > 0 || share.compute_sms != model.sms || x.qk_head_dim != kDecodeQkDim ||
      x.v_head_dim != kDecodeVDim)
    e.origin = Origin::extrapolated;
  return e;
}

CostModel::Estimate CostModel::memory_estimate(const Op& op,
                                               const MemoryModel& model,
                                               const SmShare& share) const {
  if (!model.bandwidth) return {model.overhead, Origin::measured, 0};
  // Streaming kernels are bound by the requests an SM keeps in flight, so their rate follows the SM
  // share (trace README, section 3: casts slow down by 132/112 when 20 SMs communicate), up to the
  // memory's own rate.
  const auto sms = static_cast<double>(share.compute_sms);
  const Bandwidth rate =
      model.per_sm
          ? std::min(sms * *model.per_sm, *model.bandwidth)
          : std::min(sms / static_cast<double>(model.sms) * *model.bandwidth, gpu_.hbm_bandwidth);
  return {
      model.overhead + op.bytes / rate,
      model.per_sm || share.compute_sms == model.sms ? Origin::interpolated : Origin::extrapolated,
      0};
}

std::size_t CostCache::Hash::operator()(const Key& key) const {
  std::uint64_t hash = 0;
  for (const std::uint64_t word : key) {  // FNV-1a by words, with a shift that mixes downwards
    hash = (hash ^ word) * 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return hash;
}

Cost CostCache::cost(const Op& op, const SmShare& share) {
  if (!op.counts.empty()) return model_.cost(op, share);
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  const auto word = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  const AttentionShape& a = op.attention;
  const Key key = {static_cast<std::uint64_t>(op.kernel) * 2 + (share.beside_communication ? 1 : 0),
                   word(share.compute_sms),
                   word(op.gemm.m),
                   word(op.gemm.n),
                   word(op.gemm.k),
                   word(op.gemm.groups),
                   word(a.batch),
                   word(a.seq),
                   word(a.prefix),
                   word(a.heads),
                   word(a.qk_head_dim),
                   word(a.v_head_dim),
                   bits(op.launches),
                   bits(op.flops.in(FLOP)),
                   bits(op.bytes.in(B)),
                   bits(op.out_bytes)};
  const auto it = costs_.find(key);
  if (it != costs_.end()) return it->second;
  return costs_.emplace(key, model_.cost(op, share)).first->second;
}

}  // namespace moesim
