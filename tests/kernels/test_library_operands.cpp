// What a library's FP8 GEMM is given: read as its documentation says, the operands have to give the
// case's own result. The library itself needs a GPU.
#include <cmath>

#include "calibrate/case.hpp"
#include "calibrate/cuda/library_gemm.hpp"
#include "calibrate/reference_fp8.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

const Case& gemm_case() { return *find_case("gemm_fp8"); }

std::size_t at(std::int64_t row, std::int64_t ld, std::int64_t column) {
  return static_cast<std::size_t>(row * ld + column);
}

// cuBLASLt's product in its own terms: column-major D[n, rows] = A^T B with A[k, n], B[k, rows];
// scale of A with a column of scales for 128 columns of A, that of B with the columns of B
// contiguous.
void multiply(const LibraryGemmFp8& p) {
  for (std::int64_t j = 0; j < p.rows; ++j)
    for (std::int64_t i = 0; i < p.n; ++i) {
      double sum = 0;
      for (std::int64_t l = 0; l < p.k; ++l) {
        const std::int64_t block = l / kScaleBlock;
        sum += static_cast<double>(to_float(p.b[at(i, p.k, l)])) * to_float(p.a[at(j, p.k, l)]) *
               p.b_scale[at(i / kScaleBlock, p.b_scale_ld, block)] *
               p.a_scale[at(block, p.rows, j)];
      }
      p.out[at(j, p.n, i)] = to_bf16(static_cast<float>(sum));
    }
}

struct Prepared {
  std::unique_ptr<GpuCall> gpu = std::make_unique<GpuCall>();
  LibraryGemmFp8 gemm;
  explicit Prepared(const Call& call) {
    gpu->seed = 1;
    gemm = library_gemm_fp8_operands(call, *gpu);
    gpu->launch = [p = gemm](Stream) { multiply(p); };
  }
};

double error(const Call& call, const Prepared& prepared) {
  const Experiment& experiment = *gemm_case().experiment;
  const Arrays found = prepared.gpu->checked_outputs(),
               expected = experiment.outputs(call, experiment.inputs(call, 1));
  REQUIRE(found.size() == 1);
  REQUIRE(found[0].values.size() == expected[0].values.size());
  return relative_l2(found[0].values, expected[0].values);
}

}  // namespace

TEST_CASE("operands of a library's FP8 GEMM give the case's result", "[library]") {
  std::vector<Call> calls = gemm_case().experiment->checks();
  calls.push_back({{66, 272, 1408}, {}, 0, false});  // 11 blocks of k, with room for 12
  for (const Call& call : calls) {
    INFO(call.shape[0] << " " << call.shape[1] << " " << call.shape[2]);
    CHECK(error(call, Prepared(call)) < 4e-3);  // BF16's rounding
  }
}

TEST_CASE("operands of a library's FP8 GEMM are laid out as it asks", "[library]") {
  const Prepared prepared({{65, 272, 1408}, {}, 0, false});
  const LibraryGemmFp8& p = prepared.gemm;
  CHECK(p.rows == 68);
  CHECK(p.b_scale_ld == 12);
  for (const void* scales : {p.a_scale, p.b_scale})
    CHECK(reinterpret_cast<std::uintptr_t>(scales) % 16 == 0);
  for (std::int64_t row = 0; row < 3; ++row) CHECK(p.b_scale[at(row, p.b_scale_ld, 11)] == 0);
  for (std::int64_t block = 0; block < 11; ++block)
    for (std::int64_t row = 0; row < p.rows; ++row) {
      const float scale = p.a_scale[at(block, p.rows, row)];
      REQUIRE(std::isfinite(scale));
      REQUIRE(scale > 0);
    }
}

TEST_CASE("operands of a library's weight gradient give the case's result", "[library]") {
  const Case& of = *find_case("gemm_fp8_wgrad");
  for (const Shape& shape : {Shape{64, 144, 128}, Shape{16, 32, 400}}) {
    const Call call{shape, {}, 0, false};
    GpuCall gpu;
    gpu.seed = 1;
    const LibraryWgrad p = library_wgrad_operands(call, gpu);
    gpu.launch = [p](Stream) {
      for (std::int64_t i = 0; i < p.m; ++i)
        for (std::int64_t j = 0; j < p.n; ++j) {
          double sum = 0;
          for (std::int64_t l = 0; l < p.k; ++l)
            sum += static_cast<double>(to_float(p.a[at(i, p.k, l)])) *
                   to_float(p.b[at(j, p.k, l)]) * p.a_scale[at(l / kScaleBlock, p.m, i)] *
                   p.b_scale[at(l / kScaleBlock, p.n, j)];
          p.c[at(i, p.n, j)] += static_cast<float>(sum);
        }
    };
    const Arrays expected = of.experiment->outputs(call, of.experiment->inputs(call, 1));
    CHECK(relative_l2(gpu.checked_outputs()[0].values, expected[0].values) < 1e-5);
  }
}
