#include "model/gate.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <numeric>
#include <tuple>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
namespace {

using Eigen::Array4f;
using Eigen::ArrayXf;
using Eigen::Index;
using Row = Eigen::Map<ArrayXf>;
using ConstRow = Eigen::Map<const ArrayXf>;

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr Index kLanes = 16;  // partial maxima that bound the top_k-th best key
constexpr Index kWidestInsertion = 8;
constexpr Index kBlockTokens = 32;  // tokens whose keys fit the first-level cache

// The exponential with a relative error of 1.1e-7: x = n ln 2 + r with |r| <= ln 2 / 2, by its
// Taylor series. Plain arithmetic, so that a compiler's vector and scalar code give the same bits
// and equal logits tie wherever they stand; Eigen's differs between the two, and needs five times
// as long with SSE2. |x| <= 87, or the exponent leaves float.
inline float exponential(float x) {
  constexpr float kRound = 0x1.8p23F;  // adding it leaves the nearest integer in the low bits
  const float shifted = x * std::numbers::log2e_v<float> + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts
  const float series =
      1 +
      r * (1 + r * (1 / 2.F +
                    r * (1 / 6.F + r * (1 / 24.F + r * (1 / 120.F + r * (1 / 720.F + r / 5040))))));
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23U;
  return series * std::bit_cast<float>(exponent + std::bit_cast<std::uint32_t>(1.F));
}

void to_exponentials(float* values, Index size, float highest) {
  Row row(values, size);
  row = (row - highest).max(-87.0F);
  for (Index i = 0; i < size; ++i) values[i] = exponential(values[i]);
}

void to_sigmoids(float* values, Index size) {
  Row row(values, size);
  row = (-row).max(-87.0F).min(87.0F);  // a branch in the loop would keep it from being vectorised
  for (Index i = 0; i < size; ++i) values[i] = 1 / (1 + exponential(values[i]));
}

float lower(float a, float b) { return b < a ? b : a; }
float upper(float a, float b) { return a < b ? b : a; }
Array4f lower(const Array4f& a, const Array4f& b) { return a.min(b); }
Array4f upper(const Array4f& a, const Array4f& b) { return a.max(b); }

template <class Value, std::size_t n>
void insert(Value value, std::array<Value, n>& descending) {
  for (Value& kept : descending) {
    const Value rest = lower(value, kept);
    kept = upper(value, kept);
    value = rest;
  }
}

// The n best values in descending order: first those of every vector lane, then of all.
template <std::size_t n>
void best_values(const float* values, Index size, float* best) {
  std::array<Array4f, n> lanes;
  lanes.fill(Array4f::Constant(kLowest));
  std::array<float, n> all;
  all.fill(kLowest);
  Index i = 0;
  for (; i + 4 <= size; i += 4) insert<Array4f>(Eigen::Map<const Array4f>(values + i), lanes);
  for (; i < size; ++i) insert(values[i], all);
  for (const Array4f& lane : lanes)
    for (Index j = 0; j < 4; ++j) insert(lane(j), all);
  std::copy(all.begin(), all.end(), best);
}

// The same for any n; up to kWidestInsertion, `best` has room for the next power of two.
void best_values(const float* values, Index size, Index n, float* best) {
  if (n == 1) return best_values<1>(values, size, best);
  if (n == 2) return best_values<2>(values, size, best);
  if (n <= 4) return best_values<4>(values, size, best);
  if (n <= kWidestInsertion) return best_values<kWidestInsertion>(values, size, best);
  std::partial_sort_copy(values, values + size, best, best + n, std::greater<>());
}

// The best of the values at `places` (ascending), as many as `chosen` holds, best first; of equal
// ones the first place.
void choose_best(const float* values,
                 std::span<const std::int32_t> places,
                 std::span<std::int32_t> chosen) {
  ENSURE(places.size() >= chosen.size());
  std::size_t filled = 0;
  for (const std::int32_t place : places) {
    const float value = values[place];
    if (filled < chosen.size()) {
      ++filled;
    } else if (!(value > values[chosen.back()])) {
      continue;
    }
    std::size_t at = filled - 1;
    for (; at > 0 && value > values[chosen[at - 1]]; --at) chosen[at] = chosen[at - 1];
    chosen[at] = place;
  }
}

struct Segment {
  Index begin, end;
};

// A value that at least top_k keys of the segments reach: the top_k-th best of kLanes partial
// maxima, or the lowest of all where these are too few.
float lower_bound(const float* keys, std::span<const Segment> segments, Index top_k) {
  if (top_k > kLanes) return kLowest;
  using Lanes = Eigen::Array<float, kLanes, 1>;
  Lanes best = Lanes::Constant(kLowest);
  for (const Segment& segment : segments) {
    Index i = segment.begin;
    for (; i + kLanes <= segment.end; i += kLanes)
      best = best.max(Eigen::Map<const Lanes>(keys + i));
    for (Index lane = 0; i < segment.end; ++i, ++lane) best(lane) = upper(best(lane), keys[i]);
  }
  std::array<std::int32_t, kLanes> num_better{};
  for (Index j = 0; j < kLanes; ++j)
    for (Index i = 0; i < kLanes; ++i)
      num_better[static_cast<std::size_t>(i)] += best(j) > best(i) ? 1 : 0;
  float bound = -kLowest;
  for (Index i = 0; i < kLanes; ++i)
    if (num_better[static_cast<std::size_t>(i)] < top_k) bound = lower(bound, best(i));
  return bound;
}

// Routes one block of tokens at a time; its arrays are all the memory that takes.
class BlockRouter {
 public:
  BlockRouter(const GateSpec& spec, std::span<const float> bias)
      : spec_(spec),
        bias_(bias.data(), static_cast<Index>(bias.size())),
        limited_(spec.max_groups < spec.num_groups),
        group_size_(spec.num_experts / spec.num_groups),
        scored_(spec.group_score == GroupScore::best_expert
                    ? 1
                    : std::clamp<Index>(spec.top_k / spec.max_groups, 1, group_size_)),
        row_(spec.num_experts),
        keys_(bias.empty() ? 0 : kBlockTokens * spec.num_experts),
        best_(kBlockTokens * spec.num_groups * scored_ + kWidestInsertion),
        scores_(static_cast<std::size_t>(spec.num_groups)),
        all_groups_(static_cast<std::size_t>(spec.num_groups)),
        groups_(static_cast<std::size_t>(spec.max_groups)),
        candidates_(static_cast<std::size_t>(spec.num_experts)) {
    std::iota(all_groups_.begin(), all_groups_.end(), 0);
    if (!limited_) segments_ = {{0, spec.num_experts}};
  }

