#include "reports/formulas.hpp"

#include <cmath>

#include "model/collective/collective.hpp"
#include "model/cost_model.hpp"
#include "model/network/inventory.hpp"
#include "model/routing.hpp"
#include "reports/formulas_operations.hpp"
#include "reports/formulas_routing.hpp"
#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

const Scenario& needed(const Scenario* scenario, const FormulaInputs& in) {
  if (scenario == nullptr)
    throw InputError(in.place(), "this formula needs a \"scenario\" for its cluster and profile");
  return *scenario;
}

double product(const FormulaInputs& in, const Scenario*) { return in.number("a") * in.number("b"); }
double quotient(const FormulaInputs& in, const Scenario*) {
  if (in.number("b") == 0) throw InputError(in.place(), "input \"b\": 0 divides nothing");
  return in.number("a") / in.number("b");
}
// The share of `b` that `a` saves; negative where a is more.
double saving(const FormulaInputs& in, const Scenario* given) { return 1 - quotient(in, given); }

// 1 - (elements_a * bits_a) / (elements_b * bits_b), both per token over all layers.
double cache_reduction(const FormulaInputs& in, const Scenario*) {
  return 1 - in.number("layers_a") * in.number("elements_a") * in.number("bits_a") /
                 (in.number("layers_b") * in.number("elements_b") * in.number("bits_b"));
}

double bubble_1f1b(const FormulaInputs& in, const Scenario*) {
  return one_f_one_b_bubble(in.whole("pp"), in.number("f"), in.number("b"));
}
double bubble_zb1p(const FormulaInputs& in, const Scenario*) {
  return zb1p_bubble(in.whole("pp"), in.number("f"), in.number("b"), in.number("w"));
}
double bubble_dualpipe(const FormulaInputs& in, const Scenario*) {
  return dualpipe_bubble(in.whole("pp"), in.number("fb"), in.number("b"), in.number("w"));
}

// The same from the step lists themselves, over pp ranks; "schedule" as a plan writes it.
double schedule_bubble(const FormulaInputs& in, const Scenario*) {
  const PipelineRun run{in.whole("pp"), in.whole("microbatches"), 1, false};
  for (const ScheduleTraits& row : all_schedules()) {
    if (in.text("schedule") != row.name) continue;
    const Schedule& schedule = schedule_of(row.kind);
    const std::string refusal = schedule.refusal(run);
    if (!refusal.empty()) throw InputError(in.place(), refusal);
    return list_bubble(
        schedule, run, {in.number("f"), in.number("b"), in.number("w"), in.number("fb")});
  }
  throw InputError(in.place(), "unknown schedule \"" + in.text("schedule") + "\"");
}

// Share of a kind of step in a rank's DualPipe list, times its duration.
double schedule_count(const FormulaInputs& in, const Scenario*) {
  double n = 0;
  for (const ScheduleStep& step :
       schedule_of(ScheduleKind::dualpipe)
           .steps({in.whole("pp"), in.whole("microbatches"), 1, false}, in.whole("rank")))
    n += static_cast<std::int64_t>(step.kind) == in.whole("kind");
  return n;
}

// DeepEP's benchmark: every rank holds `tokens` rows, one expert group a node, at most `max_groups`
// of them.
struct TwoHopRun {
  Seconds time;
  double logical_rows = 0;  // of a rank: one a node visited, or one a rank inside a single node
};
TwoHopRun two_hop_run(const FormulaInputs& in, const Scenario& sc) {
  const std::int64_t ep = in.whole("ep"), per_node = std::min(ep, sc.cluster.gpus_per_node);
  MoeSpec moe;
  moe.num_experts = in.whole("experts");
  moe.top_k = in.whole("top_k");
  moe.num_groups = std::max<std::int64_t>(1, ep / per_node);
  moe.score = ScoreFunction::sigmoid;
  RoutingSpec routing;
  routing.kind = RoutingKind::balanced;
  routing.max_groups = std::min(in.whole("max_groups"), moe.num_groups);
  const RoutingSampler sampler({.moe = moe,
                                .spec = routing,
                                .placement = {},
                                .ep = ep,
                                .ranks_per_node = per_node,
                                .seed = sc.seed});
  const ExpertTraffic traffic =
      expert_traffic(sampler.sample_rows(in.whole("tokens"), 0, 0, 0), ExpertAlgorithm::two_hop);
  const CommModel& comm = sc.profile.comm;
  const Bandwidth per_sm = in.whole("combine") != 0 ? comm.combine_per_sm : comm.dispatch_per_sm;
  const Seconds t = busiest_port_time(link_rates(sc.cluster, comm),
                                      traffic,
                                      in.number("row_bytes") * B,
                                      copy_rate(per_sm, in.whole("sms")));
  return {t, traffic.logical_rows / static_cast<double>(ep)};
}

