// The tensor cores of Hopper (wgmma): d[64, columns] (+)= a b by the 128 threads of a warpgroup,
// with E4M3 (k = 32) or BF16 (k = 16) operands and FP32 results. All threads of the warpgroup call.
//
// The result lies in registers: thread t of the warpgroup holds, of rows r = 16 (t / 32) + t % 32 /
// 4 and r + 8 and of columns c = 8 i + 2 (t % 4) and c + 1, in this order
//   d[4 i] (r, c)   d[4 i + 1] (r, c + 1)   d[4 i + 2] (r + 8, c)   d[4 i + 3] (r + 8, c + 1).
// A from registers (BF16) lies the same way, pairs of columns in one register, the first in the low
// half: a[0] (r, c), a[1] (r + 8, c), a[2] (r, c + 8), a[3] (r + 8, c + 8) with i = 0. So the
// result of 16 columns of one product, rounded to BF16, is the operand a of the next.
//
// Order: wgmma_fence(), the products, wgmma_commit(), wgmma_wait<n>(), wgmma_keep(d). Operands in
// shared memory and in registers may change, and d be read, only after the wait.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/ptx.hpp"

#if defined(MOE_EMULATION)
#include "kernels/emulation/tensor_core.hpp"
#endif

namespace moesim {

// Where an operand lies in shared memory: in rows of 128 bytes, swizzled as tensor_load() leaves
// them, in groups of 8 rows that are `stride` bytes apart.
//   k contiguous: a row of 128 bytes is 128 bytes of k of one row of a, or one column of b; the
//   next
//     32 bytes of k are at `at` + 32. `leading` has no meaning.
//   transposed (b only, BF16): a row is 64 columns of b at one k; the next 64 columns are `leading`
//     bytes on; the next 16 of k are at `at` + 2048.
__device__ __forceinline__ std::uint64_t matrix_descriptor(const void* at,
                                                           unsigned stride = 1024,
                                                           unsigned leading = 16) {
  constexpr std::uint64_t kSwizzle128 = 1;
  return (shared_address(at) & 0x3ffffu) >> 4 | std::uint64_t{leading >> 4} << 16 |
         std::uint64_t{stride >> 4} << 32 | kSwizzle128 << 62;
}
// The descriptor of what lies `bytes` further, a multiple of 16.
__device__ __forceinline__ std::uint64_t descriptor_at(std::uint64_t descriptor, unsigned bytes) {
  return descriptor + (bytes >> 4);
}

#if defined(MOE_EMULATION)

inline void wgmma_fence() {}
inline void wgmma_commit() { emulation::wgmma_commit(); }
template <int kPending>
void wgmma_wait() {
  emulation::wgmma_wait(kPending);
}
template <int kCount>
void wgmma_keep(float (&)[kCount]) {}

template <int kColumns>
void wgmma_e4m3(float (&d)[kColumns / 2], std::uint64_t a, std::uint64_t b, bool accumulate) {
  emulation::wgmma({emulation::MatrixType::e4m3, kColumns, d, a, nullptr, b, false, accumulate});
}
template <int kColumns, bool kTransposedB>
void wgmma_bf16(float (&d)[kColumns / 2], std::uint64_t a, std::uint64_t b, bool accumulate) {
  emulation::wgmma(
      {emulation::MatrixType::bf16, kColumns, d, a, nullptr, b, kTransposedB, accumulate});
}
template <int kColumns, bool kTransposedB>
void wgmma_bf16(float (&d)[kColumns / 2],
                const std::uint32_t (&a)[4],
                std::uint64_t b,
                bool accumulate) {
  emulation::wgmma({emulation::MatrixType::bf16, kColumns, d, 0, a, b, kTransposedB, accumulate});
}

#else

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from reading d before the wait, or writing it after the fence.
template <int kCount>
__device__ __forceinline__ void wgmma_keep(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// An asm statement lists its registers one by one, so this takes macros: lists of 8 and of more, as
// operands and in the text, and the three instructions with the numbers of the operands after d.

#define MOE_TEXT_0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define MOE_TEXT_1 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define MOE_TEXT_2 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define MOE_TEXT_3 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define MOE_TEXT_4 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define MOE_TEXT_5 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define MOE_TEXT_6 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define MOE_TEXT_7 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define MOE_TEXT_8 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define MOE_TEXT_9 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define MOE_TEXT_10 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define MOE_TEXT_11 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define MOE_TEXT_12 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define MOE_TEXT_13 ", %104, %105, %106, %107, %108, %109, %110, %111"
#define MOE_TEXT_14 ", %112, %113, %114, %115, %116, %117, %118, %119"
#define MOE_TEXT_15 ", %120, %121, %122, %123, %124, %125, %126, %127"
#define MOE_LIST_8(d, i)                                                                      \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define MOE_TEXTS_8 MOE_TEXT_0
#define MOE_TEXTS_16 MOE_TEXTS_8 MOE_TEXT_1
#define MOE_LIST_16(d, i) MOE_LIST_8(d, i), MOE_LIST_8(d, i + 8)
#define MOE_TEXTS_24 MOE_TEXTS_16 MOE_TEXT_2
#define MOE_LIST_24(d, i) MOE_LIST_16(d, i), MOE_LIST_8(d, i + 16)
#define MOE_TEXTS_32 MOE_TEXTS_24 MOE_TEXT_3
#define MOE_LIST_32(d, i) MOE_LIST_24(d, i), MOE_LIST_8(d, i + 24)
#define MOE_TEXTS_40 MOE_TEXTS_32 MOE_TEXT_4
#define MOE_LIST_40(d, i) MOE_LIST_32(d, i), MOE_LIST_8(d, i + 32)
#define MOE_TEXTS_48 MOE_TEXTS_40 MOE_TEXT_5
#define MOE_LIST_48(d, i) MOE_LIST_40(d, i), MOE_LIST_8(d, i + 40)
#define MOE_TEXTS_56 MOE_TEXTS_48 MOE_TEXT_6
#define MOE_LIST_56(d, i) MOE_LIST_48(d, i), MOE_LIST_8(d, i + 48)
#define MOE_TEXTS_64 MOE_TEXTS_56 MOE_TEXT_7
#define MOE_LIST_64(d, i) MOE_LIST_56(d, i), MOE_LIST_8(d, i + 56)
#define MOE_TEXTS_72 MOE_TEXTS_64 MOE_TEXT_8
#define MOE_LIST_72(d, i) MOE_LIST_64(d, i), MOE_LIST_8(d, i + 64)
#define MOE_TEXTS_80 MOE_TEXTS_72 MOE_TEXT_9
#define MOE_LIST_80(d, i) MOE_LIST_72(d, i), MOE_LIST_8(d, i + 72)
#define MOE_TEXTS_88 MOE_TEXTS_80 MOE_TEXT_10
#define MOE_LIST_88(d, i) MOE_LIST_80(d, i), MOE_LIST_8(d, i + 80)
#define MOE_TEXTS_96 MOE_TEXTS_88 MOE_TEXT_11
#define MOE_LIST_96(d, i) MOE_LIST_88(d, i), MOE_LIST_8(d, i + 88)
#define MOE_TEXTS_104 MOE_TEXTS_96 MOE_TEXT_12
#define MOE_LIST_104(d, i) MOE_LIST_96(d, i), MOE_LIST_8(d, i + 96)
#define MOE_TEXTS_112 MOE_TEXTS_104 MOE_TEXT_13
#define MOE_LIST_112(d, i) MOE_LIST_104(d, i), MOE_LIST_8(d, i + 104)
#define MOE_TEXTS_120 MOE_TEXTS_112 MOE_TEXT_14
#define MOE_LIST_120(d, i) MOE_LIST_112(d, i), MOE_LIST_8(d, i + 112)
#define MOE_TEXTS_128 MOE_TEXTS_120 MOE_TEXT_15
#define MOE_LIST_128(d, i) MOE_LIST_120(d, i), MOE_LIST_8(d, i + 120)

#define MOE_WGMMA_E4M3(columns, registers, a_number, b_number, p_number)                \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " p_number                             \
               ", 0;\n"                                                                 \
               "wgmma.mma_async.sync.aligned.m64n" columns                              \
               "k32.f32.e4m3.e4m3 {" MOE_TEXTS_##registers "}, " a_number ", " b_number \
                                                           ", p, 1, 1;\n}"              \
               : MOE_LIST_##registers(d, 0)                                             \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define MOE_WGMMA_BF16(columns, registers, a_number, b_number, p_number, t_number)            \
  asm volatile(                                                                               \
      "{\n.reg .pred p;\nsetp.ne.b32 p, " p_number                                            \
      ", 0;\n"                                                                                \
      "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" MOE_TEXTS_##registers \
      "}, " a_number ", " b_number ", p, 1, 1, 0, " t_number ";\n}"                           \
      : MOE_LIST_##registers(d, 0)                                                            \
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)), "n"(static_cast<int>(kTransposedB)))

