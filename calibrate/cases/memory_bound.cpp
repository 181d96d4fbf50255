// Kernels that only move data. Their shape is the least traffic of a call (each operand read once,
// each result written once): one kernel serves many layouts, and its time follows the bytes. Those
// without a file of their own are known from traces only.
#include "calibrate/cases/cases.hpp"
#include "calibrate/reference.hpp"
#include "model/errors.hpp"

namespace moesim {

Work bytes_work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return {Flop(), static_cast<double>(shape[0]) * B};
}

Case moving_case(std::string_view op, const Experiment* experiment) {
  return {op, {"bytes"}, Form::memory, Peak::none, false, bytes_work, experiment};
}

Call bytes_call(std::int64_t bytes) { return {{bytes}, {}, 0, false}; }

std::size_t rows_of(const Call& call, std::int64_t row_bytes) {
  ENSURE(call.shape[0] % row_bytes == 0);
  return static_cast<std::size_t>(call.shape[0] / row_bytes);
}

std::vector<float> transposed(const std::vector<float>& values,
                              std::int64_t rows,
                              std::int64_t columns) {
  const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns);
  ENSURE(values.size() == r * c);
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < r; ++i)
    for (std::size_t j = 0; j < c; ++j) result[j * r + i] = values[i * c + j];
  return result;
}

namespace {

Work no_work(const Shape& /*shape*/, std::span<const std::int64_t> /*counts*/) { return {}; }

Case fixed(std::string_view op) { return {op, {}, Form::fixed, Peak::none, false, no_work}; }

}  // namespace

const Case kCastE5m6Case = moving_case("cast_e5m6"),
           kCastBackE5m6Case = moving_case("cast_back_e5m6"),
           kScaleTransposeCase = fixed("scale_transpose"),
           kScaleCopyCase = moving_case("scale_copy"),
           kAttentionBackwardEdgesCase = moving_case("attention_backward_edges"),
           kSmallCase = fixed("small");

}  // namespace moesim
