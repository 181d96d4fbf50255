// Work to seconds: scaling, where a cost says it comes from and how sure it is, on a profile made
// up here. The forms alone are in test_kernel_model.cpp, the shipped profiles in
// test_shipped_profiles.cpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/cost_model.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/plain_profile.hpp"
#include "tests/shipped_data.hpp"
#include "tests/train_trace.hpp"

using namespace moesim;

namespace {

using Counts = std::vector<std::int64_t>;

const Scenario& chunk() {
  static const Scenario scenario = shipped_scenario("deepseek-v3-chunk");
  return scenario;
}

}  // namespace

TEST_CASE("cost model: more work is never faster, more SMs are never slower", "[cost_model]") {
  Profile profile = plain_profile();
  profile.points.clear();  // the form itself: a measured point may lie on either side of it
  const CostModel model(profile, profile.gpu);
  Random random(7);
  auto pick = [&](double low, double high) {
    return static_cast<std::int64_t>(low * std::pow(high / low, random.uniform()));
  };
  for (int i = 0; i < 2000; ++i) {
    const std::int64_t m = pick(1, 40000), n = pick(16, 40000), k = pick(64, 20000);
    const std::int64_t groups = pick(1, 9), sms = pick(8, 133), grow = pick(1, 500);
    CAPTURE(m, n, k, groups, sms, grow);
    for (const Kernel kernel : {Kernel::gemm_fp8, Kernel::gemm_fp8_wgrad, Kernel::gemm_bf16}) {
      const SmShare share{sms, i % 2 == 0};
      const Seconds t = model.cost(gemm_op(kernel, m, n, k, groups), share).time;
      CHECK(t > 0 * s);
      CHECK(model.cost(gemm_op(kernel, m + grow, n, k, groups), share).time >= t);
      CHECK(model.cost(gemm_op(kernel, m, n + grow, k, groups), share).time >= t);
      CHECK(model.cost(gemm_op(kernel, m, n, k + grow, groups), share).time >= t);
      const SmShare wider{std::min<std::int64_t>(132, sms + 1 + grow % 20),
                          share.beside_communication};
      CHECK(model.cost(gemm_op(kernel, m, n, k, groups), wider).time <= t);
      CHECK(t >= model.ideal_time(gemm_op(kernel, m, n, k, groups)));  // no faster than the peak
    }
    const Bytes bytes = static_cast<double>(pick(1e3, 1e9)) * B;
    for (const Kernel kernel : {Kernel::cast, Kernel::rmsnorm, Kernel::elementwise}) {
      const Seconds t = model.cost(memory_op(kernel, bytes), {sms, false}).time;
      CHECK(model.cost(memory_op(kernel, 1.5 * bytes), {sms, false}).time >= t);
      CHECK(model.cost(memory_op(kernel, bytes), {132, false}).time <= t);
      CHECK(t >= bytes / profile.gpu.hbm_bandwidth);
    }
    const AttentionShape x{pick(1, 20), pick(1, 20000), pick(1, 20000), 128, 192, 128};
    AttentionShape more = x;
    more.batch += grow;
    const Seconds t = model.cost(attention_op(x), {sms, false}).time;
    CHECK(model.cost(attention_op(more), {sms, false}).time >= t);
    CHECK(model.cost(attention_op(x), {132, false}).time <= t);
    CHECK(t >= model.ideal_time(attention_op(x)));
    const Op decode = decode_op(pick(1, 300), pick(1, 100000));
    const Seconds d = model.cost(decode, {sms, false}).time;
    CHECK(
        model.cost(decode_op(decode.attention.batch + grow, decode.attention.prefix), {sms, false})
            .time >= d);
    CHECK(model.cost(decode, {132, false}).time <= d);
  }
}

