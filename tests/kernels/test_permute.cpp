// Layout of rows by expert, and rows copied there and summed back.
#include <algorithm>
#include <numeric>

#include "calibrate/cases/cases.hpp"
#include "kernels/cast.hpp"
#include "kernels/permute.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

// top_k different experts of each token, some favoured, -1 for a token without one.
std::vector<std::int32_t> draw_experts(std::int64_t tokens, int top_k, int num_experts, bool gaps) {
  Random random(5, static_cast<std::uint64_t>(tokens));
  std::vector<std::int32_t> chosen;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(num_experts));
    std::iota(all.begin(), all.end(), 0);
    for (int k = 0; k < top_k; ++k) {
      const auto left = static_cast<std::uint64_t>(num_experts - k);
      const std::uint64_t pick = std::min(random.bits() % left, random.bits() % left);
      std::swap(all[static_cast<std::size_t>(k)], all[static_cast<std::size_t>(k) + pick]);
      chosen.push_back(gaps && random.bits() % 7 == 0 ? -1 : all[static_cast<std::size_t>(k)]);
    }
  }
  return chosen;
}

struct Found {
  std::vector<std::int32_t> counts, offsets, position, source;
};

constexpr std::int32_t kUnwritten = -77;

Found lay_out(const std::vector<std::int32_t>& experts,
              int top_k,
              int first_expert,
              int num_experts,
              int alignment) {
  const auto size = experts.size();
  ExpertPlaces p = {};
  p.experts = experts.data();
  p.tokens = static_cast<std::int64_t>(size) / top_k;
  p.top_k = top_k;
  p.first_expert = first_expert;
  p.num_experts = num_experts;
  p.alignment = alignment;
  p.max_rows = expert_layout_rows(p);
  const auto filled = [](std::int64_t n) {
    return std::vector<std::int32_t>(static_cast<std::size_t>(n), kUnwritten);
  };
  Found found{filled(num_experts),
              filled(num_experts + 1),
              filled(static_cast<std::int64_t>(size)),
              filled(p.max_rows)};
  std::vector<std::int32_t> scratch = filled(expert_layout_scratch(p));
  p.counts = found.counts.data();
  p.offsets = found.offsets.data();
  p.position = found.position.data();
  p.source = found.source.data();
  p.scratch = scratch.data();
  expert_layout(p, nullptr);
  return found;
}

// One expert after the other, tokens in order.
Found expected_layout(const std::vector<std::int32_t>& experts,
                      int top_k,
                      int first_expert,
                      int num_experts,
                      int alignment,
                      std::size_t max_rows) {
  Found layout;
  layout.position.assign(experts.size(), -1);
  layout.offsets = {0};
  for (int e = 0; e < num_experts; ++e) {
    int count = 0;
    for (std::size_t i = 0; i < experts.size(); ++i) {
      if (experts[i] != first_expert + e) continue;
      layout.position[i] = static_cast<std::int32_t>(layout.source.size());
      layout.source.push_back(static_cast<std::int32_t>(i) / top_k);
      ++count;
    }
    layout.counts.push_back(count);
    while (layout.source.size() % static_cast<std::size_t>(alignment) != 0)
      layout.source.push_back(-1);
    layout.offsets.push_back(static_cast<std::int32_t>(layout.source.size()));
  }
  layout.source.resize(std::max(max_rows, layout.source.size()), -1);
  return layout;
}

void check_layout(std::int64_t tokens, int top_k, int num_experts, int alignment, bool gaps) {
  const std::vector<std::int32_t> experts = draw_experts(tokens, top_k, num_experts, gaps);
  const int first = gaps ? num_experts / 4 : 0, local = gaps ? num_experts / 2 : num_experts;
  const Found found = lay_out(experts, top_k, first, local, alignment);
  const Found expected =
      expected_layout(experts, top_k, first, local, alignment, found.source.size());
  CAPTURE(tokens, top_k, num_experts, alignment, gaps);
  CHECK(found.counts == expected.counts);
  CHECK(found.offsets == expected.offsets);
  CHECK(found.position == expected.position);
  CHECK(found.source == expected.source);
}

}  // namespace

TEST_CASE("expert_layout sorts choices by expert, tokens in order", "[both_orders]") {
  for (const std::int64_t tokens : {0, 1, 127, 128, 129, 1000})
    for (const int alignment : {1, 128})
      for (const bool gaps : {false, true}) {
        check_layout(tokens, 8, 256, alignment, gaps);
        check_layout(tokens, 2, 4, alignment, gaps);
      }
  check_layout(300, 1, 1, 16, false);
  check_layout(300, 8, 1024, 4, false);
  check_layout(4500, 8, 16, 1, true);  // more than 32 blocks
}

