#include "sim/serving/deployment_bound.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "model/json_message.hpp"

namespace moesim {
namespace {

// Batch sizes that are asked for are so far apart, or 1.
constexpr double kGrid = 1.02;

struct Asked {
  std::vector<double> prompts, outputs;  // tokens of each measured request; beyond the first
  Tick first = 0, last = 0;              // arrivals
};

// One that a pool's context limit turns away is not measured.
bool is_let_by(const ServingScenario& scenario, const Request& request) {
  return std::all_of(
      scenario.serving.pools.begin(), scenario.serving.pools.end(), [&](const PoolSpec& pool) {
        return pool.engine.max_context_tokens == 0 ||
               request.input_tokens + request.output_tokens <= pool.engine.max_context_tokens;
      });
}

Asked read_requests(const ServingScenario& scenario) {
  const std::unique_ptr<RequestSource> source = make_source(*scenario.requests, scenario.seed);
  Asked asked;
  const Tick warm_up = to_tick(scenario.measure.warm_up);
  while (source->next_arrival()) {
    const Request request = source->take();
    if (request.arrival >= warm_up && is_let_by(scenario, request)) {
      if (asked.prompts.empty()) asked.first = request.arrival;
      asked.last = request.arrival;
      asked.prompts.push_back(
          static_cast<double>(std::max(1, request.input_tokens - request.stated_cached_tokens)));
      asked.outputs.push_back(static_cast<double>(request.output_tokens - 1));
    }
    source->finished(request, request.arrival);
  }
  std::sort(asked.prompts.begin(), asked.prompts.end());
  std::sort(asked.outputs.begin(), asked.outputs.end());
  return asked;
}

// The share of requests that have to keep a bound; nothing: none does for certain.
std::optional<double> share_of(const SloBound& bound) {
  if (!bound.is_upper) return std::nullopt;
  switch (bound.statistic) {
    case SloStatistic::percentile: return bound.percentile / 100;
    case SloStatistic::median: return 0.5;
    case SloStatistic::max: return 1;
    case SloStatistic::none:
    case SloStatistic::mean:
    case SloStatistic::min: return std::nullopt;
  }
  return std::nullopt;
}

// Of `values`, ascending, the first so many of all; percentiles may lie between two requests.
double sum_of_least(const std::vector<double>& values, double share) {
  const auto count =
      static_cast<std::ptrdiff_t>(std::floor(share * static_cast<double>(values.size()) - 1));
  if (count <= 0) return 0;
  return std::accumulate(values.begin(), values.begin() + count, 0.0);
}

// Answers of at most the length at quantile q, all but `missing` of them, each within its time.
void add_outputs(const Asked& asked,
                 double missing,
                 Seconds first_token,
                 Seconds per_token,
                 std::vector<WorkNeeded>& outputs) {
  for (const double q : std::array{1.0, 0.9, 0.75, 0.5, 0.25}) {
    const auto index = static_cast<std::size_t>(
        std::max(0.0, std::ceil(q * static_cast<double>(asked.outputs.size())) - 1));
    const double longest = asked.outputs[index];
    const double tokens = sum_of_least(asked.outputs, q - missing);
    if (tokens > 0)
      outputs.push_back({tokens,
                         std::max<Tick>(1, asked.last - asked.first) +
                             to_tick(first_token + longest * per_token)});
  }
}

Tick step_of(const PoolSpec& pool,
             const PoolClocks& clocks,
             const RankBatch& batch,
             bool all_ranks) {
  std::vector<RankBatch> ranks(static_cast<std::size_t>(pool.plan.dp));
  for (RankBatch& rank : ranks) {
    rank = batch;
    if (!all_ranks) break;
  }
  return clocks.step_time(ranks) + to_tick(pool.engine.step_overhead);
}

RankBatch prompt_batch(std::int64_t tokens) {
  RankBatch batch;
  batch.prefill_requests = 1;
  batch.prefill_tokens = batch.prefill_context = tokens;
  return batch;
}

RankBatch decode_batch(std::int64_t requests, std::int64_t context) {
  RankBatch batch;
  batch.decode_requests = requests;
  batch.decode_context = requests * context;
  return batch;
}

// Of all ranks, tokens a tick, over batches of 1 to `most` a rank.
template <class TimeOf>
double best_rate(const PoolSpec& pool, std::int64_t most, const TimeOf& time_of) {
  double best = 0;
  for (std::int64_t n = 1; n <= most;) {
    const std::int64_t next =
        std::max(n + 1, static_cast<std::int64_t>(static_cast<double>(n) * kGrid));
    best = std::max(best,
                    static_cast<double>(std::min(next, most)) /
                        static_cast<double>(std::max<Tick>(1, time_of(n))));
    n = next;
  }
  return best * static_cast<double>(pool.plan.dp) / (1 - kClockSlack);
}

std::int64_t units_for(const std::vector<WorkNeeded>& needed, double rate) {
  double units = 1;
  for (const WorkNeeded& work : needed)
    units = std::max(units, work.tokens / rate / static_cast<double>(work.within));
  return static_cast<std::int64_t>(std::ceil(units - 1e-9));
}

}  // namespace

Tick PoolClocks::step_time(std::span<const RankBatch> ranks) const {
  const Tick time = model.clock->step_time(ranks);
  return whole == nullptr ? time : std::min(time, whole->step_time(ranks));
}

ServingNeeds needs_of(const ServingScenario& scenario, const std::vector<SloBound>& bounds) {
  ServingNeeds needs;
  if (!scenario.requests || waits_for_answers(*scenario.requests) || scenario.measure.stop_after ||
      scenario.measure.compress_time > 1)
    return needs;
  const Asked asked = read_requests(scenario);
  if (asked.prompts.empty()) return needs;
  const Tick arriving = std::max<Tick>(1, asked.last - asked.first);
  needs.shortest_prompt = static_cast<std::int64_t>(asked.prompts.front());
  for (const SloBound& bound : bounds) {
    const std::optional<double> share = share_of(bound);
    const Seconds limit = bound.limit * s;
    if (bound.metric == SloMetric::tpot && bound.is_upper && asked.outputs.front() > 0 &&
        (!needs.tpot || bound.limit < needs.tpot->limit))
      needs.tpot = bound;
    if (!share) continue;
    if (bound.metric == SloMetric::ttft || bound.metric == SloMetric::e2e)
      needs.prompts.push_back({sum_of_least(asked.prompts, *share), arriving + to_tick(limit)});
    if (bound.metric == SloMetric::ttft) {
      const double rank = std::floor(*share * static_cast<double>(asked.prompts.size()) - 1);
      needs.ttft.push_back({bound,
                            static_cast<std::int64_t>(
                                asked.prompts[static_cast<std::size_t>(std::max(0.0, rank))])});
      for (const SloBound& other : bounds)
        if (const auto of_other = share_of(other); of_other && other.metric == SloMetric::tpot)
          add_outputs(asked, 2 - *share - *of_other, limit, other.limit * s, needs.outputs);
    }
    if (bound.metric == SloMetric::e2e)
      add_outputs(asked, 1 - *share, limit, Seconds(), needs.outputs);
  }
  return needs;
}

std::int64_t units_bound(const PoolSpec& pool,
                         const PoolClocks& clocks,
                         const ServingNeeds& needs) {
  std::int64_t units = 1;
  if (pool.role != PoolRole::decode && !pool.kv.prefix_cache && !needs.prompts.empty())
    units = units_for(needs.prompts, best_rate(pool, pool.engine.max_batch_tokens, [&](auto n) {
                        return step_of(pool, clocks, prompt_batch(n), true);
                      }));
  if (pool.role != PoolRole::prefill && !needs.outputs.empty()) {
    const std::int64_t pages_of_one = std::max<std::int64_t>(
        1, needs.shortest_prompt / std::max<std::int64_t>(1, pool.kv.page_tokens));
    const std::int64_t most = std::max<std::int64_t>(
        1, std::min(pool.engine.max_requests, clocks.model.pages / pages_of_one));
    const double drafts = 1 + static_cast<double>(pool.engine.draft_tokens());
    const double rate =
        drafts * best_rate(pool, most, [&](auto n) {
          return step_of(pool, clocks, decode_batch(n, needs.shortest_prompt), true);
        });
    units = std::max(units, units_for(needs.outputs, rate));
  }
  return units;
}

std::string impossibility(const PoolSpec& pool,
                          const PoolClocks& clocks,
                          const ServingNeeds& needs) {
  if (needs.tpot && pool.role != PoolRole::prefill) {
    const double step =
        to_seconds(step_of(pool, clocks, decode_batch(1, needs.shortest_prompt), false)).in(s) /
        (1 + static_cast<double>(pool.engine.draft_tokens()));
    if (step * (1 - kClockSlack) > needs.tpot->limit)
      return "a decode step of " + one_line(pool.name) + " with one request takes " +
             number_text(std::round(1e5 * step) / 100) + " ms a token: " + needs.tpot->text +
             " cannot hold";
  }
  if (pool.role == PoolRole::decode || pool.kv.prefix_cache) return "";
  for (const ServingNeeds::PromptTime& one : needs.ttft) {
    // In chunks nothing is known of their sizes, but how many there are at least.
    const std::int64_t steps =
        pool.engine.chunked_prefill
            ? (one.tokens + pool.engine.max_batch_tokens - 1) / pool.engine.max_batch_tokens
            : 1;
    const std::int64_t tokens = pool.engine.chunked_prefill ? 1 : one.tokens;
    const double least = static_cast<double>(steps) *
                         to_seconds(step_of(pool, clocks, prompt_batch(tokens), false)).in(s);
    if (least * (1 - kClockSlack) > one.bound.limit)
      return "computing a prompt of " + std::to_string(one.tokens) + " tokens alone takes " +
             number_text(std::round(1e5 * least) / 100) + " ms in " + one_line(pool.name) + ": " +
             one.bound.text + " cannot hold";
  }
  return "";
}

}  // namespace moesim
