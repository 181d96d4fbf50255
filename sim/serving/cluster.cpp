#include "sim/serving/cluster.hpp"

#include <algorithm>

#include "sim/serving/cluster_run.hpp"

namespace moesim {

ClusterRun::ClusterRun(const ServingSpec& spec,
                       RequestSource& source,
                       const std::vector<PoolModel>& models,
                       RequestLog& log,
                       const ServingOptions& options)
    : spec_(spec),
      source_(source),
      log_(log),
      options_(options),
      models_(models),
      entry_role_(spec.has_prefill_pools() ? PoolRole::prefill : PoolRole::colocated),
      num_decode_pools_(
          std::count_if(spec.pools.begin(),
                        spec.pools.end(),
                        [](const PoolSpec& pool) { return pool.role == PoolRole::decode; })),
      fleet_(spec, models, options, source.block_tokens(), log),
      series_(options.series_interval, spec.pools.size()),
      refused_by_(spec.pools.size()),
      uncached_(fleet_.num_units()) {
  for (std::size_t u = 0; u < fleet_.num_units(); ++u) {
    const PoolSpec& pool = fleet_.pool_of(u);
    // A rank's GPUs have a NIC each.
    const Bandwidth rate = static_cast<double>(pool.plan.tp) * pool.profile.comm.nic_efficiency *
                           pool.cluster.nic_bandwidth;
    if (pool.role != PoolRole::colocated)
      fleet_.unit(u).first_port = ports_.add(pool.plan.dp, rate);
    transfer_latency_ =
        std::max(transfer_latency_, to_tick(spec.transfer_latency + pool.cluster.nic_latency));
  }
  plan_changes();
}

ServingResult ClusterRun::run() {
  for (;;) {
    const std::optional<Tick> arrival = source_.next_arrival(), event = events_.next();
    if (!arrival && result_.taken == result_.served + result_.rejected() + result_.lost) break;
    ENSURE(arrival || event);
    const Tick now = std::min(arrival.value_or(INT64_MAX), event.value_or(INT64_MAX));
    ENSURE(now >= now_ && (arrival || something_is_coming()));
    if (options_.until && now > *options_.until) {
      pass_time(*options_.until);
      break;
    }
    pass_time(now);
    while (events_.next() == now_) handle(events_.pop());
    while (source_.next_arrival() == now_) arrive(source_.take());
    begin_steps();
  }
  check_end();
  result_.end = now_;
  result_.inside = result_.taken - result_.served - result_.rejected() - result_.lost;
  result_.events = static_cast<std::int64_t>(events_.num_scheduled()) + result_.taken;
  for (std::size_t p = 0; p < spec_.pools.size(); ++p) {
    result_.pools.push_back(fleet_.result(p, now_));
    result_.pools.back().decisions = std::move(control_[p].decisions);
  }
  result_.series = series_.finish(now_, sums(), fleet_.capacities());
  return std::move(result_);
}

// What units count themselves is up to the last thing that happened to each: at a boundary of the
// series it is late by less than a step.
void ClusterRun::pass_time(Tick now) {
  auto pass = [&](Tick until) {
    const auto passed = static_cast<double>(until - now_);
    sums_.unrouted_ticks += passed * static_cast<double>(unrouted_.size());
    sums_.unplaced_ticks += passed * static_cast<double>(unplaced_.size());
    now_ = until;
  };
  while (series_.next_boundary() < now) {
    pass(series_.next_boundary());
    series_.record(sums());
  }
  pass(now);
}

ClusterSums ClusterRun::sums() {
  ClusterSums sums = sums_;
  sums.arrivals = result_.taken;
  sums.served = result_.served;
  sums.refused = result_.rejected() + result_.lost;
  for (std::size_t p = 0; p < spec_.pools.size(); ++p) sums.pools.push_back(fleet_.sums(p, now_));
  return sums;
}

void ClusterRun::handle(const ClusterEvent& event) {
  using Kind = ClusterEvent::Kind;
  const std::size_t subject = event.subject;
  switch (event.kind) {
    case Kind::step_end:
      if (fleet_.unit(subject).epoch == event.epoch) end_step(subject);
      break;
    case Kind::transfer_end:
      if (passages_[subject].epoch == event.epoch) end_transfer(event.subject);
      break;
    case Kind::unit_up:
      if (fleet_.unit(subject).epoch == event.epoch) unit_up(subject);
      break;
    case Kind::chance_failure:
      if (fleet_.unit(subject).epoch == event.epoch) fail(subject);
      break;
    case Kind::stated_outage: fail(subject); break;
    case Kind::decision: decide(subject); break;
  }
}

void ClusterRun::touch(std::size_t unit) {
  if (fleet_.unit(unit).touched) return;
  fleet_.unit(unit).touched = true;
  touched_.push_back(static_cast<std::uint32_t>(unit));
}

void ClusterRun::begin_steps() {
  for (const std::uint32_t u : touched_) {
    FleetUnit& unit = fleet_.unit(u);
    unit.touched = false;
    if (unit.engine.stepping() ||
        (unit.state != UnitState::up && unit.state != UnitState::draining))
      continue;
    if (const std::optional<Tick> end = unit.engine.start_step(now_)) {
      ++stepping_;
      events_.at(*end, {ClusterEvent::Kind::step_end, u, unit.epoch});
    }
    fleet_.refresh(u);
  }
  touched_.clear();
}

void ClusterRun::arrive(const Request& request) {
  ++result_.taken;
  log_.arrived(request);
  LiveRequest live;
  live.record.request = request;
  std::optional<Outcome> refusal = find_refusals(request);
  if (!refusal && spec_.max_waiting > 0 &&
      fleet_.waiting() + std::ssize(unrouted_) >= spec_.max_waiting)
    refusal = Outcome::rejected_queue;
  if (refusal) {
    live.record.outcome = *refusal;
    live.record.finished = now_;
    complete(live.record);
    return;
  }
  enter(live);
}

std::optional<Outcome> ClusterRun::find_refusals(const Request& request) {
  std::optional<Outcome> why;
  bool entered = false, decoded = entry_role_ == PoolRole::colocated;
  for (std::size_t p = 0; p < spec_.pools.size(); ++p) {
    // All units of a pool are alike.
    const auto refusal = fleet_.unit(fleet_.first_unit(p)).engine.refusal(request);
    refused_by_[p] = refusal.has_value();
    if (refusal)
      why = *refusal;
    else
      (spec_.pools[p].role == PoolRole::decode ? decoded : entered) = true;
  }
  if (entered && decoded) return std::nullopt;
  return why;
}

void ClusterRun::enter(const LiveRequest& live) {
  const Request& request = live.record.request;
  Router& router = fleet_.entry();
  std::span<const std::int64_t> uncached;
  if (router.wants_prefixes() && !request.blocks.empty()) {
    for (std::size_t u = 0; u < fleet_.num_units(); ++u)
      if (router.unit(u).available)
        uncached_[u] = request.input_tokens - fleet_.unit(u).engine.cached_prefix_tokens(request);
    uncached = uncached_;
  }
  if (const auto unit = router.choose(refused_by_, uncached)) {
    enter_unit(*unit, live);
  } else if (fleet_.may_return(entry_role_, refused_by_)) {
    unrouted_.push_back(live);
  } else {
    lose(live);
  }
}

void ClusterRun::enter_unit(std::size_t number, const LiveRequest& live) {
  FleetUnit& unit = fleet_.unit(number);
  LiveRequest entering = live;
  entering.record.prefill_unit = static_cast<std::int16_t>(number);
  entering.record.decode_unit =
      entry_role_ == PoolRole::colocated ? entering.record.prefill_unit : std::int16_t{-1};
  ++unit.assigned;
  unit.engine.add(entering, now_);
  fleet_.refresh(number);
  touch(number);
}

void ClusterRun::end_step(std::size_t number) {
  FleetUnit& unit = fleet_.unit(number);
  --stepping_;
  const StepOutcome& outcome = unit.engine.finish_step(now_);
  unit.assigned -= std::ssize(outcome.finished);
  for (const LiveRequest& live : outcome.finished) complete(live.record);
  for (const LiveRequest& live : outcome.prefilled) start_passage(live);
  const bool made_room =
      !outcome.finished.empty() && fleet_.pool_of(number).role == PoolRole::decode;
  fleet_.refresh(number);
  if (made_room) fill(number);
  touch(number);
  stop_when_empty(number);
}

void ClusterRun::start_passage(const LiveRequest& live) {
  std::uint32_t number = 0;
  if (free_passages_.empty()) {
    number = static_cast<std::uint32_t>(passages_.size());
    passages_.emplace_back();
  } else {
    number = free_passages_.back();
    free_passages_.pop_back();
  }
  Passage& passage = passages_[number];
  passage.live = live;
  passage.since = now_;
  passage.order = passages_begun_++;
  passage.state = Passage::State::waiting;
  if (unplaced_.empty() && place(number)) return;
  unplaced_.push_back(number);
  if (some_are_gone_) lose_hopeless();
}

std::span<const std::uint8_t> ClusterRun::decode_refusals(const Passage& passage) {
  // Nobody would be here if the only pool refused it.
  if (num_decode_pools_ == 1) return {};
  find_refusals(passage.live.record.request);
  return refused_by_;
}

bool ClusterRun::place(std::uint32_t passage) {
  Router& router = fleet_.decode();
  const std::span<const std::uint8_t> refused_by = decode_refusals(passages_[passage]);
  const auto chosen = router.choose(refused_by);
  if (!chosen) return false;
  for (std::size_t i = 0; i < fleet_.num_units(); ++i) {
    const std::size_t u = (*chosen + i) % fleet_.num_units();
    if (router.takes(u, refused_by) && reserve(passage, u)) return true;
  }
  return false;
}

bool ClusterRun::reserve(std::uint32_t number, std::size_t to) {
  Passage& passage = passages_[number];
  LiveRequest& live = passage.live;
  FleetUnit& unit = fleet_.unit(to);
  if (!unit.engine.reserve(live, now_)) return false;
  ++unit.assigned;
  fleet_.refresh(to);
  live.record.decode_unit = static_cast<std::int16_t>(to);
  const FleetUnit& from = fleet_.unit(static_cast<std::size_t>(live.record.prefill_unit));
  // The last token's KV is the first thing that decoding computes.
  const Bytes size = static_cast<double>(live.record.request.input_tokens + live.generated - 1) *
                     models_[static_cast<std::size_t>(from.pool)].kv_per_token;
  const TransferPorts::Transfer transfer =
      ports_.send(from.first_port + static_cast<std::size_t>(live.prefill_rank),
                  unit.first_port + static_cast<std::size_t>(live.decode_rank),
                  size,
                  now_);
  const Tick arrival = transfer.end + transfer_latency_;
  events_.at(arrival, {ClusterEvent::Kind::transfer_end, number, passage.epoch});
  passage.state = Passage::State::moving;
  ++moving_;
  ++result_.transfers.count;
  result_.transfers.bytes += size;
  result_.transfers.place_ticks += static_cast<double>(now_ - passage.since);
  result_.transfers.port_ticks += static_cast<double>(transfer.start - now_);
  result_.transfers.wire_ticks += static_cast<double>(arrival - transfer.start);
  return true;
}

void ClusterRun::fill(std::size_t unit) {
  while (!unplaced_.empty()) {
    const std::uint32_t first = unplaced_.front();
    // In order: who waits behind one that does not fit here waits on.
    if (!fleet_.decode().takes(unit, decode_refusals(passages_[first])) || !reserve(first, unit))
      return;
    unplaced_.pop_front();
  }
}

void ClusterRun::end_transfer(std::uint32_t number) {
  Passage& passage = passages_[number];
  LiveRequest& live = passage.live;
  --moving_;
  const auto from = static_cast<std::size_t>(live.record.prefill_unit),
             to = static_cast<std::size_t>(live.record.decode_unit);
  fleet_.unit(from).engine.release(live, now_);
  --fleet_.unit(from).assigned;
  fleet_.refresh(from);
  touch(from);
  stop_when_empty(from);
  live.kv_arrived = true;
  fleet_.unit(to).engine.add(live, now_);
  fleet_.refresh(to);
  touch(to);
  free_passage(number);
}

void ClusterRun::free_passage(std::uint32_t number) {
  Passage& passage = passages_[number];
  ++passage.epoch;
  passage.state = Passage::State::unused;
  free_passages_.push_back(number);
}

void ClusterRun::complete(const RequestRecord& record) {
  switch (record.outcome) {
    case Outcome::served: ++result_.served; break;
    case Outcome::rejected_context: ++result_.rejected_context; break;
    case Outcome::rejected_memory: ++result_.rejected_memory; break;
    case Outcome::rejected_queue: ++result_.rejected_queue; break;
    case Outcome::lost: ++result_.lost; break;
  }
  log_.finished(record);
  source_.finished(record.request, record.finished);
}

void ClusterRun::lose(LiveRequest live) {
  live.record.outcome = Outcome::lost;
  live.record.finished = now_;
  complete(live.record);
}

// Nothing was made or lost on the way.
void ClusterRun::check_end() {
  std::int64_t assigned = 0, passing = 0;
  bool pages_are_free = true;
  for (std::size_t u = 0; u < fleet_.num_units(); ++u) {
    assigned += fleet_.unit(u).assigned;
    pages_are_free = pages_are_free && fleet_.unit(u).engine.pages_in_use() == 0;
  }
  for (const Passage& passage : passages_) passing += passage.state == Passage::State::moving;
  const std::int64_t left = result_.served + result_.rejected() + result_.lost;
  // Who is on the wire is assigned to both ends.
  ENSURE(result_.taken == left + assigned - passing + std::ssize(unrouted_));
  ENSURE(result_.taken > left || (pages_are_free && unplaced_.empty() && passing == 0));
}

ServingResult simulate_serving(const ServingSpec& spec,
                               RequestSource& source,
                               const std::vector<PoolModel>& models,
                               RequestLog& log,
                               const ServingOptions& options) {
  return ClusterRun(spec, source, models, log, options).run();
}

}  // namespace moesim
