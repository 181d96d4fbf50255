// What the pieces of a serving step cost on one GPU, evaluated directly: kernels through the cost
// model, exchanges through the collectives, the slowest rank of an expert-parallel group through
// the routing. The tables of StepTimeModel are made of these, and tests compare the two.
//
// Exchanges
//   normal       DeepEP's two-hop kernels (model/collective/two_hop). Beside compute they run at
//                the measured share of their stand-alone rate and keep `comm_sms` SMs.
//   low latency  one put per (token, expert) (model/collective/low_latency), or what was measured
//                on this very geometry. The slowest rank receives more rows than the mean, and its
//                ports set the time. Beside compute the wire needs no SMs; sending and receiving
//                are kernels of their own on the compute stream.
//
// Sequences of their own popularity (RoutingSpec::sequence_cv): a rank has one in a step with
// prompts, and as many as it may run when it decodes, half of them where halves overlap (they are
// dispatched one after the other).
//
// Without two-batch overlap both are exposed, and the shared expert runs before them (SGLang's
// _compute_moe_normal; engines that put it on another stream would hide it).
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "model/collective/collective.hpp"
#include "model/cost_model.hpp"
#include "model/serving/serving_ops.hpp"
#include "model/serving/serving_spec.hpp"
#include "sim/serving/unit_routing.hpp"

namespace moesim {

// Seconds, where they go and what they rest on.
struct PieceCost {
  std::array<double, kNumCategories> by_category{};
  std::array<double, kNumOrigins> by_origin{};  // kernels only, no gaps
  double seconds() const;
  void add(Category category, double seconds) {
    by_category[static_cast<std::size_t>(category)] += seconds;
  }
  PieceCost& operator+=(const PieceCost& o);
  friend PieceCost operator*(double factor, PieceCost cost);
};

enum class BatchKind : std::uint8_t { prefill, decode };
inline constexpr std::size_t kNumBatchKinds = 2;

// How kernels run: in which kind of step (its exchange, and how kernels are launched), and whether
// the two halves of a batch overlap, so that an exchange is in flight most of the time.
struct StepSetting {
  BatchKind kind = BatchKind::decode;
  bool overlapped = false;
};

class ServingCosts {
 public:
  ServingCosts(const ModelSpec& model,
               const PoolSpec& pool,
               UnitRouting routing);

  PieceCost kernels(const OpList& ops, StepSetting setting) const;
  double kernel_seconds(const Op& op, StepSetting setting) const;  // with its gap
  PieceCost decode_core(std::int64_t requests,
                        std::int64_t context,
                        std::int64_t query_tokens,
                        StepSetting setting) const;
  // Sums over the tp ranks of what each has of `tokens` rows.
  PieceCost all_reduce(std::int64_t tokens) const;

  // By what the slowest rank has to do when every expert-parallel rank holds `tokens` tokens:
  // expected over draws of the routing, mean over layers.
  struct ExpertCosts {
    PieceCost experts;
    PieceCost receive, hand_back;  // low latency, overlapped: copies out of and into buffers
    double dispatch = 0, combine = 0;
    double max_over_mean_rows = 1;
  };
  ExpertCosts experts(std::int64_t tokens, StepSetting setting) const;
  // By what a rank sends that holds `tokens` tokens.
  struct SendCosts {
    PieceCost send, reduce;  // low latency, overlapped
    double dispatch = 0, combine = 0;
  };
  SendCosts sends(std::int64_t tokens, StepSetting setting) const;

  const ServingOps& ops() const { return ops_; }
  const PoolSpec& pool() const { return pool_; }
  Exchange exchange(BatchKind kind) const {
    return kind == BatchKind::prefill ? pool_.plan.prefill_exchange : pool_.plan.decode_exchange;
  }
  bool has_exchange() const { return ops_.model().moe && pool_.plan.ep > 1; }
  // Whether compute has fewer SMs: while a normal exchange runs beside it.
  bool gives_up_sms(StepSetting setting) const {
    return has_exchange() && setting.overlapped && exchange(setting.kind) == Exchange::normal &&
           pool_.plan.comm_sms > 0;
  }
  bool has_overlap() const { return has_exchange() && pool_.plan.two_batch_overlap; }
  const RoutingSampler* sampler(BatchKind kind) const {  // nullptr: no experts
    return (kind == BatchKind::prefill ? routing_.prefill : routing_.decode).get();
  }

 private:
  struct Flight {
    double dispatch = 0, combine = 0;
  };
  SmShare share(StepSetting setting) const;
  Seconds gap(StepSetting setting) const;
  double low_latency(std::string_view measured_as, double tokens, Bytes row) const;
  Flight low_latency(double tokens) const;
  Flight normal(const TwoHopTraffic& traffic, double received, bool overlapped) const;
  ExpertCosts of_draw(const std::vector<RankTraffic>& ranks, StepSetting setting) const;

  PoolSpec pool_;
  ServingOps ops_;
  CostModel cost_;
  UnitRouting routing_;
  LinkRates links_;
  ExpertMessage message_;
  std::int64_t ep_per_node_ = 1;
};

}  // namespace moesim
