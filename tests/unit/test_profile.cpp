// A profile file: what it holds after reading, what of it is refused and how, that writing it and
// reading it again loses nothing, and what is computed from it directly.
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

TEST_CASE("profile: of another schema or another plan", "[profile]") {
  check_refusals(R"cases(
profile.json: "moesim-profile/2" => "moesim-profile/1"
    profile.json: /schema: is "moesim-profile/1"; this program reads "moesim-profile/2"
profile.json: "moesim-profile/2" => "moesim-profile/3"
    profile.json: /schema: is "moesim-profile/3"; this program reads "moesim-profile/2"
profile.json: "schema": "moesim-profile/2", =>
    profile.json: missing key "schema"
profile.json: "plan_version": 1 => "plan_version": 2
    profile.json: /plan_version: is 2; the kernel plans of this program are version 1, so the fit would be evaluated on other tiles than it was made on; fit its points again
profile.json: "plan_version": 1, =>
    profile.json: missing key "plan_version"
profile.json: "plan_version": 1 => "plan_version": "1"
    profile.json: /plan_version: expected an integer, found the string "1"
profile.json: "plan": "fastest" => "plan": "slowest"
    profile.json: /kernels/gemm_bf16/plan: unknown value "slowest"; known: fastest, fewest_waves
profile.json: "plan": "fastest", =>
    profile.json: /kernels/gemm_bf16: missing key "plan"
profile.json: "kind": "synthetic" => "kind": "derived"
    profile.json: missing key "derived_from"
profile.json: "kind": "synthetic" => "kind": "measured", "derived_from": "q"
    profile.json: unknown key "derived_from"; known: about, collectives, comm, gemm_slowdown_under_comm, gpu, groups, id, kernels, kind, launch, plan_version, schema
profile.json: "cast": { => "casts": {
    profile.json: /kernels: unknown key "casts"; did you mean "cast"?
)cases");
}

TEST_CASE("profile: residuals that are refused", "[profile]") {
  check_refusals(R"cases(
profile.json: [6.5, 11, 12.5, 0.5, 0.25] => [6.5, 11, 12.5, 0.25]
    profile.json: /kernels/gemm_bf16/residual/nodes/0: expected 4 base-2 logarithms and a weight, found an array of 4
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, -0.25, 0]
    profile.json: /kernels/gemm_bf16/residual/nodes/1: expected 4 base-2 logarithms and a weight, found an array of 6
profile.json: [9, 11, 12.5, 2, -0.25] => 9
    profile.json: /kernels/gemm_bf16/residual/nodes/1: expected 4 base-2 logarithms and a weight, found the number 9
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, "-0.25"]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/4: expected a number, found the string "-0.25"
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, 1001]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/4: expected a number from -1000 to 1000, found 1001
profile.json: [9, 11, 12.5, 2, -0.25] => [65, 11, 12.5, 2, -0.25]
    profile.json: /kernels/gemm_bf16/residual/nodes/1/0: expected a number from -64 to 64, found 65
profile.json: [[6.5, 11, 12.5, 0.5, 0.25], [9, 11, 12.5, 2, -0.25]] => []
    profile.json: /kernels/gemm_bf16/residual/nodes: expected an array of at least one node, found an empty array
profile.json: [[6.5, 11, 12.5, 0.5, 0.25], [9, 11, 12.5, 2, -0.25]] => {}
    profile.json: /kernels/gemm_bf16/residual/nodes: expected an array of at least one node, found an object
profile.json: "constant": 0.01, =>
    profile.json: /kernels/gemm_bf16/residual: missing key "constant"
profile.json: "constant": 0.01 => "constant": 10.5
    profile.json: /kernels/gemm_bf16/residual/constant: expected a number from -10 to 10, found 10.5
profile.json: "constant": 0.01 => "constant": NaN
    scenario.json: /profile: profile.json: line 10, column 32: syntax error while parsing value - invalid literal, found "NaN"
profile.json: [9, 11, 12.5, 2, -0.25] => [9, 11, 12.5, 2, 1e999]
    scenario.json: /profile: profile.json: line 10, column 97: number overflow parsing '1e999'
profile.json: "norm": 5 => "norm": 5, "residual": {"constant": 0, "nodes": [[6, 12, 0.1]]}
    profile.json: /kernels/attention_decode/residual/nodes/0: expected 3 base-2 logarithms and a weight, found an array of 3
profile.json: "source": "t" => "source": "t", "residual": {"constant": 0, "nodes": [[6, 12, 9, 9, 0.1]]}
    profile.json: /kernels/attention_forward/residual/nodes/0: expected 3 base-2 logarithms and a weight, found an array of 5
)cases");
}

