// Routed experts that do not all fit in HBM. A layer keeps some in HBM, more in host memory, the
// rest on an SSD; what a step needs and HBM lacks is fetched before the layer can go on.
//
//   touched   a token visits an expert with a chance that follows from its popularity; T tokens on
//             their own touch it with 1 - (1 - visit)^T
//   lru       HBM holds the experts of a layer that were used last, host memory those before them.
//             Steps are drawn: the sets of the last ones decide what is there. The experts of one
//             step are used in no particular order
//   lfu       HBM holds the most popular: what counting uses comes to. No draws are needed
//   preload   one layer ahead, as many experts are guessed as will be touched; `accuracy` of them
//             are right. What is not in HBM travels beside the layer before, wrong guesses too,
//             in no particular order; when the gate has spoken, wrong ones are dropped and what is
//             missing is fetched while nothing is computed
//
// Experts from the SSD pass through host memory, both transfers at once. Sources: set-based caching
// of experts as in Eliseev and Mazur 2023 (arXiv 2312.17238), with speculative loading; Che, Tung
// and Wang 2002 for the LRU hit rate in closed form.
//
// Left out: what experts in HBM compute while others are fetched (a stall is an upper bound), wrong
// guesses that push useful experts out, correlation between tokens or steps (popular topics make
// both fewer experts and more hits), and the spread of stalls between steps: a stall is that of the
// mean numbers of experts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/serving/serving_spec.hpp"
#include "sim/serving/step_time.hpp"

namespace moesim {

// One layer of one GPU.
struct ExpertCacheProblem {
  std::vector<double> visit;  // [experts of the GPU] chance that one token visits it
  std::int64_t hbm_experts = 0, host_experts = 0;  // that fit
  bool frequency = false;                          // lfu, else lru
  Bytes expert;                                    // weights of one
  Bandwidth host_bandwidth, ssd_bandwidth;
  double preload_accuracy = 0;
};

// relative_load: [experts] with mean 1 (model/popularity.hpp). Memory is shared evenly by the
// layers. With expert parallelism a GPU has every ep-th expert in order of popularity: the mean
// GPU, not the worst. With ep 1, tensor-parallel ranks hold 1/tp of each expert.
ExpertCacheProblem expert_cache_problem(const ExpertTiers& tiers,
                                        const ModelSpec& model,
                                        const UnitPlan& plan,
                                        const std::vector<double>& relative_load);

// Distinct experts of a layer in a step, means.
struct ExpertUse {
  double touched = 0;
  double from_host = 0, from_ssd = 0;  // touched, but not in HBM
  double absent = 0;                   // share of the experts not touched that HBM does not hold
  double hit_rate() const { return touched > 0 ? 1 - (from_host + from_ssd) / touched : 1; }
};
double expected_touched(const std::vector<double>& visit, double tokens);
// Che's approximation: an expert is in a cache of `capacity` when it was used within a time that is
// the same for all, the one that fills the cache.
double che_hit_rate(const std::vector<double>& visit, double tokens, std::int64_t capacity);
ExpertUse expert_use(const ExpertCacheProblem& problem, std::int64_t tokens, std::uint64_t seed);

// Made for numbers of tokens two in an octave; straight lines between them.
class ExpertCacheTable {
 public:
  ExpertCacheTable(ExpertCacheProblem problem, std::int64_t most_tokens, std::uint64_t seed);
  ExpertUse at(std::int64_t tokens) const;
  // Of one layer, when the one before takes `layer`.
  Seconds stall(std::int64_t tokens, Seconds layer) const;

 private:
  Seconds fetch_time(double from_host, double from_ssd) const;
  ExpertCacheProblem problem_;
  std::vector<std::int64_t> tokens_;  // ascending
  std::vector<ExpertUse> uses_;       // [as tokens_]
};

// A clock of units whose experts lie in tiers: each of `num_layers` layers stalls.
class ExpertTierClock : public StepClock {
 public:
  // tokens_are_shared: experts lie over all ranks and see the tokens of all.
  ExpertTierClock(std::shared_ptr<const StepClock> clock,
                  ExpertCacheTable table,
                  std::int64_t num_layers,
                  std::int64_t tokens_per_decode_request,
                  bool tokens_are_shared);
  Tick step_time(std::span<const RankBatch> ranks) const override;
  // What a step finds in HBM, of a layer, and how long all its layers wait.
  ExpertUse use(std::span<const RankBatch> ranks) const;
  Seconds stall(std::span<const RankBatch> ranks) const;

 private:
  std::int64_t tokens_of(std::span<const RankBatch> ranks) const;
  Seconds stall(std::span<const RankBatch> ranks, Tick compute) const;

  std::shared_ptr<const StepClock> clock_;
  ExpertCacheTable table_;
  std::int64_t num_layers_, tokens_per_decode_request_;
  bool tokens_are_shared_;
};

// Steps of decoding requests without cached tokens, from one a rank to as many as the engine takes:
// what the cache does to them.
struct ExpertTierPoint {
  std::int64_t requests = 0;  // of an attention rank
  ExpertUse use;              // of a layer
  Seconds step, stall;        // stall: of all layers, part of the step
};
std::vector<ExpertTierPoint> expert_tier_points(const PoolSpec& pool, const ExpertTierClock& clock);

}  // namespace moesim
