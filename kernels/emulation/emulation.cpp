#include "kernels/emulation/emulation.hpp"

#include <ucontext.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace moesim::emulation {

dim3 grid_dim, block_dim;
uint3 block_index, thread_index;

namespace {

constexpr std::size_t kStackBytes = std::size_t{128} << 10;
constexpr std::size_t kMostShared = 227 * 1024;

struct Fiber {
  ucontext_t context = {};
  std::unique_ptr<std::byte[]> stack;
  uint3 index = {};
  bool done = false;
  const char* waits_for = nullptr;
};

struct Barrier {
  int arrived = 0;
  std::uint64_t generation = 0;
};

// Lanes hand in, all of them look, the last one to look clears the table.
struct WarpTable {
  std::vector<std::byte> values;
  unsigned arrived = 0, left = 0;
  bool open = true;  // lanes may hand in
  std::array<std::vector<std::byte>, 32> seen;
};

struct Block {
  std::vector<Fiber> fibers;
  std::array<Barrier, 16> barriers;
  std::vector<WarpTable> warps;
  ucontext_t scheduler = {};
  std::size_t running = 0;
  std::uint64_t progress = 0;
  std::exception_ptr error;
  const std::function<void()>* thread = nullptr;
};

Block* block = nullptr;
std::uint64_t serial = 0;
alignas(1024) std::byte shared[kMostShared];

void run_fiber() {
  Fiber& fiber = block->fibers[block->running];
  try {
    (*block->thread)();
  } catch (...) {
    if (!block->error) block->error = std::current_exception();
  }
  fiber.done = true;
  ++block->progress;
  swapcontext(&fiber.context, &block->scheduler);
}

void yield() {
  Fiber& fiber = block->fibers[block->running];
  swapcontext(&fiber.context, &block->scheduler);
}

std::string stuck(const char* name) {
  const Fiber* waiting = nullptr;
  for (const Fiber& fiber : block->fibers)
    if (!fiber.done && waiting == nullptr) waiting = &fiber;
  return std::string(name) + ": block " + std::to_string(block_index.x) + " cannot go on: thread " +
         std::to_string(waiting->index.x) + " waits for " +
         (waiting->waits_for != nullptr ? waiting->waits_for : "nothing");
}

// Every thread in turn, until all are done.
void run_block(const char* name) {
  static const bool kReversed = std::getenv("MOE_EMULATION_REVERSED") != nullptr;
  const std::size_t threads = block->fibers.size();
  for (;;) {
    const std::uint64_t before = block->progress;
    bool all_done = true;
    for (std::size_t turn = 0; turn < threads; ++turn) {
      const std::size_t i = kReversed ? threads - 1 - turn : turn;
      if (block->fibers[i].done) continue;
      block->running = i;
      thread_index = block->fibers[i].index;
      swapcontext(&block->scheduler, &block->fibers[i].context);
      if (block->error) std::rethrow_exception(block->error);
      all_done = all_done && block->fibers[i].done;
    }
    if (all_done) return;
    if (block->progress == before) throw std::runtime_error(stuck(name));
  }
}

uint3 place_in(dim3 size, std::size_t i) {
  return {static_cast<unsigned>(i % size.x),
          static_cast<unsigned>(i / size.x % size.y),
          static_cast<unsigned>(i / size.x / size.y)};
}

// A function of its own: what getcontext returns to a second time has no local that it could spoil.
void start_fiber(Fiber& fiber) {
  fiber.done = false;
  fiber.waits_for = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_fiber, 0);
}

// What an earlier block left must not be what this one relies on.
void start_block(Block& state) {
  ++serial;
  std::memset(shared, 0xff, kMostShared);
  state.barriers = {};
  state.warps.assign((state.fibers.size() + 31) / 32, {});
  for (std::size_t i = 0; i < state.fibers.size(); ++i) {
    state.fibers[i].index = place_in(block_dim, i);
    start_fiber(state.fibers[i]);
  }
}

