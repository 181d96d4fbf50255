// A profile file: what it holds after reading, that writing it and reading it again loses nothing,
// and what is computed from it directly. What is refused is in test_bad_profile.cpp.
#include <filesystem>
#include <string>
#include <vector>

#include "model/profile.hpp"
#include "tests/catch.hpp"
#include "tests/plain_profile.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_scenario.hpp"

using namespace moesim;

namespace {

// The small scenario's profile, with `from` replaced by `to`.
Profile small_profile(const std::string& from = "", const std::string& to = "") {
  Texts texts = small_scenario();
  if (!from.empty()) replace_once(texts.at("profile.json"), from, to);
  const TemporaryFolder folder;
  folder.add_file("gpu.json", texts.at("gpu.json"));
  return read_profile_file(folder.add_file("profile.json", texts.at("profile.json")));
}

std::filesystem::path h800_file() { return scenario_folder() / "profiles" / "h800-published.json"; }

// Written beside the GPU files and read again.
Profile written_and_read(const Profile& profile, const std::string& gpu_file) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "gpus");
  std::filesystem::create_directory(folder.path() / "profiles");
  for (const auto& entry : std::filesystem::directory_iterator(scenario_folder() / "gpus"))
    std::filesystem::copy_file(entry.path(), folder.path() / "gpus" / entry.path().filename());
  return read_profile_file(
      folder.add_file("profiles/p.json", profile_text(profile, "../gpus/" + gpu_file)));
}

// A fit gives four digits, and so does a file.
void check_near(double a, double b) { CHECK(a == Approx(b).epsilon(6e-5)); }

void check_same(const ModelError& a, const ModelError& b) {
  check_near(a.inside, b.inside);
  check_near(a.outside, b.outside);
  CHECK(a.basis == b.basis);
  CHECK(a.num_points == b.num_points);
  REQUIRE(a.tests.size() == b.tests.size());
  for (std::size_t i = 0; i < a.tests.size(); ++i) {
    CHECK(a.tests[i].what == b.tests[i].what);
    check_near(a.tests[i].median, b.tests[i].median);
    check_near(a.tests[i].p95, b.tests[i].p95);
    check_near(a.tests[i].max, b.tests[i].max);
  }
}

void check_same(const Residual& a, const Residual& b) {
  CHECK(a.num_axes == b.num_axes);
  CHECK(a.centres == b.centres);  // to the bit: weights cancel
  CHECK(a.weights == b.weights);
  CHECK(a.constant == b.constant);
}

}  // namespace

