// Profiles as text: reading back what was written predicts the same, and writing that again gives
// the same bytes.
#include "calibrate/fit/fit_profile.hpp"
#include "model/cost_model.hpp"
#include "model/profile.hpp"
#include "tests/catch.hpp"
#include "tests/hidden_points.hpp"

namespace moesim {
namespace {

const std::string kH800 = (scenario_folder() / "gpus/h800.json").string(),
                  kH100 = (scenario_folder() / "gpus/h100.json").string();

Profile read_back(const std::string& text) {
  const TemporaryFolder folder;
  return read_profile_file(folder.add_file("p.json", text));
}

Profile shipped() { return read_profile_file(scenario_folder() / "profiles/h800-published.json"); }

Op gemm(Kernel kernel, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t groups = 1) {
  Op op;
  op.kernel = kernel;
  op.gemm = {m, n, k, groups};
  op.flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) * FLOP;
  return op;
}

Op attention(Kernel kernel, AttentionShape shape) {
  Op op;
  op.kernel = kernel;
  op.attention = shape;
  op.flops = 3e11 * FLOP;
  op.bytes = 1 * GB;
  return op;
}

// Of every kernel, inside and outside of what profiles were measured for.
std::vector<Op> many_ops() {
  std::vector<Op> ops;
  for (const Kernel kernel : {Kernel::gemm_fp8, Kernel::gemm_fp8_wgrad, Kernel::gemm_bf16})
    for (const std::int64_t m : {1, 100, 4096, 50000})
      for (const std::int64_t n : {576, 7168, 129280}) ops.push_back(gemm(kernel, m, n, 2048));
  for (const std::int64_t groups : {4, 32}) {
    ops.push_back(gemm(Kernel::grouped_gemm_fp8, 8192, 4096, 7168, groups));
    ops.push_back(gemm(Kernel::grouped_gemm_fp8, 128, 7168, 2048, groups));
  }
  for (const Kernel kernel : {Kernel::attention_forward, Kernel::attention_backward})
    for (const std::int64_t seq : {300, 4096}) {
      ops.push_back(attention(kernel, {2, seq, 0, 128, 192, 128}));
      ops.push_back(attention(kernel, {2, seq, 5000, 16, 192, 128}));
    }
  for (const std::int64_t batch : {1, 128})
    ops.push_back(attention(Kernel::attention_decode, {batch, 1, 4096, 128, 576, 512}));
  for (std::size_t i = 0; i < kNumKernels; ++i) {
    Op op;
    op.kernel = static_cast<Kernel>(i);
    if (op.kernel <= Kernel::attention_decode) continue;
    for (const double bytes : {1e4, 1e9}) {
      op.bytes = bytes * B;
      ops.push_back(op);
    }
  }
  return ops;
}

void check_same_predictions(const Profile& a, const Profile& b) {
  const CostModel before(a, a.gpu), after(b, b.gpu);
  for (const Op& op : many_ops())
    for (const SmShare& share :
         {SmShare{a.gpu.num_sms, false}, SmShare{a.gpu.num_sms - 20, true}}) {
      const Cost x = before.cost(op, share), y = after.cost(op, share);
      INFO(kKernelNames[static_cast<std::size_t>(op.kernel)] << ", m " << op.gemm.m);
      REQUIRE(x.time > Seconds());
      CHECK(y.time / x.time == Approx(1).epsilon(1e-3));
      CHECK(y.origin == x.origin);
      CHECK(y.log_error == Approx(x.log_error).epsilon(1e-3));
    }
}

void check_fixed_point(const Profile& profile, const std::string& gpu_file) {
  const std::string text = profile_text(profile, gpu_file);
  const Profile again = read_back(text);
  CHECK(profile_text(again, gpu_file) == text);
  check_same_predictions(profile, again);
}

// All that a fit writes: forms, residuals, points, groups, a slowdown.
Profile fitted() {
  std::string lines = run_line(hidden_run());
  for (const std::int64_t m : {100, 333, 1024, 4096})
    for (const std::int64_t n : {576, 2112, 7168})
      for (const std::int64_t k : {512, 7168}) {
        const double off = 1 + 0.07 * static_cast<double>((m + n + k) % 3);
        for (const char* op : {"gemm_fp8", "gemm_bf16"})
          lines += point_line(hidden_point(op, {{m, n, k}, {}, 0, false}, off));
        lines += point_line(hidden_point("gemm_fp8", {{m, n, k}, {}, 112, true}, off));
        lines +=
            point_line(hidden_point("grouped_gemm_fp8", {{8, 8 * m, n, k}, {}, 0, false}, off));
      }
  for (const std::int64_t batch : {1, 7, 64})
    for (const std::int64_t length : {512, 3000, 16384}) {
      const double off = length == 3000 ? 1.2 : 1;
      lines += point_line(
          hidden_point("attention_forward", {{batch, length, 0, 16, 192, 128}, {}, 0, false}, off));
      lines += point_line(
          hidden_point("attention_decode", {{batch, length, 1, 128}, {}, 0, false}, off));
    }
  for (int power = 16; power < 30; ++power) {
    const std::int64_t bytes = std::int64_t{1} << power;
    lines += point_line(hidden_point("cast", {{bytes}, {}, 0, false}, 1.013));
    lines += point_line(timed_point(
        "all_reduce", {16, 8, bytes}, (17.7 + static_cast<double>(bytes) / 43210) * us));
  }
  for (std::int64_t tokens = 8; tokens <= 128; tokens *= 2)
    lines += point_line(timed_point(
        "dispatch_low_latency", {8, 8, tokens, 7168, 8}, (30 + static_cast<double>(tokens)) * us));
  FitRequest request;
  request.id = "fitted";
  request.about = "A test with \"quotes\" and an end of line\n.";
  request.keep_points = true;
  const FitResult result = fit_profile({points_file(lines)}, gpu_named("h100"), shipped(), request);
  return result.profile;
}

}  // namespace