TEST_CASE("profile: errors that are refused", "[profile]") {
  check_refusals(R"cases(
profile.json: "inside_pct": 21 => "inside_pct": 33
    profile.json: /kernels/cast/error/outside_pct: is 32, below the inside_pct of 33: a model is no better where nothing was measured
profile.json: "inside_pct": 21 => "inside_pct": -1
    profile.json: /kernels/cast/error/inside_pct: expected a number from 0 to 1000, found -1
profile.json: "inside_pct": 21 => "inside_pct": 2100
    profile.json: /kernels/cast/error/inside_pct: expected a number from 0 to 1000, found 2100
profile.json: "inside_pct": 21, =>
    profile.json: /kernels/cast/error: missing key "inside_pct"
profile.json: "outside_pct": 32, "basis": "in_sample" => "outside_pct": 32
    profile.json: /kernels/cast/error: missing key "basis"
profile.json: "outside_pct": 32, "basis": "in_sample" => "outside_pct": 32, "basis": "guess"
    profile.json: /kernels/cast/error/basis: unknown value "guess"; known: held_out, in_sample, stated
profile.json: "tests": [{"what": "m", "median_pct": 2.5, "p95_pct": 6.25, "max_pct": 7.5}] => "tests": 3
    profile.json: /kernels/gemm_bf16/error/tests: expected an array, found the number 3
profile.json: "p95_pct": 6.25,  =>
    profile.json: /kernels/gemm_bf16/error/tests/0: missing key "p95_pct"
profile.json: "median_pct": 2.5 => "median_pct": -2.5
    profile.json: /kernels/gemm_bf16/error/tests/0/median_pct: expected a number from 0 to 1e+06, found -2.5
profile.json: "num_points": 40 => "num_points": -1
    profile.json: /kernels/gemm_bf16/error/num_points: expected an integer from 0 to 1099511627776, found -1
profile.json: "error": {"inside_pct": 10 => "errors": {"inside_pct": 10
    profile.json: /launch: missing key "error"
profile.json: "links": { => "link": {
    profile.json: /comm/error: missing key "links"
profile.json: "inside_pct": 12 => "inside_pct": 23
    profile.json: /comm/error/overlap/outside_pct: is 22, below the inside_pct of 23: a model is no better where nothing was measured
)cases");
}

TEST_CASE("profile: coefficients that are refused", "[profile]") {
  check_refusals(R"cases(
profile.json: "norm": 4 => "norm": 0.5
    profile.json: /kernels/gemm_bf16/norm: expected a number from 1 to 100, found 0.5
profile.json: "norm": 5 => "norm": 101
    profile.json: /kernels/attention_decode/norm: expected a number from 1 to 100, found 101
profile.json: "fill": "0.4 us",  =>
    profile.json: /kernels/gemm_bf16: missing key "fill"
profile.json: "fill": "0.4 us" => "fill": "0.4"
    profile.json: /kernels/gemm_bf16/fill: expected a quantity with a unit such as "2.8 us", found the string "0.4"
profile.json: "fill": "0.4 us" => "fill": "2 s"
    profile.json: /kernels/gemm_bf16/fill: expected at most 1 s, found "2 s"
profile.json: "out_bytes": 2 => "out_bytes": 0
    profile.json: /kernels/gemm_bf16/out_bytes: expected a number from 1 to 16, found 0
profile.json: "block": "1.6 us" => "block": "1.6 GB"
    profile.json: /kernels/attention_decode/block: unknown unit "GB"; known: ps, ns, us, ms, s, min, h, d
profile.json: "sms": 129 => "sms": 133
    profile.json: /kernels/attention_decode/sms: expected an integer from 1 to 132, found 133
profile.json: "block": "1.6 us",  =>
    profile.json: /kernels/attention_decode: missing key "block"
profile.json: "bandwidth": "2 TB/s",  => "per_sm": "20 GB/s", 
    profile.json: /kernels/cast: unknown key "per_sm"; known: bandwidth, error, overhead, sms, source
profile.json: "bandwidth": "2 TB/s" => "bandwidth": "2 TB/s", "per_sm": "20 KB/s"
    profile.json: /kernels/cast/per_sm: expected at least 100 MB/s, found "20 KB/s"
profile.json: "bandwidth": "3 TB/s",  =>
    profile.json: /kernels/attention_decode: missing key "bandwidth"
)cases");
}

TEST_CASE("profile: slowdowns and collectives that are refused", "[profile]") {
  check_refusals(R"cases(
profile.json: "factor": [1.02, 1.05] => "factor": [1.02]
    profile.json: /gemm_slowdown_under_comm/factor: expected one number for each of the 2 of comm_sms, found an array of 1
profile.json: "factor": [1.02, 1.05] => "factor": 1.05
    profile.json: /gemm_slowdown_under_comm/factor: expected one number for each of the 2 of comm_sms, found the number 1.05
profile.json: "comm_sms": [8, 20] => "comm_sms": [20, 8]
    profile.json: /gemm_slowdown_under_comm/comm_sms: expected each above the one before, found 8 after 20
profile.json: "comm_sms": [8, 20] => "comm_sms": [20, 20]
    profile.json: /gemm_slowdown_under_comm/comm_sms: expected each above the one before, found 20 after 20
profile.json: "comm_sms": [8, 20] => "comm_sms": [8, 133]
    profile.json: /gemm_slowdown_under_comm/comm_sms/1: expected an integer from 1 to 132, found 133
profile.json: , "source": "x" => 
    profile.json: /gemm_slowdown_under_comm: missing key "source"
profile.json: "segments": [ => "segments": [], "groups": [
    profile.json: /groups/0/segments: expected an array of at least one segment, found an empty array
profile.json: "segments": [ => "segment": [
    profile.json: /groups/0: missing key "segments"
profile.json: "size_per_s": 1e9} => "size_per_s": 0}
    profile.json: /groups/0/segments/0/size_per_s: expected a number from 1 to 1e+15, found 0
profile.json: "latency_us": 40 => "latency_us": -40
    profile.json: /groups/0/segments/1/latency_us: expected a number from 0 to 1e+06, found -40
profile.json: "sizes": [512, 1e9] => "sizes": [1e9, 512]
    profile.json: /groups/0/sizes: expected [lowest, highest], found [1e+09, 512]
profile.json: "sizes": [512, 1e9] => "sizes": [512]
    profile.json: /groups/0/sizes: expected [lowest, highest], found an array of 1
profile.json: "ranks": 16 => "ranks": 1
    profile.json: /groups/0/ranks: expected an integer from 2 to 1048576, found 1
profile.json: "ranks_per_node": 8 => "ranks_per_node": 17
    profile.json: /groups/0/ranks_per_node: expected an integer from 1 to 16, found 17
)cases");
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