  void route(const float* logits, Index num_tokens, std::int32_t* experts, float* weights) {
    const float* const keys = make_keys(logits, num_tokens);
    if (limited_) score_groups(keys, num_tokens);
    for (Index t = 0; t < num_tokens; ++t) {
      if (limited_) choose_groups(t);
      choose_experts(keys + t * spec_.num_experts, experts + t * spec_.top_k);
    }
    weigh(logits, num_tokens, experts, weights);
  }

  // The affinities of one token; valid until the next call.
  const ArrayXf& affinities(const float* logits) {
    if (spec_.score == ScoreFunction::sigmoid) {
      row_ = ConstRow(logits, spec_.num_experts);
      to_sigmoids(row_.data(), row_.size());
    } else {
      row_ /= exponentials(logits).second;
    }
    return row_;
  }

 private:
  // Leaves exp(logit - highest) in row_; returns the highest and the sum.
  std::pair<float, float> exponentials(const float* logits) {
    row_ = ConstRow(logits, spec_.num_experts);
    const float highest = row_.maxCoeff();
    to_exponentials(row_.data(), row_.size(), highest);
    return {highest, row_.sum()};
  }

  // What experts are compared by: [num_tokens, num_experts].
  const float* make_keys(const float* logits, Index num_tokens) {
    if (bias_.size() == 0) return logits;
    const Index n = spec_.num_experts;
    for (Index t = 0; t < num_tokens; ++t)
      keys_.segment(t * n, n) = affinities(logits + t * n) + bias_;
    return keys_.data();
  }

  // Fills best_ with what the groups' scores are sums of.
  void score_groups(const float* keys, Index num_tokens) {
    for (Index i = 0; i < num_tokens * spec_.num_groups; ++i)
      best_values(keys + i * group_size_, group_size_, scored_, best_.data() + i * scored_);
    if (bias_.size() != 0 || scored_ == 1) return;  // sums of keys, or the order of the logits
    const Index size = spec_.num_groups * scored_;
    if (spec_.score == ScoreFunction::sigmoid) return to_sigmoids(best_.data(), num_tokens * size);
    // Without their common divisor: the order is the same.
    for (Index t = 0; t < num_tokens; ++t)
      to_exponentials(best_.data() + t * size, size, best_.segment(t * size, size).maxCoeff());
  }

  void choose_groups(Index token) {
    const float* best = best_.data() + token * spec_.num_groups * scored_;
    for (float& score : scores_) {
      score = std::accumulate(best, best + scored_, 0.0F);
      best += scored_;
    }
    choose_best(scores_.data(), all_groups_, groups_);
    std::sort(groups_.begin(), groups_.end());
    segments_.clear();
    for (const Index g : groups_) segments_.push_back({g * group_size_, (g + 1) * group_size_});
  }

