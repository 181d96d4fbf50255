// A profile carried to another GPU: what scales by which ratio, what stays, what is dropped, and
// what the result says of itself.
#include <string>

#include "model/cost_model.hpp"
#include "model/profile_transfer.hpp"
#include "tests/catch.hpp"
#include "tests/plain_profile.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

ModelError some_error(double inside, double outside) {
  return {inside, outside, "held_out", 10, {}};
}

// One kernel of each kind on a GPU of 100 SMs; the attention and the cast used 80 of them.
Profile made_up() {
  Profile p;
  p.id = "first";
  p.kind = ProfileKind::measured;
  p.gpu.name = "G1";
  p.gpu.num_sms = 100;
  p.gpu.hbm = 80 * GB;
  p.gpu.hbm_bandwidth = 2 * TB_per_s;
  p.gpu.nvlink_bandwidth = 200 * GB_per_s;
  p.gpu.peak_fp8 = 2000 * TFLOP_per_s;
  p.gpu.peak_bf16 = 1000 * TFLOP_per_s;
  GemmModel g;
  g.mma_efficiency = 0.7;
  g.load = 100 * GB_per_s;
  g.store = 20 * GB_per_s;
  g.fill = 1 * us;
  g.overhead = 3 * us;
  g.hbm_efficiency = 0.8;
  g.m = g.n = g.k = {64, 8192};
  g.sms = {80, 100};
  g.residual = {4, {10, 10, 10, 2}, {0}, 0.1};
  p.gemm[at(Kernel::gemm_fp8)] = g;
  AttentionModel a;
  a.rate = 400 * TFLOP_per_s;
  a.overhead = 20 * us;
  a.sms = 80;
  a.qk_head_dim = 192;
  a.v_head_dim = 128;
  a.bandwidth = 1.5 * TB_per_s;
  p.attention[at(Kernel::attention_forward)] = a;
  p.decode = DecodeModel{2 * us, 10 * us, 1.6 * TB_per_s, 4, 100, {}};
  p.memory[at(Kernel::cast)] = MemoryModel{1 * TB_per_s, {}, 4 * us, 80};
  p.memory[at(Kernel::rope)] = MemoryModel{1 * TB_per_s, 15 * GB_per_s, 4 * us, 80};
  p.memory[at(Kernel::small)] = MemoryModel{{}, {}, 3 * us, 80};
  p.error[at(Kernel::gemm_fp8)] = some_error(0.05, 0.2);
  p.error[at(Kernel::cast)] = some_error(0.1, 0.1);
  p.points = {{Kernel::gemm_fp8, {64, 64, 64, 1}, 100, 1 * TFLOP_per_s}};
  p.comm.nvlink_efficiency = 0.7;
  p.comm.cast_per_sm = 13 * GB_per_s;
  p.comm.links = some_error(0.09, 0.15);
  p.comm.overlap = some_error(0.1, 0.2);
  p.comm.copies = some_error(0.11, 0.21);
  p.comm.overheads = some_error(0.12, 0.22);
  p.launch_gap = 2 * us;
  p.launch_error = some_error(0.13, 0.23);
  p.gemm_slowdown = {{20}, {1.05}, "x"};
  p.groups = {{"all_reduce", 8, 8, 0, 0, 0, {{10 * us, 1e11}}, {1, 1e9}, {}, "y"}};
  return p;
}

GpuSpec other_gpu() {
  GpuSpec gpu = made_up().gpu;
  gpu.name = "G2";
  return gpu;
}

}  // namespace

TEST_CASE("profile transfer: to its own GPU nothing changes", "[profile_transfer]") {
  const Profile from = made_up(), to = transferred(from, from.gpu);
  CHECK(to.id == "first");
  CHECK(to.kind == ProfileKind::measured);
  CHECK(to.derived_from.empty());
  CHECK(to.points.size() == 1);
  CHECK(to.groups.size() == 1);
  CHECK(to.error[at(Kernel::gemm_fp8)].inside == 0.05);
  CHECK(to.comm.links.inside == 0.09);
  CHECK(to.attention[at(Kernel::attention_forward)]->sms == 80);
}