double two_hop_bandwidth(const FormulaInputs& in, const Scenario* given) {
  const TwoHopRun run = two_hop_run(in, needed(given, in));
  return (run.logical_rows * in.number("row_bytes") * B / run.time).in(B_per_s);
}

// The same while compute kernels run beside it, for whoever counts `counted_nodes` a token.
// cached: the dispatch that reuses the layout of the one before.
double overlapped_bandwidth(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  const CommModel& comm = sc.profile.comm;
  const double overlap = in.whole("combine") != 0  ? comm.combine_overlap
                         : in.whole("cached") != 0 ? comm.cached_dispatch_overlap
                                                   : comm.dispatch_overlap;
  const Bytes counted =
      in.number("tokens") * in.number("counted_nodes") * in.number("row_bytes") * B;
  return (counted / (two_hop_run(in, sc).time / overlap)).in(B_per_s);
}

// What a link class sustains under the scenario's profile: 0 NVLink, 1 NIC.
double link_rate(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  const LinkRates rates = link_rates(sc.cluster, sc.profile.comm);
  return (in.whole("nic") != 0 ? rates.nic : rates.nvlink).in(B_per_s);
}

// Latency of a small message, as the cluster's file states it: link 0 NVLink, 1 NICs under one
// leaf, 2 NICs across leaves.
double link_latency(const FormulaInputs& in, const Scenario* given) {
  const ClusterSpec& cluster = needed(given, in).cluster;
  switch (in.whole("link")) {
    case 0: return cluster.nvlink_latency.in(s);
    case 1: return cluster.same_leaf_latency.value_or(cluster.nic_latency).in(s);
    case 2: return cluster.nic_latency.in(s);
    default:
      throw InputError(in.place(), "link: expected 0 (NVLink), 1 (one leaf) or 2 (across leaves)");
  }
}

double low_latency(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  return low_latency_time(sc.cluster,
                          sc.profile.comm,
                          in.whole("tokens"),
                          in.whole("top_k"),
                          in.whole("ep"),
                          in.number("row_bytes") * B)
      .in(s);
}

// The least time of a decoding step that only moves rows: in each layer dispatch and combine of two
// microbatches, one after the other, `copies` rows a token (ISCA'25, arXiv 2505.09343, section
// 2.3.2).
double decode_exchange(const FormulaInputs& in, const Scenario*) {
  const Bytes row =
      in.number("hidden") * (in.number("dispatch_bytes") + in.number("combine_bytes")) * B;
  const Bandwidth link = in.number("bandwidth_gb_per_s") * GB_per_s;
  return (in.number("tokens") * in.number("copies") * row / link).in(s);
}
double decode_limit(const FormulaInputs& in, const Scenario* given) {
  return 2 * in.number("layers") * decode_exchange(in, given);
}
double decode_limit_rate(const FormulaInputs& in, const Scenario* given) {
  return 1 / decode_limit(in, given);
}

// FLOP rate of a GEMM under the scenario's profile: kernel 0 forward / input gradient, 1 weight
// gradient.
double gemm_rate(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  const GemmShape shape{in.whole("m"), in.whole("n"), in.whole("k"), in.whole("groups")};
  const Kernel kernel =
      in.whole("weight_gradient") != 0 ? Kernel::gemm_fp8_wgrad : Kernel::gemm_fp8;
  const double flops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
                       static_cast<double>(shape.k);
  Op op;
  op.kernel = kernel;
  op.gemm = shape;
  op.flops = flops * FLOP;
  const CostModel model(sc.profile, sc.cluster.gpu);
  return (op.flops / model.cost(op, {in.whole("sms"), in.whole("beside_communication") != 0}).time)
      .in(FLOP_per_s);
}

