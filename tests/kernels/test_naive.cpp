// Naive twins beside the fast kernels, at odd sizes and with experts that have no rows. The fast
// ones are compared with CPU references at such sizes in files of their own, and both at the sizes
// of the calibration cases in test_gpu_routes.cpp; what only the twins take is compared here.
#include "calibrate/reference_fp8.hpp"
#include "kernels/naive.hpp"
#include "model/gate.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

constexpr double kBf16Rounding = 3e-3;

std::vector<Bf16> random_bf16(std::int64_t size, std::uint64_t operand) {
  return bf16_array(bf16_values(static_cast<std::size_t>(size), 3, operand));
}

// What two kernels wrote into outputs that began as NaN, [rows, columns] and scales.
struct Cast {
  std::vector<E4m3> codes;
  std::vector<float> scales;
  Cast(std::int64_t size, std::int64_t num_scales)
      : codes(poisoned_e4m3(size)), scales(poisoned_floats(num_scales)) {}
};
// Bit by bit, the padding of the scales aside, which both leave as it was.
void check_same(const Cast& a, const Cast& b) {
  REQUIRE(a.codes.size() == b.codes.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.codes.size(); ++i)
    different += a.codes[i].bits != b.codes[i].bits ? 1 : 0;
  for (std::size_t i = 0; i < a.scales.size(); ++i)
    different += float_to_bits(a.scales[i]) != float_to_bits(b.scales[i]) ? 1 : 0;
  CHECK(different == 0);
}

template <class Arguments>
using Launcher = void (*)(const Arguments&, Stream);

}  // namespace

TEST_CASE("naive casts write what the fast ones write", "[naive]") {
  for (const std::int64_t rows : {1, 5, 129})
    for (const std::int64_t columns : {8, 136, 264}) {
      CAPTURE(rows, columns);
      const std::vector<Bf16> x = random_bf16(rows * columns, 0);
      const auto weight = [&](Launcher<CastWeight> kernel) {
        Cast out(rows * columns, (rows + 127) / 128 * ((columns + 127) / 128));
        kernel({x.data(), out.codes.data(), out.scales.data(), rows, columns}, nullptr);
        return out;
      };
      check_same(weight(cast_weight), weight(cast_weight_naive));

      Cast rowwise(rows * columns, (columns + 127) / 128 * scale_stride(rows));
      cast_rows({x.data(), rowwise.codes.data(), rowwise.scales.data(), rows, columns}, nullptr);
      const auto back = [&](Launcher<CastBack> kernel) {
        std::vector<Bf16> out = poisoned_bf16(rows * columns);
        kernel({rowwise.codes.data(), rowwise.scales.data(), out.data(), rows, columns}, nullptr);
        return float_array(out);
      };
      CHECK(same_values(back(cast_back), back(cast_back_naive)));

      for (const std::int64_t stride : {rows, (rows + 15) / 16 * 16 + 16}) {
        const auto transpose = [&](Launcher<CastTranspose> kernel) {
          Cast out(columns * stride, (rows + 127) / 128 * scale_stride(columns));
          kernel({x.data(), out.codes.data(), out.scales.data(), rows, columns, stride}, nullptr);
          return out;
        };
        check_same(transpose(cast_transpose), transpose(cast_transpose_naive));
        const auto recast = [&](Launcher<RecastTranspose> kernel) {
          Cast out(columns * stride, (rows + 127) / 128 * scale_stride(columns));
          kernel({rowwise.codes.data(),
                  rowwise.scales.data(),
                  out.codes.data(),
                  out.scales.data(),
                  rows,
                  columns,
                  stride},
                 nullptr);
          return out;
        };
        check_same(recast(recast_transpose), recast(recast_transpose_naive));
        const auto turn = [&](Launcher<WeightTranspose> kernel) {
          Cast out(columns * stride, 0);
          kernel({rowwise.codes.data(), out.codes.data(), rows, columns, stride}, nullptr);
          return out;
        };
        check_same(turn(weight_transpose), turn(weight_transpose_naive));
      }
    }
}

