#include "sim/serving/serving_costs.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Between two kernels of a graph, on top of the kernels' own times. NVIDIA, "Getting Started with
// CUDA Graphs" (developer.nvidia.com/blog/cuda-graphs, 2019): a kernel of 2.9 us takes 3.4 us in a
// graph of twenty. Chains of empty kernels in graphs on later GPUs take 0.58 us a node
// (ahrefs/ocannl issue 488), their few hundred nanoseconds of run time included.
constexpr Seconds kGraphGap = 0.5 * us;

// Draws of the slowest rank that a mean is taken over, at least.
constexpr std::int64_t kDraws = 16;

double in_s(Seconds t) { return t.in(s); }

}  // namespace

double PieceCost::seconds() const {
  double sum = 0;
  for (const double t : by_category) sum += t;
  return sum;
}

PieceCost& PieceCost::operator+=(const PieceCost& o) {
  for (std::size_t i = 0; i < by_category.size(); ++i) by_category[i] += o.by_category[i];
  for (std::size_t i = 0; i < by_origin.size(); ++i) by_origin[i] += o.by_origin[i];
  return *this;
}

PieceCost operator*(double factor, PieceCost cost) {
  for (double& t : cost.by_category) t *= factor;
  for (double& t : cost.by_origin) t *= factor;
  return cost;
}

ServingCosts::ServingCosts(const ModelSpec& model,
                           const PoolSpec& pool,
                           UnitRouting routing)
    : pool_(pool),
      ops_(model, pool.plan, pool.kv.bytes_per_element),
      cost_(pool.profile, pool.cluster.gpu),
      routing_(std::move(routing)),
      links_(link_rates(pool.cluster, pool.profile.comm)),
      ep_per_node_(std::min(pool.plan.ep, pool.cluster.gpus_per_node)) {
  if (!model.moe) return;
  message_ = expert_message(model, pool.plan.recipe);
}

SmShare ServingCosts::share(StepSetting setting) const {
  const std::int64_t sms = pool_.cluster.gpu.num_sms;
  return gives_up_sms(setting) ? SmShare{sms - pool_.plan.comm_sms, true} : SmShare{sms, false};
}

Seconds ServingCosts::gap(StepSetting setting) const {
  return setting.kind == BatchKind::decode && pool_.plan.cuda_graphs ? kGraphGap
                                                                    : cost_.profile().launch_gap;
}

PieceCost ServingCosts::kernels(const OpList& ops, StepSetting setting) const {
  PieceCost piece;
  const SmShare sms = share(setting);
  const double between = in_s(gap(setting));
  for (const Op& op : ops) {
    const Cost cost = cost_.cost(op, sms);
    piece.add(op.category, in_s(cost.time));
    piece.add(Category::launch_gap, op.launches * between);
    piece.by_origin[static_cast<std::size_t>(cost.origin)] += in_s(cost.time);
  }
  return piece;
}

double ServingCosts::kernel_seconds(const Op& op, StepSetting setting) const {
  return in_s(cost_.cost(op, share(setting)).time + op.launches * gap(setting));
}

PieceCost ServingCosts::decode_core(std::int64_t requests,
                                    std::int64_t context,
                                    std::int64_t query_tokens,
                                    StepSetting setting) const {
  const Op op = ops_.decode_core(requests, context, query_tokens);
  if (ops_.model().latent) return kernels({op}, setting);
  PieceCost piece;
  const Cost cost = roofline_cost(op, pool_.cluster.gpu);
  piece.add(op.category, in_s(cost.time));
  piece.add(Category::launch_gap, in_s(gap(setting)));
  piece.by_origin[static_cast<std::size_t>(cost.origin)] += in_s(cost.time);
  return piece;
}

PieceCost ServingCosts::all_reduce(std::int64_t tokens) const {
  PieceCost piece;
  const std::int64_t tp = pool_.plan.tp;
  if (tp == 1) return piece;
  const Bytes bytes = static_cast<double>(tokens * ops_.model().hidden * 2) * B;
  const std::int64_t per_node = std::min(tp, pool_.cluster.gpus_per_node);
  const bool same_links = pool_.profile.gpu.nvlink_bandwidth == pool_.cluster.gpu.nvlink_bandwidth;
  const GroupFit* fit =
      same_links ? find_group(pool_.profile.groups, "all_reduce", tp, per_node, bytes.in(B))
                 : nullptr;
  piece.add(Category::exposed_comm,
            in_s(fit != nullptr ? group_time(*fit, bytes.in(B))
                                : 2 * ring_time(pool_.cluster, links_, bytes, tp, per_node)));
  return piece;
}

double ServingCosts::low_latency(std::string_view measured_as, double tokens, Bytes row) const {
  const MoeSpec& moe = *ops_.model().moe;
  const std::int64_t ep = pool_.plan.ep;
  if (pool_.profile.gpu.nvlink_bandwidth == pool_.cluster.gpu.nvlink_bandwidth)
    if (const GroupFit* fit =
            find_group(pool_.profile.groups, measured_as, ep, ep_per_node_, tokens);
        fit != nullptr && fit->hidden == ops_.model().hidden && fit->topk == moe.top_k)
      return in_s(group_time(*fit, tokens));
  // A straight line: the overhead, and bytes over the busier link.
  constexpr std::int64_t kFar = 1024;
  const auto of = [&](std::int64_t n) {
    return in_s(low_latency_time(pool_.cluster, pool_.profile.comm, n, moe.top_k, ep, row));
  };
  return of(0) + tokens / static_cast<double>(kFar) * (of(kFar) - of(0));
}

