#include "sim/serving/deployment_search.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <tuple>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"
#include "sim/serving/deployment_axes.hpp"
#include "sim/serving/deployment_bound.hpp"
#include "sim/serving/pool_setups.hpp"

namespace moesim {
namespace {

// Looked at before the best are asked again. Not the number of threads, on which nothing may
// depend.
constexpr std::size_t kBatch = 8;

using Units = std::vector<std::int64_t>;

// The file in front of a message says nothing here.
std::string without_file(const std::string& message) {
  // Pools of a layout are read as if they were a file of this name.
  const std::string pools = "/serving/pools";
  if (message.rfind(pools + ": /", 0) == 0) return pools + message.substr(pools.size() + 2);
  const std::size_t at = message.find(": /");
  return at == std::string::npos ? message : message.substr(at + 2);
}

// A deployment on its way through its numbers of units.
struct Walk {
  std::optional<ServingScenario> scenario;
  std::vector<std::string> keys, keys_without_overlap;  // [pool]
  std::vector<PoolSetup> setups;                        // [pool]; empty: bounds are not known yet
  std::vector<Units> units;                             // cheapest first
  std::size_t next = 0;
  bool has_bounds = false;
  std::string requests;  // what they are, and which of them are measured
};

class Search {
 public:
  explicit Search(const DeploymentRequest& request) : request_(request) {
    search_.axes = request.axes;
    std::size_t combinations = 1;
    for (const FieldAxis& axis : request.axes) combinations *= axis.alternatives.size();
    search_.points.resize(1 + combinations);
    walks_.resize(search_.points.size());
    for (std::size_t i = 0; i < combinations; ++i) {
      std::size_t rest = i;
      for (const FieldAxis& axis : request.axes) {
        search_.points[i + 1].choice.push_back(rest % axis.alternatives.size());
        rest /= axis.alternatives.size();
      }
    }
  }

  DeploymentSearch run() {
    tell("reading " + std::to_string(search_.points.size() - 1) + " deployments");
    document_ = compose_document(request_.scenario, request_.settings);
    const JsonNode* serving = document_.find("serving");
    search_.assumes_transfer_latency =
        serving != nullptr && serving->find("transfer_latency") == nullptr;
    parallel_for(search_.points.size(), request_.num_threads, [&](std::size_t i) { read(i); });
    simulate_own();
    look_best_first();
    conclude();
    return std::move(search_);
  }

 private:
  void tell(const std::string& what) const {
    if (request_.progress) request_.progress(what);
  }

  // --- before simulating ---

  void read(std::size_t index) {
    DeploymentPoint& point = search_.points[index];
    Walk& walk = walks_[index];
    Settings chosen;
    for (std::size_t a = 0; a < point.choice.size(); ++a)
      for (const auto& change : request_.axes[a].alternatives[point.choice[a]].set)
        chosen.push_back(change);
    const Settings written = with_pools_written_out(chosen, document_);
    Settings settings = request_.settings;
    settings.insert(settings.end(), written.begin(), written.end());
    try {
      walk.scenario = read_serving_scenario(request_.scenario, settings);
      find_keys(written, walk);
    } catch (const UnknownKey&) {
      throw;  // a misspelt choice is no deployment
    } catch (const InputError& error) {
      if (point.choice.empty()) throw;
      point.refusal = without_file(error.what());
      return;
    }
    check_kind(point, *walk.scenario);
    if (!point.refusal.empty()) return;
    for (const PoolSpec& pool : walk.scenario->serving.pools) {
      point.pools.push_back({pool.name, pool.plan.num_gpus(), 1, pool.cluster.price});
      const ServingMemory memory = serving_memory(walk.scenario->model, pool);
      if (memory.fits || !point.refusal.empty()) continue;
      point.outcome = DeploymentOutcome::too_large;
      point.refusal = "a GPU of " + pool.name + " has no room for weights, a step and its KV pages";
    }
    if (!point.refusal.empty()) return;
    if (point.choice.empty()) {  // as it is, for comparison
      walk.units.emplace_back();
      for (const PoolSpec& pool : walk.scenario->serving.pools)
        walk.units.back().push_back(pool.units);
    } else {
      list_units(point, walk);
    }
  }

