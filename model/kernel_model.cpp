#include "model/kernel_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moesim {
namespace {

// Nothing counts as one: a residual has no place for the logarithm of 0.
double log2_of(std::int64_t v) {
  return std::log2(static_cast<double>(std::max<std::int64_t>(1, v)));
}

}  // namespace

double rounded_max(double a, double b, double p) {
  const double high = std::max(a, b), low = std::min(a, b);
  return high > 0 ? high * std::pow(1 + std::pow(low / high, p), 1 / p) : 0;
}

GemmAxes gemm_axes(const GemmProblem& p) {
  const auto used = static_cast<double>(std::max<std::int64_t>(1, used_groups(p)));
  const std::int64_t rows = largest_group(p), bm = fastest_rows(p);
  // As much as two octaves of shape from an empty to a full tile.
  constexpr double kWeightOfFill = 2;
  return {std::log2(std::max(1.0, static_cast<double>(p.m) / used)),
          std::log2(static_cast<double>(p.n)),
          std::log2(static_cast<double>(p.k)),
          kWeightOfFill * static_cast<double>(rows) /
              static_cast<double>(std::max<std::int64_t>(1, ceil_div(rows, bm)) * bm)};
}

Seconds gemm_base_time(const GemmModel& g,
                       FlopRate peak,
                       const GpuSpec& gpu,
                       const GemmProblem& p,
                       double in_bytes,
                       double out_bytes,
                       std::int64_t sms) {
  const double per_sm = (g.mma_efficiency * peak).in(FLOP_per_s) / static_cast<double>(gpu.num_sms);
  const double load = g.load.in(B_per_s), store = g.store.in(B_per_s), fill = g.fill.in(s);
  const auto k = static_cast<double>(p.k);
  const auto waves_s = [&](std::int64_t bm, std::int64_t bn, std::int64_t waves) {
    const auto area = static_cast<double>(bm * bn);
    const double mma = 2 * area * k / per_sm;
    const double operands = static_cast<double>(bm + bn) * k * in_bytes / load;
    return static_cast<double>(waves) * (std::max(mma, operands) + area * out_bytes / store + fill);
  };
  double compute_s = std::numeric_limits<double>::infinity();
  if (g.rule == TileRule::fewest_waves) {
    const GemmPlan plan = fewest_waves_plan(p, sms);
    compute_s = waves_s(plan.tile.bm, plan.tile.bn, plan.waves);
  } else {
    const std::int64_t bm = fastest_rows(p), rows = row_tiles(p, bm);
    for (std::int64_t bn = kTileStep; bn <= kWidestTile; bn += kTileStep)
      compute_s = std::min(compute_s, waves_s(bm, bn, ceil_div(rows * ceil_div(p.n, bn), sms)));
  }
  const auto m = static_cast<double>(p.m), n = static_cast<double>(p.n);
  const double bytes =
      in_bytes * (m * k + static_cast<double>(used_groups(p)) * n * k) + out_bytes * m * n;
  const Seconds memory = (bytes * B) / (g.hbm_efficiency * gpu.hbm_bandwidth);
  return g.overhead + rounded_max(compute_s, memory.in(s), g.norm) * s;
}

Seconds attention_base_time(const AttentionModel& a,
                            const AttentionShape& x,
                            Flop flops,
                            Bytes bytes,
                            Bandwidth hbm,
                            std::int64_t sms) {
  const PrefillPlan plan = prefill_plan(x.batch, x.seq, x.prefix, x.heads);
  const auto seq = static_cast<double>(x.seq);
  const double pairs =
      static_cast<double>(x.batch * x.heads) * seq * (static_cast<double>(x.prefix) + seq / 2);
  if (pairs <= 0) return a.overhead;
  const Flop of_tile = (static_cast<double>(kAttentionTile * kAttentionTile) / pairs) * flops;
  const double rounds = std::max(static_cast<double>(plan.tiles) / static_cast<double>(sms),
                                 static_cast<double>(plan.longest));
  const Seconds work = rounds * (of_tile / (a.rate / static_cast<double>(a.sms)));
  return a.overhead + std::max(work, bytes / a.bandwidth.value_or(hbm));
}

std::array<double, 3> attention_axes(const AttentionShape& x) {
  return {log2_of(x.seq), log2_of(x.batch * x.heads), log2_of(x.prefix + x.seq)};
}

std::array<double, 3> decode_axes(const AttentionShape& x) {
  return {log2_of(x.batch), log2_of(x.prefix), log2_of(x.heads * x.seq)};
}

Seconds decode_base_time(const DecodeModel& d,
                         std::int64_t batch,
                         std::int64_t kv_len,
                         std::int64_t query_heads,
                         Bytes bytes,
                         std::int64_t sms) {
  const DecodePlan plan = decode_plan(batch, kv_len, query_heads, sms);
  return d.overhead + rounded_max(static_cast<double>(plan.blocks) * d.block.in(s),
                                  (bytes / d.bandwidth).in(s),
                                  d.norm) *
                          s;
}

}  // namespace moesim