TEST_CASE("cost model: twice the rates and no overheads take half the time", "[cost_model]") {
  auto scaled = [](double f) {
    Profile p = chunk().profile;
    p.points.clear();
    p.gpu.peak_fp8 = f * *p.gpu.peak_fp8;
    p.gpu.peak_bf16 = f * p.gpu.peak_bf16;
    p.gpu.hbm_bandwidth = f * p.gpu.hbm_bandwidth;
    for (auto& g : p.gemm) {
      if (!g) continue;
      g->load = f * g->load;
      g->store = f * g->store;
      g->fill = g->fill / f;
      g->overhead = 0 * s;
    }
    for (auto& a : p.attention) {
      if (!a) continue;
      a->rate = f * a->rate;
      a->overhead = 0 * s;
      if (a->bandwidth) a->bandwidth = f * *a->bandwidth;
    }
    for (auto& m : p.memory) {
      if (!m) continue;
      m->overhead = 0 * s;
      if (m->bandwidth) m->bandwidth = f * *m->bandwidth;
    }
    return CostModel(p, p.gpu);
  };
  const CostModel one = scaled(1), two = scaled(2);
  const LayerOps layer = trace_layer(chunk().model);
  for (const OpList& ops : layer.blocks)
    for (const Op& op : ops) {
      INFO(op.name);
      const SmShare share{112, true};
      CHECK(two.cost(op, share).time.in(ns) == Approx(one.cost(op, share).time.in(ns) / 2));
      CHECK(two.ideal_time(op).in(ns) == Approx(one.ideal_time(op).in(ns) / 2));
    }
}

TEST_CASE("cost model: every origin", "[cost_model]") {
  const Profile profile = plain_profile();
  const CostModel model(profile, profile.gpu);
  const SmShare all{132, false}, training{112, true};
  // A listed point is taken as it was measured: 1304 TFLOP/s.
  const Op point = gemm_op(Kernel::gemm_fp8, 4096, 4096, 7168);
  CHECK(model.cost(point, all).origin == Origin::measured);
  CHECK((point.flops / model.cost(point, all).time).in(TFLOP_per_s) == Approx(1304));
  CHECK(model.cost(point, training).origin == Origin::extrapolated);  // other SMs
  CHECK(model.cost(gemm_op(Kernel::gemm_fp8, 4000, 4096, 7168), all).origin ==
        Origin::interpolated);
  for (const auto& [m, n, k] : {std::array{63, 4096, 7168}, {4000, 2111, 7168}, {4000, 4096, 511}})
    CHECK(model.cost(gemm_op(Kernel::gemm_fp8, m, n, k), all).origin == Origin::extrapolated);

  CHECK(model.cost(memory_op(Kernel::cast, 1 * MB), training).origin == Origin::interpolated);
  CHECK(model.cost(memory_op(Kernel::cast, 1 * MB), all).origin == Origin::extrapolated);
  CHECK(model.cost(memory_op(Kernel::small, 0 * B), all).origin == Origin::measured);
  const auto origin = [&](const Op& op, const SmShare& share) {
    return model.cost(op, share).origin;
  };
  CHECK(origin(attention_op({1, 4096, 0, 128, 192, 128}), all) == Origin::interpolated);
  CHECK(origin(attention_op({1, 4096, 0, 128, 128, 128}), all) == Origin::extrapolated);
  CHECK(origin(attention_op({1, 4096, 0, 128, 192, 192}), all) == Origin::extrapolated);
  CHECK(origin(attention_op({1, 4096, 0, 128, 192, 128}), training) == Origin::extrapolated);
  CHECK(origin(decode_op(64, 4096), all) == Origin::interpolated);
  CHECK(origin(decode_op(64, 4096), training) == Origin::extrapolated);
  CHECK(origin(decode_op(64, 4096, 320, 512), all) == Origin::extrapolated);
  CHECK(origin(decode_op(64, 4096, 576, 256), all) == Origin::extrapolated);
  // The point has two bytes a result: with four it was not measured.
  Op wide = point;
  wide.out_bytes = 4;
  CHECK(origin(wide, all) == Origin::interpolated);
  wide.out_bytes = 2;
  CHECK(origin(wide, all) == Origin::measured);

  // Of many points, in any order, the one of just this shape; of equal ones the first.
  Profile many = profile;
  many.points.clear();
  for (const std::int64_t m : {512, 64, 4096, 128, 64})
    many.points.push_back({Kernel::gemm_fp8,
                           {m, 4096, 7168, 1},
                           132,
                           static_cast<double>(m + std::ssize(many.points)) * TFLOP_per_s});
  const CostModel listed(many, many.gpu);
  for (const auto& [m, rate] : {std::array{512, 512}, {64, 65}, {4096, 4098}, {128, 131}}) {
    const Op op = gemm_op(Kernel::gemm_fp8, m, 4096, 7168);
    CHECK((op.flops / listed.cost(op, all).time).in(TFLOP_per_s) == Approx(rate));
  }
  CHECK(listed.cost(gemm_op(Kernel::gemm_fp8, 256, 4096, 7168), all).origin ==
        Origin::interpolated);
  CHECK(listed.cost(gemm_op(Kernel::gemm_fp8, 8192, 4096, 7168), all).origin ==
        Origin::interpolated);

  // A kernel the profile does not know: the datasheet, and it says so.
  Profile without = profile;
  without.memory[at(Kernel::cast)].reset();
  without.gemm[at(Kernel::gemm_bf16)].reset();
  const CostModel roofline(without, without.gpu);
  const Cost cast = roofline.cost(memory_op(Kernel::cast, 3.35 * GB, 2), all);
  CHECK(cast.origin == Origin::roofline);
  CHECK(cast.time.in(ms) == Approx(2));  // two launches of 1 ms at 3.35 TB/s
  const Op bf16 = gemm_op(Kernel::gemm_bf16, 4096, 4096, 4096);
  CHECK(roofline.cost(bf16, {66, false}).time.in(us) ==
        Approx(bf16.flops.in(TFLOP) / 989 * 2 * 1e6));  // half the SMs
}