  static void check_kind(DeploymentPoint& point, const ServingScenario& scenario) {
    const auto& pools = scenario.serving.pools;
    if (pools.size() == 1 || (pools.size() == 2 && scenario.serving.has_prefill_pools())) return;
    point.refusal = "/serving/pools: " + std::to_string(pools.size()) +
                    " pools; expected one, or one of prefill and one of decode";
  }

  // What each pool, and what the requests depend on, of the choices alone: all else is the same.
  void find_keys(const Settings& written, Walk& walk) {
    const std::string below = "/serving";
    JsonNode serving = *document_.find("serving");
    std::string shared;
    for (const auto& [pointer, node] : written) {
      if (pointer.rfind(below + "/", 0) == 0)
        set_at(serving, pointer.substr(below.size()), node, pointer, /*may_add=*/true);
      else
        shared += pointer + "=" + canonical_text(node) + " ";
    }
    walk.requests = shared;
    for (const PoolSpec& pool : walk.scenario->serving.pools)
      walk.requests += std::to_string(pool.engine.max_context_tokens) + " ";
    for (JsonNode pool : serving.find("pools")->items) {
      std::erase_if(pool.members, [](const auto& member) {
        return member.first == "units" || member.first == "name";
      });
      walk.keys.push_back(shared + canonical_text(pool));
      const std::string overlap = "/unit/two_batch_overlap";
      set_at(pool, overlap, parse_json("false", overlap), overlap, /*may_add=*/true);
      walk.keys_without_overlap.push_back(shared + canonical_text(pool));
    }
  }

  // Numbers of units that limits and cluster allow, from the least on.
  void list_units(DeploymentPoint& point, Walk& walk) {
    walk.units.clear();
    walk.next = 0;
    Units units;
    for (const DeploymentPool& pool : point.pools) units.push_back(pool.least);
    std::string why = limit_refusal(point, *walk.scenario, units);
    // Before its bounds are known the first number is enough.
    if (why.empty() && !walk.has_bounds)
      walk.units.push_back(units);
    else if (why.empty())
      add_units(point, *walk.scenario, units, 0, walk.units);
    std::stable_sort(walk.units.begin(), walk.units.end(), [&](const Units& a, const Units& b) {
      return cost_of(point, a) < cost_of(point, b);
    });
    point.least_usd_per_hour = cost_of(point, units);
    if (!walk.units.empty()) return;
    point.outcome = DeploymentOutcome::over_limit;
    point.refusal = "needs at least " + std::to_string(gpus_of(point, units)) + " GPUs: " + why;
  }

  void add_units(const DeploymentPoint& point,
                 const ServingScenario& scenario,
                 Units units,
                 std::size_t pool,
                 std::vector<Units>& all) const {
    for (units[pool] = point.pools[pool].least;; ++units[pool]) {
      if (!limit_refusal(point, scenario, units).empty()) return;
      if (all.size() == kMostNumbers)
        throw InputError("--limit",
                         "more than " + std::to_string(kMostNumbers) +
                             " numbers of units of one deployment; expected fewer GPUs, such as "
                             "gpus<=512");
      if (pool + 1 < units.size())
        add_units(point, scenario, units, pool + 1, all);
      else
        all.push_back(units);
    }
  }

  // More units of a pool, and so of a later one too, are refused for the same.
  std::string limit_refusal(const DeploymentPoint& point,
                            const ServingScenario& scenario,
                            const Units& units) const {
    std::map<std::string, std::int64_t> gpus;  // of each cluster
    for (std::size_t p = 0; p < units.size(); ++p) {
      const ClusterSpec& cluster = scenario.serving.pools[p].cluster;
      if ((gpus[cluster.name] += units[p] * point.pools[p].gpus_per_unit) > cluster.num_gpus())
        return "the cluster has " + std::to_string(cluster.num_gpus());
    }
    for (const SearchLimit& limit : request_.limits) {
      const double value = limit.quantity == LimitedQuantity::gpus
                               ? static_cast<double>(gpus_of(point, units))
                               : cost_of(point, units);
      if (!limit.is_kept_by(value)) return limit.text;
    }
    return "";
  }

