// Nanoseconds a call of the cost model: a GEMM with the largest residual that a fit makes and
// without one, a memory-bound kernel, attention, decode; and of one that is remembered.
#include <cstdint>
#include <cstdio>
#include <tuple>
#include <vector>

#include "model/cost_model.hpp"
#include "model/random.hpp"
#include "tests/bench/bench.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {
namespace {

constexpr std::size_t kCentres = 600;  // the most a fit places (calibrate/fit/residual_fit)

Residual large_residual(std::size_t num_axes) {
  Residual residual;
  residual.num_axes = num_axes;
  Random random(1);
  for (std::size_t i = 0; i < kCentres; ++i) {
    for (std::size_t a = 0; a < num_axes; ++a) residual.centres.push_back(6 + 9 * random.uniform());
    residual.weights.push_back((i % 2 == 0 ? 1 : -1) * 0.01);
  }
  return residual;
}

// Shapes that differ, so that no call is like the one before.
std::vector<Op> several(const Op& op) {
  std::vector<Op> ops(512, op);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const auto more = static_cast<std::int64_t>(i);
    ops[i].bytes += static_cast<double>(i) * KB;
    ops[i].attention.prefix += more;
    if (op.counts.empty() && op.gemm.m > 0) ops[i].gemm.m += more;
  }
  return ops;
}

template <class Model>  // CostModel or CostCache
void bench(const char* name, Model&& model, const Op& op) {
  const std::vector<Op> ops = several(op);
  constexpr int kRounds = 200;
  Seconds sum;
  for (const Op& one : ops) sum += model.cost(one, {132, false}).time;  // a cache learns them
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < kRounds; ++round)
    for (const Op& one : ops) sum += model.cost(one, {132, false}).time;
  const double calls = static_cast<double>(ops.size()) * kRounds;
  std::printf("cost of %s: %.0f ns (mean %.1f us)\n",
              name,
              1e9 * seconds_since(start) / calls,
              sum.in(us) / (calls + static_cast<double>(ops.size())));
}

}  // namespace

void bench_cost_model() {
  const Scenario scenario = shipped_scenario("deepseek-v3-chunk");
  Profile profile = scenario.profile;
  const auto at = [](Kernel kernel) { return static_cast<std::size_t>(kernel); };
  for (const Kernel kernel : {Kernel::gemm_fp8, Kernel::gemm_bf16})
    profile.gemm[at(kernel)]->residual = {};
  Op gemm;
  gemm.kernel = Kernel::gemm_fp8;
  gemm.gemm = {4096, 7168, 2048, 1};
  gemm.flops = 2. * 4096 * 7168 * 2048 * FLOP;
  Op attention, decode, cast;
  attention.kernel = Kernel::attention_forward;
  attention.attention = {1, 4096, 0, 128, 192, 128};
  attention.flops = 1 * TFLOP;
  decode.kernel = Kernel::attention_decode;
  decode.attention = {64, 1, 4096, 128, 576, 512};
  cast.kernel = Kernel::cast;
  cast.bytes = 1 * MB;

  const CostModel plain(profile, scenario.cluster.gpu);
  bench("a GEMM by its form alone", plain, gemm);
  bench("a memory-bound kernel", plain, cast);
  profile.gemm[at(Kernel::gemm_fp8)]->residual = large_residual(std::tuple_size_v<GemmAxes>);
  profile.attention[at(Kernel::attention_forward)]->residual = large_residual(3);
  profile.decode->residual = large_residual(3);
  const CostModel corrected(profile, scenario.cluster.gpu);
  bench("a GEMM with a residual of 600 nodes", corrected, gemm);
  profile.gemm[at(Kernel::gemm_fp8)]->rule = TileRule::fewest_waves;
  bench("the same by fewest waves", CostModel(profile, scenario.cluster.gpu), gemm);
  Profile many = profile;  // that were measured, none of them this one
  for (std::int64_t m = 1; m <= 30000; ++m)
    many.points.push_back({Kernel::gemm_fp8, {m, 7168, 4096, 1}, 132, 1 * PFLOP_per_s});
  bench("the same among 30,000 points", CostModel(many, scenario.cluster.gpu), gemm);
  Op experts = gemm;
  experts.kernel = Kernel::grouped_gemm_fp8;
  experts.gemm.groups = 32;
  experts.counts.assign(32, 128);
  bench("a GEMM of 32 experts with it", corrected, experts);
  bench("a GEMM with it that is remembered", CostCache(corrected), gemm);
  bench("attention with a residual of 600 nodes", corrected, attention);
  bench("decode with a residual of 600 nodes", corrected, decode);
}

}  // namespace moesim
