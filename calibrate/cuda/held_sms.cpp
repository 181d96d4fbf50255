#include "calibrate/cuda/held_sms.hpp"

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernels/measuring.hpp"

namespace moesim {
namespace {

// What each SM copies again and again: with twenty SMs twice the L2 of an H100, so it is HBM that
// is shared.
constexpr std::int64_t kCopiedPerSm = std::int64_t{4} << 20;

}  // namespace

SmHolder::SmHolder(std::int64_t sms, bool copies) : sms_(sms) {
  void* memory = nullptr;
  const std::size_t bytes = static_cast<std::size_t>(sms + 1) * sizeof(std::int32_t);
  check_cuda(cudaHostAlloc(&memory, bytes, cudaHostAllocMapped), "memory shared with the GPU");
  shared_ = static_cast<std::int32_t*>(memory);
  if (!copies) return;
  copied_.emplace(static_cast<std::size_t>(2 * sms * kCopiedPerSm));
  gpu_set_bytes(copied_->as<void>(), 1, copied_->bytes(), stream_.get());
}

SmHolder::~SmHolder() {
  stop();
  cudaFreeHost(shared_);
}

void SmHolder::start() {
  std::memset(shared_, 0, static_cast<std::size_t>(sms_ + 1) * sizeof(std::int32_t));
  void* seen_by_gpu = nullptr;
  check_cuda(cudaHostGetDevicePointer(&seen_by_gpu, shared_, 0), "memory shared with the GPU");
  HoldSms hold;
  hold.stop = static_cast<std::int32_t*>(seen_by_gpu);
  hold.held = hold.stop + 1;
  hold.sms = sms_;
  if (copied_) {
    hold.piece = kCopiedPerSm / static_cast<std::int64_t>(sizeof(uint4));
    hold.from = copied_->as<uint4>();
    hold.to = copied_->as<uint4>() + sms_ * hold.piece;
  }
  hold_sms(hold, stream_.get());
  started_ = true;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  const volatile std::int32_t* const held = shared_ + 1;
  for (std::int64_t sm = 0; sm < sms_;) {
    if (held[sm] != 0) {
      ++sm;
      continue;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      stop();
      throw std::runtime_error("no more than " + std::to_string(sm) + " of " +
                               std::to_string(sms_) + " SMs could be held");
    }
    std::this_thread::yield();
  }
}

void SmHolder::stop() noexcept {
  if (!started_) return;
  *static_cast<volatile std::int32_t*>(shared_) = 1;
  cudaStreamSynchronize(stream_.get());
  started_ = false;
}

}  // namespace moesim