ServingCosts::Flight ServingCosts::low_latency(double tokens) const {
  return {low_latency("dispatch_low_latency", tokens, message_.dispatch),
          low_latency("combine_low_latency", tokens, message_.combine)};
}

ServingCosts::Flight ServingCosts::normal(const TwoHopTraffic& traffic,
                                          double received,
                                          bool overlapped) const {
  const CommModel& comm = pool_.profile.comm;
  const std::int64_t sms = pool_.plan.comm_sms;
  const double out = overlapped ? comm.dispatch_overlap : 1,
               back = overlapped ? comm.combine_overlap : 1;
  return {in_s(comm.layout +
               1 / out *
                   two_hop_time(
                       links_, traffic, message_.dispatch, copy_rate(comm.dispatch_per_sm, sms))),
          in_s(1 / back *
               two_hop_time(links_,
                            handed_back(traffic, received),
                            message_.combine,
                            copy_rate(comm.combine_per_sm, sms)))};
}

ServingCosts::ExpertCosts ServingCosts::of_draw(const std::vector<RankTraffic>& ranks,
                                                StepSetting setting) const {
  ExpertCosts costs;
  const bool low = has_exchange() && exchange(setting.kind) == Exchange::low_latency;
  const ExpertLayout layout = !has_exchange() ? ExpertLayout::indexed
                              : low           ? ExpertLayout::masked
                                              : ExpertLayout::contiguous;
  const RankTraffic* slowest = &ranks.front();
  double most_rows = 0, rows = 0;
  for (const RankTraffic& r : ranks) {
    const auto work = [&](const RankTraffic& t) {
      return layout == ExpertLayout::contiguous ? t.load.padded_rows : t.load.rows;
    };
    if (work(r) > work(*slowest)) slowest = &r;
    most_rows = std::max(most_rows, static_cast<double>(r.load.rows));
    rows += static_cast<double>(r.load.rows);
  }
  costs.max_over_mean_rows = rows > 0 ? most_rows * static_cast<double>(ranks.size()) / rows : 1;
  costs.experts = kernels(
      ops_.routed_experts(slowest->load, sampler(setting.kind)->slots_per_rank(), layout), setting);
  if (!has_exchange()) return costs;
  if (low) {
    const Flight flight = low_latency(most_rows / static_cast<double>(ops_.model().moe->top_k));
    costs.dispatch = flight.dispatch;
    costs.combine = flight.combine;
    if (setting.overlapped) {
      const auto slowest_rows = static_cast<std::int64_t>(most_rows);
      costs.receive = kernels(ops_.receive_rows(slowest_rows), setting);
      costs.hand_back = kernels(ops_.return_rows(slowest_rows), setting);
    }
    return costs;
  }
  for (const RankTraffic& r : ranks) {
    const auto received = static_cast<double>(r.load.tokens_received);
    TwoHopTraffic traffic = two_hop_traffic(std::max(r.nic_rows_sent, r.nic_rows_received),
                                            received,
                                            r.node_mean_received,
                                            ep_per_node_);
    const Flight flight = normal(traffic, received, setting.overlapped);
    costs.dispatch = std::max(costs.dispatch, flight.dispatch);
    costs.combine = std::max(costs.combine, flight.combine);
  }
  return costs;
}

ServingCosts::ExpertCosts ServingCosts::experts(std::int64_t tokens, StepSetting setting) const {
  const RoutingSampler* const sampler_of_kind = sampler(setting.kind);
  ENSURE(sampler_of_kind != nullptr && tokens > 0);
  const RoutingSampler& sampler = *sampler_of_kind;
  if (sampler.problem().spec.kind == RoutingKind::balanced)
    return of_draw({sampler.balanced(tokens)}, setting);
  const std::int64_t layers = sampler.problem().num_layers,
                     draws_a_layer = ceil_div(kDraws, layers);
  ExpertCosts mean;
  mean.max_over_mean_rows = 0;
  const double share = 1 / static_cast<double>(layers * draws_a_layer);
  for (std::int64_t layer = 0; layer < layers; ++layer)
    for (std::int64_t draw = 0; draw < draws_a_layer; ++draw) {
      const ExpertCosts one = of_draw(sampler.sample(tokens, 0, layer, draw), setting);
      mean.experts += share * one.experts;
      mean.receive += share * one.receive;
      mean.hand_back += share * one.hand_back;
      mean.dispatch += share * one.dispatch;
      mean.combine += share * one.combine;
      mean.max_over_mean_rows += share * one.max_over_mean_rows;
    }
  return mean;
}

ServingCosts::SendCosts ServingCosts::sends(std::int64_t tokens, StepSetting setting) const {
  SendCosts costs;
  if (!has_exchange()) return costs;
  Flight flight;
  if (exchange(setting.kind) == Exchange::low_latency) {
    flight = low_latency(static_cast<double>(tokens));
    if (setting.overlapped) {
      costs.send = kernels(ops_.send_rows(tokens), setting);
      costs.reduce = kernels(ops_.reduce_rows(tokens), setting);
    }
  } else {
    const RankTraffic mean = sampler(setting.kind)->balanced(tokens);
    const auto received = static_cast<double>(mean.load.tokens_received);
    flight = normal(two_hop_traffic(mean.nic_rows_sent, received, received, ep_per_node_),
                    received,
                    setting.overlapped);
  }
  costs.dispatch = flight.dispatch;
  costs.combine = flight.combine;
  return costs;
}

}  // namespace moesim
