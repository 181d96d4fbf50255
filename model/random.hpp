// Sampling that gives the same numbers with every standard library: the distributions of <random>
// differ between implementations, its engines do not.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>

namespace moesim {

class Random {
 public:
  // Independent streams from one seed: `stream` words are mixed in one by one (SplitMix64
  // finaliser).
  template <class... Words>
  explicit Random(std::uint64_t seed, Words... stream) {
    std::uint64_t state = mix(seed);
    ((state = mix(state ^ static_cast<std::uint64_t>(stream))), ...);
    engine_.seed(state);
  }

  std::uint64_t bits() { return engine_(); }
  double uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) * 0x1p-53; }  // in (0, 1)
  double normal() {  // Box-Muller; the second of each pair is kept
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double r = std::sqrt(-2 * std::log(uniform())), angle = 2 * std::numbers::pi * uniform();
    spare_ = r * std::sin(angle);
    has_spare_ = true;
    return r * std::cos(angle);
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  std::mt19937_64 engine_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace moesim
