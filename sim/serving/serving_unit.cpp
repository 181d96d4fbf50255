#include "sim/serving/serving_unit.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "model/errors.hpp"
#include "sim/serving/rank_choice.hpp"
#include "sim/serving/rank_engine.hpp"

namespace moesim {
namespace {

// How often a unit that only waits for cached prefixes looks for new requests.
constexpr Tick kLookInterval = 1'000'000'000;  // 1 ms

#ifdef NDEBUG
constexpr bool kDebugBuild = false;
#else
constexpr bool kDebugBuild = true;
#endif
constexpr std::int64_t kStepsBetweenChecks = 4096;

}  // namespace

struct ServingUnit::Impl {
  Impl(const UnitSettings& settings, std::shared_ptr<const StepClock> step_clock, RequestLog& to)
      : context(settings),
        clock(std::move(step_clock)),
        log(to),
        choice(settings.num_ranks),
        batches(settings.num_ranks),
        step_overhead(to_tick(settings.engine.step_overhead)) {
    start_ranks();
  }

  void start_ranks() {
    ranks.clear();
    context.wheel.clear();
    ranks.reserve(context.settings.num_ranks);
    for (std::int32_t i = 0; i < context.settings.num_ranks; ++i) {
      ranks.emplace_back(context, i);
      choice.set(i, 0);
    }
    totals = {};
  }

  // What is integrated over time.
  struct Totals {
    std::int64_t pages = 0, running = 0, waiting = 0, outstanding = 0;
  };
  void count(const RankEngine& rank, std::int64_t sign) {
    totals.pages += sign * rank.pages().in_use();
    totals.running += sign * rank.num_running();
    totals.waiting += sign * rank.num_waiting();
    totals.outstanding += sign * rank.outstanding_tokens();
  }
  std::int64_t load(const RankEngine& rank) const {
    return context.settings.role == PoolRole::prefill ? rank.outstanding_tokens()
                                                      : rank.num_requests();
  }
  template <class Change>
  auto change(std::int32_t rank, Tick now, Change&& change_it) {
    pass_time(now);
    count(ranks[rank], -1);
    const auto result = change_it(ranks[rank]);
    count(ranks[rank], 1);
    choice.set(rank, load(ranks[rank]));
    context.counters.most_pages =
        std::max(context.counters.most_pages, ranks[rank].pages().in_use());
    return result;
  }
  // The same for a rank's part in a step.
  template <class Change>
  void change_in_step(std::size_t i, Change&& change_it) {
    count(ranks[i], -1);
    change_it(ranks[i]);
    count(ranks[i], 1);
    choice.set(static_cast<std::int32_t>(i), load(ranks[i]));
    context.counters.most_pages = std::max(context.counters.most_pages, ranks[i].pages().in_use());
  }
  void pass_time(Tick now) {
    ENSURE(now >= counted_until);
    const auto passed = static_cast<double>(now - counted_until);
    counted_until = now;
    context.counters.kv_page_ticks += passed * static_cast<double>(totals.pages);
    context.counters.running_ticks += passed * static_cast<double>(totals.running);
    context.counters.waiting_ticks += passed * static_cast<double>(totals.waiting);
  }

  std::int32_t rank_for(const Request& request) const;
  void check() const;

