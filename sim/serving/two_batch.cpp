#include "sim/serving/two_batch.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace moesim {
namespace {

class Streams {
 public:
  explicit Streams(const HalfLayer& half) : d_(half) {}

  void compute(double time) { compute_ += time; }
  void send(std::size_t half) { fly(half, d_.send, d_.dispatch); }
  void experts(std::size_t half) { wait(half, d_.experts); }
  void hand_back(std::size_t half) { fly(half, d_.hand_back, d_.combine); }
  void reduce(std::size_t half) { wait(half, d_.reduce); }
  double now() const { return compute_; }
  // What later blocks can still see of the exchanges: how long after now they end.
  std::array<double, 3> pending() const {
    return {std::max(0.0, ports_ - compute_),
            std::max(0.0, arrival_[0] - compute_),
            std::max(0.0, arrival_[1] - compute_)};
  }
  void shift(double time) {
    compute_ += time;
    ports_ += time;
    for (double& t : arrival_) t += time;
  }

 private:
  void fly(std::size_t half, double block, double flight) {
    compute_ += block;
    ports_ = std::max(ports_, compute_) + flight;
    arrival_[half] = ports_;
  }
  void wait(std::size_t half, double block) {
    compute_ = std::max(compute_, arrival_[half]) + block;
  }

  const HalfLayer& d_;
  double compute_ = 0, ports_ = 0;  // free from then on
  std::array<double, 2> arrival_{};
};

// Layers run by `layer(streams, number)` until one leaves the exchanges as the one before did: from
// then on each takes as long as that one (the state is all that a layer depends on).
template <class Layer>
void run_layers(Streams& s, std::int64_t num_layers, const Layer& layer) {
  constexpr double kSame = 1e-15;  // seconds: a thousandth of a tick
  std::array<double, 3> last = s.pending();
  for (std::int64_t i = 0; i < num_layers; ++i) {
    const double start = s.now();
    layer(s, i);
    const std::array<double, 3> pending = s.pending();
    bool same = i > 0;
    for (std::size_t k = 0; k < pending.size(); ++k)
      same = same && std::abs(pending[k] - last[k]) <= kSame;
    if (same) {
      s.shift(static_cast<double>(num_layers - 1 - i) * (s.now() - start));
      return;
    }
    last = pending;
  }
}

constexpr std::size_t kA = 0, kB = 1;

double prefill_time(const HalfLayer& d, std::int64_t num_layers) {
  Streams s(d);
  const auto attend = [&](std::size_t half) {
    s.compute(d.prepare + d.core);
    s.send(half);
  };
  const auto experts = [&](std::size_t half) {
    s.experts(half);
    s.hand_back(half);
  };
  const auto finish = [&](std::size_t half) {
    s.compute(d.shared);
    s.reduce(half);
  };
  attend(kA);
  attend(kB);
  // Nothing yields between a layer's last stage and the next one's first: they are one turn.
  run_layers(s, num_layers - 1, [&](Streams&, std::int64_t) {
    for (const std::size_t half : {kA, kB}) experts(half);
    for (const std::size_t half : {kA, kB}) {
      finish(half);
      attend(half);
    }
  });
  for (const std::size_t half : {kA, kB}) experts(half);
  for (const std::size_t half : {kA, kB}) finish(half);
  return s.now();
}

double decode_time(const HalfLayer& d, std::int64_t num_layers) {
  Streams s(d);
  const auto dispatch = [&](std::size_t half) {
    s.send(half);
    s.compute(d.shared);
  };
  const auto experts = [&](std::size_t half) {
    s.experts(half);
    s.hand_back(half);
  };
  run_layers(s, num_layers, [&](Streams&, std::int64_t layer) {
    s.compute(d.prepare);
    if (layer > 0) experts(kB);  // of the layer before
    s.compute(d.core);
    if (layer > 0) s.reduce(kB);
    dispatch(kA);
    s.compute(d.prepare);
    experts(kA);
    s.compute(d.core);
    s.reduce(kA);
    dispatch(kB);
  });
  experts(kB);
  s.reduce(kB);
  return s.now();
}

}  // namespace

double two_batch_time(const HalfLayer& half, std::int64_t num_layers, TurnOrder order) {
  if (num_layers == 0) return 0;
  return order == TurnOrder::prefill ? prefill_time(half, num_layers)
                                     : decode_time(half, num_layers);
}

}  // namespace moesim