  static std::int64_t gpus_of(const DeploymentPoint& point, const Units& units) {
    std::int64_t gpus = 0;
    for (std::size_t p = 0; p < units.size(); ++p) gpus += units[p] * point.pools[p].gpus_per_unit;
    return gpus;
  }
  static double cost_of(const DeploymentPoint& point, const Units& units) {
    double usd = 0;
    for (std::size_t p = 0; p < units.size(); ++p)
      usd += static_cast<double>(units[p] * point.pools[p].gpus_per_unit) *
             point.pools[p].price.in(USD_per_hour);
    return usd;
  }

  // What it costs at least, if it can hold at all.
  double next_cost(std::size_t index) const {
    return cost_of(search_.points[index], walks_[index].units[walks_[index].next]);
  }

  void set_up(std::size_t index) {
    Walk& walk = walks_[index];
    for (std::size_t p = 0; p < walk.keys.size(); ++p)
      walk.setups.push_back(setups_.of(*walk.scenario, p, walk.keys[p]));
  }

  const ServingNeeds& needs_for(const ServingScenario& scenario, const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto [known, added] = needs_.try_emplace(key);
    if (added) known->second = needs_of(scenario, request_.bounds);
    return known->second;
  }

  void find_bounds(std::size_t index) {
    DeploymentPoint& point = search_.points[index];
    Walk& walk = walks_[index];
    set_up(index);
    walk.has_bounds = true;
    const auto& pools = walk.scenario->serving.pools;
    if (request_.exhaustive) {
      list_units(point, walk);
      return;
    }
    const ServingNeeds& needs = needs_for(*walk.scenario, walk.requests);
    ServingScenario whole = *walk.scenario;
    for (PoolSpec& pool : whole.serving.pools) pool.plan.two_batch_overlap = false;
    for (std::size_t p = 0; p < pools.size(); ++p) {
      const bool overlaps = pools[p].plan.two_batch_overlap;
      const PoolClocks clocks{
          walk.setups[p].model,
          overlaps ? setups_.of(whole, p, walk.keys_without_overlap[p]).model.clock.get()
                   : nullptr};
      point.refusal = impossibility(pools[p], clocks, needs);
      if (!point.refusal.empty()) {
        point.outcome = DeploymentOutcome::impossible;
        walk.units.clear();
        return;
      }
      point.pools[p].least = units_bound(pools[p], clocks, needs);
    }
    list_units(point, walk);
  }

  // --- simulated ---

  void simulate_own() {
    Walk& walk = walks_.front();
    if (walk.units.empty()) return;
    set_up(0);
    DeploymentPoint& point = search_.points.front();
    point.runs.push_back(*look_at(0));
    point.least_usd_per_hour = point.runs.back().usd_per_hour;
    ++search_.num_runs;
    point.outcome =
        point.runs.back().found.holds ? DeploymentOutcome::holds : DeploymentOutcome::fails;
  }

  void look_best_first() {
    std::set<std::pair<double, std::size_t>> open;
    for (std::size_t i = 1; i < walks_.size(); ++i)
      if (!walks_[i].units.empty()) open.insert({next_cost(i), i});
    std::vector<double> best;  // costs of those that hold, ascending, of which the scenario's own
                               // is none: it is there for comparison
    while (!open.empty()) {
      std::vector<std::size_t> batch;
      while (batch.size() < kBatch && !open.empty()) {
        const auto [cost, index] = *open.begin();
        const bool is_better = best.size() < request_.num_best || cost <= best.back();
        if (!is_better && !request_.exhaustive) break;
        batch.push_back(index);
        open.erase(open.begin());
      }
      if (batch.empty()) break;
      if (search_.num_runs >= request_.budget) {
        search_.complete = false;
        break;
      }
      tell("simulated " + std::to_string(search_.num_runs) + " runs, " +
           std::to_string(best.size()) + " deployments hold");
      std::vector<std::optional<DeploymentRun>> runs(batch.size());
      parallel_for(
          batch.size(), request_.num_threads, [&](std::size_t k) { runs[k] = look_at(batch[k]); });
      for (std::size_t k = 0; k < batch.size(); ++k) {
        const std::size_t i = batch[k];
        Walk& walk = walks_[i];
        if (runs[k]) {
          ++search_.num_runs;
          const bool holds = runs[k]->found.holds;
          const double cost = runs[k]->usd_per_hour;
          search_.points[i].runs.push_back(std::move(*runs[k]));
          ++walk.next;
          if (holds) {
            search_.points[i].outcome = DeploymentOutcome::holds;
            best.insert(std::upper_bound(best.begin(), best.end(), cost), cost);
            if (best.size() > request_.num_best) best.pop_back();
            continue;
          }
        }
        if (walk.next < walk.units.size()) open.insert({next_cost(i), i});
      }
    }
    for (const auto& [cost, i] : open) {
      search_.points[i].outcome = DeploymentOutcome::bounded_away;
      search_.points[i].least_usd_per_hour = cost;
    }
  }