TEST_CASE("naive activations and their gradients agree with the fast ones", "[naive]") {
  for (const std::int64_t rows : {1, 9, 33})
    for (const std::int64_t width : {8, 136}) {
      CAPTURE(rows, width);
      const std::vector<Bf16> gate_up = random_bf16(rows * 2 * width, 0),
                              d_out = random_bf16(rows * width, 1);
      const std::vector<float> weight = normal_values(static_cast<std::size_t>(rows), 3, 2);
      const auto value = [&](Launcher<Swiglu> kernel) {
        std::vector<Bf16> out = poisoned_bf16(rows * width);
        kernel({gate_up.data(), out.data(), rows, width}, nullptr);
        return float_array(out);
      };
      CHECK(relative_l2(value(swiglu_naive), value(swiglu)) < kBf16Rounding);
      const auto gradient = [&](Launcher<SwigluBackward> kernel) {
        std::vector<Bf16> out = poisoned_bf16(rows * 2 * width);
        kernel({gate_up.data(), d_out.data(), out.data(), rows, width}, nullptr);
        return float_array(out);
      };
      CHECK(relative_l2(gradient(swiglu_backward_naive), gradient(swiglu_backward)) <
            kBf16Rounding);
      for (const float* const of_row : {static_cast<const float*>(nullptr), weight.data()}) {
        const auto cast = [&](Launcher<SwigluCast> kernel) {
          Cast out(rows * width, (width + 127) / 128 * scale_stride(rows));
          for (float& s : out.scales) s = 0;  // the padding is left as it was
          kernel({gate_up.data(), of_row, out.codes.data(), out.scales.data(), rows, width},
                 nullptr);
          return out;
        };
        const Cast fast = cast(swiglu_cast), naive = cast(swiglu_cast_naive);
        // A last digit of the exponential moves a few codes by a step.
        CHECK(relative_l2(float_array(naive.codes), float_array(fast.codes)) < 1e-2);
        CHECK(relative_l2(naive.scales, fast.scales) < 1e-5);
      }
    }
}

TEST_CASE("naive norms agree with the fast ones", "[naive]") {
  for (const std::int64_t rows : {1, 7})
    for (const std::int64_t columns : {8, 520})
      for (const bool with_residual : {false, true}) {
        CAPTURE(rows, columns, with_residual);
        const std::int64_t size = rows * columns;
        const std::vector<Bf16> x = random_bf16(size, 0), residual = random_bf16(size, 1),
                                weight = random_bf16(columns, 2);
        const Bf16* const passed = with_residual ? residual.data() : nullptr;
        const auto norm = [&](Launcher<Rmsnorm> kernel) {
          std::vector<Bf16> out = poisoned_bf16(size), sum = poisoned_bf16(size);
          kernel({{x.data(), passed, weight.data(), sum.data(), rows, columns, 1e-3F}, out.data()},
                 nullptr);
          std::vector<float> all = float_array(out);
          for (const float s : float_array(sum)) all.push_back(s);
          return all;
        };
        CHECK(relative_l2(norm(rmsnorm_naive), norm(rmsnorm)) < kBf16Rounding);
        const auto cast = [&](Launcher<RmsnormCast> kernel) {
          Cast out(size, (columns + 127) / 128 * scale_stride(rows));
          for (float& s : out.scales) s = 0;
          kernel({{x.data(), passed, weight.data(), nullptr, rows, columns, 1e-3F},
                  out.codes.data(),
                  out.scales.data()},
                 nullptr);
          return out;
        };
        const Cast fast = cast(rmsnorm_cast), naive = cast(rmsnorm_cast_naive);
        CHECK(relative_l2(float_array(naive.codes), float_array(fast.codes)) < 1e-2);
        CHECK(relative_l2(naive.scales, fast.scales) < 1e-5);
        const auto slope = [&](Launcher<RmsnormBackward> kernel) {
          std::vector<Bf16> d_sum = poisoned_bf16(size);
          std::vector<float> d_weight(static_cast<std::size_t>(columns), 0.5F),
              scratch = poisoned_floats(kRmsnormParts * columns);
          const std::vector<Bf16> d_out = random_bf16(size, 4);
          kernel({x.data(),
                  weight.data(),
                  d_out.data(),
                  passed,
                  d_sum.data(),
                  d_weight.data(),
                  scratch.data(),
                  rows,
                  columns,
                  1e-3F},
                 nullptr);
          std::vector<float> all = float_array(d_sum);
          all.insert(all.end(), d_weight.begin(), d_weight.end());
          return all;
        };
        CHECK(relative_l2(slope(rmsnorm_backward_naive), slope(rmsnorm_backward)) < kBf16Rounding);
      }
  RmsnormBackward p = {};
  p.rows = kRmsnormParts * 8 + 1;
  p.columns = 8;
  CHECK_THROWS_AS(rmsnorm_backward_naive(p, nullptr), std::invalid_argument);
}

