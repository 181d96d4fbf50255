#include "sim/serving/capacity_search.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"

namespace moesim {
namespace {

using Units = std::vector<std::int64_t>;

struct BudgetSpent {};

class Search {
 public:
  explicit Search(const CapacityRequest& request) : request_(request) {}

  CapacityResult run() {
    try {
      if (const auto plenty = grow()) {
        descend(*plenty);
        verify();
        sweep();
      }
    } catch (const BudgetSpent&) {
      result_.complete = false;
    }
    result_.best = best_;
    for (const CapacityPoint& p : result_.evaluated)
      if (result_.closest.units.empty() || p.found.margin > result_.closest.found.margin)
        result_.closest = p;
    if (best_) result_.closest = *best_;
    find_surprises();
    return std::move(result_);
  }

 private:
  std::int64_t gpus(const Units& units) const {
    std::int64_t sum = 0;
    for (std::size_t p = 0; p < units.size(); ++p)
      sum += units[p] * request_.pools[p].gpus_per_unit;
    return sum;
  }

  // Those not known yet, side by side.
  void look_at(std::vector<Units> wanted) {
    std::set<Units> once;
    std::erase_if(wanted, [&](const Units& units) {
      return known_.count(units) != 0 || !once.insert(units).second;
    });
    const auto left = request_.budget - std::ssize(result_.evaluated);
    const bool cut = std::ssize(wanted) > left;
    if (cut) wanted.resize(static_cast<std::size_t>(left));
    std::vector<CapacityEvaluation> found(wanted.size());
    parallel_for(wanted.size(), request_.num_threads, [&](std::size_t i) {
      found[i] = request_.evaluate(wanted[i]);
    });
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CapacityPoint point{wanted[i], gpus(wanted[i]), found[i]};
      known_[wanted[i]] = result_.evaluated.size();
      const bool is_better =
          point.found.holds &&
          (!best_ || point.gpus < best_->gpus ||
           (point.gpus == best_->gpus && point.found.margin > best_->found.margin));
      if (is_better) best_ = point;
      result_.evaluated.push_back(std::move(point));
    }
    if (cut) throw BudgetSpent{};
  }
  const CapacityPoint& at(const Units& units) {
    look_at({units});
    return result_.evaluated[known_.at(units)];
  }
  bool holds(const Units& units) { return at(units).found.holds; }

  std::optional<Units> grow() {
    Units units, most;
    for (const CapacityPool& pool : request_.pools) {
      units.push_back(pool.least);
      most.push_back(pool.most);
    }
    while (!holds(units)) {
      if (units == most) return std::nullopt;
      for (std::size_t p = 0; p < units.size(); ++p) units[p] = std::min(2 * units[p], most[p]);
    }
    return units;
  }

  // Fewest units of one pool, from `least` on, when `units` hold; the others' as in `units`. Two
  // points a time, at the thirds.
  std::int64_t fewest(Units units, std::size_t pool, std::int64_t least) {
    std::int64_t fails = least - 1, holding = units[pool];
    auto with = [&](std::int64_t n) {
      units[pool] = n;
      return units;
    };
    while (holding - fails > 1) {
      const std::int64_t third = (holding - fails) / 3;
      const std::int64_t low = fails + std::max<std::int64_t>(1, third),
                         high = std::min(holding - 1, low + std::max<std::int64_t>(1, third));
      look_at({with(low), with(high)});
      if (holds(with(low)))
        holding = low;
      else if (holds(with(high)))
        fails = low, holding = high;
      else
        fails = high;
    }
    return holding;
  }

  // Most units of a pool in an answer that is no dearer than the best, when the others have their
  // least.
  std::int64_t affordable(std::size_t pool,
                          std::int64_t gpus_of_others,
                          std::int64_t budget) const {
    const CapacityPool& of = request_.pools[pool];
    return std::min((budget - gpus_of_others) / of.gpus_per_unit, of.most);
  }

