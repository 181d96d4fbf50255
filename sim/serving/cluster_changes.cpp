// Units fail, return, start and stop.
#include <algorithm>
#include <cmath>

#include "sim/serving/cluster_run.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kFailureStream = 4;

}  // namespace

void ClusterRun::plan_changes() {
  for (std::size_t u = 0; u < fleet_.num_units(); ++u)
    failures_.emplace_back(options_.seed, kFailureStream, u);
  for (std::size_t p = 0; p < spec_.pools.size(); ++p) {
    const PoolSpec& pool = spec_.pools[p];
    control_.push_back({Scaler(pool.scaler), pool.units, 0, 0, {}});
    for (std::size_t i = 0; i < static_cast<std::size_t>(pool.units); ++i)
      serve_with(fleet_.first_unit(p) + i);
    for (const UnitFailures::Outage& outage : pool.failures.stated)
      events_.at(to_tick(outage.at),
                 {ClusterEvent::Kind::stated_outage,
                  static_cast<std::uint32_t>(fleet_.first_unit(p)) +
                      static_cast<std::uint32_t>(outage.unit),
                  0});
    if (const auto first = control_[p].scaler.next_decision())
      events_.at(*first, {ClusterEvent::Kind::decision, static_cast<std::uint32_t>(p), 0});
  }
}

void ClusterRun::unit_up(std::size_t number) {
  --returning_;
  serve_with(number);
  adjust(static_cast<std::size_t>(fleet_.unit(number).pool));
}

void ClusterRun::serve_with(std::size_t number) {
  const FleetUnit& unit = fleet_.unit(number);
  const PoolSpec& pool = fleet_.pool_of(number);
  fleet_.set_state(number, UnitState::up, now_);
  fleet_.refresh(number);
  if (pool.failures.mean_between > Seconds()) {
    const Seconds life = -std::log(failures_[number].uniform()) * pool.failures.mean_between;
    events_.at(
        now_ + to_tick(life),
        {ClusterEvent::Kind::chance_failure, static_cast<std::uint32_t>(number), unit.epoch});
  }
  if (pool.role == PoolRole::decode) {
    fill(number);
  } else {
    // Each once: a pool that has come up may not be the one that can serve it.
    for (std::size_t left = unrouted_.size(); left > 0; --left) {
      const LiveRequest first = unrouted_.front();
      unrouted_.pop_front();
      find_refusals(first.record.request);
      enter(first);
    }
  }
}

void ClusterRun::fail(std::size_t number) {
  FleetUnit& unit = fleet_.unit(number);
  if (unit.state == UnitState::off || unit.state == UnitState::down ||
      unit.state == UnitState::gone)
    return;
  const PoolSpec& pool = fleet_.pool_of(number);
  if (unit.state == UnitState::starting) --returning_;
  if (unit.engine.stepping()) --stepping_;
  ++unit.epoch;
  fleet_.set_state(number, pool.failures.repair ? UnitState::down : UnitState::gone, now_);
  std::vector<LiveRequest> victims = unit.engine.fail(now_);
  unit.assigned = 0;
  fleet_.refresh(number);
  if (pool.failures.repair) {
    ++returning_;
    events_.at(now_ + to_tick(*pool.failures.repair),
               {ClusterEvent::Kind::unit_up, static_cast<std::uint32_t>(number), unit.epoch});
  } else {
    some_are_gone_ = true;
    adjust(static_cast<std::size_t>(unit.pool));
  }
  if (pool.role == PoolRole::prefill) lose_kv(number, victims);
  if (pool.role == PoolRole::decode) send_elsewhere(number);
  result_.requeued += std::ssize(victims);
  for (LiveRequest& live : victims) {
    live.kv_arrived = false;
    live.prefill_rank = live.prefill_slot = live.decode_rank = -1;
    find_refusals(live.record.request);
    enter(live);
  }
  if (some_are_gone_) lose_hopeless();
}

