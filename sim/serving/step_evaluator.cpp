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
  shape.prefix = std::max<std::int64_t>(
      0, std::llround((b.prefill_context - b.prefill_tokens) / n));
  return shape;
}
double pairs_of(const AttentionShape& x) {
  const auto seq = static_cast<double>(x.seq);
  return static_cast<double>(x.batch) * seq * (static_cast<double>(x.prefix) + seq / 2);
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

RankParts<PieceCost> evaluate(const ServingCosts& costs,
                              const BatchShape& b,
                              StepSetting setting) {
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
    parts.core += b.prefill_pairs / pairs_of(shape) * costs.prefill_core(shape, setting);
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
Ranges ranges_of(const PoolSpec& pool, StepKind kind) {
  const EngineSpec& e = pool.engine;
  const auto most = [](std::int64_t a, std::int64_t b) {
    return static_cast<double>(std::max(a, b));
  };
  Ranges r{};
  r.requests = most(e.max_requests, 64);
  r.tokens = r.requests * static_cast<double>(e.draft_tokens() + 1);
  if (kind == StepKind::prefill) r.tokens = most(e.max_batch_tokens, 1024) + r.tokens;
  r.context = most(e.max_context_tokens, 8192);
  return r;
}

// Fine where steps of a tile of rows show, coarse where draws of the routing average them out.
constexpr int kTokenBits = 6, kRequestBits = 4, kContextBits = 3;
constexpr int kPromptBits = 1, kPromptTokenBits = 4, kPromptContextBits = 2;
constexpr int kSampledBits = 3;

int expert_bits(const ServingCosts& costs) {
  const RoutingSampler* sampler = costs.sampler();
  return sampler != nullptr && sampler->problem().spec.kind == RoutingKind::balanced
             ? kTokenBits - 1
             : kSampledBits;
}

TimePlane decode_plane(const ServingCosts& costs, StepSetting setting, std::int64_t query_tokens) {
  const Ranges r = ranges_of(costs.pool(), setting.kind);
  constexpr double kBlock = static_cast<double>(kDecodeBlock);
  return TimePlane(GridAxis(0, 1, kRequestBits, r.requests),
                   GridAxis(0, kBlock, kContextBits, r.context),
                   [&](double requests, double context) {
                     return costs
                         .decode_core(whole(requests), whole(context), query_tokens, setting)
                         .seconds();
                   });
}

TimeTable<5> expert_table(const ServingCosts& costs, StepSetting setting, int num_threads) {
  const GridAxis axis(0, 1, expert_bits(costs), ranges_of(costs.pool(), setting.kind).tokens);
  std::vector<TimeTable<5>::Row> rows(axis.size());
  if (costs.sampler() != nullptr)
    parallel_for(axis.size(), num_threads, [&](std::size_t i) {
      const ServingCosts::ExpertCosts e = costs.experts(whole(axis.value(i)), setting);
      rows[i] = {e.experts.seconds(),
                 e.receive.seconds(),
                 e.hand_back.seconds(),
                 e.dispatch,
                 e.combine};
    });
  std::size_t next = 0;
  return TimeTable<5>(axis, [&](double) { return rows[next++]; });
}

}  // namespace

StepTables::StepTables(const ServingCosts& costs, StepSetting setting, int num_threads)
    : query_tokens_(costs.pool().engine.draft_tokens() + 1),
      shared_experts_(!costs.has_exchange()),
      tokens_(GridAxis(0, 1, kTokenBits, ranges_of(costs.pool(), setting.kind).tokens),
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
      head_(GridAxis(0, 1, kTokenBits, ranges_of(costs.pool(), StepKind::decode).tokens),
            [&](double rows) {
              return TimeTable<1>::Row{costs.kernels(costs.ops().head(whole(rows)), setting)
                                           .seconds()};
            }),
      expand_(GridAxis(0, 1, kTokenBits, 4 * ranges_of(costs.pool(), setting.kind).context),
              [&](double tokens) {
                return TimeTable<1>::Row{
                    costs.kernels(costs.ops().expand(whole(tokens)), setting).seconds()};
              }),
      decode_(decode_plane(costs, setting, query_tokens_)),
      decode_one_(query_tokens_ > 1 ? decode_plane(costs, setting, 1) : decode_),
      prefill_requests_(0, 1, kPromptBits, 64),
      experts_(expert_table(costs, setting, num_threads)),
      sends_(GridAxis(0, 1, kTokenBits - 1, ranges_of(costs.pool(), setting.kind).tokens),
             [&](double tokens) {
               const ServingCosts::SendCosts s = costs.sends(whole(tokens), setting);
               return TimeTable<4>::Row{
                   s.send.seconds(), s.reduce.seconds(), s.dispatch, s.combine};
             }) {
  const Ranges r = ranges_of(costs.pool(), setting.kind);
  for (std::size_t i = 0; i < prefill_requests_.size(); ++i) {
    if (setting.kind != StepKind::prefill) break;
    const std::int64_t n = whole(prefill_requests_.value(i));
    prefill_.emplace_back(
        GridAxis(0, 1, kPromptTokenBits, r.tokens),
        GridAxis(0, static_cast<double>(kAttentionTile), kPromptContextBits, r.context),
                          [&](double seq, double prefix) {
                            AttentionShape x;
                            x.batch = n;
                            x.seq = whole(seq);
                            x.prefix = std::llround(prefix);
                            return costs.prefill_core(x, setting).seconds() / pairs_of(x);
                          });
  }
}

double StepTables::prefill_core(const BatchShape& b) const {
  const double n = std::max(1.0, b.prefill_requests), seq = b.prefill_tokens / n,
               prefix = std::max(0.0, (b.prefill_context - b.prefill_tokens) / n);
  const GridAxis::Cell c = prefill_requests_.locate(n);
  const double low = prefill_[c.index].at(seq, prefix),
               high = prefill_[c.index + 1].at(seq, prefix);
  return b.prefill_pairs * (low + std::min(1.0, c.fraction) * (high - low));
}

RankParts<double> StepTables::parts(const BatchShape& b) const {
  RankParts<double> parts;
  if (b.tokens <= 0) return parts;
  const auto row = tokens_.at(b.tokens);
  parts.prepare = row[prepare];
  parts.core = row[output];
  if (b.decode_requests > 0) {
    const auto query = static_cast<double>(b.query_tokens);
    parts.core += b.prefill_tokens > 0 ? tokens_.at(b.decode_requests * query)[absorb] : row[absorb];
    parts.core += (b.query_tokens == 1 ? decode_one_ : decode_).at(b.decode_requests, b.decode_context);
  }
  if (b.prefill_tokens > 0) parts.core += expand_.at(b.prefill_context)[0] + prefill_core(b);
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

double StepTables::decode_weight(double requests, double context) const {
  const auto row = tokens_.at(requests * static_cast<double>(query_tokens_));
  return row[prepare] + row[output] + row[absorb] + row[gate] + decode_.at(requests, context);
}

}  // namespace moesim
