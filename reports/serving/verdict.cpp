// The answer before the reasons: what it takes, what it gives, what holds it back.
#include "reports/verdict.hpp"

#include <algorithm>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

// Of the simulated time where requests were served; else all units of all pools.
std::vector<GpuGroup> gpus_of(const ServingScenario& scenario, const ServingRun& run) {
  std::vector<GpuGroup> groups;
  const auto& pools = scenario.serving.pools;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const auto per_unit = static_cast<double>(pools[i].plan.num_gpus());
    GpuGroup group{&pools[i].cluster,
                   per_unit * static_cast<double>(pools[i].units),
                   per_unit * static_cast<double>(pools[i].units)};
    if (!run.runs.empty()) {
      const ServingResult& result = run.runs.front().cluster;
      group.gpus = per_unit * result.pools[i].provisioned_ticks / static_cast<double>(result.end);
      group.most = per_unit * static_cast<double>(result.pools[i].peak_units);
    }
    groups.push_back(group);
  }
  return groups;
}

std::string margin_text(const SloCheck& check) {
  return slo_text(check) + ", " +
         (check.margin >= 0 ? format_percent(check.margin) + " to spare"
                            : format_percent(-check.margin) + " past it");
}

// The bound with the least room, and what the calibration's errors do to that.
std::string slo_verdict(const ServingReportInput& input, const SloResult& slo) {
  std::string text = "service level: " + margin_text(slo.checks[slo.binding]);
  if (!input.uncertainty) return text;
  std::size_t holds = 0, ends = 0;
  for (const auto& both : input.uncertainty->ends)
    for (const ServingRun& end : both) {
      if (end.runs.empty() || !end.runs.front().slo) continue;
      ++ends;
      holds += end.runs.front().slo->holds ? 1 : 0;
    }
  return text + "; all bounds hold at " + std::to_string(holds) + " of the " +
         std::to_string(ends) + " ends of the calibration's intervals";
}

// Without a service level: the pool whose steps or pages are fullest.
std::string fullest_resource(const ServingScenario& scenario, const ServingResult& result) {
  double most = -1;
  std::string text;
  const auto look_at = [&](double part, double whole, const std::string& what) {
    const double share = whole > 0 ? part / whole : 0;
    if (share <= most) return;
    most = share;
    text = what + ", " + format_percent(share) + " on average";
  };
  for (std::size_t i = 0; i < result.pools.size(); ++i) {
    const PoolResult& pool = result.pools[i];
    const std::string& name = scenario.serving.pools[i].name;
    look_at(static_cast<double>(pool.total.busy), pool.up_ticks, "the time of pool " + name);
    look_at(pool.total.kv_page_ticks,
            pool.capacity.pages * pool.up_ticks,
            "the KV pages of pool " + name);
    look_at(pool.total.running_ticks,
            pool.capacity.places * pool.up_ticks,
            "the places in the batches of pool " + name);
  }
  return "no service level is stated; fullest is " + text;
}

std::string unfit_text(const ServingScenario& scenario, const ServingRun& run) {
  for (std::size_t i = 0; i < run.pools.size(); ++i) {
    const ServingMemory& memory = run.pools[i].memory;
    if (!memory.fits)
      return "memory: a GPU of pool " + scenario.serving.pools[i].name + " needs " +
             format_bytes(memory.without_pages()) + " of " + format_bytes(memory.budget) +
             " before any KV page, and then pages for " +
             std::to_string(memory.least_pages * memory.page_tokens) + " tokens";
  }
  for (const StepPointResult& step : run.steps)
    if (!step.fits) return "memory: step " + step.point.name + " does not fit";
  return "";
}

std::string step_verdict(const StepPointResult& step) {
  const auto& parts = step.breakdown.parts;
  const StepPart& most =
      *std::max_element(parts.begin(), parts.end(), [](const StepPart& a, const StepPart& b) {
        return a.time < b.time;
      });
  return "step \"" + step.point.name + "\": " + std::string(most.title) + " takes " +
         format_percent(most.time / step.step) + " of its " + format_seconds(step.step.in(s));
}

std::string binding_text(const ServingReportInput& input) {
  if (const std::string unfit = unfit_text(input.scenario, input.run); !unfit.empty()) return unfit;
  if (input.run.runs.empty())
    return input.run.steps.empty() ? "nothing was asked of it"
                                   : step_verdict(input.run.steps.front());
  const SeedRun& run = input.run.runs.front();
  if (run.metrics.saturation.is_saturated)
    return "the queue grows: more requests come than are served";
  return run.slo ? slo_verdict(input, *run.slo) : fullest_resource(input.scenario, run.cluster);
}

void add_rate_rows(const ServingReportInput& input, Table& table) {
  const SeedRun& run = input.run.runs.front();
  const double rate = run.metrics.output_throughput();
  table.rows.push_back({"rate",
                        format_count(rate) + " output tokens/s, " +
                            digits4(rate / gpus_provisioned(run)) + " of them a GPU"});
  if (!run.cost.all_per_million_output) return;
  const auto dollars = [](const ServingRun& r) {
    return r.runs.front().cost.all_per_million_output->in(USD);
  };
  table.rows.push_back({"whole cost of a million output tokens",
                        input.uncertainty
                            ? with_interval(dollars(input.run),
                                            interval_of(input.run, *input.uncertainty, dollars),
                                            format_usd)
                            : format_usd(dollars(input.run))});
}

void add_step_rows(const ServingReportInput& input, Table& table) {
  for (const StepPointResult& step : input.run.steps) {
    const double rate = step.prompt_tokens_per_s_per_gpu + step.output_tokens_per_s_per_gpu;
    const auto& pools = input.scenario.serving.pools;
    const auto pool = std::find_if(
        pools.begin(), pools.end(), [&](const PoolSpec& p) { return p.name == step.point.pool; });
    ENSURE(pool != pools.end());
    table.rows.push_back({"step " + step.point.name,
                          digits4(rate) + " tokens/s a GPU, " +
                              format_usd(pool->cluster.price.in(USD_per_hour) / 3600 / rate * 1e6) +
                              " a million tokens"});
  }
}

}  // namespace

std::optional<Section> serving_verdict_section(const ServingReportInput& input) {
  Section section;
  section.title = "Verdict";
  Table table{"", {"question", "answer"}, {}};
  add_machine_rows(gpus_of(input.scenario, input.run), table);
  if (!input.run.runs.empty())
    add_rate_rows(input, table);
  else
    add_step_rows(input, table);
  table.rows.push_back({"what binds", binding_text(input)});
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace moesim