TEST_CASE("permute does what its case does", "[both_orders]") {
  const Experiment& e = *kPermuteCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 6), expected = e.outputs(call, in);
    const std::vector<E4m3> codes = e4m3_array(in[0].values);
    const std::vector<std::int32_t> source = index_array(in[2].values);
    const auto rows = static_cast<std::int64_t>(source.size());
    std::vector<E4m3> to = poisoned_e4m3(rows * 7168);
    std::vector<float> scales = poisoned_floats(56 * scale_stride(rows));
    permute({codes.data(),
             source.data(),
             to.data(),
             rows,
             7168,
             in[1].values.data(),
             scales.data(),
             56,
             56,
             1},
            nullptr);
    CHECK(same_values(float_array(to), expected[0].values));
    CHECK(same_values(turned(scales, 56, rows, scale_stride(rows)), expected[1].values));
  }
}

TEST_CASE("permute leaves zeros where a row has no source, and takes scales scale-major",
          "[both_orders]") {
  const std::int64_t tokens = 5, width = 144, num_blocks = 2, stride = scale_stride(tokens);
  const std::vector<std::int32_t> source = {4, -1, 0, 2, 2, -1, -1, 1, 3};
  const auto rows = static_cast<std::int64_t>(source.size());
  std::vector<E4m3> from;
  for (std::int64_t i = 0; i < tokens * width; ++i)
    from.push_back({static_cast<std::uint8_t>(i % 113)});
  const std::vector<float> scales = normal_values(static_cast<std::size_t>(2 * stride), 3, 0);
  std::vector<E4m3> to = poisoned_e4m3(rows * width);
  std::vector<float> to_scales = poisoned_floats(num_blocks * scale_stride(rows));
  permute({from.data(),
           source.data(),
           to.data(),
           rows,
           width,
           scales.data(),
           to_scales.data(),
           num_blocks,
           1,
           stride},
          nullptr);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int32_t token = source[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < width; ++c) {
      const int expected = token < 0 ? 0 : from[static_cast<std::size_t>(token * width + c)].bits;
      REQUIRE(to[static_cast<std::size_t>(r * width + c)].bits == expected);
    }
    for (std::int64_t b = 0; b < num_blocks; ++b)
      CHECK(to_scales[static_cast<std::size_t>(b * scale_stride(rows) + r)] ==
            (token < 0 ? 0 : scales[static_cast<std::size_t>(b * stride + token)]));
  }
}

TEST_CASE("unpermute agrees with its case", "[both_orders]") {
  const Experiment& e = *kUnpermuteCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 6), expected = e.outputs(call, in);
    const std::vector<Bf16> rows = bf16_array(in[0].values);
    const std::vector<std::int32_t> position = index_array(in[1].values);
    const auto tokens = static_cast<std::int64_t>(position.size()) / 2;
    std::vector<Bf16> out = poisoned_bf16(tokens * 7168);
    unpermute({rows.data(), position.data(), in[2].values.data(), out.data(), tokens, 7168, 2},
              nullptr);
    CHECK(relative_l2(float_array(out), expected[0].values) < 2.5e-3);  // the case: 5e-3
  }
}

TEST_CASE("unpermute sums any number of rows and skips those elsewhere", "[both_orders]") {
  for (const int top_k : {1, 3, 8, 9})
    for (const std::int64_t width : {8, 264, 2112}) {
      CAPTURE(top_k, width);
      const std::int64_t tokens = 3;
      const auto choices = static_cast<std::size_t>(tokens * top_k);
      const std::vector<std::int64_t> order = permutation(choices, 2);
      std::vector<std::int32_t> position(order.begin(), order.end());
      for (std::size_t i = 0; i < choices; i += 5) position[i] = -1;  // token 0 may have none
      const std::vector<float> values =
          bf16_values(choices * static_cast<std::size_t>(width), 2, 0);
      const std::vector<float> weight = normal_values(choices, 2, 1);
      const std::vector<Bf16> rows = bf16_array(values);
      for (const bool weighted : {false, true}) {
        std::vector<float> expected(static_cast<std::size_t>(tokens * width));
        for (std::size_t i = 0; i < choices; ++i)
          for (std::int64_t c = 0; position[i] >= 0 && c < width; ++c)
            expected[i / static_cast<std::size_t>(top_k) * static_cast<std::size_t>(width) +
                     static_cast<std::size_t>(c)] +=
                (weighted ? weight[i] : 1) *
                values[static_cast<std::size_t>(position[i] * width + c)];
        std::vector<Bf16> out = poisoned_bf16(tokens * width);
        unpermute({rows.data(),
                   position.data(),
                   weighted ? weight.data() : nullptr,
                   out.data(),
                   tokens,
                   width,
                   top_k},
                  nullptr);
        CHECK(relative_l2(float_array(out), expected) < 3e-3);
      }
    }
}

}  // namespace moesim