  // Finds the bounds of a deployment first; nothing: that was all.
  std::optional<DeploymentRun> look_at(std::size_t index) {
    Walk& walk = walks_[index];
    if (index > 0 && !walk.has_bounds) {
      find_bounds(index);
      return std::nullopt;
    }
    const DeploymentPoint& point = search_.points[index];
    DeploymentRun run;
    run.units = walk.units[walk.next];
    const SeedRun seed = serve_requests(
        with_units(*walk.scenario, run.units), walk.setups, walk.scenario->seed, request_.bounds);
    run.gpus = gpus_of(point, run.units);
    run.usd_per_hour = cost_of(point, run.units);
    run.found = evaluation_of(seed);
    run.p99_ttft_s = seed.metrics.ttft_s.percentile(99);
    run.p99_tpot_s = seed.metrics.tpot_s.percentile(99);
    const double rate = seed.metrics.output_throughput();
    run.output_tokens_per_s_per_gpu = rate / static_cast<double>(run.gpus);
    run.usd_per_mtok = rate > 0 ? run.usd_per_hour / 3600 / rate * 1e6 : 0;
    num_requests_ += seed.simulated;
    return run;
  }

  // --- what was found ---

  void conclude() {
    search_.num_requests = num_requests_;
    for (std::size_t i = 0; i < search_.points.size(); ++i) {
      DeploymentPoint& point = search_.points[i];
      if (point.outcome == DeploymentOutcome::holds)
        search_.ranking.push_back(i);
      else if (!point.runs.empty() && point.outcome == DeploymentOutcome::refused)
        point.outcome = DeploymentOutcome::fails;
    }
    const auto run_of = [&](std::size_t i) -> const DeploymentRun& {
      return search_.points[i].runs.back();
    };
    std::stable_sort(search_.ranking.begin(), search_.ranking.end(), [&](auto a, auto b) {
      return std::pair(run_of(a).usd_per_hour, -run_of(a).found.margin) <
             std::pair(run_of(b).usd_per_hour, -run_of(b).found.margin);
    });
    const auto beats = [](const DeploymentRun& a, const DeploymentRun& b) {
      const std::tuple x(a.usd_per_mtok, a.p99_tpot_s, a.p99_ttft_s),
          y(b.usd_per_mtok, b.p99_tpot_s, b.p99_ttft_s);
      return a.usd_per_mtok <= b.usd_per_mtok && a.p99_tpot_s <= b.p99_tpot_s &&
             a.p99_ttft_s <= b.p99_ttft_s && x != y;
    };
    for (const std::size_t i : search_.ranking)
      if (std::none_of(search_.ranking.begin(), search_.ranking.end(), [&](std::size_t other) {
            return beats(run_of(other), run_of(i));
          }))
        search_.front.push_back(i);
  }

  // Numbers of units of one deployment that are kept in mind.
  static constexpr std::size_t kMostNumbers = 1 << 18;

  const DeploymentRequest& request_;
  JsonNode document_;
  std::mutex mutex_;
  std::map<std::string, ServingNeeds> needs_;  // by what the requests are
  PoolSetups setups_;
  DeploymentSearch search_;
  std::vector<Walk> walks_;
  std::atomic<std::int64_t> num_requests_ = 0;
};

}  // namespace

const std::vector<LimitedQuantity>& deployment_limits() {
  static const std::vector<LimitedQuantity> known = {LimitedQuantity::gpus,
                                                     LimitedQuantity::usd_per_hour};
  return known;
}

DeploymentSearch search_deployments(const DeploymentRequest& request) {
  ENSURE(!request.bounds.empty());
  return Search(request).run();
}

}  // namespace moesim
