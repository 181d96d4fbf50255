#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_kernel.hpp"

namespace moesim {
namespace {

// One thread an element of out; groups as in the kernel, each found by walking the counts.
__global__ void gemm_fp8_plain(GroupedGemmFp8 call) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t row = at / call.n, column = at % call.n;
  if (row >= call.m) return;
  std::int64_t group = 0;
  if (call.counts != nullptr) {
    std::int64_t end = call.counts[0];
    while (row >= end) {
      if (++group == call.groups) return;
      end += call.counts[group];
    }
  }
  const std::int64_t k = call.k, blocks = (k + kGemmBlockK - 1) / kGemmBlockK;
  const std::int64_t scale_rows = (call.n + kGemmBlockK - 1) / kGemmBlockK;
  const E4m3 *a = call.a + row * k, *b = call.b + (group * call.n + column) * k;
  const float* b_scale = call.b_scale + (group * scale_rows + column / kGemmBlockK) * blocks;
  float sum = 0;
  for (std::int64_t block = 0; block < blocks; ++block) {
    float part = 0;
    for (std::int64_t l = block * kGemmBlockK; l < k && l < (block + 1) * kGemmBlockK; ++l)
      part += to_float(a[l]) * to_float(b[l]);
    sum += part * (call.a_scale[block * call.a_scale_ld + row] * b_scale[block]);
  }
  call.out[at] = to_bf16(sum);
}

void require(bool met, const char* name, const std::string& what) {
  if (!met) throw std::invalid_argument(std::string(name) + ": " + what);
}

// `rows`: of a, of all groups.
void require_shape(const char* name,
                   std::int64_t groups,
                   std::int64_t rows,
                   std::int64_t n,
                   std::int64_t k,
                   std::int64_t scale_ld,
                   std::int64_t scaled_rows,
                   std::int64_t sms) {
  constexpr std::int64_t kStep = 16, kMost = std::numeric_limits<std::int32_t>::max();
  require(groups >= 1 && rows >= 1 && sms >= 1, name, "no groups, rows or SMs");
  require(n >= kStep && n % kStep == 0, name, "n is not a multiple of 16: " + std::to_string(n));
  require(k >= kStep && k % kStep == 0, name, "k is not a multiple of 16: " + std::to_string(k));
  require(scale_ld % 4 == 0 && scale_ld >= scaled_rows,
          name,
          "a_scale_ld is not a multiple of 4 that holds all rows: " + std::to_string(scale_ld));
  require(rows <= kMost && groups * n <= kMost && k <= kMost, name, "a size beyond 2^31 - 1");
}

GemmFp8Arguments arguments_of(std::int64_t groups,
                              std::int64_t m,
                              std::int64_t n,
                              std::int64_t k,
                              const float* b_scale,
                              const std::int32_t* counts,
                              Bf16* out) {
  GemmFp8Arguments args = {};
  args.block_scale = b_scale;
  args.out = out;
  args.counts = counts;
  args.groups = static_cast<int>(groups);
  args.m = static_cast<int>(m);
  args.n = static_cast<int>(n);
  args.k_blocks = static_cast<int>(ceil_div(k, kGemmBlockK));
  return args;
}

}  // namespace

void gemm_fp8(const GemmFp8& call, Stream stream) {
  constexpr const char* kName = "gemm_fp8";
  require_shape(kName, 1, call.m, call.n, call.k, call.a_scale_ld, call.m, call.sms);
  const GemmPlan plan = fewest_waves_plan({call.m, call.n, call.k, 1, {}}, call.sms);
  launch_gemm<false>(kName,
                     stream,
                     plan.tile,
                     {call.a,
                      call.b,
                      call.a_scale,
                      nullptr,
                      call.m,
                      call.n,
                      call.k,
                      ceil_div(call.k, kGemmBlockK),
                      call.m,
                      call.a_scale_ld,
                      0},
                     arguments_of(1, call.m, call.n, call.k, call.b_scale, nullptr, call.out),
                     std::min(plan.tiles, call.sms));
}

void grouped_gemm_fp8(const GroupedGemmFp8& call, Stream stream) {
  constexpr const char* kName = "grouped_gemm_fp8";
  require_shape(kName, call.groups, call.m, call.n, call.k, call.a_scale_ld, call.m, call.sms);
  require(call.counts != nullptr, kName, "no counts");
  const GemmTile tile =
      fewest_waves_plan({call.m, call.n, call.k, call.groups, call.expected_counts}, call.sms).tile;
  const std::int64_t most_tiles =
      (call.m / tile.bm + std::min(call.groups, call.m)) * ceil_div(call.n, tile.bn);
  launch_gemm<false>(
      kName,
      stream,
      tile,
      {call.a,
       call.b,
       call.a_scale,
       nullptr,
       call.m,
       call.groups * call.n,
       call.k,
       ceil_div(call.k, kGemmBlockK),
       call.m,
       call.a_scale_ld,
       0},
      arguments_of(call.groups, call.m, call.n, call.k, call.b_scale, call.counts, call.out),
      std::min(most_tiles, call.sms));
}

void masked_gemm_fp8(const MaskedGemmFp8& call, Stream stream) {
  constexpr const char* kName = "masked_gemm_fp8";
  const std::int64_t rows = call.groups * call.max_rows;
  require_shape(kName, call.groups, rows, call.n, call.k, call.a_scale_ld, call.max_rows, call.sms);
  require(call.counts != nullptr, kName, "no counts");
  const std::int64_t expected = call.expected_rows > 0 ? call.expected_rows : call.max_rows;
  const GemmTile tile =
      fewest_waves_plan({call.groups * expected, call.n, call.k, call.groups, {}}, call.sms).tile;
  const std::int64_t most_tiles =
      call.groups * ceil_div(call.max_rows, tile.bm) * ceil_div(call.n, tile.bn);
  GemmFp8Arguments args =
      arguments_of(call.groups, rows, call.n, call.k, call.b_scale, call.counts, call.out);
  args.room = static_cast<int>(call.max_rows);
  launch_gemm<false>(kName,
                     stream,
                     tile,
                     {call.a,
                      call.b,
                      call.a_scale,
                      nullptr,
                      rows,
                      call.groups * call.n,
                      call.k,
                      call.groups * args.k_blocks,
                      call.max_rows,
                      call.a_scale_ld,
                      0},
                     args,
                     std::min(most_tiles, call.sms));
}

void grouped_gemm_fp8_naive(const GroupedGemmFp8& call, Stream stream) {
  constexpr int kThreads = 128;
  launch("grouped_gemm_fp8_naive",
         stream,
         gemm_fp8_plain,
         dim3(static_cast<unsigned>(ceil_div(call.m * call.n, kThreads))),
         dim3(kThreads),
         0,
         call);
}

void gemm_fp8_naive(const GemmFp8& call, Stream stream) {
  GroupedGemmFp8 all;
  all.groups = 1;
  all.m = call.m;
  all.n = call.n;
  all.k = call.k;
  all.a = call.a;
  all.a_scale = call.a_scale;
  all.a_scale_ld = call.a_scale_ld;
  all.b = call.b;
  all.b_scale = call.b_scale;
  all.out = call.out;
  grouped_gemm_fp8_naive(all, stream);
}

}  // namespace moesim
