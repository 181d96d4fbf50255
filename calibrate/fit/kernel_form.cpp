#include "calibrate/fit/kernel_form.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "model/errors.hpp"

namespace moesim {
namespace {

std::int64_t sms_of(const Point& point, const GpuSpec& gpu) {
  return point.sms > 0 ? point.sms : gpu.num_sms;
}
// The SMs that most points used; of as many points, the more SMs.
std::int64_t usual_sms(const std::vector<const Point*>& points, const GpuSpec& gpu) {
  std::map<std::int64_t, std::size_t> num_points;
  for (const Point* p : points) ++num_points[sms_of(*p, gpu)];
  std::int64_t usual = gpu.num_sms;
  std::size_t most = 0;
  for (const auto& [sms, count] : num_points)
    if (count >= most) {
      usual = sms;
      most = count;
    }
  return usual;
}
double log2_of(std::int64_t v) {
  return std::log2(static_cast<double>(std::max<std::int64_t>(1, v)));
}

std::array<std::int64_t, 2> range_of(const std::vector<const Point*>& points, const auto& of) {
  std::int64_t low = of(*points.front()), high = low;
  for (const Point* p : points) {
    low = std::min(low, of(*p));
    high = std::max(high, of(*p));
  }
  return {low, high};
}

class GemmForm : public KernelForm {
 public:
  GemmForm(const Case& of, const GpuSpec& gpu, TileRule rule)
      : case_(of),
        grouped_(of.axes.size() == 4),
        gpu_(gpu),
        rule_(rule),
        in_bytes_(of.peak == Peak::fp8 ? 1 : 2),
        out_bytes_(of.op == "gemm_fp8_wgrad" ? 8 : 2),
        peak_(of.peak == Peak::fp8 && gpu.peak_fp8 ? *gpu.peak_fp8 : gpu.peak_bf16) {}

  std::vector<Parameter> parameters() const override {
    return {{"mma_efficiency", 0.7, 0.05, 1},
            {"load_per_sm", 100e9, 5e9, 2e12},
            {"store_per_sm", 30e9, 2e9, 2e12},
            {"fill", 0.5e-6, 1e-9, 20e-6},
            {"overhead", 3e-6, 1e-7, 100e-6},
            {"hbm_efficiency", 0.8, 0.1, 1},
            {"norm", 4, 1, 12}};
  }
  std::vector<double> seconds(const std::vector<double>& v,
                              const std::vector<const Point*>& points) const override {
    const GemmModel model = model_of(v);
    std::vector<double> result;
    result.reserve(points.size());
    for (const Point* p : points)
      result.push_back(
          gemm_base_time(model, peak_, gpu_, problem(*p), in_bytes_, out_bytes_, sms_of(*p, gpu_))
              .in(s));
    return result;
  }
  std::vector<double> residual_axes(const Point& p) const override {
    const auto axes = gemm_axes(problem(p));
    return {axes.begin(), axes.end()};
  }
  std::vector<Grouping> groupings() const override {
    if (grouped_) return {{"rows", {1}}, {"experts", {0}}, {"n and k", {2, 3}}};
    return {{"m", {0}}, {"n and k", {1, 2}}};
  }
  void store(const std::vector<double>& v,
             const Residual& residual,
             const std::vector<const Point*>& points,
             Profile& profile) const override {
    GemmModel g = model_of(v);
    const std::size_t first = grouped_ ? 1 : 0;
    const auto axis = [&](std::size_t i) {
      return range_of(points, [=](const Point& p) { return p.shape[first + i]; });
    };
    g.m = axis(0);
    g.n = axis(1);
    g.k = axis(2);
    g.sms = range_of(points, [&](const Point& p) { return sms_of(p, gpu_); });
    g.residual = residual;
    profile.gemm[kernel_index(case_)] = g;
  }

