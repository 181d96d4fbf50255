// Barriers, tensor copies and tensor cores of the emulated GPU: one tile of a product by hand, with
// every layout an operand may have, and the mistakes that have to be seen.
#include <cmath>
#include <limits>
#include <vector>

#include "calibrate/reference.hpp"
#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"
#include "kernels/ptx.hpp"
#include "kernels/wgmma.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

constexpr int kTileRows = 64, kTileColumns = 128, kTileK = 64;  // 64 BF16: a row of 128 bytes

enum class Tile : std::uint8_t { plain, transposed, registers, unwaited, early_release, greedy };

// One warpgroup: out[64, columns] of a[64, 64] b, b[columns, 64], or b[64, columns] transposed.
template <Tile kTile>
__global__ void bf16_tile(const __grid_constant__ TensorMap a,
                          const __grid_constant__ TensorMap b,
                          const Bf16* a_plain,
                          float* out) {
  constexpr bool kTransposed = kTile == Tile::transposed;
  std::byte* shared = dynamic_shared();
  std::byte *a_tile = shared, *b_tile = shared + 8192;
  auto* full = reinterpret_cast<std::uint64_t*>(shared + 8192 + 16384);
  if (threadIdx.x == 0) {
    barrier_init(full, 1);
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    barrier_arrive_expecting(full, kTile == Tile::greedy ? 8192 : 8192 + 16384);
    tensor_load(a, a_tile, full, 0, 0);
    tensor_load(b, b_tile, full, 0, 0);
    if (kTransposed) tensor_load(b, b_tile + 8192, full, 64, 0);
  }
  if (kTile != Tile::unwaited) barrier_wait(full, 0);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int row = 16 * warp + lane / 4;
  float d[kTileColumns / 2];
  const std::uint64_t a_at = matrix_descriptor(a_tile),
                      b_at = matrix_descriptor(b_tile, 1024, kTransposed ? 8192 : 16);
  wgmma_fence();
  for (unsigned step = 0; step < kTileK / 16; ++step) {
    if constexpr (kTile == Tile::registers) {
      std::uint32_t regs[4];
      for (int i = 0; i < 4; ++i)
        memcpy(&regs[i],
               a_plain + (row + i % 2 * 8) * kTileK + step * 16 + i / 2 * 8 + lane % 4 * 2,
               sizeof regs[i]);
      wgmma_bf16<kTileColumns, false>(d, regs, descriptor_at(b_at, step * 32), step > 0);
    } else {
      wgmma_bf16<kTileColumns, kTransposed>(d,
                                            descriptor_at(a_at, step * 32),
                                            descriptor_at(b_at, step * (kTransposed ? 2048 : 32)),
                                            step > 0);
    }
  }
  wgmma_commit();
  if (kTile == Tile::early_release && threadIdx.x == 0) memset(b_tile, 0, 2048);
  wgmma_wait<0>();
  wgmma_keep(d);
  for (int i = 0; i < kTileColumns / 8; ++i)
    for (int j = 0; j < 4; ++j)
      out[(row + j / 2 * 8) * kTileColumns + 8 * i + 2 * (lane % 4) + j % 2] = d[4 * i + j];
}

struct Product {
  std::vector<Bf16> a, b;
  std::vector<float> expected;
};

Product product(bool transposed) {
  Product p = {bf16_array(bf16_values(kTileRows * kTileK, 3, 0)),
               bf16_array(bf16_values(kTileColumns * kTileK, 3, 1)),
               {}};
  for (int i = 0; i < kTileRows; ++i)
    for (int j = 0; j < kTileColumns; ++j) {
      double sum = 0;
      for (int k = 0; k < kTileK; ++k)
        sum += double{to_float(p.a[i * kTileK + k])} *
               to_float(p.b[transposed ? k * kTileColumns + j : j * kTileK + k]);
      p.expected.push_back(static_cast<float>(sum));
    }
  return p;
}