  RankContext context;
  std::shared_ptr<const StepClock> clock;
  RequestLog& log;
  std::vector<RankEngine> ranks;
  RankChoice choice;
  std::vector<RankBatch> batches;  // [rank]; of the step in progress
  Tick step_overhead;
  Totals totals;
  Tick counted_until = 0;
  std::optional<Tick> step_end;  // of the step in progress
  Tick step_begin = 0;
  bool empty_step = false;  // only waits, or only refuses
};

ServingUnit::ServingUnit(const UnitSettings& settings,
                         std::shared_ptr<const StepClock> clock,
                         RequestLog& log)
    : impl_(std::make_unique<Impl>(settings, std::move(clock), log)) {}
ServingUnit::~ServingUnit() = default;
ServingUnit::ServingUnit(ServingUnit&&) noexcept = default;

std::optional<Outcome> ServingUnit::refusal(const Request& request) const {
  const RankContext& context = impl_->context;
  const UnitSettings& settings = context.settings;
  ENSURE(request.input_tokens >= 1 && request.output_tokens >= 1);
  const std::int64_t input = request.input_tokens, output = request.output_tokens;
  if (settings.engine.max_context_tokens > 0 && input + output > settings.engine.max_context_tokens)
    return Outcome::rejected_context;
  // A step writes KV of all tokens but the last, and of drafts; a prefill unit only of the prompt.
  const bool decodes = settings.role != PoolRole::prefill && output > 1;
  const std::int64_t tokens = decodes ? input + output - 1 + context.draft_tokens : input;
  if (tokens > settings.pages * settings.page_tokens) return Outcome::rejected_memory;
  return std::nullopt;
}

std::int32_t ServingUnit::Impl::rank_for(const Request& request) const {
  if (ranks.size() == 1 || context.cached_block_tokens == 0 || request.blocks.empty() ||
      context.settings.role == PoolRole::decode)
    return choice.least();
  const auto before_first_token = [&](std::size_t i) {
    return std::tuple(ranks[i].num_requests() >= context.most_running,
                      ranks[i].outstanding_tokens() - ranks[i].cached_tokens(request),
                      ranks[i].num_requests());
  };
  std::size_t best = 0;
  auto least = before_first_token(0);
  for (std::size_t i = 1; i < ranks.size(); ++i) {
    const auto tokens = before_first_token(i);
    if (tokens >= least) continue;
    least = tokens;
    best = i;
  }
  return static_cast<std::int32_t>(best);
}

void ServingUnit::add(const LiveRequest& request, Tick now) {
  const std::int32_t rank =
      request.decode_rank >= 0 ? request.decode_rank : impl_->rank_for(request.record.request);
  impl_->change(rank, now, [&](RankEngine& engine) {
    engine.add(request);
    return true;
  });
}

std::optional<Tick> ServingUnit::start_step(Tick now) {
  Impl& unit = *impl_;
  ENSURE(!unit.step_end);
  unit.pass_time(now);
  unit.context.outcome.prefilled.clear();
  unit.context.outcome.finished.clear();
  bool empty = true;
  Tick swap_time = 0;
  for (std::size_t i = 0; i < unit.ranks.size(); ++i) {
    if (!unit.ranks[i].form_quietly(unit.batches[i], unit.totals.pages))
      unit.change_in_step(i, [&](RankEngine& rank) {
        rank.form(now, unit.batches[i]);
        swap_time = std::max(swap_time, rank.swap_time());
      });
    empty = empty && unit.batches[i].empty();
  }
  unit.empty_step = empty;
  unit.step_begin = now;
  if (!empty) {
    const Tick computing = unit.clock->step_time(unit.batches);
    ENSURE(computing >= 0);
    unit.step_end = now + computing + unit.step_overhead + swap_time;
  } else if (!unit.context.outcome.finished.empty()) {
    unit.step_end = now;
  } else {
    std::optional<Tick> fetched;
    for (const RankEngine& rank : unit.ranks)
      if (const auto next = rank.next_fetch()) fetched = std::min(fetched.value_or(*next), *next);
    if (!fetched) return std::nullopt;
    ENSURE(*fetched > now);
    unit.step_end = std::min(*fetched, now + kLookInterval);
  }
  return unit.step_end;
}

const StepOutcome& ServingUnit::finish_step(Tick now) {
  Impl& unit = *impl_;
  ENSURE(unit.step_end && *unit.step_end == now);
  unit.step_end.reset();
  unit.pass_time(now);
  RankGaps gaps;
  for (std::size_t i = 0; i < unit.ranks.size(); ++i)
    if (!unit.ranks[i].finish_quietly(gaps))
      unit.change_in_step(i, [&](RankEngine& rank) { rank.finish(now, unit.log, gaps); });
  unit.context.counters.drafted_tokens += gaps.steady * unit.context.draft_tokens;
  ++unit.context.step;
  if (gaps.steady > 0) unit.log.token_gaps(now, now - unit.context.last_step_end, gaps.steady);
  if (gaps.burst > 0) unit.log.token_gaps(now, 0, gaps.burst);
  if (!unit.empty_step) {
    ++unit.context.counters.steps;
    unit.context.counters.busy += now - unit.step_begin;
    unit.context.last_step_end = now;
  }
  if (kDebugBuild && unit.context.counters.steps % kStepsBetweenChecks == 0) unit.check();
  return unit.context.outcome;
}

bool ServingUnit::stepping() const { return impl_->step_end.has_value(); }

bool ServingUnit::reserve(LiveRequest& request, Tick now) {
  Impl& unit = *impl_;
  ENSURE(unit.context.settings.role == PoolRole::decode && request.decode_rank < 0);
  const auto try_rank = [&](std::int32_t rank) {
    return unit.change(rank, now, [&](RankEngine& engine) { return engine.reserve(request); });
  };
  if (try_rank(unit.choice.least())) return true;
  // The rank with the fewest requests may be short of pages where another is not.
  std::int32_t roomiest = -1;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(unit.ranks.size()); ++i)
    if (unit.ranks[i].takes_reservations() &&
        (roomiest < 0 ||
         unit.ranks[i].pages().available() > unit.ranks[roomiest].pages().available()))
      roomiest = i;
  return roomiest >= 0 && try_rank(roomiest);
}

