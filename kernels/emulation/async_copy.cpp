#include "kernels/emulation/async_copy.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/emulation/emulation.hpp"

namespace moesim::emulation {
namespace {

constexpr std::uint32_t kSharedBytes = 227 * 1024;
constexpr std::uint64_t kUninitialised = ~std::uint64_t{0};  // as the poison of shared memory is
constexpr std::int64_t kMostBytesOfPhase = (1 << 20) - 1;    // the range of tx-count

// What the 64 bits of a barrier say.
struct Phase {
  unsigned arrivals;   // of every phase
  unsigned missing;    // arrivals of this phase
  std::int64_t bytes;  // expected and not yet there
  unsigned parity;
};

struct Copy {
  TensorBox tensor;
  std::uint32_t to;
  std::uint64_t* barrier;
  std::array<std::int32_t, kMostTensorRanks> corner;
};

struct InFlight {
  std::uint64_t block = 0;
  std::vector<Copy> copies;
  std::uint64_t started = 0;
};
InFlight in_flight;

InFlight& copies_of_block() {
  if (in_flight.block != block_serial()) in_flight = {block_serial(), {}, 0};
  return in_flight;
}

// The first of a block does not.
bool lands_at_once(std::uint64_t number) { return number * 0x9e3779b97f4a7c15u >> 63 != 0; }

[[noreturn]] void refuse(const std::string& what) { throw std::runtime_error(what); }

Phase read_phase(const std::uint64_t* barrier) {
  shared_address(barrier);
  const std::uint64_t bits = *barrier;
  if (bits == kUninitialised) refuse("an mbarrier is used before it is initialised");
  return {static_cast<unsigned>(bits & 0xffffu),
          static_cast<unsigned>(bits >> 16 & 0xffffu),
          static_cast<std::int64_t>(bits >> 32 & 0x7fffffffu),
          static_cast<unsigned>(bits >> 63)};
}

void write_phase(std::uint64_t* barrier, Phase phase) {
  if (phase.missing == 0 && phase.bytes == 0) {
    phase.missing = phase.arrivals;
    phase.parity ^= 1u;
  }
  *barrier = phase.arrivals | std::uint64_t{phase.missing} << 16 |
             static_cast<std::uint64_t>(phase.bytes) << 32 | std::uint64_t{phase.parity} << 63;
  made_progress();
}

// One row of the box, with zeros where it leaves the tensor. `outer` counts rows.
void read_row(const Copy& copy, std::uint64_t outer, std::vector<std::byte>& row) {
  const TensorBox& t = copy.tensor;
  std::fill(row.begin(), row.end(), std::byte{0});
  const std::byte* from = t.base;
  for (int d = 1; d < t.rank; ++d) {
    const std::int64_t at = copy.corner[d] + static_cast<std::int64_t>(outer % t.box[d]);
    outer /= t.box[d];
    if (at < 0 || at >= static_cast<std::int64_t>(t.sizes[d])) return;
    from += static_cast<std::uint64_t>(at) * t.strides[d];
  }
  const std::int64_t first = copy.corner[0], end = first + t.box[0];
  const std::int64_t from_in = std::max<std::int64_t>(first, 0);
  const std::int64_t end_in = std::min(end, static_cast<std::int64_t>(t.sizes[0]));
  if (from_in >= end_in) return;
  const auto bytes = static_cast<std::int64_t>(t.element_bytes);
  std::memcpy(row.data() + (from_in - first) * bytes,
              from + from_in * bytes,
              static_cast<std::size_t>((end_in - from_in) * bytes));
}

std::uint64_t box_bytes(const TensorBox& tensor) {
  std::uint64_t bytes = tensor.element_bytes;
  for (int d = 0; d < tensor.rank; ++d) bytes *= tensor.box[d];
  return bytes;
}

void deliver(const Copy& copy) {
  constexpr std::uint32_t kPiece = 16;
  std::vector<std::byte> row(copy.tensor.box[0] * copy.tensor.element_bytes);
  const std::uint64_t bytes = box_bytes(copy.tensor);
  for (std::uint64_t i = 0; i < bytes / row.size(); ++i) {
    read_row(copy, i, row);
    for (std::uint32_t at = 0; at < row.size(); at += kPiece) {
      std::uint32_t to = copy.to + static_cast<std::uint32_t>(i * row.size()) + at;
      if (copy.tensor.swizzled) to = swizzled_address(to);
      std::memcpy(shared_memory() + to, row.data() + at, kPiece);
    }
  }
  Phase phase = read_phase(copy.barrier);
  phase.bytes -= static_cast<std::int64_t>(bytes);
  if (phase.bytes < 0) refuse("a tensor copy brings more bytes than its mbarrier expects");
  write_phase(copy.barrier, phase);
}

void deliver_to(const std::uint64_t* barrier) {
  std::vector<Copy>& copies = copies_of_block().copies;
  for (std::size_t i = 0; i < copies.size();) {
    if (copies[i].barrier != barrier) {
      ++i;
      continue;
    }
    const Copy copy = copies[i];
    copies.erase(copies.begin() + static_cast<std::ptrdiff_t>(i));
    deliver(copy);
  }
}

}  // namespace

void check_tensor_box(const TensorBox& t) {
  constexpr std::uint32_t kWidestBox = 256;
  if (t.rank < 2 || t.rank > kMostTensorRanks) refuse("a tensor map has 2 to 5 dimensions");
  if (reinterpret_cast<std::uintptr_t>(t.base) % 16 != 0)
    refuse("the base of a tensor map is not aligned to 16 bytes");
  for (int d = 0; d < t.rank; ++d) {
    if (t.sizes[d] == 0 || t.sizes[d] > std::uint64_t{1} << 32)
      refuse("a size of a tensor map is not in 1 ... 2^32");
    if (t.box[d] == 0 || t.box[d] > kWidestBox)
      refuse("a side of a tensor box is not in 1 ... 256");
    if (d > 0 && (t.strides[d] % 16 != 0 || t.strides[d] >= std::uint64_t{1} << 40))
      refuse("a stride of a tensor map is not a multiple of 16 bytes below 2^40");
  }
  const std::size_t inner = t.box[0] * t.element_bytes;
  if (inner % 16 != 0) refuse("the inner side of a tensor box is not a multiple of 16 bytes");
  if (t.swizzled && inner > 128) refuse("the inner side of a swizzled box is over 128 bytes");
}

std::uint32_t shared_address(const void* at) {
  const std::ptrdiff_t offset = static_cast<const std::byte*>(at) - shared_memory();
  if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(kSharedBytes))
    refuse("an address is not in the block's dynamic shared memory");
  return static_cast<std::uint32_t>(offset);
}

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals) {
  if (arrivals == 0 || arrivals >= 0xffffu) refuse("an mbarrier of no or too many arrivals");
  if (shared_address(barrier) % 8 != 0) refuse("an mbarrier is not aligned to 8 bytes");
  *barrier = arrivals | std::uint64_t{arrivals} << 16;
}