 private:
  GemmProblem problem(const Point& p) const {
    if (grouped_) return {p.shape[1], p.shape[2], p.shape[3], p.shape[0], p.counts};
    return {p.shape[0], p.shape[1], p.shape[2], 1, {}};
  }
  GemmModel model_of(const std::vector<double>& v) const {
    GemmModel g;
    g.rule = rule_;
    g.mma_efficiency = v[0];
    g.load = v[1] * B_per_s;
    g.store = v[2] * B_per_s;
    g.fill = v[3] * s;
    g.overhead = v[4] * s;
    g.hbm_efficiency = v[5];
    g.norm = v[6];
    g.out_bytes = out_bytes_;
    return g;
  }
  const Case& case_;
  bool grouped_;
  GpuSpec gpu_;
  TileRule rule_;
  double in_bytes_, out_bytes_;
  FlopRate peak_;
};

class DecodeForm : public KernelForm {
 public:
  DecodeForm(const Case& of, const GpuSpec& gpu, std::int64_t sms)
      : case_(of), gpu_(gpu), sms_(sms) {}
  std::vector<Parameter> parameters() const override {
    const double hbm = gpu_.hbm_bandwidth.in(B_per_s);
    // One SM multiplies a block no faster than the datasheet allows. Without this floor, points of
    // one head count say nothing about it: block and bytes grow alike, and all goes to the bytes.
    const FlopRate sm = gpu_.peak_bf16 / static_cast<double>(gpu_.num_sms);
    const double floor =
        (2.0 * kDecodeBlock * kDecodeHeadTile * (kDecodeQkDim + kDecodeVDim) * FLOP / sm).in(s);
    return {{"block", 1.5 * floor, floor, 50 * floor},
            {"overhead", 10e-6, 1e-7, 200e-6},
            {"bandwidth", 0.8 * hbm, 0.1 * hbm, hbm},
            {"norm", 4, 1, 12}};
  }
  std::vector<double> seconds(const std::vector<double>& v,
                              const std::vector<const Point*>& points) const override {
    const DecodeModel d = model_of(v);
    std::vector<double> result;
    result.reserve(points.size());
    for (const Point* p : points) {
      const Bytes bytes = case_.work(p->shape, p->counts).bytes;
      const std::int64_t heads = p->shape[2] * p->shape[3];
      result.push_back(
          decode_base_time(d, p->shape[0], p->shape[1], heads, bytes, sms_of(*p, gpu_)).in(s));
    }
    return result;
  }
  std::vector<double> residual_axes(const Point& p) const override {
    return {log2_of(p.shape[0]), log2_of(p.shape[1]), log2_of(p.shape[2] * p.shape[3])};
  }
  std::vector<Grouping> groupings() const override {
    return {{"shape", {0, 1, 2, 3}}, {"batch", {0}}, {"kv_len", {1}}};
  }
  void store(const std::vector<double>& v,
             const Residual& residual,
             const std::vector<const Point*>& /*points*/,
             Profile& profile) const override {
    DecodeModel d = model_of(v);
    d.sms = sms_;
    d.residual = residual;
    profile.decode = d;
  }

 private:
  static DecodeModel model_of(const std::vector<double>& v) {
    DecodeModel d;
    d.block = v[0] * s;
    d.overhead = v[1] * s;
    d.bandwidth = v[2] * B_per_s;
    d.norm = v[3];
    return d;
  }
  const Case& case_;
  GpuSpec gpu_;
  std::int64_t sms_;  // that the rates are of
};

class AttentionForm : public KernelForm {
 public:
  AttentionForm(const Case& of, const GpuSpec& gpu, std::int64_t sms)
      : case_(of), gpu_(gpu), sms_(sms) {}
  std::vector<Parameter> parameters() const override {
    const double hbm = gpu_.hbm_bandwidth.in(B_per_s), peak = gpu_.peak_bf16.in(FLOP_per_s);
    return {{"rate", 0.6 * peak, 0.02 * peak, peak},
            {"overhead", 10e-6, 1e-7, 500e-6},
            {"bandwidth", 0.8 * hbm, 0.1 * hbm, hbm}};
  }
  std::vector<double> seconds(const std::vector<double>& v,
                              const std::vector<const Point*>& points) const override {
    const AttentionModel a = model_of(v);
    std::vector<double> result;
    result.reserve(points.size());
    for (const Point* p : points) {
      const AttentionShape shape = shape_of(*p);
      const Work work = case_.work(p->shape, p->counts);
      result.push_back(attention_base_time(
                           a, shape, work.flops, work.bytes, gpu_.hbm_bandwidth, sms_of(*p, gpu_))
                           .in(s));
    }
    return result;
  }
  std::vector<double> residual_axes(const Point& p) const override {
    const auto axes = attention_axes(shape_of(p));
    return {axes.begin(), axes.end()};
  }
  std::vector<Grouping> groupings() const override {
    return {{"shape", {0, 1, 2, 3}}, {"seq", {1}}, {"batch", {0}}};
  }
  void store(const std::vector<double>& v,
             const Residual& residual,
             const std::vector<const Point*>& points,
             Profile& profile) const override {
    AttentionModel a = model_of(v);
    a.qk_head_dim = points.front()->shape[4];
    a.v_head_dim = points.front()->shape[5];
    a.residual = residual;
    profile.attention[kernel_index(case_)] = a;
  }