TEST_CASE("profile transfer: each kind of kernel by its own ratio", "[profile_transfer]") {
  GpuSpec gpu = other_gpu();
  gpu.num_sms = 50;
  gpu.peak_bf16 = 3000 * TFLOP_per_s;
  gpu.peak_fp8 = 6000 * TFLOP_per_s;
  gpu.hbm_bandwidth = 8 * TB_per_s;
  const Profile to = transferred(made_up(), gpu);
  // GEMM: efficiencies of the new peaks, per-SM rates and times as they were.
  const GemmModel& g = *to.gemm[at(Kernel::gemm_fp8)];
  CHECK(g.mma_efficiency == 0.7);
  CHECK(g.hbm_efficiency == 0.8);
  CHECK(g.load.in(GB_per_s) == Approx(100));
  CHECK(g.store.in(GB_per_s) == Approx(20));
  CHECK(g.fill.in(us) == Approx(1));
  CHECK(g.overhead.in(us) == Approx(3));
  CHECK(g.sms == std::array<std::int64_t, 2>{50, 50});
  CHECK(g.m == std::array<std::int64_t, 2>{64, 8192});
  CHECK(g.residual.constant == 0.1);
  // Attention: 80 of 100 SMs gave 400; all would give 500; three times the peak, 1500.
  const AttentionModel& a = *to.attention[at(Kernel::attention_forward)];
  CHECK(a.rate.in(TFLOP_per_s) == Approx(1500));
  CHECK(a.sms == 50);
  CHECK(a.bandwidth->in(TB_per_s) == Approx(6));
  CHECK(a.overhead.in(us) == Approx(20));
  // Decode: an SM has six times the peak.
  CHECK(to.decode->block.in(us) == Approx(2. / 6));
  CHECK(to.decode->overhead.in(us) == Approx(10));
  CHECK(to.decode->bandwidth.in(TB_per_s) == Approx(6.4));
  CHECK(to.decode->sms == 50);
  // Casts: 80 of 100 SMs gave 1; all would give 1.25; four times the memory, 5.
  CHECK(to.memory[at(Kernel::cast)]->bandwidth->in(TB_per_s) == Approx(5));
  CHECK(to.memory[at(Kernel::cast)]->sms == 50);
  CHECK(to.memory[at(Kernel::cast)]->overhead.in(us) == Approx(4));
  // Where an SM's own rate is known, the other is of the memory alone, and the SM's stays.
  CHECK(to.memory[at(Kernel::rope)]->bandwidth->in(TB_per_s) == Approx(4));
  CHECK(to.memory[at(Kernel::rope)]->per_sm->in(GB_per_s) == Approx(15));
  CHECK_FALSE(to.memory[at(Kernel::small)]->bandwidth);
  CHECK(to.memory[at(Kernel::small)]->overhead.in(us) == Approx(3));
  // Everything else.
  CHECK(to.comm.nvlink_efficiency == 0.7);
  CHECK(to.comm.cast_per_sm.in(GB_per_s) == Approx(13));
  CHECK(to.launch_gap.in(us) == Approx(2));
  CHECK(to.gemm_slowdown.factor.at(0) == 1.05);
  CHECK(to.gpu.name == "G2");
  CHECK(to.gpu.num_sms == 50);
}

TEST_CASE("profile transfer: what a derived profile says of itself", "[profile_transfer]") {
  GpuSpec gpu = other_gpu();
  gpu.hbm_bandwidth = 3 * TB_per_s;
  const Profile second = transferred(made_up(), gpu);
  CHECK(second.kind == ProfileKind::derived);
  CHECK(second.id == "first-on-G2");
  CHECK(second.derived_from == "first");
  CHECK(second.points.empty());
  // The errors inside become those outside; where they are equal they stay.
  CHECK(second.error[at(Kernel::gemm_fp8)].inside == 0.2);
  CHECK(second.error[at(Kernel::gemm_fp8)].outside == 0.2);
  CHECK(second.error[at(Kernel::cast)].inside == 0.1);
  CHECK(second.comm.links.inside == 0.15);
  CHECK(second.comm.overlap.inside == 0.2);
  CHECK(second.comm.copies.inside == 0.21);
  CHECK(second.comm.overheads.inside == 0.22);
  CHECK(second.launch_error.inside == 0.23);
  // A third GPU: of the first profile still.
  gpu.name = "G3";
  gpu.num_sms = 120;
  const Profile third = transferred(second, gpu);
  CHECK(third.kind == ProfileKind::derived);
  CHECK(third.id == "first-on-G2-on-G3");
  CHECK(third.derived_from == "first");
  CHECK(third.gpu.name == "G3");
}

TEST_CASE("profile transfer: back again, the rates are the first ones", "[profile_transfer]") {
  GpuSpec gpu = other_gpu();
  gpu.num_sms = 144;
  gpu.peak_bf16 = 700 * TFLOP_per_s;
  gpu.hbm_bandwidth = 3 * TB_per_s;
  const Profile first = made_up(), back = transferred(transferred(first, gpu), first.gpu);
  CHECK(back.kind == ProfileKind::derived);  // it does not know that it is home
  const auto& a = *first.attention[at(Kernel::attention_forward)];
  const auto& b = *back.attention[at(Kernel::attention_forward)];
  CHECK((b.rate / static_cast<double>(b.sms)) / (a.rate / static_cast<double>(a.sms)) == Approx(1));
  CHECK(back.decode->block / first.decode->block == Approx(1));
  CHECK(back.decode->bandwidth / first.decode->bandwidth == Approx(1));
  const MemoryModel &c = *first.memory[at(Kernel::cast)], &d = *back.memory[at(Kernel::cast)];
  CHECK((*d.bandwidth / static_cast<double>(d.sms)) / (*c.bandwidth / static_cast<double>(c.sms)) ==
        Approx(1));
}