TEST_CASE("naive rotations, sums, copies and optimizer steps agree with the fast ones", "[naive]") {
  constexpr std::int32_t kHeads = 3, kHeadDim = 24, kRotated = 16;
  constexpr std::int64_t kRows = 5, kSize = kRows * kHeads * kHeadDim;
  std::vector<float> table(8 * kRotated);
  rope_table({table.data(), 8, kRotated, 10000}, nullptr);
  const std::vector<std::int32_t> position = {7, 0, 3, 3, 1};
  const std::vector<Bf16> x = random_bf16(kSize, 0), y = random_bf16(kSize, 1);
  for (const bool inverse : {false, true}) {
    const auto turned_by = [&](Launcher<Rope> kernel) {
      std::vector<Bf16> out = x;
      kernel(
          {out.data(), table.data(), position.data(), kRows, kHeads, kHeadDim, kRotated, inverse},
          nullptr);
      return float_array(out);
    };
    CHECK(relative_l2(turned_by(rope_naive), turned_by(rope)) < kBf16Rounding);
    CHECK(turned_by(rope_naive) != float_array(x));
  }
  const auto sum = [&](Launcher<AddTensors> kernel) {
    std::vector<Bf16> out = poisoned_bf16(kSize);
    kernel({x.data(), y.data(), out.data(), kSize}, nullptr);
    return float_array(out);
  };
  CHECK(same_values(sum(add_tensors_naive), sum(add_tensors)));
  for (const std::int64_t from_copy : {std::int64_t{0}, std::int64_t{32}}) {
    const auto copied = [&](Launcher<CopyPieces> kernel) {
      std::vector<Bf16> out(2 * kSize, Bf16{0x4000});
      kernel({x.data(), out.data(), 5, 3, 16, 128, from_copy, 160, 48}, nullptr);
      return float_array(out);
    };
    CHECK(same_values(copied(copy_pieces_naive), copied(copy_pieces)));
  }
  const auto stepped = [&](Launcher<AdamStep<Bf16>> kernel) {
    const std::vector<float> gradient = normal_values(360, 3, 5);
    std::vector<float> master = normal_values(360, 3, 6);
    std::vector<Bf16> first = random_bf16(360, 7), second = bf16_array(std::vector<float>(360, 2)),
                      weight = poisoned_bf16(360);
    kernel({gradient.data(),
            master.data(),
            first.data(),
            second.data(),
            weight.data(),
            360,
            {0.5F, 0.9F, 0.95F, 1e-8F, 0.1F, 2}},
           nullptr);
    for (const auto& moments : {first, second, weight})
      for (const float v : float_array(moments)) master.push_back(v);
    return master;
  };
  CHECK(relative_l2(stepped(adam_step_naive), stepped(adam_step)) < 1e-3);
}

TEST_CASE("naive layouts are the fast ones', experts without rows among them", "[naive]") {
  // Expert 2 of this rank's 1 ... 4 gets nothing; 0, 5 and -1 are others'.
  std::vector<std::int32_t> experts;
  for (int token = 0; token < 700; ++token)
    for (const int expert : {token % 7 == 0 ? -1 : token % 2, 3 + token % 3})
      experts.push_back(expert);
  for (const std::int64_t tokens : {0, 1, 700})
    for (const std::int32_t alignment : {1, 16}) {
      CAPTURE(tokens, alignment);
      ExpertPlaces p = {};
      p.experts = experts.data();
      p.tokens = tokens;
      p.top_k = 2;
      p.first_expert = 1;
      p.num_experts = 4;
      p.alignment = alignment;
      p.max_rows = expert_layout_rows(p) + 3;
      const auto laid_out = [&](Launcher<ExpertPlaces> count, Launcher<ExpertPlaces> place) {
        const auto sized = [](std::int64_t n) {
          constexpr std::int32_t kUntouched = -77;
          return std::vector<std::int32_t>(static_cast<std::size_t>(n), kUntouched);
        };
        std::vector<std::int32_t> counts = sized(4), offsets = sized(5),
                                  position = sized(2 * tokens), source = sized(p.max_rows),
                                  scratch = sized(expert_layout_scratch(p));
        ExpertPlaces q = p;
        q.counts = counts.data();
        q.offsets = offsets.data();
        q.position = position.data();
        q.source = source.data();
        q.scratch = scratch.data();
        count(q, nullptr);
        place(q, nullptr);
        for (const auto& more : {offsets, position, source})
          counts.insert(counts.end(), more.begin(), more.end());
        return counts;
      };
      const std::vector<std::int32_t> fast = laid_out(expert_count, expert_place);
      CHECK(laid_out(expert_count_naive, expert_place_naive) == fast);
      CHECK(fast[1] == 0);
    }
}

