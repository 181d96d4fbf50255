// The naive twins of kernels/naive.hpp around the experts: gate, layout, rows there and back.
#include "kernels/each_thread.hpp"
#include "kernels/gate_score.hpp"
#include "kernels/naive.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

struct PermuteEach {
  Permute p;
  __device__ void operator()(std::int64_t row) const {
    const std::int64_t token = p.source[row];
    const auto* const from = static_cast<const std::uint8_t*>(p.from) + token * p.row_bytes;
    auto* const to = static_cast<std::uint8_t*>(p.to) + row * p.row_bytes;
    for (std::int64_t i = 0; i < p.row_bytes; ++i) to[i] = token < 0 ? 0 : from[i];
    if (p.from_scales == nullptr) return;
    for (std::int64_t b = 0; b < p.num_blocks; ++b)
      p.to_scales[b * scale_stride(p.rows) + row] =
          token < 0 ? 0 : p.from_scales[token * p.from_token_stride + b * p.from_block_stride];
  }
};

struct UnpermuteEach {
  Unpermute p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t token = i / p.width, column = i % p.width;
    float sum = 0;
    for (std::int64_t entry = token * p.top_k; entry < (token + 1) * p.top_k; ++entry) {
      const std::int64_t row = p.position[entry];
      if (row >= 0)
        sum +=
            (p.weight == nullptr ? 1 : p.weight[entry]) * to_float(p.rows[row * p.width + column]);
    }
    p.out[i] = to_bf16(sum);
  }
};

// A candidate and its place: of equal ones the first is the better.
struct Candidate {
  float score;
  int at;
  __device__ bool better_than(const Candidate& other) const {
    return score > other.score || (score == other.score && at < other.at);
  }
};

struct GateEach {
  GateTopK p;

  __device__ float key(std::int64_t token, int expert) const {
    const float logit = p.logits[token * p.num_experts + expert];
    return p.bias == nullptr ? logit : __fadd_rn(gate_sigmoid(logit), p.bias[expert]);
  }

  // The best of experts [first, end) in chosen groups that is worse than `before`; at: -1 if none.
  __device__ Candidate next_best(
      std::int64_t token, int first, int end, unsigned groups, const Candidate& before) const {
    const int group_size = p.num_experts / p.num_groups;
    Candidate best = {0, -1};
    for (int e = first; e < end; ++e) {
      if ((groups >> (e / group_size) & 1u) == 0) continue;
      const Candidate c = {key(token, e), e};
      if (before.better_than(c) && (best.at < 0 || c.better_than(best))) best = c;
    }
    return best;
  }

  __device__ static Candidate before_all() { return {INFINITY, -1}; }

  __device__ float group_score(std::int64_t token, int group) const {
    const int size = p.num_experts / p.num_groups, each = p.top_k / p.max_groups,
              scored = each < 1      ? 1
                       : each > size ? size
                                     : each;
    float sum = 0;
    Candidate best = before_all();
    for (int i = 0; i < scored; ++i) {
      best = next_best(token, group * size, (group + 1) * size, ~0u, best);
      // Without a bias a single logit is compared as it is; several are added as affinities.
      sum = __fadd_rn(sum, p.bias == nullptr && scored > 1 ? gate_sigmoid(best.score) : best.score);
    }
    return sum;
  }

  __device__ unsigned best_groups(std::int64_t token) const {
    if (p.max_groups == p.num_groups) return ~0u;
    float scores[32];
    for (int g = 0; g < p.num_groups; ++g) scores[g] = group_score(token, g);
    unsigned chosen = 0;
    for (int g = 0; g < p.num_groups; ++g) {
      int num_better = 0;
      for (int other = 0; other < p.num_groups; ++other)
        num_better += Candidate{scores[other], other}.better_than({scores[g], g}) ? 1 : 0;
      if (num_better < p.max_groups) chosen |= 1u << g;
    }
    return chosen;
  }

  __device__ void operator()(std::int64_t token) const {
    const unsigned groups = best_groups(token);
    std::int32_t* const experts = p.experts + token * p.top_k;
    float* const weights = p.weights + token * p.top_k;
    Candidate best = before_all();
    float sum = 0;
    for (int rank = 0; rank < p.top_k; ++rank) {
      best = next_best(token, 0, p.num_experts, groups, best);
      experts[rank] = best.at;
      weights[rank] = gate_sigmoid(p.logits[token * p.num_experts + best.at]);
      sum = __fadd_rn(sum, weights[rank]);
    }
    for (int rank = 0; rank < p.top_k; ++rank)
      weights[rank] = __fmul_rn(weights[rank], __fdiv_rn(p.scale, sum));
  }
};

struct CountEach {
  ExpertPlaces p;
  __device__ void operator()(std::int64_t expert) const {
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < p.tokens * p.top_k; ++i)
      count += p.experts[i] == p.first_expert + expert ? 1 : 0;
    p.counts[expert] = count;
  }
};
struct OffsetsEach {
  ExpertPlaces p;
  __device__ void operator()(std::int64_t /*one*/) const {
    p.offsets[0] = 0;
    for (int e = 0; e < p.num_experts; ++e)
      p.offsets[e + 1] = p.offsets[e] + (p.counts[e] + p.alignment - 1) / p.alignment * p.alignment;
  }
};
struct NobodysEach {
  std::int32_t* rows;
  __device__ void operator()(std::int64_t row) const { rows[row] = -1; }
};
struct PlaceEach {
  ExpertPlaces p;
  __device__ void operator()(std::int64_t expert) const {
    std::int32_t row = p.offsets[expert];
    for (std::int64_t i = 0; i < p.tokens * p.top_k; ++i) {
      if (p.experts[i] != p.first_expert + expert) continue;
      p.position[i] = row;
      p.source[row++] = static_cast<std::int32_t>(i / p.top_k);
    }
  }
};

}  // namespace

void permute_naive(const Permute& p, Stream stream) {
  launch_each("permute_naive", stream, p.rows, PermuteEach{p});
}
void unpermute_naive(const Unpermute& p, Stream stream) {
  launch_each("unpermute_naive", stream, p.tokens * p.width, UnpermuteEach{p});
}
void gate_top_k_naive(const GateTopK& p, Stream stream) {
  refuse_unless(p.num_groups >= 1 && p.num_groups <= 32 && p.num_experts % p.num_groups == 0,
                "gate_top_k_naive: more than 32 groups, or none of equal size");
  launch_each("gate_top_k_naive", stream, p.num_tokens, GateEach{p});
}
void expert_count_naive(const ExpertPlaces& p, Stream stream) {
  launch_each("expert_count_naive", stream, p.num_experts, CountEach{p});
  launch_each("expert_offsets_naive", stream, 1, OffsetsEach{p});
  launch_each("expert_rows_naive", stream, p.max_rows, NobodysEach{p.source});
}
void expert_place_naive(const ExpertPlaces& p, Stream stream) {
  launch_each("expert_positions_naive", stream, p.tokens * p.top_k, NobodysEach{p.position});
  launch_each("expert_place_naive", stream, p.num_experts, PlaceEach{p});
}

}  // namespace moesim