TEST_CASE("cost model: launches, launch gaps and the neighbour's slowdown", "[cost_model]") {
  const Profile profile = plain_profile();
  const CostModel model(profile, profile.gpu);
  const SmShare alone{112, false}, beside{112, true};
  Op op = gemm_op(Kernel::gemm_fp8, 4096, 5000, 7168);
  const Seconds one = model.cost(op, alone).time;
  CHECK(model.cost(op, beside).time / one == Approx(1.055));
  op.launches = 4;
  CHECK(model.cost(op, alone).time / one == Approx(4));
  CHECK(model.gaps(op).in(us) == Approx(4 * 2.03));
  // Weight gradients were measured beside communication and ran no slower for it.
  const Op wgrad = gemm_op(Kernel::gemm_fp8_wgrad, 7168, 5000, 4096);
  CHECK(model.cost(wgrad, beside).time == model.cost(wgrad, alone).time);
  // A streaming kernel's rate follows its SMs: 2.017 TB/s with 112.
  auto rate = [&](std::int64_t sms) {
    const Seconds t = model.cost(memory_op(Kernel::cast, 1 * GB), {sms, false}).time - 4.17 * us;
    return (1 * GB / t).in(TB_per_s);
  };
  CHECK(rate(112) == Approx(2.017));
  CHECK(rate(132) == Approx(2.017 * 132 / 112));
  CHECK(rate(56) == Approx(2.017 / 2));
  // ... up to the memory's own rate.
  const Op adds = memory_op(Kernel::elementwise, 1 * GB);
  CHECK((1 * GB / (model.cost(adds, {132, false}).time - 5.4 * us)).in(TB_per_s) == Approx(3.35));
}

TEST_CASE("cost model: streaming kernels up to what the memory gives", "[cost_model]") {
  // 20 GB/s an SM, and no more than 2 TB/s: of that 100 SMs are enough.
  Profile profile = plain_profile();
  profile.memory[at(Kernel::cast)] =
      MemoryModel{2 * TB_per_s, 20 * GB_per_s, 4 * us, profile.gpu.num_sms};
  const CostModel model(profile, profile.gpu);
  const auto cost = [&](std::int64_t sms) {
    return model.cost(memory_op(Kernel::cast, 1 * GB), {sms, false});
  };
  for (const auto& [sms, tb_per_s] : {std::pair{10, 0.2}, {50, 1.0}, {100, 2.0}, {132, 2.0}}) {
    CAPTURE(sms);
    CHECK(cost(sms).time.in(us) == Approx(4 + 1000 / tb_per_s));
    CHECK(cost(sms).origin == Origin::interpolated);  // the rate of an SM was measured
  }
}