  void descend(const Units& plenty) {
    if (plenty.size() == 1) {
      fewest(plenty, 0, request_.pools[0].least);
      return;
    }
    const CapacityPool &first = request_.pools[0], &second = request_.pools[1];
    plenty_ = {affordable(0, second.least * second.gpus_per_unit, best_->gpus),
               affordable(1, first.least * first.gpus_per_unit, best_->gpus)};
    Units least = {first.least, second.least};
    // Where more of one does not hold (a surprise), the bound stays that from throughput.
    if (holds({plenty[0], plenty_[1]})) least[0] = fewest({plenty[0], plenty_[1]}, 0, least[0]);
    if (holds({plenty_[0], plenty[1]})) least[1] = fewest({plenty_[0], plenty[1]}, 1, least[1]);
    if (holds(least)) return;
    for (std::int64_t n = least[0];
         n * first.gpus_per_unit + least[1] * second.gpus_per_unit < best_->gpus;
         ++n) {
      const Units row = {n, affordable(1, n * first.gpus_per_unit, best_->gpus - 1)};
      if (holds(row)) fewest(row, 1, least[1]);
    }
  }

  void verify() {
    for (;;) {
      const Units centre = best_->units;
      std::vector<Units> around;
      for (std::size_t p = 0; p < centre.size(); ++p)
        for (const std::int64_t step : {-1, 1}) {
          Units units = centre;
          units[p] += step;
          if (units[p] >= request_.pools[p].least && units[p] <= request_.pools[p].most)
            around.push_back(units);
        }
      look_at(around);
      if (best_->units == centre) return;
    }
  }

  void sweep() {
    if (request_.pools.size() != 2 || request_.sweep == 0) return;
    const Units centre = best_->units;
    for (std::int64_t n = centre[0] - request_.sweep; n <= centre[0] + request_.sweep; ++n) {
      if (n < request_.pools[0].least || n > request_.pools[0].most) continue;
      Units units = {n, plenty_[1]};
      if (holds(units)) units[1] = fewest(units, 1, request_.pools[1].least);
      result_.sweep.push_back(at(units));
    }
  }

  // For each point that fails the largest one that has no more of anything and holds.
  void find_surprises() {
    for (const CapacityPoint& fails : result_.evaluated) {
      if (fails.found.holds) continue;
      const CapacityPoint* nearest = nullptr;
      for (const CapacityPoint& holding : result_.evaluated) {
        if (!holding.found.holds || (nearest != nullptr && holding.gpus <= nearest->gpus)) continue;
        bool is_below = true;
        for (std::size_t p = 0; p < fails.units.size(); ++p)
          is_below = is_below && holding.units[p] <= fails.units[p];
        if (is_below) nearest = &holding;
      }
      if (nearest != nullptr) result_.surprises.push_back({*nearest, fails});
    }
  }

  const CapacityRequest& request_;
  CapacityResult result_;
  std::map<Units, std::size_t> known_;  // to its place in `evaluated`
  std::optional<CapacityPoint> best_;
  Units plenty_;  // most units of each pool that an answer can have
};

}  // namespace

CapacityResult search_capacity(const CapacityRequest& request) {
  ENSURE(request.pools.size() == 1 || request.pools.size() == 2);
  ENSURE(request.budget >= 1);
  for (const CapacityPool& pool : request.pools)
    ENSURE(pool.gpus_per_unit >= 1 && pool.least >= 1 && pool.least <= pool.most);
  return Search(request).run();
}

std::int64_t fewest_spares(std::int64_t needed, double availability, double wanted) {
  ENSURE(needed >= 1 && availability > 0 && availability <= 1 && wanted >= 0 && wanted < 1);
  if (availability == 1) return 0;
  // The `needed`-th unit that is up is the (needed + s)-th one looked at: negative binomial terms,
  // each from the one before.
  double term = std::pow(availability, static_cast<double>(needed)), sum = term;
  std::int64_t spares = 0;
  while (sum < wanted) {
    ++spares;
    const auto n = static_cast<double>(needed), k = static_cast<double>(spares);
    const double next = term * (1 - availability) * (n + k - 1) / k;
    // Rounding may keep the sum just below a chance next to 1.
    if (next <= 0 || (sum + next == sum && next < term)) break;
    sum += term = next;
  }
  return spares;
}

}  // namespace moesim
