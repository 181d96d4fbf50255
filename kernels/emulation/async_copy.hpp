// Barriers in shared memory and tensor copies of the emulated GPU, after the PTX ISA ("mbarrier",
// "Tensors", "cp.async.bulk.tensor"). A GPU lands a copy at any moment between its start and the
// end of its barrier's phase. Here one half of them, by a hash of their number, land at once, so
// that a stage that was released too early is overwritten under its readers, and the others at the
// latest moment, when a thread waits for the barrier, so that what is read without waiting is still
// poison.
//
// Stricter than hardware: an arrival beyond those the barrier was made for, bytes beyond those it
// expects, and boxes the encoder would refuse are errors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace moesim::emulation {

inline constexpr int kMostTensorRanks = 5;

// Innermost dimension first. strides[0] is the size of an element; all in bytes.
struct TensorBox {
  const std::byte* base = nullptr;
  int rank = 0;
  std::size_t element_bytes = 0;
  std::array<std::uint64_t, kMostTensorRanks> sizes = {}, strides = {};
  std::array<std::uint32_t, kMostTensorRanks> box = {};
  bool swizzled = false;  // 16-byte pieces of 128-byte rows, by the row's number modulo 8
};

// Throws std::runtime_error where cuTensorMapEncodeTiled would refuse.
void check_tensor_box(const TensorBox& tensor);

// In bytes from the start of the block's shared memory, which is aligned to 1024; throws
// std::runtime_error for what lies elsewhere.
std::uint32_t shared_address(const void* at);

// Bits 4 to 6 of the address, exclusive or bits 7 to 9.
inline std::uint32_t swizzled_address(std::uint32_t address) {
  return address ^ (address >> 7 & 7u) << 4;
}

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals);
// First `bytes` more are expected, then one thread has arrived.
void mbarrier_arrive(std::uint64_t* barrier, unsigned bytes);
// Until the phase of this parity is complete.
void mbarrier_wait(std::uint64_t* barrier, unsigned parity);

// The box at `corner`, which may lie outside of the tensor in part or whole: zeros there.
void tensor_load(const TensorBox& tensor,
                 void* to,
                 std::uint64_t* barrier,
                 std::span<const std::int32_t> corner);

}  // namespace moesim::emulation
