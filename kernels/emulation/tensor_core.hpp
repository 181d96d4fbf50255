// wgmma of the emulated GPU, after the PTX ISA ("Asynchronous Warpgroup Level Matrix
// Instructions"): descriptors of operands in shared memory, fragments in registers. An instruction
// reads its operands when its group is waited for, the latest a GPU could; until then the result of
// one that starts from zero is poison.
//
// Left out: the tensor cores' own rounding. Products of one instruction are summed in double, then
// added to FP32.
#pragma once

#include <cstdint>

namespace moesim::emulation {

enum class MatrixType : std::uint8_t { e4m3, bf16 };

// d (+)= a b for the calling thread's part of a 64 x `columns` result.
struct MatrixMultiply {
  MatrixType type;
  int columns;
  float* d;                     // [columns / 2]
  std::uint64_t a;              // descriptor, k contiguous
  const std::uint32_t* a_regs;  // [4], of this thread; nullptr: `a` is read
  std::uint64_t b;
  bool transposed_b;  // columns contiguous, not k
  bool accumulate;
};

void wgmma(const MatrixMultiply& instruction);
void wgmma_commit();
// Until no more than `pending` groups are left, all lanes of the warp.
void wgmma_wait(int pending);

}  // namespace moesim::emulation