TEST_CASE("profile: every figure of the small one", "[profile]") {
  const Profile p = small_profile();
  CHECK(p.id == "p");
  CHECK(p.kind == ProfileKind::synthetic);
  CHECK(p.about == "test");
  CHECK(p.derived_from.empty());
  CHECK(p.gpu.name == "X100");

  REQUIRE(p.gemm[at(Kernel::gemm_bf16)]);
  const GemmModel& g = *p.gemm[at(Kernel::gemm_bf16)];
  CHECK(g.rule == TileRule::fastest);
  CHECK(g.mma_efficiency == 0.8);
  CHECK(g.load.in(GB_per_s) == Approx(200));
  CHECK(g.store.in(GB_per_s) == Approx(40));
  CHECK(g.fill.in(us) == Approx(0.4));
  CHECK(g.overhead.in(us) == Approx(2.5));
  CHECK(g.hbm_efficiency == 0.9);
  CHECK(g.norm == 4);
  CHECK(g.out_bytes == 2);
  using Range = std::array<std::int64_t, 2>;
  CHECK(g.m == Range{64, 8192});
  CHECK(g.n == Range{512, 4096});
  CHECK(g.k == Range{256, 2048});
  CHECK(g.sms == Range{112, 132});
  CHECK(g.residual.num_axes == 4);
  CHECK(g.residual.centres == std::vector<double>{6.5, 11, 12.5, 0.5, 9, 11, 12.5, 2});
  CHECK(g.residual.weights == std::vector<double>{0.25, -0.25});
  CHECK(g.residual.constant == 0.01);
  REQUIRE(p.points.size() == 1);
  CHECK(p.points[0].kernel == Kernel::gemm_bf16);
  CHECK(p.points[0].shape.n == 2112);
  CHECK(p.points[0].shape.groups == 1);
  CHECK(p.points[0].rate.in(TFLOP_per_s) == Approx(206));
  CHECK_FALSE(p.gemm[at(Kernel::gemm_fp8)]);

  const ModelError& error = p.error[at(Kernel::gemm_bf16)];
  CHECK(error.inside == Approx(0.065));
  CHECK(error.outside == Approx(0.149));
  CHECK(error.basis == "held_out");
  CHECK(error.num_points == 40);
  REQUIRE(error.tests.size() == 1);
  CHECK(error.tests[0].what == "m");
  CHECK(error.tests[0].median == Approx(0.025));
  CHECK(error.tests[0].p95 == Approx(0.0625));
  CHECK(error.tests[0].max == Approx(0.075));

  const AttentionModel& a = *p.attention[at(Kernel::attention_forward)];
  CHECK(a.rate.in(TFLOP_per_s) == Approx(608));
  CHECK(a.overhead.in(us) == Approx(45));
  CHECK(a.sms == 130);
  CHECK(a.qk_head_dim == 192);
  CHECK(a.v_head_dim == 128);
  CHECK_FALSE(a.bandwidth);
  CHECK(a.residual.empty());
  REQUIRE(p.decode);
  CHECK(p.decode->block.in(us) == Approx(1.6));
  CHECK(p.decode->overhead.in(us) == Approx(10));
  CHECK(p.decode->bandwidth.in(TB_per_s) == Approx(3));
  CHECK(p.decode->norm == 5);
  CHECK(p.decode->sms == 129);
  CHECK(p.memory[at(Kernel::cast)]->bandwidth->in(TB_per_s) == Approx(2));
  CHECK(p.memory[at(Kernel::cast)]->sms == 111);
  CHECK(p.source[at(Kernel::cast)] == "u");
  CHECK(p.source[at(Kernel::rope)].empty());
  for (const double shift : p.shift) CHECK(shift == 0);

  CHECK(p.comm.combine_overlap == 0.7);
  CHECK(p.comm.links.inside == Approx(0.09));
  CHECK(p.comm.overlap.inside == Approx(0.12));
  CHECK(p.comm.copies.outside == Approx(0.23));
  CHECK(p.comm.overheads.outside == Approx(0.24));
  CHECK(p.launch_gap.in(us) == Approx(2));
  CHECK(p.chunk_startup.in(us) == Approx(800));
  CHECK(p.launch_error.outside == Approx(0.25));
  CHECK(p.gemm_slowdown.comm_sms == std::vector<std::int64_t>{8, 20});
  CHECK(p.gemm_slowdown.factor == std::vector<double>{1.02, 1.05});
  REQUIRE(p.groups.size() == 1);
  CHECK(p.groups[0].op == "all_reduce");
  CHECK(p.groups[0].ranks == 16);
  CHECK(p.groups[0].ranks_per_node == 8);
  CHECK(p.groups[0].hidden == 0);
  CHECK(p.groups[0].sizes == std::array<double, 2>{512, 1e9});
  REQUIRE(p.groups[0].segments.size() == 2);
  CHECK(p.groups[0].segments[1].latency.in(us) == Approx(40));
  CHECK(p.groups[0].segments[1].size_per_s == 2e11);
}

TEST_CASE("profile: written and read again, it is the same", "[profile]") {
  Texts texts = small_scenario();
  const Profile small = small_profile();
  const TemporaryFolder folder;
  folder.add_file("gpu.json", texts.at("gpu.json"));
  const Profile again =
      read_profile_file(folder.add_file("p.json", profile_text(small, "gpu.json")));
  CHECK(profile_text(again, "gpu.json") == profile_text(small, "gpu.json"));
  check_same(again.gemm[at(Kernel::gemm_bf16)]->residual,
             small.gemm[at(Kernel::gemm_bf16)]->residual);
  REQUIRE(again.groups.size() == 1);
  CHECK(again.groups[0].op == "all_reduce");
  CHECK(again.groups[0].sizes == small.groups[0].sizes);
  CHECK(again.groups[0].segments[0].latency.in(us) == Approx(15));
  CHECK(again.groups[0].segments[1].size_per_s == 2e11);
  check_same(again.groups[0].error, small.groups[0].error);
  CHECK(again.decode->sms == 129);
  CHECK(again.gemm_slowdown.factor == small.gemm_slowdown.factor);
  CHECK(again.launch_source == "w");
}