TEST_CASE("profile transfer: a GPU that computes alike keeps the points", "[profile_transfer]") {
  GpuSpec gpu = other_gpu();
  gpu.hbm = 96 * GB;
  CHECK(same_compute(made_up().gpu, gpu));
  const Profile alike = transferred(made_up(), gpu);
  CHECK(alike.kind == ProfileKind::derived);
  CHECK(alike.derived_from == "first");
  CHECK(alike.gpu.name == "G2");
  CHECK(alike.points.size() == 1);
  CHECK(alike.groups.size() == 1);  // its links are as fast
  CHECK(alike.gemm[at(Kernel::gemm_fp8)]->sms == std::array<std::int64_t, 2>{80, 100});
  CHECK(alike.attention[at(Kernel::attention_forward)]->sms == 80);
  CHECK(alike.attention[at(Kernel::attention_forward)]->rate.in(TFLOP_per_s) == Approx(400));
  CHECK(alike.error[at(Kernel::gemm_fp8)].inside == 0.05);
  CHECK(alike.comm.links.inside == 0.15);

  gpu.nvlink_bandwidth = 450 * GB_per_s;  // as the H100's to the H800's
  const Profile faster = transferred(made_up(), gpu);
  CHECK(faster.points.size() == 1);
  CHECK(faster.groups.empty());
  CHECK(faster.comm.nvlink_efficiency == 0.7);

  for (const int changed : {0, 1, 2, 3}) {
    GpuSpec differs = other_gpu();
    if (changed == 0) differs.num_sms = 99;
    if (changed == 1) differs.peak_bf16 = 999 * TFLOP_per_s;
    if (changed == 2) differs.peak_fp8.reset();
    if (changed == 3) differs.hbm_bandwidth = 1.9 * TB_per_s;
    CAPTURE(changed);
    CHECK_FALSE(same_compute(made_up().gpu, differs));
    CHECK(transferred(made_up(), differs).points.empty());
  }
}

TEST_CASE("profile transfer: the same name with other figures is another GPU",
          "[profile_transfer]") {
  GpuSpec altered = made_up().gpu;
  altered.hbm_bandwidth = 4 * TB_per_s;
  const Profile to = transferred(made_up(), altered);
  CHECK(to.kind == ProfileKind::derived);
  CHECK(to.id == "first-on-altered-G1");
  CHECK(to.memory[at(Kernel::cast)]->bandwidth->in(TB_per_s) == Approx(2.5));
  CHECK(to.points.empty());
  // Other links alone leave the kernels measured, but not the collectives.
  GpuSpec links = made_up().gpu;
  links.nvlink_bandwidth = 400 * GB_per_s;
  const Profile faster = transferred(made_up(), links);
  CHECK(faster.kind == ProfileKind::measured);
  CHECK(faster.id == "first");
  CHECK(faster.points.size() == 1);
  CHECK(faster.groups.empty());
  CHECK(faster.gpu.nvlink_bandwidth.in(GB_per_s) == Approx(400));
}

// What-if questions change a GPU file's figure: every kernel has to follow.
TEST_CASE("profile transfer: an overridden GPU is costed with its own figures",
          "[profile_transfer]") {
  const auto scenario = [](const std::vector<std::pair<std::string, std::string>>& changes) {
    return shipped_scenario("deepseek-v3-chunk", changes);
  };
  const auto cost = [](const Scenario& sc, Op op) {
    return CostModel(sc.profile, sc.cluster.gpu).cost(op, {132, false});
  };
  const Scenario before = scenario({}),
                 after = scenario({{"/cluster/gpu/hbm_bandwidth", "\"6.7 TB/s\""}});
  const MemoryModel& model = *before.profile.memory[at(Kernel::cast)];
  Op cast;
  cast.kernel = Kernel::cast;
  cast.bytes = 1 * GB;
  CHECK((cost(after, cast).time - model.overhead) / (cost(before, cast).time - model.overhead) ==
        Approx(0.5));
  // A measured point is not the altered GPU's.
  const GemmPoint& p = before.profile.points.at(0);
  Op gemm;
  gemm.kernel = p.kernel;
  gemm.gemm = p.shape;
  gemm.flops =
      2. * static_cast<double>(p.shape.m) * static_cast<double>(p.shape.n * p.shape.k) * FLOP;
  REQUIRE(p.sms == 132);
  CHECK(cost(before, gemm).origin == Origin::measured);
  CHECK(cost(after, gemm).origin == Origin::extrapolated);
}
