#include "sim/serving/two_batch.hpp"

#include <algorithm>
#include <array>

namespace moesim {
namespace {

class Streams {
 public:
  explicit Streams(const HalfLayer& half) : d_(half) {}

  // One after the other on the compute stream.
  void prepare(int) { compute_ += d_.prepare; }
  void core(int) { compute_ += d_.core; }
  void shared(int) { compute_ += d_.shared; }
  void send(int half) {
    compute_ += d_.send;
    fly(half, d_.dispatch);
  }
  void experts(int half) {
    wait(half);
    compute_ += d_.experts;
  }
  void hand_back(int half) {
    compute_ += d_.hand_back;
    fly(half, d_.combine);
  }
  void reduce(int half) {
    wait(half);
    compute_ += d_.reduce;
  }
  double now() const { return compute_; }

 private:
  void fly(int half, double time) {
    ports_ = std::max(ports_, compute_) + time;
    arrival_[static_cast<std::size_t>(half)] = ports_;
  }
  void wait(int half) {
    compute_ = std::max(compute_, arrival_[static_cast<std::size_t>(half)]);
  }

  const HalfLayer& d_;
  double compute_ = 0, ports_ = 0;  // free from then on
  std::array<double, 2> arrival_{};
};

void prefill_stage(Streams& s, int half, std::int64_t stage) {
  switch (stage % 3) {
    case 0:
      s.prepare(half);
      s.core(half);
      s.send(half);
      break;
    case 1:
      s.experts(half);
      s.hand_back(half);
      break;
    default: s.shared(half); s.reduce(half);
  }
}

void decode_stage(Streams& s, int half, std::int64_t stage) {
  switch (stage % 5) {
    case 0: s.prepare(half); break;
    case 1: s.core(half); break;
    case 2:
      s.send(half);
      s.shared(half);
      break;
    case 3:
      s.experts(half);
      s.hand_back(half);
      break;
    default: s.reduce(half);
  }
}

}  // namespace

double two_batch_time(const HalfLayer& half, std::int64_t num_layers, TurnOrder order) {
  Streams s(half);
  if (order == TurnOrder::prefill) {
    // Nothing yields between a layer's last stage and the next one's first: they are one turn.
    const std::int64_t stages = 3 * num_layers;
    for (std::int64_t i = 0; i < stages; ++i) {
      const bool joined = i % 3 == 2 && i + 1 < stages;
      for (int h = 0; h < 2; ++h) {
        prefill_stage(s, h, i);
        if (joined) prefill_stage(s, h, i + 1);
      }
      if (joined) ++i;
    }
  } else {
    constexpr std::int64_t kBehind = 2;
    const std::int64_t stages = 5 * num_layers;
    for (std::int64_t i = 0; i < stages + kBehind; ++i) {
      if (i < stages) decode_stage(s, 0, i);
      if (i >= kBehind) decode_stage(s, 1, i - kBehind);
    }
  }
  return s.now();
}

}  // namespace moesim