  void choose_experts(const float* keys, std::int32_t* experts) {
    const float bound = lower_bound(keys, segments_, spec_.top_k);
    std::size_t count = 0;
    for (const Segment& segment : segments_) {
      for (Index e = segment.begin; e < segment.end; ++e) {
        candidates_[count] = static_cast<std::int32_t>(e);  // no branch that could be mispredicted
        count += keys[e] >= bound ? 1 : 0;
      }
    }
    choose_best(
        keys, {candidates_.data(), count}, {experts, static_cast<std::size_t>(spec_.top_k)});
  }

  void weigh(const float* logits, Index num_tokens, const std::int32_t* experts, float* weights) {
    const Index k = spec_.top_k;
    for (Index t = 0; t < num_tokens; ++t)
      for (Index i = t * k; i < (t + 1) * k; ++i)
        weights[i] = logits[t * spec_.num_experts + experts[i]];
    if (spec_.score == ScoreFunction::sigmoid) to_sigmoids(weights, num_tokens * k);
    for (Index t = 0; t < num_tokens; ++t) {
      float* const chosen = weights + t * k;
      float divisor = 1;
      if (spec_.score == ScoreFunction::softmax) {
        // Where the sum is over the chosen alone, so may be the exponentials.
        float highest = *std::max_element(chosen, chosen + k);
        if (!spec_.renormalise)
          std::tie(highest, divisor) = exponentials(logits + t * spec_.num_experts);
        to_exponentials(chosen, k, highest);
      }
      if (spec_.renormalise) divisor = std::accumulate(chosen, chosen + k, 0.0F);
      ENSURE(std::isfinite(divisor));
      const float factor = static_cast<float>(spec_.scale) / divisor;
      for (Index i = 0; i < k; ++i) chosen[i] *= factor;
    }
  }

  const GateSpec& spec_;
  ConstRow bias_;
  bool limited_;
  Index group_size_;
  Index scored_;               // experts of a group whose affinities make its score
  ArrayXf row_;                // [num_experts]
  ArrayXf keys_;               // [kBlockTokens, num_experts]
  ArrayXf best_;               // [kBlockTokens, num_groups, scored_], descending in each group
  std::vector<float> scores_;  // [num_groups]
  std::vector<std::int32_t> all_groups_, groups_, candidates_;
  std::vector<Segment> segments_;  // experts of the chosen groups
};

}  // namespace

GateSpec gate_spec(const MoeSpec& moe, std::int64_t max_groups) {
  GateSpec spec;
  spec.num_experts = moe.num_experts;
  spec.top_k = moe.top_k;
  spec.num_groups = moe.num_groups;
  spec.max_groups = max_groups;
  spec.score = moe.score;
  spec.group_score = moe.group_score;
  spec.renormalise = moe.renormalise;
  spec.scale = moe.routed_scale;
  return spec;
}

Gate::Gate(const GateSpec& spec) : spec_(spec) {
  ENSURE(spec.num_experts >= 1 && spec.num_experts <= std::numeric_limits<std::int32_t>::max());
  ENSURE(spec.num_groups >= 1 && spec.num_experts % spec.num_groups == 0);
  ENSURE(spec.max_groups >= 1 && spec.max_groups <= spec.num_groups);
  ENSURE(spec.top_k >= 1 && spec.top_k <= spec.max_groups * (spec.num_experts / spec.num_groups));
}

void Gate::route(const float* logits,
                 std::int64_t num_tokens,
                 std::span<const float> bias,
                 RoutedTokens& out) const {
  ENSURE(bias.empty() || bias.size() == static_cast<std::size_t>(spec_.num_experts));
  out.num_tokens = num_tokens;
  out.top_k = spec_.top_k;
  out.experts.resize(static_cast<std::size_t>(num_tokens * spec_.top_k));
  out.weights.resize(out.experts.size());
  BlockRouter router(spec_, bias);
  for (std::int64_t t = 0; t < num_tokens; t += kBlockTokens) {
    router.route(logits + t * spec_.num_experts,
                 std::min(kBlockTokens, num_tokens - t),
                 out.experts.data() + t * spec_.top_k,
                 out.weights.data() + t * spec_.top_k);
  }
}

void Gate::affinities(const float* logits, std::int64_t num_tokens, float* out) const {
  BlockRouter router(spec_, {});
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    Eigen::Map<ArrayXf>(out + t * spec_.num_experts, spec_.num_experts) =
        router.affinities(logits + t * spec_.num_experts);
  }
}

}  // namespace moesim
