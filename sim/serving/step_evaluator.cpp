#include "sim/serving/step_evaluator.hpp"

#include <algorithm>
#include <cmath>

#include "model/parallel_for.hpp"

namespace moesim {
namespace {

std::int64_t whole(double value) { return std::max<std::int64_t>(1, std::llround(value)); }

// Of one request of a batch.
AttentionShape prefill_shape(const BatchShape& b) {
  const double n = std::max(1.0, b.prefill_requests);
  AttentionShape shape;
  shape.batch = whole(n);
  shape.seq = whole(b.prefill_tokens / n);
  shape.prefix =
      std::max<std::int64_t>(0, std::llround((b.prefill_context - b.prefill_tokens) / n));
  return shape;
}
double pairs_of(const AttentionShape& x) {
  const auto seq = static_cast<double>(x.seq);
  return static_cast<double>(x.batch) * seq * (static_cast<double>(x.prefix) + seq / 2);
}

// Partial tiles make the core of prompts a staircase in two lengths, and it is one kernel: no
// table.
double prefill_seconds(const ServingCosts& costs, const BatchShape& b, StepSetting setting) {
  const AttentionShape shape = prefill_shape(b);
  return b.prefill_pairs / pairs_of(shape) *
         costs.kernel_seconds(costs.ops().prefill_core(shape), setting);
}

}  // namespace

BatchShape whole_batch(const RankBatch& batch, std::int64_t query_tokens) {
  BatchShape b;
  b.query_tokens = query_tokens;
  b.decode_requests = static_cast<double>(batch.decode_requests);
  if (batch.decode_requests > 0)
    b.decode_context = static_cast<double>(batch.decode_context) / b.decode_requests;
  b.prefill_requests = static_cast<double>(batch.prefill_requests);
  b.prefill_tokens = static_cast<double>(batch.prefill_tokens);
  b.prefill_context = static_cast<double>(batch.prefill_context);
  b.prefill_pairs = batch.prefill_pairs;
  b.tokens = b.prefill_tokens + b.decode_requests * static_cast<double>(query_tokens);
  return b;
}

BatchShape half_batch(const RankBatch& batch, std::int64_t query_tokens) {
  BatchShape b = whole_batch(batch, query_tokens);
  b.tokens /= 2;
  b.decode_requests /= 2;
  // Both halves of a lone prompt are of its one request; the first sees nothing of the second.
  const double left_out = b.prefill_requests > 1 ? b.prefill_context / 2 : b.prefill_tokens / 4;
  b.prefill_context -= left_out;
  if (b.prefill_requests > 1) b.prefill_requests /= 2;
  b.prefill_tokens /= 2;
  b.prefill_pairs /= 2;
  return b;
}

BatchShape draft_batch(const RankBatch& batch) {
  RankBatch decoding;
  decoding.decode_requests = batch.decode_requests;
  decoding.decode_context = batch.decode_context;
  return whole_batch(decoding, 1);
}

RankParts<PieceCost> evaluate(const ServingCosts& costs, const BatchShape& b, StepSetting setting) {
  RankParts<PieceCost> parts;
  if (b.tokens <= 0) return parts;
  const ServingOps& ops = costs.ops();
  const auto run = [&](const OpList& list) { return costs.kernels(list, setting); };
  const std::int64_t tokens = whole(b.tokens), expert_tokens = ops.expert_tokens(tokens);
  parts.prepare = run(ops.attention_input(tokens));
  parts.core = run(ops.attention_output(tokens));
  parts.core += costs.all_reduce(tokens);
  if (b.decode_requests > 0) {
    const std::int64_t requests = whole(b.decode_requests);
    parts.core += run(ops.absorb(requests * b.query_tokens));
    parts.core += costs.decode_core(requests, whole(b.decode_context), b.query_tokens, setting);
  }
  if (b.prefill_tokens > 0) {
    const AttentionShape shape = prefill_shape(b);
    parts.core += run(ops.expand(whole(b.prefill_context)));
    parts.core += b.prefill_pairs / pairs_of(shape) * run({ops.prefill_core(shape)});
  }
  parts.gate = run(ops.gate(expert_tokens));
  parts.shared = run(ops.shared_expert(expert_tokens));
  if (!ops.experts_over_unit()) parts.shared += costs.all_reduce(tokens);
  parts.dense = run(ops.dense_feed_forward(tokens));
  parts.dense += costs.all_reduce(tokens);
  parts.embedding = run(ops.embedding(tokens));
  parts.head = run(ops.head(whole(b.head_rows())));
  parts.draft_input = run(ops.mtp_input(tokens));
  return parts;
}

ExpertParts in_seconds(const ServingCosts::ExpertCosts& e, const ServingCosts::SendCosts& s) {
  ExpertParts parts;
  parts.experts = e.experts.seconds();
  parts.receive = e.receive.seconds();
  parts.hand_back = e.hand_back.seconds();
  parts.send = s.send.seconds();
  parts.reduce = s.reduce.seconds();
  parts.dispatch = std::max(e.dispatch, s.dispatch);
  parts.combine = std::max(e.combine, s.combine);
  return parts;
}

namespace {

// Ranges of the tables; beyond them the last straight line goes on.
struct Ranges {
  double tokens, requests, context;
};
Ranges ranges_of(const PoolSpec& pool, BatchKind kind) {
  const EngineSpec& e = pool.engine;
  const auto most = [](std::int64_t a, std::int64_t b) {
    return static_cast<double>(std::max(a, b));
  };
  Ranges r{};
  r.requests = most(e.max_requests, 64);
  r.tokens = r.requests * static_cast<double>(e.draft_tokens() + 1);
  if (kind == BatchKind::prefill) r.tokens = most(e.max_batch_tokens, 1024) + r.tokens;
  r.context = most(e.max_context_tokens, 8192);
  return r;
}

// Fine where a tile of rows more or less shows (most of all where all experts cross one together),
// coarse where draws of the routing average it out.
constexpr int kTokenBits = 7, kRequestBits = 4, kContextBits = 3;
constexpr int kBalancedBits = 9, kSampledBits = 3;

int expert_bits(const ServingCosts& costs, BatchKind kind) {
  const RoutingSampler* sampler = costs.sampler(kind);
  return sampler != nullptr && sampler->problem().spec.kind == RoutingKind::balanced ? kBalancedBits
                                                                                     : kSampledBits;
}

TimePlane decode_plane(const ServingCosts& costs, StepSetting setting, std::int64_t query_tokens) {
  const Ranges r = ranges_of(costs.pool(), setting.kind);
  constexpr double kBlock = static_cast<double>(kDecodeBlock);
  return TimePlane(
      GridAxis(1, kRequestBits, r.requests),
      GridAxis(kBlock, kContextBits, r.context),
      [&](double requests, double context) {
        return costs.decode_core(whole(requests), whole(context), query_tokens, setting).seconds();
      });
}

TimeTable<5> expert_table(const ServingCosts& costs, StepSetting setting, int num_threads) {
  const GridAxis axis(
      1, expert_bits(costs, setting.kind), ranges_of(costs.pool(), setting.kind).tokens);
  std::vector<TimeTable<5>::Row> rows(axis.size());
  if (costs.sampler(setting.kind) != nullptr)
    parallel_for(axis.size(), num_threads, [&](std::size_t i) {
      const ServingCosts::ExpertCosts e = costs.experts(whole(axis.value(i)), setting);
      rows[i] = {
          e.experts.seconds(), e.receive.seconds(), e.hand_back.seconds(), e.dispatch, e.combine};
    });
  std::size_t next = 0;
  return TimeTable<5>(axis, [&](double) { return rows[next++]; });
}

}  // namespace

StepTables::StepTables(const ServingCosts& costs, StepSetting setting, int num_threads)
    : costs_(costs),
      setting_(setting),
      query_tokens_(costs.pool().engine.draft_tokens() + 1),
      shared_experts_(!costs.has_exchange()),
      tokens_(GridAxis(1, kTokenBits, ranges_of(costs.pool(), setting.kind).tokens),
              [&](double tokens) {
                const std::int64_t t = whole(tokens);
                const ServingOps& ops = costs.ops();
                const std::int64_t e = ops.expert_tokens(t);
                const auto run = [&](const OpList& list) {
                  return costs.kernels(list, setting).seconds();
                };
                const double sum = costs.all_reduce(t).seconds();
                TimeTable<kColumns>::Row row;
                row[prepare] = run(ops.attention_input(t));
                row[output] = run(ops.attention_output(t)) + sum;
                row[gate] = run(ops.gate(e));
                row[absorb] = run(ops.absorb(t));
                row[shared] = run(ops.shared_expert(e)) + (ops.experts_over_unit() ? 0 : sum);
                row[dense] = run(ops.dense_feed_forward(t)) + sum;
                row[embedding] = run(ops.embedding(t));
                row[draft_input] = run(ops.mtp_input(t));
                return row;
              }),
      head_(GridAxis(1, kTokenBits, ranges_of(costs.pool(), BatchKind::decode).tokens),
            [&](double rows) {
              return TimeTable<1>::Row{
                  costs.kernels(costs.ops().head(whole(rows)), setting).seconds()};
            }),
      expand_(GridAxis(1, kTokenBits, 4 * ranges_of(costs.pool(), setting.kind).context),
              [&](double tokens) {
                return TimeTable<1>::Row{
                    costs.kernels(costs.ops().expand(whole(tokens)), setting).seconds()};
              }),
      decode_(decode_plane(costs, setting, query_tokens_)),
      decode_one_(query_tokens_ > 1 ? decode_plane(costs, setting, 1) : decode_),
      experts_(expert_table(costs, setting, num_threads)),
      sends_(
          GridAxis(1, kSampledBits, ranges_of(costs.pool(), setting.kind).tokens),
          [&](double tokens) {
            const ServingCosts::SendCosts s = costs.sends(whole(tokens), setting);
            return TimeTable<4>::Row{s.send.seconds(), s.reduce.seconds(), s.dispatch, s.combine};
          }) {}

RankParts<double> StepTables::parts(const BatchShape& b) const {
  RankParts<double> parts;
  if (b.tokens <= 0) return parts;
  const auto row = tokens_.at(b.tokens);
  parts.prepare = row[prepare];
  parts.core = row[output];
  if (b.decode_requests > 0) {
    const auto query = static_cast<double>(b.query_tokens);
    parts.core +=
        b.prefill_tokens > 0 ? tokens_.at(b.decode_requests * query)[absorb] : row[absorb];
    parts.core +=
        (b.query_tokens == 1 ? decode_one_ : decode_).at(b.decode_requests, b.decode_context);
  }
  if (b.prefill_tokens > 0)
    parts.core += expand_.at(b.prefill_context)[0] + prefill_seconds(costs_, b, setting_);
  parts.gate = row[gate];
  parts.shared = row[shared];
  parts.dense = row[dense];
  parts.embedding = row[embedding];
  parts.head = head_.at(b.head_rows())[0];
  parts.draft_input = row[draft_input];
  return parts;
}

ExpertParts StepTables::experts(double mean_tokens, double most_tokens) const {
  const auto e = experts_.at(shared_experts_ ? most_tokens : mean_tokens);
  const auto s = sends_.at(most_tokens);
  ExpertParts parts;
  parts.experts = e[0];
  parts.receive = e[1];
  parts.hand_back = e[2];
  parts.send = s[0];
  parts.reduce = s[1];
  parts.dispatch = std::max(e[3], s[2]);
  parts.combine = std::max(e[4], s[3]);
  return parts;
}

LoadWeights StepTables::decode_weights(const BatchShape& mean) const {
  constexpr double kStep = 0.125;  // a cell of the tables or more
  const double requests = std::max(1.0, mean.decode_requests),
               cached = requests * std::max(1.0, mean.decode_context);
  const auto seconds = [&](double r, double c) {
    const auto row = tokens_.at(r * static_cast<double>(query_tokens_));
    return row[prepare] + row[output] + row[absorb] + row[gate] + decode_.at(r, c / r);
  };
  const double at = seconds(requests, cached);
  LoadWeights w;
  w.request = (seconds(requests * (1 + kStep), cached) - at) / (kStep * requests);
  w.cached = (seconds(requests, cached * (1 + kStep)) - at) / (kStep * cached);
  return w;
}

LoadWeights StepTables::prefill_weights(const BatchShape& mean) const {
  LoadWeights w;
  const double tokens =
      mean.prefill_tokens + mean.decode_requests * static_cast<double>(query_tokens_);
  const auto row = tokens_.at(tokens);
  w.prompt_token = (row[prepare] + row[output] + row[gate]) / tokens;
  w.request = w.prompt_token * static_cast<double>(query_tokens_);
  w.prompt_context = expand_.at(mean.prefill_context)[0] / mean.prefill_context;
  w.pair = prefill_seconds(costs_, mean, setting_) / mean.prefill_pairs;
  if (mean.decode_requests > 0)
    w.cached = decode_.at(mean.decode_requests, mean.decode_context) /
               std::max(1.0, mean.decode_requests * mean.decode_context);
  return w;
}

}  // namespace moesim