TEST_CASE("profile: the shipped one, written and read again", "[profile]") {
  const Profile shipped = read_profile_file(h800_file()),
                again = written_and_read(shipped, "h800.json");
  CHECK(profile_text(again, "x.json") == profile_text(shipped, "x.json"));
  CHECK(again.id == shipped.id);
  CHECK(again.kind == shipped.kind);
  for (std::size_t i = 0; i < kNumKernels; ++i) {
    INFO(kKernelNames[i]);
    CHECK(again.source[i] == shipped.source[i]);
    check_same(again.error[i], shipped.error[i]);
    REQUIRE(again.gemm[i].has_value() == shipped.gemm[i].has_value());
    REQUIRE(again.attention[i].has_value() == shipped.attention[i].has_value());
    REQUIRE(again.memory[i].has_value() == shipped.memory[i].has_value());
    if (const auto& g = shipped.gemm[i]) {
      CHECK(again.gemm[i]->rule == g->rule);
      check_near(again.gemm[i]->mma_efficiency, g->mma_efficiency);
      check_near(again.gemm[i]->load / g->load, 1);
      check_near(again.gemm[i]->store / g->store, 1);
      check_near(again.gemm[i]->fill.in(us), g->fill.in(us));
      check_near(again.gemm[i]->overhead.in(us), g->overhead.in(us));
      check_near(again.gemm[i]->hbm_efficiency, g->hbm_efficiency);
      CHECK(again.gemm[i]->norm == g->norm);
      CHECK(again.gemm[i]->m == g->m);
      CHECK(again.gemm[i]->sms == g->sms);
      check_same(again.gemm[i]->residual, g->residual);
    }
    if (const auto& a = shipped.attention[i]) {
      check_near(again.attention[i]->rate / a->rate, 1);
      check_near(again.attention[i]->overhead.in(us), a->overhead.in(us));
      CHECK(again.attention[i]->bandwidth.has_value() == a->bandwidth.has_value());
      CHECK(again.attention[i]->sms == a->sms);
      check_same(again.attention[i]->residual, a->residual);
    }
    if (const auto& m = shipped.memory[i]) {
      REQUIRE(again.memory[i]->bandwidth.has_value() == m->bandwidth.has_value());
      if (m->bandwidth) check_near(*again.memory[i]->bandwidth / *m->bandwidth, 1);
      check_near(again.memory[i]->overhead.in(us), m->overhead.in(us));
      CHECK(again.memory[i]->sms == m->sms);
    }
  }
  REQUIRE(again.points.size() == shipped.points.size());
  for (std::size_t i = 0; i < shipped.points.size(); ++i) {
    CHECK(again.points[i].kernel == shipped.points[i].kernel);
    CHECK(again.points[i].shape.m == shipped.points[i].shape.m);
    CHECK(again.points[i].shape.groups == shipped.points[i].shape.groups);
    check_near(again.points[i].rate / shipped.points[i].rate, 1);
  }
  CHECK(again.comm.dispatch_overlap == shipped.comm.dispatch_overlap);
  check_near(again.comm.cast_per_sm / shipped.comm.cast_per_sm, 1);
  check_same(again.comm.copies, shipped.comm.copies);
  CHECK(again.comm_source == shipped.comm_source);
  check_same(again.launch_error, shipped.launch_error);
  check_near(again.chunk_startup.in(us), shipped.chunk_startup.in(us));
}