void mbarrier_arrive(std::uint64_t* barrier, unsigned bytes) {
  Phase phase = read_phase(barrier);
  if (phase.missing == 0) refuse("more arrivals at an mbarrier than its phase has");
  phase.bytes += bytes;
  if (phase.bytes > kMostBytesOfPhase) refuse("an mbarrier expects more than 2^20 - 1 bytes");
  --phase.missing;
  write_phase(barrier, phase);
}

void mbarrier_wait(std::uint64_t* barrier, unsigned parity) {
  // Whoever finds its data missing first lets the others go on: copies wait longest.
  if (read_phase(barrier).parity != parity) return;
  deliver_to(barrier);
  wait_until(
      [&] {
        if (read_phase(barrier).parity == parity) deliver_to(barrier);
        return read_phase(barrier).parity != parity;
      },
      "an mbarrier");
}

void tensor_load(const TensorBox& tensor,
                 void* to,
                 std::uint64_t* barrier,
                 std::span<const std::int32_t> corner) {
  if (static_cast<int>(corner.size()) != tensor.rank)
    refuse("a tensor copy has more or fewer coordinates than its map");
  const std::uint32_t address = shared_address(to);
  if (address % (tensor.swizzled ? 1024 : 128) != 0)
    refuse("a tensor copy goes to shared memory that is not aligned to 128 bytes, swizzled 1024");
  if (address + box_bytes(tensor) > kSharedBytes) refuse("a tensor copy leaves shared memory");
  Copy copy = {tensor, address, barrier, {}};
  std::copy(corner.begin(), corner.end(), copy.corner.begin());
  const bool expected = read_phase(barrier).bytes >= static_cast<std::int64_t>(box_bytes(tensor));
  InFlight& all = copies_of_block();
  if (lands_at_once(all.started++) && expected)
    deliver(copy);
  else
    all.copies.push_back(copy);
}

}  // namespace moesim::emulation
