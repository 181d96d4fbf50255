// How sure a cost is, and what corrects it: errors by origin and distance, shifts, residuals, and
// the counts of grouped GEMMs; on a profile made up.
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "model/cost_model.hpp"
#include "tests/catch.hpp"
#include "tests/plain_profile.hpp"

using namespace moesim;

namespace {

using Counts = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("cost model: how sure a cost is", "[cost_model]") {
  Profile profile = plain_profile();
  const auto set = [&](Kernel kernel, double inside, double outside) {
    profile.error[at(kernel)].inside = inside;
    profile.error[at(kernel)].outside = outside;
  };
  set(Kernel::gemm_fp8, 0.06, 0.15);
  set(Kernel::cast, 0.2, 0.3);
  const CostModel model(profile, profile.gpu);
  const SmShare all{132, false}, training{112, true};
  const auto log_error = [&](const Op& op, const SmShare& share) {
    return model.cost(op, share).log_error;
  };
  // Inside, and outside by octaves of the largest of m, n and k: 32,768 rows are the most.
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 4096, 4096, 7168), all) == Approx(std::log(1.06)));
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 4000, 4096, 7168), all) == Approx(std::log(1.06)));
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 4000, 4096, 7168), training) == Approx(std::log(1.15)));
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 65536, 4096, 7168), all) ==
        Approx(std::sqrt(2) * std::log(1.15)));
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 131072, 4096, 256), all) ==
        Approx(std::sqrt(3) * std::log(1.15)));
  CHECK(log_error(gemm_op(Kernel::gemm_fp8, 16, 4096, 256), all) ==
        Approx(std::sqrt(3) * std::log(1.15)));
  CHECK(log_error(memory_op(Kernel::cast, 1 * MB), training) == Approx(std::log(1.2)));
  CHECK(log_error(memory_op(Kernel::cast, 1 * MB), all) == Approx(std::log(1.3)));
  // A kernel nobody measured may be 3.3 times slower than the datasheet's roofline.
  profile.memory[at(Kernel::cast)].reset();
  const CostModel roofline(profile, profile.gpu);
  CHECK(roofline.cost(memory_op(Kernel::cast, 1 * MB), all).log_error == Approx(std::log(3.3)));
  // On another GPU nothing is inside.
  GpuSpec other = profile.gpu;
  other.name = "other";
  const CostModel derived(profile, other);
  CHECK(derived.cost(gemm_op(Kernel::gemm_fp8, 4000, 4096, 7168), all).log_error ==
        Approx(std::log(1.15)));
}

TEST_CASE("cost model: a shift moves a kernel by its own uncertainty", "[cost_model]") {
  const Op gemm = gemm_op(Kernel::gemm_fp8, 4000, 4096, 7168),
           far = gemm_op(Kernel::gemm_fp8, 8, 64, 64),
           experts = gemm_op(Kernel::grouped_gemm_fp8, 4000, 4096, 7168, 8),
           cast = memory_op(Kernel::cast, 1 * MB), unknown = memory_op(Kernel::rope, 1 * MB, 3);
  const SmShare all{132, false};
  Profile profile = plain_profile();
  profile.memory[at(Kernel::rope)].reset();
  const CostModel before(profile, profile.gpu);
  for (const double shift : {1.0, -1.0, 0.5}) {
    Profile shifted = profile;
    for (const Kernel kernel : {Kernel::gemm_fp8, Kernel::rope}) shifted.shift[at(kernel)] = shift;
    const CostModel after(shifted, shifted.gpu);
    for (const Op& op : {gemm, far, experts, unknown}) {  // experts are costed as gemm_fp8
      const Cost a = before.cost(op, all), b = after.cost(op, all);
      CHECK(b.time / a.time == Approx(std::exp(shift * a.log_error)));
      CHECK(b.log_error == a.log_error);
      CHECK(b.origin == a.origin);
    }
    CHECK(after.cost(cast, all).time == before.cost(cast, all).time);
  }
}

