#include "sim/plan_search.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"
#include "sim/exposed_time.hpp"
#include "sim/step_bound.hpp"

namespace moesim {
namespace {

// Simulated before the best are looked at again. Not the number of threads, on which nothing may
// depend.
constexpr std::size_t kBatch = 8;

// Laws of routing, of which there are as many as expert-parallel groups are laid out differently.
class DrawnLaws {
 public:
  KnownTraffic known(const Scenario& scenario, const TrainingPhase& phase) {
    if (!scenario.model.moe) return {};
    const RoutingProblem problem = routing_problem(scenario, phase);
    const std::lock_guard lock(mutex_);
    for (const auto& sampler : samplers_)
      if (sampler->has_laws_of(problem)) return {{}, sampler.get()};
    samplers_.push_back(std::make_unique<RoutingSampler>(problem, 1));
    return {{}, samplers_.back().get()};
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<RoutingSampler>> samplers_;
};

// Plans with equal keys have equal costs_for_bound: all axes but the schedule's fields.
std::string cost_key(const PlanReader::Plan& plan,
                     const SearchPoint& point,
                     const PlanSearch& search) {
  std::string key = std::to_string(point.world);
  for (std::size_t a = 0; a < point.choice.size(); ++a)
    for (const auto& [pointer, value] : search.axes[a].alternatives[point.choice[a]].set)
      if (pointer != "/plan/schedule" && pointer != "/plan/virtual_stages" &&
          pointer != "/plan/overlap_expert_comm")
        key += " " + pointer + "=" + canonical_text(value);
  return key + (weights_follow(plan.phase->plan.schedule) ? " follow" : "");
}

struct Candidate {
  std::size_t point = 0;
  double value = 0;  // of the goal, of the bound
};

class BestFirst {
 public:
  explicit BestFirst(const SearchRequest& request)
      : request_(request), reader_(request.scenario, request.settings, request.axes) {
    search_.axes = request.axes;
    search_.goal = request.goal;
    search_.worlds = reader_.worlds();
    search_.points.resize(1 + reader_.num_combinations());
    for (std::size_t i = 0; i < search_.points.size(); ++i) {
      if (i > 0) search_.points[i].choice = reader_.choice(i - 1);
      search_.points[i].world = reader_.world_of(search_.points[i].choice);
    }
  }

  PlanSearch run() {
    tell("bounding " + std::to_string(search_.points.size() - 1) + " plans");
    bound_all();
    simulate_best_first();
    simulate_as_asked();
    rank();
    find_front();
    return std::move(search_);
  }

 private:
  void tell(const std::string& what) const {
    if (request_.progress) request_.progress(what);
  }
  double goal_value(const SearchPoint& point, Seconds step) const {
    const PhaseBill bill = bill_of(search_.worlds[point.world], step);
    return request_.goal == PlanGoal::fastest ? bill.days : bill.usd;
  }

  // --- without simulating ---

  // Plans of equal costs side by side, so that each group's are made once.
  void bound_all() {
    std::vector<PlanReader::Plan> plans(search_.points.size());
    parallel_for(search_.points.size(), request_.num_threads, [&](std::size_t i) {
      SearchPoint& point = search_.points[i];
      plans[i] = reader_.read(point.choice);
      point.refusal = plans[i].refusal;
      if (point.refusal.empty()) point.refusal = schedule_refusal(*plans[i].phase);
      if (point.refusal.empty()) {
        check_memory(plans[i], point);
        check_world(point);
      }
      if (!point.refusal.empty()) plans[i].phase.reset();
    });
    std::map<std::string, std::vector<std::size_t>> by_key;
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (plans[i].phase) by_key[cost_key(plans[i], search_.points[i], search_)].push_back(i);
    std::vector<std::vector<std::size_t>> groups;
    for (auto& [key, members] : by_key) groups.push_back(std::move(members));
    parallel_for(groups.size(), request_.num_threads, [&](std::size_t g) {
      const PlanReader::Plan& first = plans[groups[g].front()];
      const StageCosts costs = costs_for_bound(*first.scenario,
                                               *first.phase,
                                               *first.model,
                                               laws_.known(*first.scenario, *first.phase).sampler);
      for (const std::size_t i : groups[g]) {
        SearchPoint& point = search_.points[i];
        const PlanReader::Plan& plan = plans[i];
        point.bound = to_seconds(step_bound(*plan.scenario, *plan.phase, *plan.model, costs));
        if (point.outcome != PlanOutcome::too_large) check_bill(point, point.bound);
      }
    });
  }