 private:
  AttentionModel model_of(const std::vector<double>& v) const {
    AttentionModel a;
    a.sms = sms_;
    a.rate = v[0] * FLOP_per_s;
    a.overhead = v[1] * s;
    a.bandwidth = v[2] * B_per_s;
    return a;
  }
  static AttentionShape shape_of(const Point& p) {
    return {p.shape[0], p.shape[1], p.shape[2], p.shape[3], p.shape[4], p.shape[5]};
  }
  const Case& case_;
  GpuSpec gpu_;
  std::int64_t sms_;  // that the rates are of
};

// Also of fixed duration: then the overhead is all there is.
class MemoryForm : public KernelForm {
 public:
  // `several`: measured with several SM counts, so that it shows where the memory is the bound.
  MemoryForm(const Case& of, const GpuSpec& gpu, std::int64_t sms, bool several)
      : case_(of), moves_(of.form == Form::memory), several_(several), gpu_(gpu), sms_(sms) {}
  std::vector<Parameter> parameters() const override {
    std::vector<Parameter> parameters = {{"overhead", 3e-6, 1e-8, 1e-3}};
    const double hbm = gpu_.hbm_bandwidth.in(B_per_s), sms = static_cast<double>(gpu_.num_sms);
    if (moves_) parameters.push_back({"bandwidth", 0.7 * hbm, 1e-4 * hbm, hbm});
    if (moves_ && several_) parameters.push_back({"per_sm", hbm / sms, 1e-4 * hbm / sms, hbm});
    return parameters;
  }
  std::vector<double> seconds(const std::vector<double>& v,
                              const std::vector<const Point*>& points) const override {
    std::vector<double> result;
    result.reserve(points.size());
    const double hbm = gpu_.hbm_bandwidth.in(B_per_s);
    for (const Point* p : points) {
      if (!moves_) {
        result.push_back(v[0]);
        continue;
      }
      const auto sms = static_cast<double>(sms_of(*p, gpu_));
      const double rate = several_ ? std::min(v[2] * sms, v[1])
                                   : std::min(v[1] * sms / static_cast<double>(sms_), hbm);
      result.push_back(v[0] + static_cast<double>(p->shape[0]) / rate);
    }
    return result;
  }
  std::vector<double> residual_axes(const Point& /*p*/) const override { return {}; }
  std::vector<Grouping> groupings() const override {
    if (!moves_) return {};
    return {{"bytes", {0}}};
  }
  void store(const std::vector<double>& v,
             const Residual& /*residual*/,
             const std::vector<const Point*>& /*points*/,
             Profile& profile) const override {
    MemoryModel m;
    if (moves_) m.bandwidth = v[1] * B_per_s;
    if (moves_ && several_) m.per_sm = v[2] * B_per_s;
    m.overhead = v[0] * s;
    m.sms = sms_;
    profile.memory[kernel_index(case_)] = m;
  }

 private:
  const Case& case_;
  bool moves_, several_;
  GpuSpec gpu_;
  std::int64_t sms_;  // that the rates are of
};

}  // namespace

std::size_t kernel_index(const Case& of) {
  const auto* const it = std::find(kKernelNames.begin(), kKernelNames.end(), of.op);
  ENSURE(it != kKernelNames.end());
  return static_cast<std::size_t>(it - kKernelNames.begin());
}

std::unique_ptr<KernelForm> kernel_form(const Case& of,
                                        const GpuSpec& gpu,
                                        TileRule rule,
                                        const std::vector<const Point*>& points) {
  const std::int64_t sms = usual_sms(points, gpu);
  const bool several = std::any_of(
      points.begin(), points.end(), [&](const Point* p) { return sms_of(*p, gpu) != sms; });
  switch (of.form) {
    case Form::gemm: return std::make_unique<GemmForm>(of, gpu, rule);
    case Form::decode: return std::make_unique<DecodeForm>(of, gpu, sms);
    case Form::attention: return std::make_unique<AttentionForm>(of, gpu, sms);
    case Form::memory:
    case Form::fixed: return std::make_unique<MemoryForm>(of, gpu, sms, several);
    case Form::segments: break;
  }
  ENSURE(of.form != Form::segments);  // fitted per geometry (calibrate/fit/segment_fit)
  return nullptr;
}

}  // namespace moesim