TEST_CASE("cost model: what is remembered is what would be computed", "[cost_model]") {
  const CostModel model(plain_profile(), plain_profile().gpu);
  CostCache cache(model);
  std::vector<Op> ops;
  Random random(37);
  const auto pick = [&](double low, double high) {
    return static_cast<std::int64_t>(low * std::pow(high / low, random.uniform()));
  };
  for (int i = 0; i < 300; ++i) {
    ops.push_back(gemm_op(i % 2 == 0 ? Kernel::gemm_fp8 : Kernel::gemm_bf16,
                          pick(1, 9000),
                          pick(16, 9000),
                          pick(64, 9000)));
    ops.push_back(attention_op({pick(1, 9), pick(1, 9000), pick(1, 9000), 128, 192, 128}));
    ops.push_back(decode_op(pick(1, 300), pick(1, 9000)));
    ops.push_back(memory_op(Kernel::cast, static_cast<double>(pick(1, 1e9)) * B));
  }
  // One change at a time of all that a cost may depend on.
  Op op = gemm_op(Kernel::grouped_gemm_fp8, 4096, 4096, 7168, 8);
  op.launches = 1;
  ops.push_back(op);
  for (const Counts& counts : {Counts(8, 512), Counts{4096 - 7, 1, 1, 1, 1, 1, 1, 1}}) {
    ops.push_back(op);
    ops.back().counts = counts;
  }
  for (const double out_bytes : {2.0, 4.0, 8.0}) {
    ops.push_back(gemm_op(Kernel::gemm_bf16, 4096, 4096, 7168));
    ops.back().out_bytes = out_bytes;
  }
  for (const double launches : {0.5, 1.0, 4.0})
    ops.push_back(memory_op(Kernel::cast, 1 * MB, launches));
  for (int round = 0; round < 2; ++round)
    for (const Op& one : ops)
      for (const SmShare& share : {SmShare{132, false}, SmShare{112, false}, SmShare{112, true}}) {
        const Cost cached = cache.cost(one, share), computed = model.cost(one, share);
        CHECK(cached.time == computed.time);
        CHECK(cached.origin == computed.origin);
        CHECK(cached.log_error == computed.log_error);
      }
}

TEST_CASE("cost model: a profile carried to another GPU", "[cost_model]") {
  const Profile profile = plain_profile();
  GpuSpec twice = profile.gpu;
  twice.name = "twice an H800";
  twice.peak_fp8 = 2 * *twice.peak_fp8;
  twice.peak_bf16 = 2 * twice.peak_bf16;
  twice.hbm_bandwidth = 2 * twice.hbm_bandwidth;
  const CostModel here(profile, profile.gpu), there(profile, twice);
  CHECK_FALSE(here.is_derived());
  CHECK(there.is_derived());
  const SmShare all{132, false};
  // No measured point is taken as its own.
  const Op point = gemm_op(Kernel::gemm_fp8, 4096, 4096, 7168);
  CHECK(there.cost(point, all).origin == Origin::extrapolated);
  CHECK(there.cost(memory_op(Kernel::small, 0 * B), all).origin == Origin::extrapolated);
  // Attention scales with the peak, casts with the memory; overheads stay.
  const Op attention = attention_op({1, 4096, 0, 128, 192, 128});
  const Seconds fa = here.cost(attention, all).time - 45 * us;
  CHECK((there.cost(attention, all).time - 45 * us) / fa == Approx(0.5));
  const Op cast = memory_op(Kernel::cast, 1 * GB);
  CHECK((there.cost(cast, all).time - 4.17 * us) / (here.cost(cast, all).time - 4.17 * us) ==
        Approx(0.5));
  // The same GPU under another name predicts what the form says at home.
  GpuSpec twin = profile.gpu;
  twin.name = "H100";
  const CostModel renamed(profile, twin);
  const Op unseen = gemm_op(Kernel::gemm_fp8, 4096, 5000, 7168);
  CHECK(renamed.cost(unseen, all).time == here.cost(unseen, all).time);
  CHECK(renamed.cost(unseen, all).origin == Origin::extrapolated);
}

TEST_CASE("cost model: the slowdown follows the SMs that communicate", "[cost_model]") {
  Profile profile = plain_profile();
  profile.points.clear();
  profile.gemm_slowdown = {{8, 20}, {1.02, 1.05}, "x"};
  const CostModel model(profile, profile.gpu);
  const auto ratio = [&](const Op& op, std::int64_t sms) {
    return model.cost(op, {sms, true}).time / model.cost(op, {sms, false}).time;
  };
  for (const Kernel kernel : {Kernel::gemm_fp8, Kernel::gemm_bf16, Kernel::grouped_gemm_fp8}) {
    const Op op = gemm_op(kernel, 4096, 5000, 7168);
    CHECK(ratio(op, 132) == 1);
    CHECK(ratio(op, 128) == Approx(1.01));
    CHECK(ratio(op, 124) == Approx(1.02));
    CHECK(ratio(op, 118) == Approx(1.035));
    CHECK(ratio(op, 112) == Approx(1.05));
    CHECK(ratio(op, 100) == Approx(1.05));
  }
  CHECK(ratio(gemm_op(Kernel::gemm_fp8_wgrad, 4096, 5000, 7168), 112) == 1);
  CHECK(ratio(attention_op({1, 4096, 0, 128, 192, 128}), 112) == 1);
  CHECK(ratio(memory_op(Kernel::cast, 1 * GB), 112) == 1);
}