  void check_memory(const PlanReader::Plan& plan, SearchPoint& point) {
    const RoutingSampler* sampler = laws_.known(*plan.scenario, *plan.phase).sampler;
    RankLoad load;
    if (sampler != nullptr) {
      const ChunkShape shape =
          chunk_shape(plan.scenario->model, plan.phase->plan, plan.phase->seq_len);
      load = sampler->balanced(shape.own_tokens() * shape.expert_tp).load;
    }
    for (const RankMemory& rank : memory_of(*plan.scenario, *plan.phase, load))
      point.memory = std::max(point.memory, rank.total());
    point.fits = point.memory <= plan.scenario->cluster.gpu.hbm;
    for (const SearchLimit& limit : request_.limits)
      if (limit.quantity == LimitedQuantity::memory)
        point.fits = point.fits && limit.is_kept_by(point.memory.in(B));
    point.outcome = point.fits ? PlanOutcome::bounded_away : PlanOutcome::too_large;
  }

  // Limits that the cluster decides.
  void check_world(SearchPoint& point) {
    const SearchWorld& world = search_.worlds[point.world];
    const auto gpus = static_cast<double>(world.gpus);
    check_limit(point, LimitedQuantity::gpus, gpus);
    check_limit(point, LimitedQuantity::usd_per_hour, gpus * world.price.in(USD_per_hour));
  }

  // Limits that a step time decides. False when one is not kept.
  bool check_bill(SearchPoint& point, Seconds step) {
    const PhaseBill bill = bill_of(search_.worlds[point.world], step);
    check_limit(point, LimitedQuantity::step, step.in(s));
    check_limit(point, LimitedQuantity::days, bill.days);
    check_limit(point, LimitedQuantity::gpu_hours, bill.gpu_hours);
    check_limit(point, LimitedQuantity::usd, bill.usd);
    return point.outcome != PlanOutcome::over_limit;
  }

  void check_limit(SearchPoint& point, LimitedQuantity quantity, double value) {
    for (const SearchLimit& limit : request_.limits)
      if (limit.quantity == quantity && !limit.is_kept_by(value) && point.refusal.empty()) {
        point.outcome = PlanOutcome::over_limit;
        point.refusal = limit.text;
      }
  }

  // --- simulated ---

  // The worst that is kept so far; nothing: there is room.
  std::optional<double> worst_kept() const {
    return kept_.size() < request_.num_best ? std::nullopt : std::optional(kept_.back().value);
  }
  bool may_matter(const Candidate& candidate) const {
    if (request_.exhaustive) return true;
    const auto worst = worst_kept();
    if (!worst || candidate.value <= *worst) return true;
    const SearchPoint& point = search_.points[candidate.point];
    const auto best = best_of_world_.find(point.world);
    return best == best_of_world_.end() ||
           point.bound <= *search_.points[best->second].balanced_step;
  }

  void simulate_best_first() {
    std::vector<Candidate> order;
    for (std::size_t i = 1; i < search_.points.size(); ++i)
      if (search_.points[i].outcome == PlanOutcome::bounded_away)
        order.push_back({i, goal_value(search_.points[i], search_.points[i].bound)});
    std::stable_sort(order.begin(), order.end(), [](const Candidate& a, const Candidate& b) {
      return a.value < b.value;
    });
    SearchPoint& own = search_.points.front();
    if (own.outcome == PlanOutcome::bounded_away) own.outcome = PlanOutcome::simulated;
    std::vector<std::size_t> batch = {0};  // the own plan, whatever it is
    for (auto next = order.begin(); next != order.end() || !batch.empty();) {
      for (; next != order.end() && batch.size() < kBatch; ++next)
        if (may_matter(*next)) batch.push_back(next->point);
      simulate(batch);
      batch.clear();
    }
  }

  void simulate(const std::vector<std::size_t>& batch) {
    tell("simulating, " + std::to_string(num_simulated_ += batch.size()) + " so far");
    parallel_for(batch.size(), request_.num_threads, [&](std::size_t k) {
      SearchPoint& point = search_.points[batch[k]];
      const PlanReader::Plan plan = reader_.read(point.choice);
      if (!plan.phase || !schedule_refusal(*plan.phase).empty()) return;  // the own plan
      const StageCosts costs(*plan.scenario,
                             *plan.phase,
                             *plan.model,
                             /*folded=*/true,
                             /*num_threads=*/1,
                             laws_.known(*plan.scenario, *plan.phase));
      const StepResult result = simulate_step(*plan.scenario, *plan.phase, *plan.model, costs, {});
      point.balanced_step = to_seconds(result.timeline.step);
      ENSURE(point.bound <= *point.balanced_step);
    });
    for (const std::size_t i : batch) {
      SearchPoint& point = search_.points[i];
      if (i == 0 || !point.balanced_step) continue;
      point.outcome = PlanOutcome::simulated;
      if (!check_bill(point, *point.balanced_step)) continue;
      const Candidate found{i, goal_value(point, *point.balanced_step)};
      const auto better = [](const Candidate& a, const Candidate& b) {
        return std::pair(a.value, a.point) < std::pair(b.value, b.point);
      };
      kept_.insert(std::upper_bound(kept_.begin(), kept_.end(), found, better), found);
      if (kept_.size() > request_.num_best) kept_.pop_back();
      const auto [best, added] = best_of_world_.try_emplace(point.world, i);
      if (!added && std::pair(*point.balanced_step, i) <
                        std::pair(*search_.points[best->second].balanced_step, best->second))
        best->second = i;
    }
  }

