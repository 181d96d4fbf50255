// Expert-parallel exchange: each rank's `tokens` rows of `hidden` elements go to the `topk` experts
// they chose. Dispatch carries FP8 with a scale per 128, combine BF16. The normal kernels send a
// row once to every node and forward it there; the low-latency kernels once to every expert; a flat
// exchange once to every rank.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

// Bytes of the low-latency kernels that leave a rank when experts are chosen at random.
Work copies(const Shape& shape, double row_bytes) {
  const auto ranks = static_cast<double>(shape[0]), tokens = static_cast<double>(shape[2]),
             topk = static_cast<double>(shape[4]);
  return {Flop(), tokens * topk * (ranks - 1) / ranks * row_bytes * B};
}
double fp8_row(const Shape& shape) { return static_cast<double>(shape[3]) * (1 + 4.0 / 128); }
double bf16_row(const Shape& shape) { return 2 * static_cast<double>(shape[3]); }

// The normal kernels send fewer copies than there are experts; how many depends on the routing, so
// nothing is a bound here but that a row leaves at all.
Work no_bound(const Shape& /*shape*/, std::span<const std::int64_t> /*counts*/) { return {}; }
Work low_latency_dispatch(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return copies(shape, fp8_row(shape));
}
Work low_latency_combine(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  return copies(shape, bf16_row(shape));
}

Case exchange(std::string_view op, Work (*work)(const Shape&, std::span<const std::int64_t>)) {
  return {op,
          {"ranks", "ranks_per_node", "tokens", "hidden", "topk"},
          Form::segments,
          Peak::none,
          true,
          work};
}

}  // namespace

const Case kDispatchCase = exchange("dispatch", no_bound),
           kCombineCase = exchange("combine", no_bound),
           kLowLatencyDispatchCase = exchange("dispatch_low_latency", low_latency_dispatch),
           kLowLatencyCombineCase = exchange("combine_low_latency", low_latency_combine),
           kFlatDispatchCase = exchange("dispatch_flat", no_bound),
           kFlatCombineCase = exchange("combine_flat", no_bound);

}  // namespace moesim
