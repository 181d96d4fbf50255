// Samples of cases whose rows do not depend on one another: a few of them, by the reference of the
// small shapes.
#include <algorithm>

#include "calibrate/cases/cases.hpp"
#include "model/errors.hpp"

namespace moesim {

std::vector<std::int64_t> sampled_rows(std::int64_t rows) {
  std::vector<std::int64_t> chosen = {0, rows / 3, rows * 2 / 3, rows - 1};
  std::erase_if(chosen, [&](std::int64_t row) { return row < 0; });
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}

namespace {

Arrays one_row(const RowReference& of, const Call& call, std::int64_t row, std::uint64_t seed) {
  Call one = call;
  one.shape[0] = of.row_bytes;
  one.first_row = row;
  return of.outputs(one, of.inputs(one, seed));
}

}  // namespace

Pieces row_samples(const RowReference& of,
                   const Call& call,
                   std::uint64_t seed,
                   std::size_t num_outputs) {
  Pieces pieces;
  for (const std::int64_t row :
       sampled_rows(static_cast<std::int64_t>(rows_of(call, of.row_bytes)))) {
    Arrays out = one_row(of, call, row, seed);
    for (std::size_t i = 0; i < std::min(num_outputs, out.size()); ++i) {
      const auto width = static_cast<std::int64_t>(out[i].values.size());
      pieces.push_back({i, row * width, std::move(out[i].values)});
    }
  }
  return pieces;
}

Pieces column_samples(const RowReference& of, const Call& call, std::uint64_t seed) {
  const auto rows = static_cast<std::int64_t>(rows_of(call, of.row_bytes));
  Pieces pieces;
  for (const std::int64_t row : sampled_rows(rows)) {
    const Arrays out = one_row(of, call, row, seed);
    // The last output has one column a row (scales, or the codes of a single row).
    const auto channels = static_cast<std::int64_t>(out.back().values.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto size = static_cast<std::int64_t>(out[i].values.size()), columns = size / channels;
      ENSURE(columns * channels == size);
      for (const std::int64_t channel : sampled_rows(channels)) {
        const auto begin = out[i].values.begin() + channel * columns;
        pieces.push_back({i, (channel * rows + row) * columns, {begin, begin + columns}});
      }
    }
  }
  return pieces;
}

Pieces whole_samples(const Experiment& of, const Call& call, std::uint64_t seed) {
  Pieces pieces;
  Arrays out = of.outputs(call, of.inputs(call, seed));
  for (std::size_t i = 0; i < out.size(); ++i) pieces.push_back({i, 0, std::move(out[i].values)});
  return pieces;
}

}  // namespace moesim