// Of causal attention with heads of 192/128 over one sequence, beside communication.
double attention_rate(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  const bool backward = in.whole("backward") != 0;
  Op op;
  op.kernel = backward ? Kernel::attention_backward : Kernel::attention_forward;
  op.attention = {1, in.whole("seq"), 0, in.whole("heads"), 192, 128};
  const AttentionShape& x = op.attention;
  const auto seq = static_cast<double>(x.seq);
  const double width = static_cast<double>(backward ? 3 * x.qk_head_dim + 2 * x.v_head_dim
                                                    : x.qk_head_dim + x.v_head_dim);
  op.flops = seq * seq * static_cast<double>(x.heads) * width * FLOP;
  const CostModel model(sc.profile, sc.cluster.gpu);
  return (op.flops / model.cost(op, {in.whole("sms"), true}).time).in(FLOP_per_s);
}

// Absorbed latent attention in decoding: one query token for each of `batch` requests with `kv_len`
// cached tokens of 576 BF16 elements; scores over all 576, values over 512. Bytes are those that
// FlashMLA's own test counts, and that the form is fitted on: cache, queries and results.
struct DecodeWork {
  Flop flops;
  Bytes bytes;
  Seconds time;
};
DecodeWork decode_attention(const FormulaInputs& in, const Scenario* given) {
  const Scenario& sc = needed(given, in);
  DecodeWork w;
  const double cached = in.number("batch") * in.number("kv_len");
  w.flops = 2 * cached * in.number("heads") * (576 + 512) * FLOP;
  w.bytes = 2 * (cached * 576 + in.number("batch") * in.number("heads") * (576 + 512)) * B;
  Op op;
  op.kernel = Kernel::attention_decode;
  op.attention = {in.whole("batch"), 1, in.whole("kv_len"), in.whole("heads"), 576, 512};
  op.flops = w.flops;
  op.bytes = w.bytes;
  w.time = CostModel(sc.profile, sc.cluster.gpu).cost(op, {sc.cluster.gpu.num_sms, false}).time;
  return w;
}
double decode_rate(const FormulaInputs& in, const Scenario* given) {
  const DecodeWork w = decode_attention(in, given);
  return (w.flops / w.time).in(FLOP_per_s);
}
double decode_bandwidth(const FormulaInputs& in, const Scenario* given) {
  const DecodeWork w = decode_attention(in, given);
  return (w.bytes / w.time).in(B_per_s);
}

NetworkInventory inventory(const FormulaInputs& in) {
  switch (in.whole("topology")) {
    case 1: return two_level_fat_tree(in.whole("ports"));
    case 2: return multi_plane_fat_tree(in.whole("ports"), in.whole("planes"));
    case 3: return three_level_fat_tree(in.whole("ports"));
    case 4: return slim_fly(in.whole("q"), in.whole("endpoints_per_switch"));
    case 5: return dragonfly(in.whole("p"), in.whole("a"), in.whole("h"), in.whole("groups"));
    default:
      throw InputError(
          in.place(),
          "topology: expected 1 (FT2), 2 (MPFT), 3 (FT3), 4 (Slim Fly) or 5 (dragonfly)");
  }
}
double network_endpoints(const FormulaInputs& in, const Scenario*) {
  return static_cast<double>(inventory(in).endpoints);
}
double network_switches(const FormulaInputs& in, const Scenario*) {
  return static_cast<double>(inventory(in).switches);
}
double network_links(const FormulaInputs& in, const Scenario*) {
  return static_cast<double>(inventory(in).links);
}
double network_cost(const FormulaInputs& in, const Scenario*) {
  const NetworkPrices prices = {in.number("usd_per_switch") * USD, in.number("usd_per_link") * USD};
  return inventory_cost(inventory(in), prices).in(USD);
}