TEST_CASE("naive copies to experts and back agree with the fast ones", "[naive]") {
  constexpr std::int64_t kTokens = 9, kWidth = 136, kRows = 13;
  const std::vector<std::int32_t> source = {3, -1, 0, 8, 8, -1, 2, 1, 7, 6, 5, 4, 3};
  const std::vector<E4m3> codes = e4m3_array(normal_values(kTokens * 144, 3, 0));
  const std::vector<float> scales = normal_values(2 * kTokens, 3, 1);
  const auto permuted = [&](Launcher<Permute> kernel) {
    Cast out(kRows * 144, 2 * scale_stride(kRows));
    kernel({codes.data(),
            source.data(),
            out.codes.data(),
            kRows,
            144,
            scales.data(),
            out.scales.data(),
            2,
            2,
            1},
           nullptr);
    return out;
  };
  check_same(permuted(permute), permuted(permute_naive));
  const std::vector<Bf16> rows = random_bf16(kRows * kWidth, 2);
  const std::vector<float> weight = normal_values(3 * kTokens, 3, 3);
  std::vector<std::int32_t> position;
  for (int i = 0; i < 3 * kTokens; ++i) position.push_back(i % 5 == 0 ? -1 : i * 7 % kRows);
  for (const float* const weights : {static_cast<const float*>(nullptr), weight.data()}) {
    const auto summed = [&](Launcher<Unpermute> kernel) {
      std::vector<Bf16> out = poisoned_bf16(kTokens * kWidth);
      kernel({rows.data(), position.data(), weights, out.data(), kTokens, kWidth, 3}, nullptr);
      return float_array(out);
    };
    CHECK(relative_l2(summed(unpermute_naive), summed(unpermute)) < kBf16Rounding);
  }
}

TEST_CASE("the naive gate chooses and weighs as Gate does, of any number of experts", "[naive]") {
  for (const auto& [experts, top_k, groups, max] : {std::array{256, 8, 8, 4},
                                                    {40, 6, 4, 2},
                                                    {7, 3, 1, 1},
                                                    {64, 8, 8, 8},
                                                    std::array{60, 5, 6, 5}})
    for (const bool ties : {false, true})
      for (const bool with_bias : {false, true}) {
        CAPTURE(experts, top_k, groups, max, ties, with_bias);
        GateSpec spec;
        spec.num_experts = experts;
        spec.top_k = top_k;
        spec.num_groups = groups;
        spec.max_groups = max;
        spec.score = ScoreFunction::sigmoid;
        spec.renormalise = true;
        spec.scale = 2.5;
        constexpr std::int64_t kTokens = 11;
        std::vector<float> logits =
                               normal_values(static_cast<std::size_t>(kTokens * experts), 3, 0),
                           bias = normal_values(static_cast<std::size_t>(experts), 3, 1);
        if (ties)
          for (float& v : logits) v = std::round(v);
        if (ties)
          for (float& b : bias) b = 0.25F * std::round(b);
        if (!with_bias) bias.clear();
        RoutedTokens expected;
        Gate(spec).route(logits.data(), kTokens, bias, expected);
        std::vector<std::int32_t> chosen(static_cast<std::size_t>(kTokens * top_k), -1);
        std::vector<float> weights = poisoned_floats(kTokens * top_k);
        gate_top_k_naive({logits.data(),
                          with_bias ? bias.data() : nullptr,
                          chosen.data(),
                          weights.data(),
                          kTokens,
                          experts,
                          groups,
                          max,
                          top_k,
                          2.5F},
                         nullptr);
        CHECK(chosen == expected.experts);
        CHECK(same_values(weights, expected.weights));
      }
}

}  // namespace moesim
