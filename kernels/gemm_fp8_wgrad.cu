#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/gemm_fp8_kernel.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"

namespace moesim {
namespace {

__global__ void gemm_fp8_wgrad_plain(GemmFp8Wgrad call) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t row = at / call.n, column = at % call.n;
  if (row >= call.m) return;
  float sum = call.c[at];
  for (std::int64_t begin = 0, block = 0; begin < call.k; begin += kGemmBlockK, ++block) {
    float part = 0;
    for (std::int64_t l = begin; l < call.k && l < begin + kGemmBlockK; ++l)
      part += to_float(call.a[row * call.k + l]) * to_float(call.b[column * call.k + l]);
    sum += part * (call.a_scale[block * call.a_scale_ld + row] *
                   call.b_scale[block * call.b_scale_ld + column]);
  }
  call.c[at] = sum;
}

void require(bool met, const std::string& what) {
  if (!met) throw std::invalid_argument("gemm_fp8_wgrad: " + what);
}

}  // namespace

void gemm_fp8_wgrad(const GemmFp8Wgrad& call, Stream stream) {
  constexpr std::int64_t kStep = 16, kMost = std::numeric_limits<std::int32_t>::max();
  require(call.m >= 1 && call.n >= 1 && call.sms >= 1, "no rows, columns or SMs");
  require(call.k >= kStep && call.k % kStep == 0,
          "k is not a multiple of 16: " + std::to_string(call.k));
  require(call.a_scale_ld % 4 == 0 && call.a_scale_ld >= call.m && call.b_scale_ld % 4 == 0 &&
              call.b_scale_ld >= call.n,
          "a_scale_ld or b_scale_ld is not a multiple of 4 that holds all rows");
  require(call.m <= kMost && call.n <= kMost && call.k <= kMost, "a size beyond 2^31 - 1");
  const GemmPlan plan = fewest_waves_plan({call.m, call.n, call.k, 1, {}}, call.sms);
  GemmFp8Arguments args = {};
  args.out = call.c;
  args.groups = 1;
  args.m = static_cast<int>(call.m);
  args.n = static_cast<int>(call.n);
  args.k_blocks = static_cast<int>(ceil_div(call.k, kGemmBlockK));
  launch_gemm<true>("gemm_fp8_wgrad",
                    stream,
                    plan.tile,
                    {call.a,
                     call.b,
                     call.a_scale,
                     call.b_scale,
                     call.m,
                     call.n,
                     call.k,
                     args.k_blocks,
                     call.m,
                     call.a_scale_ld,
                     call.b_scale_ld},
                    args,
                    std::min(plan.tiles, call.sms));
}

void gemm_fp8_wgrad_naive(const GemmFp8Wgrad& call, Stream stream) {
  constexpr int kThreads = 128;
  launch("gemm_fp8_wgrad_naive",
         stream,
         gemm_fp8_wgrad_plain,
         dim3(static_cast<unsigned>(ceil_div(call.m * call.n, kThreads))),
         dim3(kThreads),
         0,
         call);
}

}  // namespace moesim
