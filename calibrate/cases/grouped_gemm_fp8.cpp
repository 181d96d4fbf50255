// The experts of one rank: m rows in `groups` parts, each with weights of its own. Only experts
// that have rows read theirs.
#include <algorithm>

#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> counts) {
  const auto groups = shape[0];
  const auto m = static_cast<double>(shape[1]), n = static_cast<double>(shape[2]),
             k = static_cast<double>(shape[3]);
  const auto used = counts.empty()
                        ? std::min(groups, shape[1])
                        : std::count_if(counts.begin(), counts.end(), [](auto c) { return c > 0; });
  return gemm_work(m, n, k, static_cast<double>(used), 1, 2);
}

}  // namespace

const Case kGroupedGemmFp8Case = {
    "grouped_gemm_fp8", {"groups", "m", "n", "k"}, Form::gemm, Peak::fp8, false, work};

}  // namespace moesim
