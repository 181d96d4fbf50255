// Operands of libraries, where they are others than those of our own kernels.
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cuda/library_gemm.hpp"
#include "model/errors.hpp"

namespace moesim {

LibraryGemmFp8 library_gemm_fp8_operands(const Call& call, GpuCall& gpu) {
  const std::int64_t m = call.shape[0], n = call.shape[1], k = call.shape[2];
  LibraryGemmFp8 gemm = {};
  gemm.rows = scale_rows(m);
  gemm.n = n;
  gemm.k = k;
  // A value follows from its index alone, so the first m rows are those of a call without padding.
  const auto a = gpu.scaled_rows(gemm.rows, k, 0);
  const auto b = gpu.scaled_blocks(n, k, 1);
  gemm.a = a.codes;
  gemm.a_scale = a.scales;
  gemm.b = b.codes;
  const std::int64_t blocks = scale_columns(k), block_rows = scale_columns(n);
  gemm.b_scale_ld = scale_rows(blocks);
  auto* const padded = gpu.allocate<float>(block_rows * gemm.b_scale_ld);
  gpu_set_bytes(padded,
                0,
                static_cast<std::size_t>(block_rows * gemm.b_scale_ld) * sizeof(float),
                gpu.stream);
  const std::size_t row_bytes = static_cast<std::size_t>(blocks) * sizeof(float);
  gpu_copy_rows({padded, static_cast<std::size_t>(gemm.b_scale_ld) * sizeof(float)},
                {b.scales, row_bytes},
                row_bytes,
                static_cast<std::size_t>(block_rows),
                gpu.stream);
  gemm.b_scale = padded;
  gemm.out = gpu.output<Bf16>("out", Element::bf16, m * n, gemm.rows * n);
  return gemm;
}

LibraryWgrad library_wgrad_operands(const Call& call, GpuCall& gpu) {
  LibraryWgrad gemm = {};
  gemm.m = call.shape[0];
  gemm.n = call.shape[1];
  gemm.k = call.shape[2];
  const auto a = gpu.scaled_rows(gemm.m, gemm.k, 0), b = gpu.scaled_rows(gemm.n, gemm.k, 1);
  ENSURE(a.ld == gemm.m && b.ld == gemm.n);
  gemm.a = a.codes;
  gemm.a_scale = a.scales;
  gemm.b = b.codes;
  gemm.b_scale = b.scales;
  const std::int64_t size = gemm.m * gemm.n;
  float* const c = gpu.fp32(size, 2);
  gemm.c = c;
  gpu.changed_in_place(
      c, "c", Element::fp32, size, [c, size, seed = gpu.seed, stream = gpu.stream] {
        fill_normal(c, size, {seed, 2}, stream);
      });
  return gemm;
}

}  // namespace moesim
