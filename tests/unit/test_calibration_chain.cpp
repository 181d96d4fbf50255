// The chain: a fake device is measured, its points are fitted, the profile feeds the cost model,
// and what comes out is the formula that nobody but the device knew.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "calibrate/check_step.hpp"
#include "calibrate/fake_device.hpp"
#include "calibrate/fit/fit_profile.hpp"
#include "calibrate/fit/kernel_form.hpp"
#include "calibrate/measure.hpp"
#include "model/cost_model.hpp"
#include "model/op_graph.hpp"
#include "tests/catch.hpp"
#include "tests/hidden_points.hpp"

namespace moesim {
namespace {

constexpr double kNoise = 0.02;

struct Chain {
  GpuSpec gpu = gpu_named("h100");
  PointFile points;
  FitResult fit;
};

// Measured once, for all cases.
const Chain& chain() {
  static const Chain chain = [] {
    Chain c;
    const TemporaryFolder folder;
    const auto file = folder.path() / "points.jsonl";
    const auto device = make_fake_device("h100", c.gpu, {kNoise, 3, {}});
    {
      PointWriter out(file);
      measure(*device, c.gpu, measuring_plan(Suite::hopper, {}, *device), {}, {}, out);
      out.finish();
    }
    c.points = read_points(file, scenario_folder() / "gpus");
    FitRequest request;
    request.id = "chain";
    request.about = "A test.";
    request.num_threads = 2;
    c.fit = fit_profile({c.points},
                        c.gpu,
                        read_profile_file(scenario_folder() / "profiles/h800-published.json"),
                        request);
    // As `moesim run` would have it: through the file.
    c.fit.profile = read_profile_file(folder.add_file(
        "p.json", profile_text(c.fit.profile, (scenario_folder() / "gpus/h100.json").string())));
    return c;
  }();
  return chain;
}

Op op_of(const Case& of, const Call& call) {
  const Shape& x = call.shape;
  Op op;
  op.kernel = static_cast<Kernel>(kernel_index(of));
  const Work work = of.work(x, call.counts);
  op.flops = work.flops;
  op.bytes = work.bytes;
  op.counts = call.counts;
  if (of.form == Form::gemm)
    op.gemm = x.size() == 4 ? GemmShape{x[1], x[2], x[3], x[0]} : GemmShape{x[0], x[1], x[2], 1};
  if (of.form == Form::attention) op.attention = {x[0], x[1], x[2], x[3], x[4], x[5]};
  if (of.form == Form::decode) op.attention = {x[0], x[2], x[1], x[3], kDecodeQkDim, kDecodeVDim};
  return op;
}

// Shapes between those that were measured, and none of them.
std::vector<Call> unseen(const Case& of) {
  std::set<Shape> seen;
  for (const Point& p : chain().points.points)
    if (p.of == &of) seen.insert(p.shape);
  std::vector<Call> calls;
  const auto add = [&](Shape shape) {
    REQUIRE_FALSE(seen.contains(shape));
    calls.push_back({std::move(shape), {}, 0, false});
  };
  if (of.form == Form::gemm && of.axes.size() == 4) {
    for (const std::int64_t groups : {6, 12, 24})
      for (const std::int64_t rows : {3, 24, 100, 200, 700, 3000})
        add({groups, groups * rows, 4096, 7168});
  } else if (of.form == Form::gemm) {
    for (const std::int64_t m : {40, 200, 700, 1500, 3000, 6000, 14000})
      for (const std::int64_t n : {2000, 3072, 6144, 12288})
        for (const std::int64_t k : {1800, 3584, 6656}) add({m, n, k});
  } else if (of.form == Form::attention) {
    for (const std::int64_t batch : {1, 3})
      for (const std::int64_t seq : {900, 1800, 3000, 5500}) add({batch, seq, 0, 128, 192, 128});
  } else if (of.form == Form::decode) {
    for (const std::int64_t batch : {3, 24, 100, 200})
      for (const std::int64_t kv : {700, 3000, 6000, 12000}) add({batch, kv, 1, 128});
  } else {
    for (const std::int64_t kib : {100, 700, 3000, 12000, 50000, 200000}) add({kib * 1024});
  }
  return calls;
}

// Held-out errors of every operation are within the injected noise.
void check_held_out() {
  const FitResult& fit = chain().fit;
  std::set<std::string_view> ops;
  for (const KernelFit& kernel : fit.kernels) {
    ops.insert(kernel.of->op);
    REQUIRE_FALSE(kernel.left_out.empty());
    for (const LeftOut& left : kernel.left_out) {
      INFO(kernel.of->op << " without " << left.what);
      CHECK(left.error.median < kNoise);
      CHECK(left.error.num_points == kernel.num_points);
    }
    REQUIRE(kernel.repeat_noise);
    CHECK(kernel.repeat_noise->median < 2 * kNoise);
  }
  // Everything that the device can run was measured and fitted.
  for (const Case* c : cases())
    if (c->experiment != nullptr) {
      CHECK(ops.contains(c->op));
    }
  CHECK(fit.profile.kind == ProfileKind::synthetic);
}

// Shapes never measured are predicted as the device takes them.
void check_unseen() {
  const Chain& c = chain();
  const CostModel model(c.fit.profile, c.gpu);
  for (const KernelFit& kernel : c.fit.kernels) {
    std::vector<double> errors, interpolated;
    std::size_t inside = 0;
    for (const Call& call : unseen(*kernel.of)) {
      const Cost cost = model.cost(op_of(*kernel.of, call), {c.gpu.num_sms, false});
      const Seconds hidden = hidden_time(*kernel.of, call, c.gpu, Cache::cold);
      errors.push_back(std::abs(cost.time / hidden - 1));
      if (cost.origin == Origin::interpolated) interpolated.push_back(errors.back());
      inside += std::abs(std::log(cost.time / hidden)) <= cost.log_error ? 1 : 0;
    }
    const ErrorSummary all = summarise(errors), near = summarise(interpolated);
    INFO(kernel.of->op << ": median " << percent_text(all.median) << " of " << all.num_points
                       << ", p95 " << percent_text(near.p95) << " of " << near.num_points
                       << " between points, " << inside << " within their interval");
    CHECK(all.median < kNoise);
    CHECK(near.num_points >= 6);
    CHECK(near.p95 < 2 * kNoise);
    // The interval is that of noisy points; the hidden time has no noise, but a bias of the form
    // has to stay within it.
    CHECK(static_cast<double>(inside) >= 0.8 * static_cast<double>(all.num_points));
  }
}

// GEMMs beside communication are slowed as the device slows them.
void check_slowdown() {
  const Chain& c = chain();
  const CommSlowdown& slowdown = c.fit.profile.gemm_slowdown;
  REQUIRE(slowdown.comm_sms.size() >= 3);
  for (std::size_t i = 0; i < slowdown.comm_sms.size(); ++i) {
    const double share = static_cast<double>(slowdown.comm_sms[i]) / 132;
    CHECK(slowdown.factor[i] == Approx(1 + 0.37 * share).epsilon(kNoise));
  }
}

// Memory-bound kernels on SM counts never measured: where the memory becomes the bound is found.
void check_memory_bound() {
  const Chain& c = chain();
  const CostModel model(c.fit.profile, c.gpu);
  for (const KernelFit& kernel : c.fit.kernels) {
    if (kernel.of->form != Form::memory) continue;
    for (const std::int64_t sms : {40, 80, 100, 124}) {
      Call call{{200'000 * std::int64_t{1024}}, {}, sms, false};
      const Cost cost = model.cost(op_of(*kernel.of, call), {sms, false});
      INFO(kernel.of->op << " on " << sms << " SMs");
      CHECK(cost.time / hidden_time(*kernel.of, call, c.gpu, Cache::cold) ==
            Approx(1).epsilon(2 * kNoise));
    }
  }
}

std::optional<Shape> shape_of(const Op& op, const Case& of) {
  const GemmShape& g = op.gemm;
  const AttentionShape& a = op.attention;
  switch (of.form) {
    case Form::gemm:
      if (of.axes.size() == 4) return Shape{g.groups, g.m, g.n, g.k};
      if (g.groups > 1 || op.out_bytes > 0) return std::nullopt;  // no call of the device
      return Shape{g.m, g.n, g.k};
    case Form::attention:
      return Shape{a.batch, a.seq, a.prefix, a.heads, a.qk_head_dim, a.v_head_dim};
    case Form::memory: return Shape{std::llround(op.bytes.in(B))};
    default: return std::nullopt;
  }
}

// The kernels of a DeepSeek-V3 layer, forward and backward, as `moesim run` costs them.
void check_layer() {
  const Chain& c = chain();
  const CostModel model(c.fit.profile, c.gpu);
  const LayerOps layer = build_layer_ops(shipped_model("deepseek-v3"),
                                         LayerKind::moe,
                                         {4096, 4096, 1, 4, Recipe::fp8_block},
                                         {32768, 32768, 22000});
  Seconds predicted, hidden;
  std::vector<double> errors;
  for (const OpList& block : layer.blocks)
    for (const Op& op : block) {
      const Case* const of = find_case(kKernelNames[static_cast<std::size_t>(op.kernel)]);
      const auto shape = of->experiment != nullptr ? shape_of(op, *of) : std::nullopt;
      if (!shape) continue;
      const Seconds cost = model.cost(op, {c.gpu.num_sms, false}).time,
                    truth =
                        op.launches * hidden_time(*of, {*shape, {}, 0, false}, c.gpu, Cache::cold);
      predicted += cost;
      hidden += truth;
      errors.push_back(std::abs(cost / truth - 1));
    }
  const ErrorSummary each = summarise(errors);
  INFO(each.num_points << " kernels, " << hidden.in(us) << " us, median "
                       << percent_text(each.median) << ", at most " << percent_text(each.max));
  CHECK(each.num_points >= 30);
  CHECK(each.max < 2 * kNoise);
  CHECK(predicted / hidden == Approx(1).epsilon(kNoise / 2));
}

// A layer's halves as check-step times them, with warm inputs and its case's shapes.
void check_steps() {
  const Chain& c = chain();
  const CostModel model(c.fit.profile, c.gpu);
  const auto device = make_fake_device("h100", c.gpu, {0, 1, {}});
  for (const StepHalf half : {StepHalf::forward, StepHalf::backward}) {
    const StepCheck check = check_step(*device, shipped_model("deepseek-v3"), model, 1, half);
    Seconds predicted, measured;
    for (const StepOperation& o : check.operations) {
      if (!o.measured) continue;
      predicted += o.predicted;
      measured += *o.measured;
      INFO(o.op.name);
      // Products find little of their inputs in L2; of what only moves data much is there.
      CHECK(o.predicted / *o.measured > 0.97);
      if (find_case(kKernelNames[static_cast<std::size_t>(o.op.kernel)])->form == Form::gemm &&
          o.op.out_bytes == 0) {
        CHECK(o.predicted / *o.measured < 1.1);
      }
    }
    CHECK(predicted / measured == Approx(1).epsilon(0.06));
    CHECK(predicted / *check.one_stream == Approx(1).epsilon(0.06));
  }
}

}  // namespace

// One case, so that there is one measurement and one fit however the cases are run.
TEST_CASE("chain: a fit of a fake device recovers the formula nobody told it") {
  SECTION("held-out errors") { check_held_out(); }
  SECTION("shapes never measured") { check_unseen(); }
  SECTION("the kernels of a simulated layer") { check_layer(); }
  SECTION("a layer as check-step times it") { check_steps(); }
  SECTION("beside communication") { check_slowdown(); }
  SECTION("memory-bound kernels on fewer SMs") { check_memory_bound(); }
}

}  // namespace moesim
