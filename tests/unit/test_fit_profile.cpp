// Points to a profile: what is refused and in which words, what is left out and said, what the
// profile then holds.
#include <algorithm>
#include <cmath>

#include "calibrate/fit/fit_profile.hpp"
#include "calibrate/fit/kernel_form.hpp"
#include "tests/catch.hpp"
#include "tests/hidden_points.hpp"
#include "tests/refusal.hpp"

namespace moesim {
namespace {

const GpuSpec kGpu = gpu_named("h100");

Profile published() {
  return read_profile_file(scenario_folder() / "profiles/h800-published.json");
}

FitRequest request() {
  FitRequest r;
  r.id = "mine";
  r.about = "A test.";
  return r;
}

std::string cast_line(std::int64_t bytes, double factor = 1, const std::string& flag = "") {
  Point p = hidden_point("cast", {{bytes}, {}, 0, false}, factor);
  if (!flag.empty()) p.flags.push_back(flag);
  return point_line(p);
}

std::string casts() {
  std::string lines;
  for (std::int64_t bytes = 1 << 18; bytes <= 1 << 28; bytes *= 4) lines += cast_line(bytes);
  return lines;
}

std::string gemms(std::int64_t sms = 0, bool beside = false, const std::string& op = "gemm_fp8") {
  std::string lines;
  for (const std::int64_t m : {128, 1024, 4096})
    for (const std::int64_t n : {2112, 4096, 7168})
      for (const std::int64_t k : {1536, 7168})
        lines += point_line(hidden_point(op, {{m, n, k}, {}, sms, beside}));
  return lines;
}

FitResult fit(const std::vector<PointFile>& files, const FitRequest& r = request()) {
  return fit_profile(files, kGpu, published(), r);
}
FitResult fit(const std::string& lines, const FitRequest& r = request()) {
  return fit({points_file(run_line(hidden_run()) + lines)}, r);
}
std::string refused(const std::string& lines, const FitRequest& r = request()) {
  return refusal([&] { fit(lines, r); });
}
// `run` before lines that are fine.
std::string refused_run(const PointRun& run, const FitRequest& r = request()) {
  return refusal([&] { fit({points_file(run_line(run) + gemms())}, r); });
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
bool noted(const FitResult& result, const std::string& part) {
  return std::any_of(result.notes.begin(), result.notes.end(), [&](const std::string& note) {
    return has(note, part);
  });
}

std::size_t index_of(Kernel kernel) { return static_cast<std::size_t>(kernel); }

}  // namespace

TEST_CASE("fit profile: points of two GPUs are refused") {
  const std::string two = run_line(hidden_run()) + casts() + run_line(hidden_run("h200")) + casts();
  CHECK(refusal([&] { fit({points_file(two)}); }) ==
        R"(p.jsonl: line 9: is of the GPU "h200"; the first run is of "h100")");
  const std::vector<PointFile> apart = {
      points_file(run_line(hidden_run()) + casts()),
      points_file(run_line(hidden_run("h200")) + casts(), "q.jsonl")};
  CHECK(refusal([&] { fit(apart); }) ==
        R"(q.jsonl: line 2: is of the GPU "h200"; the first run is of "h100")");
}

TEST_CASE("fit profile: another plan version is refused") {
  PointRun run = hidden_run();
  run.plan_version = kPlanVersion + 1;
  CHECK(refused_run(run) == "p.jsonl: line 2: the run was measured with kernel plans of version " +
                                std::to_string(kPlanVersion + 1) + "; this program's are version " +
                                std::to_string(kPlanVersion) + ", with other tiles");
}

TEST_CASE("fit profile: tile rules that conflict or that nobody knows are refused") {
  FitRequest fastest = request();
  fastest.rule = TileRule::fastest;
  CHECK(refused_run(hidden_run(), fastest) ==
        R"(p.jsonl: line 2: the run's kernels follow the plan "fewest_waves", not "fastest": )"
        "a fit on a wrong plan is worse than on a guessed one");
  CHECK(refused_run(hidden_run("h100", "cutlass")) ==
        R"(p.jsonl: line 2: the run's kernels follow the plan "cutlass"; )"
        R"(known: "fastest", "fewest_waves")");
  const std::string mixed = run_line(hidden_run("h100", "fastest")) + gemms();
  CHECK(refusal([&] {
          fit({points_file(run_line(hidden_run()) + gemms()), points_file(mixed, "q.jsonl")});
        }) == R"(q.jsonl: line 2: gemm_fp8 points follow the plan "fastest"; those before follow )"
              R"("fewest_waves"; fit them apart)");
}

TEST_CASE("fit profile: an operation timed by two kernels is refused") {
  const auto point = [](std::int64_t bytes, const std::string& kernel) {
    Point p = hidden_point("cast", {{bytes}, {}, 0, false});
    if (!kernel.empty()) p.evidence.emplace_back("kernel", kernel);
    return point_line(p);
  };
  CHECK(refused(casts() + point(1 << 19, "cast_rows") + point(1 << 21, "cuBLASLt")) ==
        R"(p.jsonl: line 9: cast is timed by the kernel "cuBLASLt"; points before it by )"
        R"("cast_rows"; fit them apart)");
  CHECK_NOTHROW(fit(casts() + point(1 << 19, "cast_rows") + point(1 << 21, "cast_rows")));
}

TEST_CASE("fit profile: the rule asked for is that of points that name none") {
  FitRequest r = request();
  PointRun run = hidden_run("h100", "");
  CHECK(fit({points_file(run_line(run) + gemms())}).profile.gemm[0]->rule == TileRule::fastest);
  r.rule = TileRule::fewest_waves;
  CHECK(fit({points_file(run_line(run) + gemms())}, r).profile.gemm[0]->rule ==
        TileRule::fewest_waves);
}

TEST_CASE("fit profile: a shape that disagrees with itself is refused or left out whole") {
  const std::string lines = casts() + cast_line(1 << 20, 1.2) + cast_line(1 << 20, 1.4);
  const std::string message = refused(lines);
  CHECK(has(message, "p.jsonl: line 9: cast bytes=1048576 took "));
  CHECK(has(message, " us at p.jsonl: line 3 and "));
  CHECK(has(message,
            " us at p.jsonl: line 9 (1 such shapes): measure again, or leave them out "
            "with --leave-out-disagreeing"));
  FitRequest r = request();
  r.leave_out_disagreeing = true;
  const FitResult result = fit(lines, r);
  CHECK(result.kernels.at(0).num_points == 5);
  CHECK(noted(result, "3 points of cast disagree with a repeat of their shape and were left out"));
}

TEST_CASE("fit profile: a noisy run is refused, or fitted and said") {
  std::string lines = casts();
  for (std::int64_t bytes = 1 << 18; bytes <= 1 << 28; bytes *= 4) lines += cast_line(bytes, 1.08);
  const std::string message = refused(lines);
  CHECK(has(message,
            "p.jsonl: line 2: cast: repeats of a shape differ by 8.0 % in the median and "
            "8.0 % at the 95th percentile; above 5.0 % a run is too noisy to fit. "));
  FitRequest r = request();
  r.allow_noisy = true;
  const FitResult result = fit(lines, r);
  CHECK(noted(result, "a noisy run, fitted all the same"));
  CHECK(result.kernels.at(0).repeat_noise->median == Approx(0.08));
}

TEST_CASE("fit profile: no points, none that may be fitted, too few shapes") {
  CHECK(refused("") == "the files of points: no point can be fitted");
  CHECK(refused(cast_line(1 << 20, 1, "drift") + cast_line(1 << 22, 1, "drift")) ==
        "p.jsonl: line 2: no point can be fitted; 2 points are flagged \"drift\" and were not "
        "fitted");
  CHECK(refused(cast_line(1 << 20)) ==
        "p.jsonl: line 2: cast has 1 shapes; its form has 2 coefficients and needs at least as "
        "many");
  FitRequest r = request();
  r.leave_out_disagreeing = true;
  CHECK(has(refused(cast_line(1 << 20) + cast_line(1 << 20, 2), r),
            "no point can be fitted; 2 points of cast disagree"));
}

TEST_CASE("fit profile: shapes and shares that no profile may hold are refused by name") {
  Point p = hidden_point("gemm_fp8", {{128, 128, 128}, {}, 0, false});
  p.shape[1] = 0;
  CHECK(refused(gemms() + point_line(p)) ==
        "p.jsonl: line 20: gemm_fp8 m=128 n=0 k=128: n is 0; expected at least 1");
  p = hidden_point("cast", {{1 << 20}, {}, 0, false});
  p.sms = kGpu.num_sms + 1;
  CHECK(refused(point_line(p)) == "p.jsonl: line 2: cast ran on 133 SMs; the H100 has 132");
  CHECK(has(refused(point_line(timed_point("all_reduce", {4, 8, 1 << 20}, 50 * us))),
            "expected two ranks or more, and no more a node than there are"));
  p = hidden_point("gemm_fp8", {{128, 128, 128}, {}, 0, false});
  CHECK(refusal([&] {
          fit_profile({points_file(run_line(hidden_run("a100-80")) + point_line(p))},
                      gpu_named("a100-80"),
                      published(),
                      request());
        }) == "p.jsonl: line 2: gemm_fp8 ran in FP8, which the A100-80GB has not");
}

TEST_CASE("fit profile: an operation that does not follow its form is refused") {
  // Times that have nothing to do with the bytes: a factor of a thousand from shape to shape.
  std::string lines;
  for (int i = 0; i < 12; ++i)
    lines += cast_line(std::int64_t{1} << (14 + i), i % 3 == 0 ? 3000 : i % 3 == 1 ? 50 : 1);
  CHECK(has(refused(lines), "cast does not follow the form of its operation: "));
}

TEST_CASE("fit profile: a time that is absurd beside the others is refused by name") {
  // Nanoseconds that pass for microseconds are too long, which no datasheet rules out.
  CHECK(has(refused(casts() + cast_line(1 << 27, 1000)),
            "p.jsonl: line 8: cast bytes=134217728 took "));
  const std::string too_long = refused(
      gemms() + point_line(hidden_point("gemm_fp8", {{512, 4096, 4096}, {}, 0, false}, 60)));
  CHECK(has(too_long, "p.jsonl: line 20: gemm_fp8 m=512 n=4096 k=4096 took "));
  CHECK(has(too_long, " times what a fit to all points says. Is its time in another unit"));
  const std::string beside =
      refused(gemms() + gemms(112, true) +
              point_line(hidden_point("gemm_fp8", {{512, 4096, 4096}, {}, 112, true}, 1000)));
  CHECK(has(beside, "p.jsonl: line 38: gemm_fp8 m=512 n=4096 k=4096 took "));
  std::string sizes;
  for (std::int64_t bytes = 1 << 20; bytes <= 1 << 28; bytes *= 2)
    sizes += point_line(
        timed_point("all_reduce",
                    {16, 8, bytes},
                    (bytes == 1 << 24 ? 1000 : 1) * (20 + static_cast<double>(bytes) / 40e3) * us));
  CHECK(
      has(refused(sizes), "p.jsonl: line 6: all_reduce ranks=16 ranks_per_node=8 bytes=16777216"));
}

TEST_CASE("fit profile: all SMs by their number are all SMs") {
  Point p = hidden_point("cast", {{1 << 20}, {}, 0, false}, 2);
  p.sms = kGpu.num_sms;
  CHECK(has(refused(casts() + point_line(p)), "line 8: cast bytes=1048576 took "));
}

TEST_CASE("fit profile: flagged points are counted and not fitted") {
  const FitResult clean = fit(casts());
  const FitResult flagged =
      fit(casts() + cast_line(1 << 20, 7, "drift") + cast_line(1 << 22, 5, "throttled") +
          cast_line(1 << 23, 1, "drift"));
  CHECK(flagged.kernels.at(0).num_points == clean.kernels.at(0).num_points);
  CHECK(flagged.kernels.at(0).values == clean.kernels.at(0).values);
  CHECK(noted(flagged, "2 points are flagged \"drift\" and were not fitted"));
  CHECK(noted(flagged, "1 points are flagged \"throttled\" and were not fitted"));
}

TEST_CASE("fit profile: what the fit replaces and what it carries over") {
  const FitResult result = fit(casts());
  const Profile& profile = result.profile;
  CHECK(profile.id == "mine");
  CHECK(profile.about == "A test.");
  CHECK(profile.kind == ProfileKind::synthetic);
  CHECK(profile.derived_from.empty());
  CHECK(profile.gpu.name == "H100");
  const std::size_t cast = index_of(Kernel::cast);
  CHECK(profile.source[cast] == "A fake.");
  CHECK(profile.memory[cast]->bandwidth->in(GB_per_s) ==
        Approx(0.83 * kGpu.hbm_bandwidth.in(GB_per_s)).epsilon(0.01));
  CHECK(profile.memory[cast]->overhead.in(us) == Approx(2.35).epsilon(0.02));
  CHECK(profile.error[cast].basis == "held_out");
  CHECK(profile.error[cast].num_points == 6);
  // All else says where it is from.
  const Profile base = published();
  const std::string from = "Carried over from h800-published by datasheet ratios: ";
  for (std::size_t i = 0; i < kNumKernels; ++i)
    if (i != cast && !base.source[i].empty()) {
      CHECK(profile.source[i] == from + base.source[i]);
    }
  CHECK(profile.comm_source == from + base.comm_source);
  CHECK(profile.launch_source == from + base.launch_source);
  CHECK(profile.gemm_slowdown.source == from + base.gemm_slowdown.source);
  CHECK(noted(result, "kernels and all that has no points are carried over from h800-published"));
  // Once more onto the result: what was carried over keeps the words that say from where.
  FitRequest other = request();
  other.id = "another";
  const FitResult again =
      fit_profile({points_file(run_line(hidden_run()) + gemms())}, kGpu, profile, other);
  CHECK(again.profile.comm_source == profile.comm_source);
  CHECK(again.profile.source[cast] == "Carried over from mine: A fake.");
  CHECK(again.profile.source[0] == "A fake.");
}

TEST_CASE("fit profile: sources of all files are named, and the kind is the least sure") {
  PointRun second = hidden_run();
  second.source = "Another.";
  second.kind = ProfileKind::published;
  const FitResult result = fit({points_file(run_line(hidden_run()) + casts()),
                                points_file(run_line(second) + gemms(), "q.jsonl")});
  CHECK(result.profile.kind == ProfileKind::synthetic);
  CHECK(result.profile.source[0] == "Another.");
  CHECK(fit({points_file(run_line(second) + casts())}).profile.kind == ProfileKind::published);
  second.kind = ProfileKind::measured;
  CHECK(fit({points_file(run_line(second) + casts())}).profile.kind == ProfileKind::measured);
}

TEST_CASE("fit profile: points beside communication give the slowdown") {
  const FitResult result = fit(gemms() + gemms(112, true) + gemms(100, true));
  CHECK(result.kernels.at(0).num_points == 18);  // those beside are not fitted as if alone
  const CommSlowdown& slowdown = result.profile.gemm_slowdown;
  REQUIRE(slowdown.comm_sms == std::vector<std::int64_t>{20, 32});
  // Hidden: 1 + 0.37 times the share of SMs taken.
  CHECK(slowdown.factor[0] == Approx(1 + 0.37 * 20 / 132).epsilon(0.01));
  CHECK(slowdown.factor[1] == Approx(1 + 0.37 * 32 / 132).epsilon(0.01));
  CHECK(slowdown.source == "A fake.: GEMMs beside communication, median over shapes");
}

TEST_CASE("fit profile: points beside communication that say nothing are named") {
  const Profile base = fit(gemms()).profile;
  const FitResult wgrad =
      fit(gemms() + gemms(0, false, "gemm_fp8_wgrad") + gemms(112, true, "gemm_fp8_wgrad"));
  CHECK(wgrad.profile.gemm_slowdown.factor == base.gemm_slowdown.factor);
  CHECK(noted(wgrad,
              "18 points of gemm_fp8_wgrad beside communication were not used: a profile "
              "has no slowdown of it"));
  const FitResult alone = fit(casts() + gemms(112, true));
  CHECK(noted(alone,
              "18 points of gemm_fp8 beside communication were not used: none of it alone "
              "were measured"));
  const FitResult all = fit(gemms() + gemms(0, true));
  CHECK(noted(all, "18 points of gemm_fp8 beside communication leave no SMs to the communication"));
  CHECK(all.profile.gemm_slowdown.factor == base.gemm_slowdown.factor);
  // They are judged like all others.
  const std::string twice =
      point_line(hidden_point("gemm_fp8", {{128, 2112, 1536}, {}, 112, true}, 2));
  CHECK(has(refused(gemms() + gemms(112, true) + twice), "line 38: gemm_fp8 m=128 n=2112 k=1536"));
}

TEST_CASE("fit profile: cold and warm times of one operation are not mixed unsaid") {
  Point warm = hidden_point("cast", {{1 << 21}, {}, 0, false});
  warm.warm = warm.cold;
  warm.cold.reset();
  CHECK(
      noted(fit(casts() + point_line(warm)), "cast: 1 of 7 points have no time with cold inputs"));
  CHECK_FALSE(noted(fit(casts()), "cold inputs"));
}

TEST_CASE("fit profile: points are kept on request, and replace the base's") {
  const Profile base = published();
  const auto of_kernel = [](const Profile& p, Kernel kernel) {
    return std::count_if(p.points.begin(), p.points.end(), [&](const GemmPoint& point) {
      return point.kernel == kernel;
    });
  };
  REQUIRE(of_kernel(base, Kernel::gemm_fp8) > 0);
  CHECK(of_kernel(fit(gemms()).profile, Kernel::gemm_fp8) == 0);
  FitRequest keep = request();
  keep.keep_points = true;
  const Profile kept = fit(gemms(), keep).profile;
  REQUIRE(of_kernel(kept, Kernel::gemm_fp8) == 18);
  const GemmPoint& p = kept.points.back();
  CHECK(p.shape.m == 4096);
  CHECK(p.shape.n == 7168);
  CHECK(p.shape.k == 7168);
  CHECK(p.sms == 132);
  const Point measured = hidden_point("gemm_fp8", {{4096, 7168, 7168}, {}, 0, false});
  CHECK((2.0 * 4096 * 7168 * 7168 * FLOP / p.rate).in(us) ==
        Approx(measured.cold->median.in(us)).epsilon(1e-6));
}

TEST_CASE("fit profile: groups are fitted and replace the base's of their geometry") {
  const auto lines = [](double rate) {
    std::string text;
    for (std::int64_t bytes = 1 << 20; bytes <= 1 << 28; bytes *= 4)
      text += point_line(
          timed_point("all_reduce", {16, 8, bytes}, (20 + static_cast<double>(bytes) / rate) * us));
    return text;
  };
  const FitResult first = fit(lines(40e3) + casts());
  REQUIRE(first.profile.groups.size() == 1);
  CHECK(first.profile.groups[0].op == "all_reduce");
  CHECK(first.profile.groups[0].source == "A fake.");
  CHECK(first.profile.groups[0].error.basis == "held_out");
  const FitResult second = fit_profile(
      {points_file(run_line(hidden_run()) + lines(80e3))}, kGpu, first.profile, request());
  REQUIRE(second.profile.groups.size() == 1);
  CHECK(group_time(second.profile.groups[0], 1 << 28).in(us) ==
        Approx(20 + (1 << 28) / 80e3).epsilon(1e-3));
}

TEST_CASE("fit profile: the report has a row for each way of leaving out, and the notes") {
  const std::string report = fit_report(fit(casts() + gemms()));
  CHECK(has(report, "| operation | points | left out | median / p95 / max | in sample |"));
  CHECK(has(report, "\n| gemm_fp8 | 18 | m | "));
  CHECK(has(report, "\n| gemm_fp8 | 18 | n and k | "));
  CHECK(has(report, "\n| cast | 6 | bytes | "));
  CHECK(has(report, "\ngemm_fp8, worst when left out: m="));
  CHECK(has(report, "\nNote: "));
}

}  // namespace moesim
