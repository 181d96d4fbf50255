// Received tokens copied into expert order: each E4M3 row of 7168 with its 56 scales is read once
// and written for two experts of this rank. The order is random; its four bytes a row are not
// counted.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kScales = kWidth / kScaleBlock, kCopies = 2,
                       kTokenBytes = (1 + kCopies) * (kWidth + 4 * kScales);

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kTokenBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kTokenBytes), bytes_call(7 * kTokenBytes)}; }

// codes[tokens, 7168], scales[tokens, 56], source[rows]: the token that row is a copy of
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t tokens = rows_of(call, kTokenBytes);
  const std::vector<float> x = bf16_values(tokens * kWidth, seed, 0);
  Scaled scaled = quantise_rows(x, static_cast<std::int64_t>(tokens), kWidth);
  std::vector<float> source;
  for (const std::int64_t row : permutation(tokens * kCopies, seed))
    source.push_back(static_cast<float>(row / kCopies));
  return {{"codes", Element::e4m3, std::move(scaled.codes)},
          {"scales", Element::fp32, std::move(scaled.scales)},
          {"source", Element::index, std::move(source)}};
}

Arrays outputs(const Call& /*call*/, const Arrays& in) {
  Arrays out = {{"codes", Element::e4m3, {}}, {"scales", Element::fp32, {}}};
  const std::ptrdiff_t widths[] = {kWidth, kScales};
  for (const float source : in[2].values)
    for (std::size_t part = 0; part < 2; ++part) {
      const auto row = in[part].values.begin() + static_cast<std::ptrdiff_t>(source) * widths[part];
      out[part].values.insert(out[part].values.end(), row, row + widths[part]);
    }
  return out;
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const auto rows = static_cast<std::int64_t>(rows_of(call, kTokenBytes)) * kCopies;
  const std::vector<std::int64_t> order = permutation(static_cast<std::size_t>(rows), seed);
  Pieces pieces;
  for (const std::int64_t row : sampled_rows(rows)) {
    const std::int64_t token = order[static_cast<std::size_t>(row)] / kCopies;
    Scaled one = quantise_rows(bf16_values(kWidth, seed, 0, token * kWidth), 1, kWidth);
    pieces.push_back({0, row * kWidth, std::move(one.codes)});
    pieces.push_back({1, row * kScales, std::move(one.scales)});
  }
  return pieces;
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kPermuteCase = moving_case("permute", &kExperiment);

}  // namespace moesim