  void simulate_as_asked() {
    std::vector<std::size_t> asked;
    for (const Candidate& candidate : kept_) asked.push_back(candidate.point);
    if (search_.points.front().balanced_step) asked.push_back(0);
    tell("simulating the best " + std::to_string(kept_.size()) + " as asked");
    parallel_for(asked.size(), request_.num_threads, [&](std::size_t k) {
      SearchPoint& point = search_.points[asked[k]];
      RunOptions options;
      options.main_phase_only = true;
      RunResult run = run_scenario(reader_.read_as_asked(point.choice), options);
      point.as_asked = std::move(run.phases.front());
      // A few bytes a step of each pipeline rank, which no report of a search shows.
      point.as_asked->memory_over_time.clear();
      point.as_asked->step.step_times.clear();
    });
  }

  // --- what was found ---

  void rank() {
    for (std::size_t i = 0; i < search_.points.size(); ++i) {
      SearchPoint& point = search_.points[i];
      if (!point.as_asked || !point.fits || !point.refusal.empty()) continue;
      if (!check_bill(point, point.as_asked->step_time)) continue;
      search_.ranking.push_back(i);
    }
    const auto value = [&](std::size_t i) {
      return goal_value(search_.points[i], search_.points[i].as_asked->step_time);
    };
    std::stable_sort(search_.ranking.begin(), search_.ranking.end(), [&](auto a, auto b) {
      return value(a) < value(b);
    });
    // Of equal ones the scenario's own last, as it always was.
    const auto own = std::find(search_.ranking.begin(), search_.ranking.end(), std::size_t{0});
    if (own == search_.ranking.end()) return;
    const auto after = std::find_if(
        own, search_.ranking.end(), [&](std::size_t i) { return value(i) > value(0); });
    std::rotate(own, own + 1, after);
  }

  void find_front() {
    if (search_.worlds.size() <= 2) return;  // one, and the scenario's own
    for (const auto& [world, point] : best_of_world_) search_.best_of_worlds.push_back(point);
    const auto bill = [&](std::size_t i) {
      return bill_of(search_.worlds[search_.points[i].world], *search_.points[i].balanced_step);
    };
    std::vector<std::size_t> by_days = search_.best_of_worlds;
    std::stable_sort(by_days.begin(), by_days.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(bill(a).days, bill(a).usd) < std::pair(bill(b).days, bill(b).usd);
    });
    for (const std::size_t i : by_days)
      if (search_.front.empty() || bill(i).usd < bill(search_.front.back()).usd)
        search_.front.push_back(i);
  }

  const SearchRequest& request_;
  PlanReader reader_;
  DrawnLaws laws_;
  PlanSearch search_;
  std::vector<Candidate> kept_;                       // best first
  std::map<std::size_t, std::size_t> best_of_world_;  // point
  std::size_t num_simulated_ = 0;
};

}  // namespace

PhaseBill bill_of(const SearchWorld& world, Seconds step) {
  PhaseBill bill;
  if (world.step_tokens <= 0) return bill;
  const Seconds whole = world.tokens / world.step_tokens * step;
  bill.days = whole.in(day);
  bill.gpu_hours = static_cast<double>(world.gpus) * whole.in(hour);
  bill.usd = static_cast<double>(world.gpus) * (world.price * whole).in(USD);
  return bill;
}

const std::vector<LimitedQuantity>& plan_limits() {
  static const std::vector<LimitedQuantity> known = {LimitedQuantity::gpus,
                                                     LimitedQuantity::usd_per_hour,
                                                     LimitedQuantity::memory,
                                                     LimitedQuantity::step,
                                                     LimitedQuantity::days,
                                                     LimitedQuantity::gpu_hours,
                                                     LimitedQuantity::usd};
  return known;
}

PlanSearch search_plans(const SearchRequest& request) { return BestFirst(request).run(); }

}  // namespace moesim
