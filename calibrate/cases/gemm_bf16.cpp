// BF16 operands and result.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 2, 2);
}

}  // namespace

const Case kGemmBf16Case = {"gemm_bf16", {"m", "n", "k"}, Form::gemm, Peak::bf16, false, work};

}  // namespace moesim