// Of a failed prefill unit: what it kept for decode units.
void ClusterRun::lose_kv(std::size_t number, std::vector<LiveRequest>& victims) {
  std::vector<std::uint32_t> hit;
  for (std::uint32_t i = 0; i < passages_.size(); ++i)
    if (passages_[i].state != Passage::State::unused &&
        static_cast<std::size_t>(passages_[i].live.record.prefill_unit) == number)
      hit.push_back(i);
  std::sort(hit.begin(), hit.end(), [&](std::uint32_t a, std::uint32_t b) {
    return passages_[a].order < passages_[b].order;
  });
  std::vector<std::size_t> with_room;
  for (const std::uint32_t i : hit) {
    LiveRequest& live = passages_[i].live;
    if (passages_[i].state == Passage::State::moving) {
      const auto to = static_cast<std::size_t>(live.record.decode_unit);
      fleet_.unit(to).engine.cancel(live, now_);
      --fleet_.unit(to).assigned;
      --moving_;
      with_room.push_back(to);
    } else {
      std::erase(unplaced_, i);
    }
    victims.push_back(live);
    free_passage(i);
  }
  for (const std::size_t to : with_room) {
    fleet_.refresh(to);
    fill(to);
    touch(to);
    stop_when_empty(to);
  }
}

// Of a failed decode unit: what was on its way there is still where it came from.
void ClusterRun::send_elsewhere(std::size_t number) {
  for (std::uint32_t i = 0; i < passages_.size(); ++i) {
    Passage& passage = passages_[i];
    if (passage.state != Passage::State::moving ||
        static_cast<std::size_t>(passage.live.record.decode_unit) != number)
      continue;
    ++passage.epoch;
    passage.state = Passage::State::waiting;
    passage.since = now_;
    passage.live.decode_rank = -1;
    passage.live.record.decode_unit = -1;
    --moving_;
    ++result_.requeued;
    unplaced_.push_back(i);
  }
  std::sort(unplaced_.begin(), unplaced_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return passages_[a].order < passages_[b].order;
  });
  while (!unplaced_.empty() && place(unplaced_.front())) unplaced_.pop_front();
}

void ClusterRun::lose_hopeless() {
  for (std::size_t left = unrouted_.size(); left > 0; --left) {
    const LiveRequest live = unrouted_.front();
    unrouted_.pop_front();
    find_refusals(live.record.request);
    enter(live);
  }
  for (std::size_t left = unplaced_.size(); left > 0; --left) {
    const std::uint32_t first = unplaced_.front();
    unplaced_.pop_front();
    const LiveRequest live = passages_[first].live;
    find_refusals(live.record.request);
    if (fleet_.may_return(PoolRole::decode, refused_by_)) {
      unplaced_.push_back(first);
      continue;
    }
    const auto from = static_cast<std::size_t>(live.record.prefill_unit);
    fleet_.unit(from).engine.release(live, now_);
    --fleet_.unit(from).assigned;
    fleet_.refresh(from);
    touch(from);
    stop_when_empty(from);
    free_passage(first);
    lose(live);
  }
}

PoolLoad ClusterRun::load_of(std::size_t p) {
  const PoolSpec& pool = spec_.pools[p];
  const UnitCapacity& capacity = fleet_.capacity(p);
  std::int64_t computed = 0, outstanding = 0, requests = 0, pages = 0;
  for (std::size_t u = fleet_.first_unit(p); u < fleet_.last_unit(p); ++u) {
    const FleetUnit& unit = fleet_.unit(u);
    computed += unit.engine.counters().prompt_tokens;
    outstanding += unit.engine.outstanding_tokens();
    requests += unit.assigned;
    pages += unit.engine.pages_in_use();
  }
  if (pool.role == PoolRole::decode) requests += std::ssize(unplaced_);
  PoolLoad load;
  if (pool.role != PoolRole::decode)
    load.prompt_units =
        static_cast<double>(computed - control_[p].prompt_tokens_seen + outstanding) /
        (capacity.prompt_tokens_per_tick * pool.scaler.interval.in(ps));
  // Prompts that wait in a prefill unit are counted as work already.
  if (pool.role != PoolRole::prefill) {
    load.request_units = static_cast<double>(requests) / capacity.places;
    load.page_units = static_cast<double>(pages) / capacity.pages;
  }
  control_[p].prompt_tokens_seen = computed;
  return load;
}