TEST_CASE("profile text: the shipped profile reads back as it was") {
  check_fixed_point(shipped(), kH800);
}

TEST_CASE("profile text: a fitted profile reads back as it was") {
  const Profile profile = fitted();
  REQUIRE_FALSE(profile.gemm[0]->residual.empty());
  REQUIRE_FALSE(profile.decode->residual.empty());
  REQUIRE(profile.points.size() > 24);
  REQUIRE(profile.groups.size() == 2);
  REQUIRE(profile.gemm_slowdown.comm_sms.size() == 1);
  check_fixed_point(profile, kH100);

  const Profile again = read_back(profile_text(profile, kH100));
  CHECK(again.id == profile.id);
  CHECK(again.about == profile.about);
  CHECK(again.kind == profile.kind);
  CHECK(again.source == profile.source);
  CHECK(again.comm_source == profile.comm_source);
  CHECK(again.points.size() == profile.points.size());
  for (std::size_t i = 0; i < kNumKernels; ++i) {
    CHECK(again.error[i].basis == profile.error[i].basis);
    CHECK(again.error[i].tests.size() == profile.error[i].tests.size());
  }
  for (std::size_t i = 0; i < profile.groups.size(); ++i) {
    CHECK(again.groups[i].op == profile.groups[i].op);
    CHECK(again.groups[i].hidden == profile.groups[i].hidden);
    for (const double size : {100.0, 70000.0, 1e9})
      CHECK(group_time(again.groups[i], size) / group_time(profile.groups[i], size) ==
            Approx(1).epsilon(1e-3));
  }
  CHECK(again.gemm_slowdown.at(20) == Approx(profile.gemm_slowdown.at(20)).epsilon(1e-3));
}

TEST_CASE("profile text: a derived profile names what it is derived from") {
  Profile derived = shipped();
  derived.kind = ProfileKind::derived;
  derived.derived_from = "another";
  const std::string text = profile_text(derived, kH800);
  CHECK(read_back(text).derived_from == "another");
  CHECK(profile_text(read_back(text), kH800) == text);
}

}  // namespace moesim