TEST_CASE("cost model: a residual corrects the form and widens the interval", "[cost_model]") {
  Profile profile = plain_profile();
  const SmShare all{132, false};
  const Op gemm = gemm_op(Kernel::gemm_fp8, 4000, 4096, 4096);
  const double before = CostModel(profile, profile.gpu).cost(gemm, all).time.in(us);
  const GemmAxes axes = gemm_axes({4000, 4096, 4096, 1, {}});
  const auto with = [&](const std::vector<double>& centre) {
    Profile p = profile;
    p.gemm[at(Kernel::gemm_fp8)]->residual = {4, centre, {0}, 0.2};
    return CostModel(p, p.gpu).cost(gemm, all);
  };
  const Cost on_it = with({axes[0], axes[1], axes[2], axes[3]});
  CHECK(on_it.time.in(us) == Approx(before * std::exp(0.2)));
  CHECK(on_it.origin == Origin::interpolated);
  const double outside = std::log1p(profile.error[at(Kernel::gemm_fp8)].outside);
  const Cost beyond = with({axes[0], axes[1] - 3, axes[2], axes[3]});  // two octaves
  CHECK(beyond.time.in(us) == Approx(before * std::exp(0.2 * std::exp(-2))));
  CHECK(beyond.origin == Origin::extrapolated);
  CHECK(beyond.log_error == Approx(std::sqrt(3) * outside));

  // Attention over (seq, batch heads, keys), decode over (batch, cached, heads).
  const Op attention = attention_op({2, 1024, 3072, 64, 192, 128}), decode = decode_op(32, 4096);
  const CostModel plain(profile, profile.gpu);
  profile.attention[at(Kernel::attention_forward)]->residual = {3, {10, 7, 12}, {0}, -0.1};
  profile.decode->residual = {3, {5, 12, 7 + 2}, {0}, 0.3};
  const CostModel corrected(profile, profile.gpu);
  CHECK(corrected.cost(attention, all).time / plain.cost(attention, all).time ==
        Approx(std::exp(-0.1)));
  CHECK(corrected.cost(attention, all).origin == Origin::interpolated);
  const Op long_attention = attention_op({2, 8192, 3072, 64, 192, 128});
  CHECK(corrected.cost(long_attention, all).origin == Origin::extrapolated);
  CHECK(corrected.cost(long_attention, all).log_error >
        1.5 * std::log1p(profile.error[at(Kernel::attention_forward)].outside));
  CHECK(corrected.cost(decode, all).time / plain.cost(decode, all).time ==
        Approx(std::exp(0.3 * std::exp(-1))));
  CHECK(corrected.cost(decode, all).origin == Origin::extrapolated);
  CHECK(corrected.cost(decode, all).log_error ==
        Approx(std::sqrt(2) * std::log1p(profile.error[at(Kernel::attention_decode)].outside)));
  // A cache that is empty has a time.
  CHECK(std::isfinite(corrected.cost(decode_op(32, 0), all).time.in(us)));
}

TEST_CASE("cost model: GEMMs of several experts", "[cost_model]") {
  Profile profile = plain_profile();
  const SmShare all{132, false};
  Op experts = gemm_op(Kernel::grouped_gemm_fp8, 32768, 4096, 7168, 4);
  {
    // Without a kernel of their own they are the dense kernel's, its points and errors included.
    const CostModel model(profile, profile.gpu);
    CHECK(model.cost(experts, all).origin == Origin::measured);
    CHECK((experts.flops / model.cost(experts, all).time).in(TFLOP_per_s) == Approx(1297));
    CHECK(model.ideal_time(experts) == experts.flops / *profile.gpu.peak_fp8);
    // Counts are another shape: evenly full the form says what it says without them.
    Op counted = experts;
    counted.counts = {8192, 8192, 8192, 8192};
    CHECK(model.cost(counted, all).origin == Origin::interpolated);
    CHECK(model.cost(counted, all).time / model.cost(experts, all).time == Approx(1).epsilon(0.05));
    Op even = gemm_op(Kernel::grouped_gemm_fp8, 4096, 4096, 7168, 8), uneven = even;
    uneven.counts = {3, 1000, 1, 20, 2000, 5, 1060, 7};
    CHECK(model.cost(uneven, all).time > 1.05 * model.cost(even, all).time);
    Op few = gemm_op(Kernel::grouped_gemm_fp8, 64, 4096, 7168, 8), one_expert = few;
    few.counts = Counts(8, 8);
    one_expert.counts = {64, 0, 0, 0, 0, 0, 0, 0};
    // Weights of one expert instead of eight: memory-bound, an eighth of them to read.
    CHECK(model.cost(few, all).time > 3 * model.cost(one_expert, all).time);
  }
  // With one of their own the points of the dense kernel are not theirs.
  profile.gemm[at(Kernel::grouped_gemm_fp8)] = profile.gemm[at(Kernel::gemm_fp8)];
  profile.gemm[at(Kernel::grouped_gemm_fp8)]->mma_efficiency /= 2;
  profile.error[at(Kernel::grouped_gemm_fp8)].inside = 0.5;
  const CostModel model(profile, profile.gpu);
  CHECK(model.cost(experts, all).origin == Origin::interpolated);
  CHECK(model.cost(experts, all).log_error == Approx(std::log(1.5)));
  CHECK((experts.flops / model.cost(experts, all).time).in(TFLOP_per_s) < 800);
  // And with neither they are costed at the datasheet.
  profile.gemm[at(Kernel::grouped_gemm_fp8)].reset();
  profile.gemm[at(Kernel::gemm_fp8)].reset();
  CHECK(CostModel(profile, profile.gpu).cost(experts, all).origin == Origin::roofline);
}
