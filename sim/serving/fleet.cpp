#include "sim/serving/fleet.hpp"

#include <algorithm>

namespace moesim {
namespace {

// Streams of random numbers, apart from each other for one seed.
constexpr std::uint64_t kEntryStream = 1, kDecodeStream = 2, kDraftStream = 3;

bool is_up(UnitState state) { return state == UnitState::up || state == UnitState::draining; }
bool is_provisioned(UnitState state) {
  return is_up(state) || state == UnitState::starting || state == UnitState::down;
}

std::size_t most_units(const PoolSpec& pool) {
  return static_cast<std::size_t>(std::max(pool.units, pool.scaler.max_units));
}
std::size_t most_units(const ServingSpec& spec) {
  std::size_t sum = 0;
  for (const PoolSpec& pool : spec.pools) sum += most_units(pool);
  return sum;
}

UnitSettings unit_settings(const PoolSpec& pool,
                           const PoolModel& model,
                           const ServingOptions& options,
                           std::int64_t block_tokens) {
  UnitSettings settings;
  settings.engine = pool.engine;
  settings.role = pool.role;
  settings.num_ranks = pool.plan.dp;
  settings.pages = model.pages;
  settings.page_tokens = pool.kv.page_tokens;
  settings.watermark = pool.kv.watermark;
  settings.prefix_cache = pool.kv.prefix_cache;
  settings.block_tokens = block_tokens;
  settings.tiers = pool.kv.tiers;
  settings.kv_per_token = model.kv_per_token;
  settings.first_token_deadline = options.first_token_deadline;
  return settings;
}

void add(UnitCounters& sum, const UnitCounters& c) {
  sum.steps += c.steps;
  sum.preemptions += c.preemptions;
  sum.swapped_pages += c.swapped_pages;
  sum.prompt_tokens += c.prompt_tokens;
  sum.recomputed_tokens += c.recomputed_tokens;
  sum.cached_tokens += c.cached_tokens;
  sum.output_tokens += c.output_tokens;
  sum.drafted_tokens += c.drafted_tokens;
  sum.accepted_tokens += c.accepted_tokens;
  sum.busy += c.busy;
  sum.kv_page_ticks += c.kv_page_ticks;
  sum.running_ticks += c.running_ticks;
  sum.waiting_ticks += c.waiting_ticks;
  sum.most_pages = std::max(sum.most_pages, c.most_pages);
}

}  // namespace

Fleet::Fleet(const ServingSpec& spec,
             const std::vector<PoolModel>& models,
             const ServingOptions& options,
             std::int64_t block_tokens,
             RequestLog& log)
    : spec_(spec),
      first_unit_{0},
      accounts_(spec.pools.size()),
      entry_(spec.router, Random(options.seed, kEntryStream).bits(), most_units(spec)),
      decode_(spec.router, Random(options.seed, kDecodeStream).bits(), most_units(spec)) {
  ENSURE(models.size() == spec.pools.size());
  units_.reserve(most_units(spec));
  for (std::size_t p = 0; p < spec.pools.size(); ++p) {
    const PoolSpec& pool = spec.pools[p];
    capacities_.push_back(capacity_of(pool, models[p]));
    UnitSettings settings = unit_settings(pool, models[p], options, block_tokens);
    for (std::size_t i = 0; i < most_units(pool); ++i) {
      settings.seed = Random(options.seed, kDraftStream, units_.size()).bits();
      const auto p32 = static_cast<std::int32_t>(p);
      const double rank_tokens_per_s = capacities_[p].prompt_tokens_per_tick * (1 * s).in(ps) /
                                       static_cast<double>(pool.plan.dp);
      entry_.unit(units_.size()).pool = decode_.unit(units_.size()).pool = p32;
      if (pool.role != PoolRole::decode)
        entry_.unit(units_.size()).token_time = 1 / rank_tokens_per_s;
      units_.push_back({ServingUnit(settings, models[p].clock, log), p32});
    }
    first_unit_.push_back(units_.size());
  }
  // Records of requests have 16 bits for a unit.
  ENSURE(units_.size() <= 32767);
}

void Fleet::PoolAccount::pass_time(Tick now) {
  const auto passed = static_cast<double>(now - since);
  up_ticks += passed * static_cast<double>(up);
  provisioned_ticks += passed * static_cast<double>(provisioned);
  since = now;
}

void Fleet::set_state(std::size_t number, UnitState state, Tick now) {
  FleetUnit& unit = units_[number];
  PoolAccount& account = accounts_[static_cast<std::size_t>(unit.pool)];
  account.pass_time(now);
  account.up += is_up(state) - is_up(unit.state);
  account.provisioned += is_provisioned(state) - is_provisioned(unit.state);
  account.peak = std::max(account.peak, account.provisioned);
  account.failures += (state == UnitState::down || state == UnitState::gone);
  unit.state = state;
  const bool decodes = pool_of(number).role == PoolRole::decode;
  (decodes ? decode_ : entry_).unit(number).available = state == UnitState::up;
}

void Fleet::refresh(std::size_t number) {
  FleetUnit& unit = units_[number];
  const PoolSpec& pool = pool_of(number);
  const UnitCapacity& capacity = capacities_[static_cast<std::size_t>(unit.pool)];
  const bool decodes = pool.role == PoolRole::decode;
  UnitView& view = (decodes ? decode_ : entry_).unit(number);
  const auto assigned = static_cast<double>(unit.assigned);
  const std::int64_t outstanding = unit.engine.outstanding_tokens();
  if (decodes) {
    view.work = assigned / capacity.places;
  } else {
    // Every request there has a token of its own to make, which tells units without prompts apart.
    view.work = (static_cast<double>(outstanding) + assigned) * view.token_time /
                static_cast<double>(pool.plan.dp);
    const std::int64_t waiting = unit.engine.num_waiting();
    waiting_ += waiting - unit.waiting;
    unit.waiting = waiting;
  }
  if (spec_.router == RouterKind::least_kv)
    view.kv_share = (static_cast<double>(unit.engine.pages_in_use()) +
                     static_cast<double>(outstanding) / static_cast<double>(pool.kv.page_tokens)) /
                    capacity.pages;
}

bool Fleet::may_return(PoolRole role, const std::vector<std::uint8_t>& refused_by) const {
  return std::any_of(units_.begin(), units_.end(), [&](const FleetUnit& unit) {
    const auto pool = static_cast<std::size_t>(unit.pool);
    return unit.state != UnitState::gone && spec_.pools[pool].role == role && refused_by[pool] == 0;
  });
}

PoolSums Fleet::sums(std::size_t pool, Tick now) {
  PoolAccount& account = accounts_[pool];
  account.pass_time(now);
  PoolSums sums;
  sums.up_ticks = account.up_ticks;
  sums.provisioned_ticks = account.provisioned_ticks;
  for (std::size_t u = first_unit(pool); u < last_unit(pool); ++u) {
    const UnitCounters& c = units_[u].engine.counters();
    sums.busy_ticks += static_cast<double>(c.busy);
    sums.running_ticks += c.running_ticks;
    sums.waiting_ticks += c.waiting_ticks;
    sums.page_ticks += c.kv_page_ticks;
    sums.prompt_tokens += c.prompt_tokens;
    sums.cached_tokens += c.cached_tokens;
    sums.output_tokens += c.output_tokens;
  }
  return sums;
}

PoolResult Fleet::result(std::size_t pool, Tick now) {
  PoolAccount& account = accounts_[pool];
  account.pass_time(now);
  PoolResult result;
  for (std::size_t u = first_unit(pool); u < last_unit(pool); ++u) {
    result.units.push_back(units_[u].engine.counters());
    add(result.total, result.units.back());
  }
  result.capacity = capacities_[pool];
  result.up_ticks = account.up_ticks;
  result.provisioned_ticks = account.provisioned_ticks;
  result.peak_units = account.peak;
  result.failures = account.failures;
  result.gpu_time =
      account.provisioned_ticks * static_cast<double>(spec_.pools[pool].plan.num_gpus()) * ps;
  return result;
}

}  // namespace moesim
