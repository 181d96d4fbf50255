// The emulated GPU itself, with kernels of its own.
#include <vector>

#include "calibrate/reference.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

__global__ void row_sum(const Bf16* x, float* out, int columns) {
  __shared__ float part[4];
  float sum = 0;
  for (unsigned i = threadIdx.x; i < unsigned(columns); i += blockDim.x)
    sum += to_float(x[blockIdx.x * unsigned(columns) + i]);
  for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(~0u, sum, other);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = part[0] + part[1] + part[2] + part[3];
}

// [32] each: the lanes with the same value, the largest value, bytes picked out of two words.
__global__ void warp_functions(const int* x, unsigned* equal, unsigned* largest, unsigned* picked) {
  const unsigned lane = threadIdx.x;
  equal[lane] = __match_any_sync(~0u, x[lane]);
  largest[lane] = __reduce_max_sync(~0u, static_cast<unsigned>(x[lane]));
  picked[lane] = __byte_perm(0x33221100, 0x77665544, lane == 0 ? 0x7362 : 0x5140);
}

__global__ void half_waits(int /*unused*/) {
  if (threadIdx.x < 64) __syncthreads();
}

}  // namespace

TEST_CASE("number formats agree with the CPU reference") {
  for (std::uint32_t code = 0; code < 256; ++code) {
    const E4m3 e{static_cast<std::uint8_t>(code)};
    if ((code & 0x7f) != 0x7f) CHECK(to_e4m3(to_float(e)).bits == code);
  }
  int wrong = 0;
  for (int i = -200000; i < 200000; ++i) {
    const float value = static_cast<float>(i) * 0.0031f;
    wrong += to_float(to_e4m3(value)) == round_e4m3(value) ? 0 : 1;
    wrong += to_float(to_bf16(value)) == round_bf16(value) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("threads of a block meet at barriers and in shuffles") {
  std::vector<Bf16> x(3 * 200);
  std::vector<float> out(3), expected(3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = to_bf16(static_cast<float>(i % 7));
    expected[i / 200] += static_cast<float>(i % 7);
  }
  launch("row_sum", nullptr, row_sum, dim3(3), dim3(128), 0, x.data(), out.data(), 200);
  CHECK(out == expected);
}

TEST_CASE("lanes find their equals and the largest among them") {
  std::vector<int> x(32);
  for (int i = 0; i < 32; ++i) x[static_cast<std::size_t>(i)] = i * i % 5;
  std::vector<unsigned> equal(32), largest(32), picked(32);
  launch("warp_functions",
         nullptr,
         warp_functions,
         dim3(1),
         dim3(32),
         0,
         x.data(),
         equal.data(),
         largest.data(),
         picked.data());
  for (std::size_t i = 0; i < 32; ++i) {
    unsigned expected = 0;
    for (std::size_t j = 0; j < 32; ++j) expected |= x[i] == x[j] ? 1u << j : 0;
    CHECK(equal[i] == expected);
    CHECK(largest[i] == 4);
    CHECK(picked[i] == (i == 0 ? 0x77336622 : 0x55114400));
  }
}

TEST_CASE("a block whose threads wait for what never comes is refused") {
  CHECK_THROWS_WITH(launch("half_waits", nullptr, half_waits, dim3(1), dim3(128), 0, 0),
                    Catch::Matchers::Contains("half_waits: block 0 cannot go on: thread 0 waits "
                                              "for a barrier of the block"));
}

}  // namespace moesim