#define MOE_WGMMA_BF16_REGISTERS(columns, registers, a_numbers, b_number, p_number, t_number) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " p_number                                   \
               ", 0;\n"                                                                       \
               "wgmma.mma_async.sync.aligned.m64n" columns                                    \
               "k16.f32.bf16.bf16 {" MOE_TEXTS_##registers "}, {" a_numbers "}, " b_number    \
                                                           ", p, 1, 1, " t_number ";\n}"      \
               : MOE_LIST_##registers(d, 0)                                                   \
               : "r"(a[0]),                                                                   \
                 "r"(a[1]),                                                                   \
                 "r"(a[2]),                                                                   \
                 "r"(a[3]),                                                                   \
                 "l"(b),                                                                      \
                 "r"(static_cast<int>(accumulate)),                                           \
                 "n"(static_cast<int>(kTransposedB)))

// a and b with k contiguous.
template <int kColumns>
__device__ __forceinline__ void wgmma_e4m3(float (&d)[kColumns / 2],
                                           std::uint64_t a,
                                           std::uint64_t b,
                                           bool accumulate) {
  static_assert(kColumns == 256 || (kColumns % 16 == 0 && kColumns >= 16 && kColumns <= 128),
                "E4M3 products have 16 to 128 columns in steps of 16, or 256");
  if constexpr (kColumns == 16)
    MOE_WGMMA_E4M3("16", 8, "%8", "%9", "%10");
  else if constexpr (kColumns == 32)
    MOE_WGMMA_E4M3("32", 16, "%16", "%17", "%18");
  else if constexpr (kColumns == 48)
    MOE_WGMMA_E4M3("48", 24, "%24", "%25", "%26");
  else if constexpr (kColumns == 64)
    MOE_WGMMA_E4M3("64", 32, "%32", "%33", "%34");
  else if constexpr (kColumns == 80)
    MOE_WGMMA_E4M3("80", 40, "%40", "%41", "%42");
  else if constexpr (kColumns == 96)
    MOE_WGMMA_E4M3("96", 48, "%48", "%49", "%50");
  else if constexpr (kColumns == 112)
    MOE_WGMMA_E4M3("112", 56, "%56", "%57", "%58");
  else if constexpr (kColumns == 128)
    MOE_WGMMA_E4M3("128", 64, "%64", "%65", "%66");
  else if constexpr (kColumns == 256)
    MOE_WGMMA_E4M3("256", 128, "%128", "%129", "%130");
}

