// Weight gradient: both operands with 1x128 scales along k (the tokens), accumulated into FP32.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 1, 8);
}

}  // namespace

const Case kGemmFp8WgradCase = {
    "gemm_fp8_wgrad", {"m", "n", "k"}, Form::gemm, Peak::fp8, false, work};

}  // namespace moesim