// The block in use, until the grid has run or a kernel has thrown.
class InUse {
 public:
  explicit InUse(Block* state) { block = state; }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() { block = nullptr; }
};

}  // namespace

int thread_rank() {
  return static_cast<int>(thread_index.x +
                          block_dim.x * (thread_index.y + block_dim.y * thread_index.z));
}

void made_progress() { ++block->progress; }

void give_way() {
  made_progress();
  yield();
}

void wait_until(const std::function<bool()>& ready, const char* what) {
  Fiber& fiber = block->fibers[block->running];
  while (!ready()) {
    fiber.waits_for = what;
    yield();
  }
  fiber.waits_for = nullptr;
  made_progress();
}

void barrier(int id, int threads) {
  Barrier& at = block->barriers.at(static_cast<std::size_t>(id));
  const std::uint64_t generation = at.generation;
  made_progress();
  if (++at.arrived == threads) {
    at.arrived = 0;
    ++at.generation;
    return;
  }
  wait_until([&] { return at.generation != generation; }, "a barrier of the block");
}

const std::byte* exchange(unsigned mask, const void* value, std::size_t bytes) {
  const int rank = thread_rank();
  const unsigned lane = static_cast<unsigned>(rank) % 32;
  WarpTable& warp = block->warps[static_cast<std::size_t>(rank) / 32];
  wait_until([&] { return warp.open; }, "its warp");
  if (warp.arrived == 0) warp.values.assign(32 * bytes, std::byte{0});
  if (warp.values.size() != 32 * bytes || (mask >> lane & 1u) == 0)
    throw std::runtime_error("lanes of a warp meet in different calls");
  std::memcpy(warp.values.data() + lane * bytes, value, bytes);
  warp.arrived |= 1u << lane;
  // Lanes that a short block lacks never come.
  const std::size_t first = static_cast<std::size_t>(rank) / 32 * 32;
  unsigned expected = 0;
  for (unsigned i = 0; i < 32 && first + i < block->fibers.size(); ++i)
    if ((mask >> i & 1u) != 0) expected |= 1u << i;
  if (warp.arrived == expected) warp.open = false;
  wait_until([&] { return !warp.open; }, "the lanes of its warp");
  std::vector<std::byte>& seen = warp.seen[lane];
  seen = warp.values;
  warp.left |= 1u << lane;
  if (warp.left == warp.arrived) {
    warp.arrived = warp.left = 0;
    warp.open = true;
  }
  return seen.data();
}

std::byte* shared_memory() { return shared; }

std::uint64_t block_serial() { return serial; }

void run_grid(const char* name,
              dim3 grid,
              dim3 block_size,
              std::size_t shared_bytes,
              const std::function<void()>& thread) {
  if (shared_bytes > kMostShared)
    throw std::runtime_error(std::string(name) + ": " + std::to_string(shared_bytes) +
                             " bytes of shared memory; a block has at most 227 KiB");
  const std::size_t threads = std::size_t{block_size.x} * block_size.y * block_size.z;
  if (threads == 0 || threads > 1024)
    throw std::runtime_error(std::string(name) + ": " + std::to_string(threads) +
                             " threads a block; expected 1 to 1024");
  if (std::size_t{grid.x} * grid.y * grid.z == 0)
    throw std::runtime_error(std::string(name) + ": a grid of no blocks");
  grid_dim = grid;
  block_dim = block_size;
  Block state;
  state.fibers.resize(threads);
  state.thread = &thread;
  for (Fiber& fiber : state.fibers)
    fiber.stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  const InUse in_use(&state);
  for (std::size_t i = 0; i < std::size_t{grid.x} * grid.y * grid.z; ++i) {
    block_index = place_in(grid, i);
    ++serial;
    start_block(state);
    run_block(name);
  }
}

}  // namespace moesim::emulation