// a with k contiguous; b so too, or transposed.
template <int kColumns, bool kTransposedB>
__device__ __forceinline__ void wgmma_bf16(float (&d)[kColumns / 2],
                                           std::uint64_t a,
                                           std::uint64_t b,
                                           bool accumulate) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256,
                "BF16 products have 64, 128 or 256 columns");
  if constexpr (kColumns == 64)
    MOE_WGMMA_BF16("64", 32, "%32", "%33", "%34", "%35");
  else if constexpr (kColumns == 128)
    MOE_WGMMA_BF16("128", 64, "%64", "%65", "%66", "%67");
  else if constexpr (kColumns == 256)
    MOE_WGMMA_BF16("256", 128, "%128", "%129", "%130", "%131");
}

template <int kColumns, bool kTransposedB>
__device__ __forceinline__ void wgmma_bf16(float (&d)[kColumns / 2],
                                           const std::uint32_t (&a)[4],
                                           std::uint64_t b,
                                           bool accumulate) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256,
                "BF16 products have 64, 128 or 256 columns");
  if constexpr (kColumns == 64)
    MOE_WGMMA_BF16_REGISTERS("64", 32, "%32, %33, %34, %35", "%36", "%37", "%38");
  else if constexpr (kColumns == 128)
    MOE_WGMMA_BF16_REGISTERS("128", 64, "%64, %65, %66, %67", "%68", "%69", "%70");
  else if constexpr (kColumns == 256)
    MOE_WGMMA_BF16_REGISTERS("256", 128, "%128, %129, %130, %131", "%132", "%133", "%134");
}

#undef MOE_TEXT_0
#undef MOE_TEXT_1
#undef MOE_TEXT_2
#undef MOE_TEXT_3
#undef MOE_TEXT_4
#undef MOE_TEXT_5
#undef MOE_TEXT_6
#undef MOE_TEXT_7
#undef MOE_TEXT_8
#undef MOE_TEXT_9
#undef MOE_TEXT_10
#undef MOE_TEXT_11
#undef MOE_TEXT_12
#undef MOE_TEXT_13
#undef MOE_TEXT_14
#undef MOE_TEXT_15
#undef MOE_TEXTS_8
#undef MOE_LIST_8
#undef MOE_TEXTS_16
#undef MOE_LIST_16
#undef MOE_TEXTS_24
#undef MOE_LIST_24
#undef MOE_TEXTS_32
#undef MOE_LIST_32
#undef MOE_TEXTS_40
#undef MOE_LIST_40
#undef MOE_TEXTS_48
#undef MOE_LIST_48
#undef MOE_TEXTS_56
#undef MOE_LIST_56
#undef MOE_TEXTS_64
#undef MOE_LIST_64
#undef MOE_TEXTS_72
#undef MOE_LIST_72
#undef MOE_TEXTS_80
#undef MOE_LIST_80
#undef MOE_TEXTS_88
#undef MOE_LIST_88
#undef MOE_TEXTS_96
#undef MOE_LIST_96
#undef MOE_TEXTS_104
#undef MOE_LIST_104
#undef MOE_TEXTS_112
#undef MOE_LIST_112
#undef MOE_TEXTS_120
#undef MOE_LIST_120
#undef MOE_TEXTS_128
#undef MOE_LIST_128
#undef MOE_WGMMA_E4M3
#undef MOE_WGMMA_BF16
#undef MOE_WGMMA_BF16_REGISTERS

#endif

}  // namespace moesim