void ServingUnit::cancel(LiveRequest& request, Tick now) {
  impl_->change(request.decode_rank, now, [&](RankEngine& engine) {
    engine.cancel(request);
    return true;
  });
}

void ServingUnit::release(const LiveRequest& request, Tick now) {
  impl_->change(request.prefill_rank, now, [&](RankEngine& engine) {
    engine.release(request);
    return true;
  });
}

std::vector<LiveRequest> ServingUnit::fail(Tick now) {
  Impl& unit = *impl_;
  unit.pass_time(now);
  if (unit.step_end && !unit.empty_step) unit.context.counters.busy += now - unit.step_begin;
  unit.step_end.reset();
  std::vector<LiveRequest> lost;
  std::int64_t burst = 0;
  for (RankEngine& rank : unit.ranks) burst += rank.lose(lost);
  if (burst > 0) unit.log.token_gaps(unit.context.last_step_end, 0, burst);
  unit.start_ranks();
  return lost;
}

std::int64_t ServingUnit::num_waiting() const { return impl_->totals.waiting; }
std::int64_t ServingUnit::num_running() const { return impl_->totals.running; }
std::int64_t ServingUnit::outstanding_tokens() const { return impl_->totals.outstanding; }
std::int64_t ServingUnit::pages_in_use() const { return impl_->totals.pages; }
std::int64_t ServingUnit::pages() const {
  return impl_->context.settings.pages * impl_->context.settings.num_ranks;
}

std::int64_t ServingUnit::cached_prefix_tokens(const Request& request) const {
  std::int64_t most = 0;
  for (const RankEngine& rank : impl_->ranks) most = std::max(most, rank.cached_tokens(request));
  return most;
}

const UnitCounters& ServingUnit::counters() const { return impl_->context.counters; }

void ServingUnit::check() const { impl_->check(); }

void ServingUnit::Impl::check() const {
  Impl::Totals sum;
  for (const RankEngine& rank : ranks) {
    rank.check();
    sum.pages += rank.pages().in_use();
    sum.running += rank.num_running();
    sum.waiting += rank.num_waiting();
    sum.outstanding += rank.outstanding_tokens();
  }
  ENSURE(sum.pages == totals.pages && sum.running == totals.running &&
         sum.waiting == totals.waiting && sum.outstanding == totals.outstanding);
}

}  // namespace moesim