void ClusterRun::decide(std::size_t p) {
  PoolControl& control = control_[p];
  const bool measures = spec_.pools[p].scaler.kind != ScalerKind::scheduled;
  const PoolLoad load = measures ? load_of(p) : PoolLoad{};
  const std::int64_t before = control.wanted;
  control.wanted = control.scaler.decide(load, result_.taken - control.arrivals_seen);
  control.arrivals_seen = result_.taken;
  if (control.wanted != before)
    control.decisions.push_back({now_, before, control.wanted, load.units()});
  adjust(p);
  if (const auto next = control.scaler.next_decision())
    events_.at(*next, {ClusterEvent::Kind::decision, static_cast<std::uint32_t>(p), 0});
}

void ClusterRun::adjust(std::size_t p) {
  auto state = [&](std::size_t u) { return fleet_.unit(u).state; };
  const std::size_t first = fleet_.first_unit(p), last = fleet_.last_unit(p);
  std::int64_t present = 0;
  for (std::size_t u = first; u < last; ++u)
    present +=
        state(u) == UnitState::up || state(u) == UnitState::starting || state(u) == UnitState::down;
  std::int64_t missing = control_[p].wanted - present;
  for (std::size_t u = first; u < last && missing > 0; ++u) {
    if (state(u) != UnitState::draining) continue;
    fleet_.set_state(u, UnitState::up, now_);
    if (spec_.pools[p].role == PoolRole::decode) fill(u);
    --missing;
  }
  for (std::size_t u = first; u < last && missing > 0; ++u) {
    if (state(u) != UnitState::off) continue;
    start(u);
    --missing;
  }
  for (std::size_t u = last; u-- > first && missing < 0;) {
    if (state(u) != UnitState::starting) continue;
    --returning_;
    stop(u);
    ++missing;
  }
  Router& router = spec_.pools[p].role == PoolRole::decode ? fleet_.decode() : fleet_.entry();
  for (; missing < 0; ++missing) {
    // The least loaded is empty soonest.
    std::optional<std::size_t> least;
    for (std::size_t u = first; u < last; ++u)
      if (state(u) == UnitState::up && (!least || router.unit(u).work <= router.unit(*least).work))
        least = u;
    if (!least) return;  // all others are under repair
    fleet_.set_state(*least, UnitState::draining, now_);
    stop_when_empty(*least);
  }
}

void ClusterRun::start(std::size_t number) {
  FleetUnit& unit = fleet_.unit(number);
  fleet_.set_state(number, UnitState::starting, now_);
  ++returning_;
  events_.at(now_ + to_tick(fleet_.pool_of(number).scaler.start_up),
             {ClusterEvent::Kind::unit_up, static_cast<std::uint32_t>(number), unit.epoch});
}

void ClusterRun::stop_when_empty(std::size_t number) {
  const FleetUnit& unit = fleet_.unit(number);
  if (unit.state == UnitState::draining && unit.assigned == 0 && !unit.engine.stepping())
    stop(number);
}

void ClusterRun::stop(std::size_t number) {
  FleetUnit& unit = fleet_.unit(number);
  ++unit.epoch;
  fleet_.set_state(number, UnitState::off, now_);
  // Its memory is gone, cached prefixes included; it holds no request.
  ENSURE(unit.engine.fail(now_).empty());
}

}  // namespace moesim