TEST_CASE("profile: writing keeps what a measured one has", "[profile]") {
  Profile p = read_profile_file(h800_file());
  p.kind = ProfileKind::derived;
  p.derived_from = "other";
  p.attention[at(Kernel::attention_forward)]->bandwidth = 2.5 * TB_per_s;
  p.attention[at(Kernel::attention_forward)]->residual = {3, {10, 7, 12}, {0}, 0.0123456789};
  p.decode->residual = {3, {5, 12, 8, 6, 12, 8}, {1.0 / 3, -1.0 / 3}, -0.1};
  p.memory[at(Kernel::cast)]->per_sm = 18.5 * GB_per_s;
  p.gemm[at(Kernel::gemm_fp8)]->rule = TileRule::fewest_waves;
  p.collectives = CollectiveRegimes{
      {{64 * KB, 4 * us, 0.3}, {1 * GB, 0 * s, 1}}, {{1 * GB, 2 * us, 0.9}}, "a bench"};
  p.groups = {{"dispatch", 16, 8, 7168, 8, 24, {{90 * us, 1e8}}, {1, 4096}, {}, "z"}};
  p.groups[0].error = {0.1, 0.2, "held_out", 12, {{"size left out", 0.01, 0.08, 0.2}}};
  const Profile again = written_and_read(p, "h800.json");
  CHECK(again.kind == ProfileKind::derived);
  CHECK(again.derived_from == "other");
  CHECK(again.attention[at(Kernel::attention_forward)]->bandwidth->in(TB_per_s) == Approx(2.5));
  check_same(again.attention[at(Kernel::attention_forward)]->residual,
             p.attention[at(Kernel::attention_forward)]->residual);
  check_same(again.decode->residual, p.decode->residual);
  CHECK(again.memory[at(Kernel::cast)]->per_sm->in(GB_per_s) == Approx(18.5));
  CHECK(again.gemm[at(Kernel::gemm_fp8)]->rule == TileRule::fewest_waves);
  REQUIRE(again.collectives);
  REQUIRE(again.collectives->nvlink.size() == 2);
  CHECK(again.collectives->nvlink[0].up_to.in(KB) == Approx(64));
  CHECK(again.collectives->nvlink[0].efficiency == 0.3);
  CHECK(again.collectives->nic[0].overhead.in(us) == Approx(2));
  CHECK(again.collectives->source == "a bench");
  REQUIRE(again.groups.size() == 1);
  CHECK(again.groups[0].hidden == 7168);
  CHECK(again.groups[0].topk == 8);
  CHECK(again.groups[0].sms == 24);
  CHECK(again.groups[0].source == "z");
  check_same(again.groups[0].error, p.groups[0].error);
}

TEST_CASE("profile: the time of a group is its fastest protocol's", "[profile]") {
  GroupFit fit;
  fit.segments = {{15 * us, 1e9}, {40 * us, 2e11}, {500 * us, 3e11}};
  CHECK(group_time(fit, 0).in(us) == Approx(15));
  CHECK(group_time(fit, 1e4).in(us) == Approx(15 + 10));
  CHECK(group_time(fit, 1e6).in(us) == Approx(40 + 5));
  CHECK(group_time(fit, 1e9).in(us) == Approx(500 + 1e3 / 0.3));
  for (double size = 1; size < 1e11; size *= 1.7) {
    CHECK(group_time(fit, 1.7 * size) > group_time(fit, size));
    for (const Segment& segment : fit.segments)
      CHECK(group_time(fit, size) <= segment.latency + (size / segment.size_per_s) * s);
  }
  fit.segments = {{40 * us, 2e11}};
  CHECK(group_time(fit, 0).in(us) == Approx(40));
}

TEST_CASE("profile: slowdown beside communication is straight between what was measured",
          "[profile]") {
  const CommSlowdown none;
  CHECK(none.at(0) == 1);
  CHECK(none.at(20) == 1);
  const CommSlowdown some{{8, 20}, {1.02, 1.05}, "x"};
  CHECK(some.at(0) == 1);
  CHECK(some.at(2) == Approx(1.005));
  CHECK(some.at(8) == Approx(1.02));
  CHECK(some.at(12) == Approx(1.03));
  CHECK(some.at(20) == Approx(1.05));
  CHECK(some.at(21) == Approx(1.05));
  CHECK(some.at(132) == Approx(1.05));
}
