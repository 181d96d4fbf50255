// E4M3 activations with 1x128 scales times weights with 128x128 scales, BF16 out: forward and
// input gradient (DeepSeek-V3 report, section 3.3.2).
#include "calibrate/cases/cases.hpp"

namespace moesim {

Work gemm_work(double m, double n, double k, double weights, double in_bytes, double out_bytes) {
  return {2 * m * n * k * FLOP, (in_bytes * (m * k + weights * n * k) + out_bytes * m * n) * B};
}

namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 1, 2);
}

}  // namespace

const Case kGemmFp8Case = {"gemm_fp8", {"m", "n", "k"}, Form::gemm, Peak::fp8, false, work};

}  // namespace moesim