template <Tile kTile>
double error_of_tile() {
  const bool transposed = kTile == Tile::transposed;
  const Product p = product(transposed);
  std::vector<float> out(p.expected.size(), std::numeric_limits<float>::quiet_NaN());
  const TensorMap a = make_matrix_map(p.a.data(), kTileRows, kTileK, 2 * kTileK, 64, 64, true);
  const TensorMap b =
      transposed ? make_matrix_map(p.b.data(), kTileK, kTileColumns, 2 * kTileColumns, 64, 64, true)
                 : make_matrix_map(p.b.data(), kTileColumns, kTileK, 2 * kTileK, 128, 64, true);
  launch("bf16_tile",
         nullptr,
         bf16_tile<kTile>,
         dim3(1),
         dim3(128),
         8192 + 16384 + 64,
         a,
         b,
         p.a.data(),
         out.data());
  return relative_l2(out, p.expected);
}

// Copies one box to global memory, unswizzled.
__global__ void copy_box(
    const __grid_constant__ TensorMap map, int x, int y, int bytes, float* out) {
  auto* shared = reinterpret_cast<float*>(dynamic_shared());
  auto* full = reinterpret_cast<std::uint64_t*>(dynamic_shared() + 8192);
  barrier_init(full, 1);
  barrier_arrive_expecting(full, static_cast<unsigned>(bytes));
  tensor_load(map, shared, full, x, y);
  barrier_wait(full, 0);
  for (int i = 0; i < bytes / 4; ++i) out[i] = shared[i];
}

__global__ void one_arrival_too_many(int /*unused*/) {
  auto* barrier = reinterpret_cast<std::uint64_t*>(dynamic_shared());
  if (threadIdx.x == 0) {
    barrier_init(barrier, 2);
    barrier_arrive_expecting(barrier, 16);
    barrier_arrive(barrier);
    barrier_arrive(barrier);
  }
}

}  // namespace

TEST_CASE("a tile of a product, in every layout of its operands", "[both_orders]") {
  constexpr double kFp32 = 1e-6;
  CHECK(error_of_tile<Tile::plain>() < kFp32);
  CHECK(error_of_tile<Tile::transposed>() < kFp32);
  CHECK(error_of_tile<Tile::registers>() < kFp32);
}

TEST_CASE("what is used before it is there, or overwritten too early, is seen") {
  CHECK_FALSE(std::isfinite(error_of_tile<Tile::unwaited>()));
  CHECK(error_of_tile<Tile::early_release>() > 0.1);
}

TEST_CASE("an mbarrier takes no more arrivals and bytes than it expects") {
  CHECK_THROWS_WITH(error_of_tile<Tile::greedy>(),
                    Catch::Matchers::Contains("more bytes than its mbarrier expects"));
  CHECK_THROWS_WITH(
      launch("one_arrival_too_many", nullptr, one_arrival_too_many, dim3(1), dim3(1), 64, 0),
      Catch::Matchers::Contains("more arrivals at an mbarrier than its phase has"));
}

TEST_CASE("a box that leaves its tensor reads zeros there") {
  constexpr int kRows = 5, kColumns = 6, kStride = 8, kBox = 4;
  std::vector<float> x(kRows * kStride);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  const TensorMap map = make_matrix_map(x.data(), kRows, kColumns, kStride * 4, kBox, kBox, false);
  for (const int row : {-2, 0, 3, 7})
    for (const int column : {-1, 0, 5}) {
      std::vector<float> out(kBox * kBox, -1), expected;
      launch("copy_box",
             nullptr,
             copy_box,
             dim3(1),
             dim3(1),
             8192 + 64,
             map,
             column,
             row,
             kBox * kBox * 4,
             out.data());
      for (int r = row; r < row + kBox; ++r)
        for (int c = column; c < column + kBox; ++c)
          expected.push_back(
              r >= 0 && r < kRows && c >= 0 && c < kColumns
                  ? x[static_cast<std::size_t>(r) * kStride + static_cast<std::size_t>(c)]
                  : 0.0f);
      CHECK(out == expected);
    }
}

}  // namespace moesim
