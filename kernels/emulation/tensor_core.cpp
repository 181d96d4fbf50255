#include "kernels/emulation/tensor_core.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/emulation/async_copy.hpp"
#include "kernels/emulation/emulation.hpp"
#include "kernels/number_formats.hpp"

namespace moesim::emulation {
namespace {

constexpr int kWarpgroup = 128, kMostK = 32;
using Row = std::array<float, kMostK>;
using WarpRegisters = std::array<std::array<std::uint32_t, 4>, 32>;

struct Pending {
  MatrixMultiply instruction;
  WarpRegisters a_regs;  // of the warp's lanes
};

struct ThreadState {
  std::vector<Pending> open;                 // not yet committed
  std::vector<std::vector<Pending>> groups;  // oldest first
};

struct Issued {
  std::uint64_t block = 0;
  std::vector<ThreadState> threads;
};
Issued issued;

ThreadState& state_of_thread() {
  constexpr std::size_t kMostThreads = 1024;
  if (issued.block != block_serial()) {
    issued = {block_serial(), {}};
    issued.threads.resize(kMostThreads);
  }
  return issued.threads[static_cast<std::size_t>(thread_rank())];
}

int k_of(MatrixType type) { return type == MatrixType::e4m3 ? 32 : 16; }
std::uint32_t bytes_of(MatrixType type) { return type == MatrixType::e4m3 ? 1 : 2; }

struct Descriptor {
  std::uint32_t start, leading, stride;
};

Descriptor decode(std::uint64_t bits) {
  const auto field = [&](int from) {
    return static_cast<std::uint32_t>(bits >> from & 0x3fffu) << 4;
  };
  if (bits >> 62 != 1) throw std::runtime_error("wgmma: only the 128-byte swizzle is emulated");
  if ((bits >> 49 & 7u) != 0) throw std::runtime_error("wgmma: a base offset is not emulated");
  return {field(0), field(16), field(32)};
}

float read_shared(MatrixType type, std::uint32_t address) {
  const std::byte* at = shared_memory() + swizzled_address(address);
  if (type == MatrixType::e4m3) {
    E4m3 value;
    std::memcpy(&value, at, sizeof value);
    return to_float(value);
  }
  Bf16 value;
  std::memcpy(&value, at, sizeof value);
  return to_float(value);
}

// The k values of row `row` of a, or of column `row` of b. Rows of 128 bytes, in groups of 8 that
// are `stride` apart; transposed, a row of 128 bytes holds 64 columns of one k.
Row read_operand(MatrixType type, const Descriptor& from, int row, bool transposed) {
  Row values = {};
  const auto r = static_cast<std::uint32_t>(row);
  for (std::uint32_t k = 0; k < static_cast<std::uint32_t>(k_of(type)); ++k) {
    const std::uint32_t offset =
        transposed ? r / 64 * from.leading + r % 64 * 2 + k / 8 * from.stride + k % 8 * 128
                   : r / 8 * from.stride + r % 8 * 128 + k * bytes_of(type);
    values[k] = read_shared(type, from.start + offset);
  }
  return values;
}

// Row `row` (0 ... 15) of the warp's part of a, from its lanes' registers.
Row read_registers(const WarpRegisters& registers, int row) {
  Row values = {};
  for (int k = 0; k < 16; ++k) {
    const std::size_t lane =
        static_cast<std::size_t>(row) % 8 * 4 + static_cast<std::size_t>(k) % 8 / 2;
    const std::uint32_t pair =
        registers[lane][static_cast<std::size_t>(row) / 8 + static_cast<std::size_t>(k) / 8 * 2];
    values[static_cast<std::size_t>(k)] =
        to_float(Bf16{static_cast<std::uint16_t>(k % 2 == 0 ? pair : pair >> 16)});
  }
  return values;
}

float product(const Row& a, const Row& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += static_cast<double>(a[k]) * b[k];
  return static_cast<float>(sum);
}

void execute(const Pending& pending) {
  const MatrixMultiply& mma = pending.instruction;
  const int rank = thread_rank(), warp = rank % kWarpgroup / 32, lane = rank % 32;
  std::array<Row, 2> a;
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    a[static_cast<std::size_t>(half)] =
        mma.a_regs != nullptr ? read_registers(pending.a_regs, row)
                              : read_operand(mma.type, decode(mma.a), 16 * warp + row, false);
  }
  const Descriptor b = decode(mma.b);
  for (int i = 0; i < mma.columns / 8; ++i)
    for (int odd = 0; odd < 2; ++odd) {
      const Row column = read_operand(mma.type, b, 8 * i + 2 * (lane % 4) + odd, mma.transposed_b);
      for (int half = 0; half < 2; ++half) {
        float& d = mma.d[4 * i + 2 * half + odd];
        d = (mma.accumulate ? d : 0.0f) + product(a[static_cast<std::size_t>(half)], column);
      }
    }
}

}  // namespace

void wgmma(const MatrixMultiply& instruction) {
  Pending pending = {instruction, {}};
  if (instruction.a_regs != nullptr)
    std::memcpy(&pending.a_regs,
                exchange(~0u, instruction.a_regs, 4 * sizeof(std::uint32_t)),
                sizeof pending.a_regs);
  if (!instruction.accumulate)
    std::fill_n(instruction.d, instruction.columns / 2, std::numeric_limits<float>::quiet_NaN());
  state_of_thread().open.push_back(pending);
}

void wgmma_commit() {
  ThreadState& state = state_of_thread();
  state.groups.push_back(std::move(state.open));
  state.open.clear();
}

void wgmma_wait(int pending) {
  give_way();
  ThreadState& state = state_of_thread();
  while (state.groups.size() > static_cast<std::size_t>(pending)) {
    for (const Pending& instruction : state.groups.front()) execute(instruction);
    state.groups.erase(state.groups.begin());
  }
  const char nothing = 0;
  exchange(~0u, &nothing, 1);
}

}  // namespace moesim::emulation
