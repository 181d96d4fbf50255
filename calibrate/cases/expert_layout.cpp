// Where the rows of a rank's experts go: `expert_count` counts them and says where each expert
// begins, its share padded to 128 rows (a tile of the grouped GEMM), and marks every row as
// nobody's; `expert_map` gives choices their rows. Each moves two integers a choice: it is read,
// and its row is marked or its position is written.
#include "calibrate/cases/expert_layout.hpp"

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "model/random.hpp"

namespace moesim {

// A token's choices are one of each group of 8 experts, so they differ and one is this rank's.
std::vector<std::int32_t> layout_choices(std::int64_t tokens, std::uint64_t seed) {
  Random random(seed, 0x6578706cu);
  std::vector<std::int32_t> choices;
  choices.reserve(static_cast<std::size_t>(tokens * kLayoutTopK));
  constexpr std::int64_t kAll = kLayoutExperts * kLayoutTopK;
  for (std::int64_t token = 0; token < tokens; ++token) {
    const auto first = static_cast<std::int64_t>(random.bits() % kAll);
    for (std::int64_t i = 0; i < kLayoutTopK; ++i)
      choices.push_back(static_cast<std::int32_t>((first + i * kLayoutExperts) % kAll));
  }
  return choices;
}

namespace {

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kLayoutTokenBytes, num_sms); }

std::vector<Call> checks() {
  return {bytes_call(kLayoutTokenBytes), bytes_call(777 * kLayoutTokenBytes)};
}

// choices[tokens, 8]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::vector<std::int32_t> choices =
      layout_choices(static_cast<std::int64_t>(rows_of(call, kLayoutTokenBytes)), seed);
  return {{"choices", Element::index, {choices.begin(), choices.end()}}};
}

struct Places {
  std::vector<std::int64_t> counts, offsets;
};
Places places(const std::vector<float>& choices) {
  Places p{std::vector<std::int64_t>(kLayoutExperts), {0}};
  for (const float choice : choices)
    if (choice < kLayoutExperts) ++p.counts[static_cast<std::size_t>(choice)];
  for (const std::int64_t count : p.counts) {
    const std::int64_t blocks = (count + kLayoutAlignment - 1) / kLayoutAlignment;
    p.offsets.push_back(p.offsets.back() + blocks * kLayoutAlignment);
  }
  return p;
}

std::vector<float> nobodys_rows(const Call& call) {
  const auto tokens = static_cast<std::int64_t>(rows_of(call, kLayoutTokenBytes));
  return std::vector<float>(static_cast<std::size_t>(layout_rows(tokens)), -1.0F);
}

// counts[8], offsets[9], source[rows]: -1
Arrays counted(const Call& call, const Arrays& in) {
  const Places p = places(in[0].values);
  return {{"counts", Element::index, {p.counts.begin(), p.counts.end()}},
          {"offsets", Element::index, {p.offsets.begin(), p.offsets.end()}},
          {"source", Element::index, nobodys_rows(call)}};
}

// position[tokens, 8]: row, or -1; source[rows]: token, or -1. Tokens of an expert in their order.
Arrays placed(const Call& call, const Arrays& in) {
  Arrays out = {{"position", Element::index, std::vector<float>(in[0].values.size(), -1.0F)},
                {"source", Element::index, nobodys_rows(call)}};
  std::vector<std::int64_t> next = places(in[0].values).offsets;
  for (std::size_t i = 0; i < in[0].values.size(); ++i) {
    const float expert = in[0].values[i];
    if (expert >= kLayoutExperts) continue;
    std::int64_t& row = next[static_cast<std::size_t>(expert)];
    out[0].values[i] = static_cast<float>(row);
    out[1].values[static_cast<std::size_t>(row)] = static_cast<float>(i / kLayoutTopK);
    ++row;
  }
  return out;
}

Pieces count_samples(const Call& call, std::uint64_t seed);
Pieces map_samples(const Call& call, std::uint64_t seed);

constexpr Experiment kCounting = {grid, checks, inputs, counted, 0, count_samples};
constexpr Experiment kPlacing = {grid, checks, inputs, placed, 0, map_samples};

Pieces count_samples(const Call& call, std::uint64_t seed) {
  return whole_samples(kCounting, call, seed);
}
Pieces map_samples(const Call& call, std::uint64_t seed) {
  return whole_samples(kPlacing, call, seed);
}

}  // namespace

const Case kExpertCountCase = moving_case("expert_count", &kCounting);
const Case kExpertMapCase = moving_case("expert_map", &kPlacing);

}  // namespace moesim