// Revenue of a serving day: cached input, new input and output tokens at their prices per million;
// cost: nodes at a price.
double serving_revenue(const FormulaInputs& in, const Scenario*) {
  return (in.number("hit_tokens") * in.number("usd_per_m_hit") +
          in.number("miss_tokens") * in.number("usd_per_m_miss") +
          in.number("output_tokens") * in.number("usd_per_m_output")) /
         1e6;
}
double serving_cost(const FormulaInputs& in, const Scenario*) {
  return in.number("nodes") * in.number("gpus_per_node") * 24 * in.number("usd_per_gpu_hour");
}
double serving_margin(const FormulaInputs& in, const Scenario*) {
  return in.number("revenue_usd") / in.number("cost_usd") - 1;
}
double serving_nodes(const FormulaInputs& in, const Scenario*) {
  return in.number("input_tokens") / 86400 / in.number("input_tokens_per_s_per_node") +
         in.number("output_tokens") / 86400 / in.number("output_tokens_per_s_per_node");
}
// Adam with FP32 master weights and gradients: bytes a parameter, weights not counted.
double optimizer_bytes(const FormulaInputs& in, const Scenario*) {
  return in.number("gradient_bytes") + in.number("master_bytes") + 2 * in.number("moment_bytes");
}

double imbalance(const FormulaInputs& in, const Scenario*) { return rank_imbalance(in); }
double failures(const FormulaInputs& in, const Scenario* given) {
  return failures_in(in, needed(given, in));
}
double effective_time(const FormulaInputs& in, const Scenario* given) {
  return effective_time_ratio(in, needed(given, in));
}

struct Row {
  const char* name;
  double (*formula)(const FormulaInputs&, const Scenario*);
};
constexpr Row kTable[] = {{"product", product},
                          {"quotient", quotient},
                          {"saving", saving},
                          {"cache_reduction", cache_reduction},
                          {"bubble_1f1b", bubble_1f1b},
                          {"bubble_zb1p", bubble_zb1p},
                          {"bubble_dualpipe", bubble_dualpipe},
                          {"schedule_bubble", schedule_bubble},
                          {"dualpipe_count", schedule_count},
                          {"two_hop_bandwidth", two_hop_bandwidth},
                          {"low_latency", low_latency},
                          {"link_rate", link_rate},
                          {"overlapped_bandwidth", overlapped_bandwidth},
                          {"link_latency", link_latency},
                          {"decode_exchange", decode_exchange},
                          {"decode_limit", decode_limit},
                          {"decode_limit_rate", decode_limit_rate},
                          {"rank_imbalance", imbalance},
                          {"gemm_rate", gemm_rate},
                          {"attention_rate", attention_rate},
                          {"decode_rate", decode_rate},
                          {"decode_bandwidth", decode_bandwidth},
                          {"network_endpoints", network_endpoints},
                          {"network_switches", network_switches},
                          {"network_links", network_links},
                          {"network_cost", network_cost},
                          {"serving_revenue", serving_revenue},
                          {"serving_cost", serving_cost},
                          {"serving_margin", serving_margin},
                          {"serving_nodes", serving_nodes},
                          {"optimizer_bytes", optimizer_bytes},
                          {"failures_in", failures},
                          {"effective_time_ratio", effective_time}};

}  // namespace

double FormulaInputs::number(const std::string& name) const {
  const auto it = values_.find(name);
  if (it == values_.end()) throw InputError(place_, "missing input \"" + name + "\"");
  return it->second;
}

const std::string& FormulaInputs::text(const std::string& name) const {
  const auto it = names_.find(name);
  if (it == names_.end())
    throw InputError(place_, "missing input \"" + name + "\", which is a name");
  return it->second;
}

std::int64_t FormulaInputs::whole(const std::string& name) const {
  const double v = number(name);
  if (v != std::floor(v))
    throw InputError(place_, "input \"" + name + "\": expected a whole number");
  return static_cast<std::int64_t>(v);
}

double evaluate_formula(const std::string& name,
                        const FormulaInputs& inputs,
                        const Scenario* scenario) {
  std::string known;
  for (const Row& row : kTable) {
    if (name == row.name) return row.formula(inputs, scenario);
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw InputError(inputs.place(), "unknown formula \"" + name + "\"; known: " + known);
}

}  // namespace moesim
