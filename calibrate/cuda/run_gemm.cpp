// FP8 GEMMs by own kernels.
#include <numeric>

#include "calibrate/cuda/routes.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kGemmAlignment = 16;  // of k, and of n where the result is BF16

}  // namespace

bool can_run_gemm_fp8(const Call& call) {
  const std::size_t axes = call.shape.size();
  return call.shape[axes - 1] % kGemmAlignment == 0 && call.shape[axes - 2] % kGemmAlignment == 0;
}

bool can_run_gemm_fp8_wgrad(const Call& call) { return call.shape[2] % kGemmAlignment == 0; }

void prepare_gemm_fp8(const Call& call, GpuCall& gpu) {
  GemmFp8 gemm;
  gemm.m = call.shape[0];
  gemm.n = call.shape[1];
  gemm.k = call.shape[2];
  const auto a = gpu.scaled_rows(gemm.m, gemm.k, 0);
  const auto b = gpu.scaled_blocks(gemm.n, gemm.k, 1);
  gemm.a = a.codes;
  gemm.a_scale = a.scales;
  gemm.a_scale_ld = a.ld;
  gemm.b = b.codes;
  gemm.b_scale = b.scales;
  gemm.out = gpu.output<Bf16>("out", Element::bf16, gemm.m * gemm.n);
  gemm.sms = gpu.sms;
  gpu.run(gemm, gemm_fp8, gemm_fp8_naive);
}

void prepare_grouped_gemm_fp8(const Call& call, GpuCall& gpu) {
  GroupedGemmFp8 gemm;
  gemm.groups = call.shape[0];
  gemm.m = call.shape[1];
  gemm.n = call.shape[2];
  gemm.k = call.shape[3];
  // As the reference deals rows out: the first groups have one more.
  std::vector<std::int32_t> counts(call.counts.begin(), call.counts.end());
  for (std::int64_t g = 0; call.counts.empty() && g < gemm.groups; ++g)
    counts.push_back(
        static_cast<std::int32_t>(gemm.m / gemm.groups + (g < gemm.m % gemm.groups ? 1 : 0)));
  ENSURE(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) == gemm.m);
  const auto a = gpu.scaled_rows(gemm.m, gemm.k, 0);
  const auto b = gpu.scaled_blocks(gemm.n, gemm.k, 1, gemm.groups);
  gemm.a = a.codes;
  gemm.a_scale = a.scales;
  gemm.a_scale_ld = a.ld;
  gemm.b = b.codes;
  gemm.b_scale = b.scales;
  gemm.counts = gpu.upload(counts);
  gemm.out = gpu.output<Bf16>("out", Element::bf16, gemm.m * gemm.n);
  gemm.sms = gpu.sms;
  // The counts that the tiles are chosen for are the host's, and outlive every launch.
  const auto kernel = gpu.naive ? grouped_gemm_fp8_naive : grouped_gemm_fp8;
  gpu.launch = [gemm, kernel, expected = call.counts](Stream stream) {
    GroupedGemmFp8 with_counts = gemm;
    with_counts.expected_counts = expected;
    kernel(with_counts, stream);
  };
}

void prepare_gemm_fp8_wgrad(const Call& call, GpuCall& gpu) {
  GemmFp8Wgrad gemm;
  gemm.m = call.shape[0];
  gemm.n = call.shape[1];
  gemm.k = call.shape[2];
  const auto a = gpu.scaled_rows(gemm.m, gemm.k, 0);
  const auto b = gpu.scaled_rows(gemm.n, gemm.k, 1);
  gemm.a = a.codes;
  gemm.a_scale = a.scales;
  gemm.a_scale_ld = a.ld;
  gemm.b = b.codes;
  gemm.b_scale = b.scales;
  gemm.b_scale_ld = b.ld;
  const std::int64_t size = gemm.m * gemm.n;
  float* const c = gpu.fp32(size, 2);
  gemm.c = c;
  gemm.sms = gpu.sms;
  gpu.changed_in_place(
      c, "c", Element::fp32, size, [c, size, seed = gpu.seed, stream = gpu.stream] {
        fill_normal(c, size, {seed, 2}, stream);
      });
  gpu.run(gemm, gemm_fp8_wgrad, gemm_fp8_wgrad_naive);
}

}  // namespace moesim
