#include "sim/memory_advice.hpp"

#include <algorithm>

#include "sim/rank_memory.hpp"

namespace moesim {
namespace {

struct Change {
  MemoryAdvice advice;
  ParallelPlan plan;
};

std::string in_json(const std::vector<std::int64_t>& list) {
  std::string text;
  for (const std::int64_t n : list) text += (text.empty() ? "[" : ", ") + std::to_string(n);
  return text + "]";
}

class Changes {
 public:
  Changes(const Scenario& scenario, const ParallelPlan& plan) : scenario_(scenario), plan_(plan) {}

  void recompute() {
    Recompute parts = plan_.recompute;
    if (parts.whole_layer) return;
    parts.norm = parts.swiglu = parts.core_attention = true;
    parts.latent_up_projection = scenario_.model.latent.has_value();
    std::string list = R"("norm", "swiglu", "core_attention")";
    if (parts.latent_up_projection) list += R"(, "latent_up_projection")";
    add("recompute " + list, {{"recompute", "[" + list + "]"}}).recompute = parts;
    add("recompute \"full\"", {{"recompute", "\"full\""}}).recompute =
        Recompute{false, false, false, false, true};
  }
  void zero_stage() {
    const bool has_optimizer = plan_.schedule != ScheduleKind::overlapped_pair;
    if (plan_.zero_stage == 3 || (!has_optimizer && plan_.zero_stage == 1)) return;
    const std::string next = std::to_string(plan_.zero_stage + 1);
    ++add("zero_stage " + next, {{"zero_stage", next}}).zero_stage;
  }
  void more_stages() {
    const std::int64_t stages = 2 * plan_.layout().num_stages();
    if (plan_.schedule == ScheduleKind::overlapped_pair || plan_.dp % 2 != 0 ||
        plan_.ranks_per_stage() / 2 % plan_.ranks_per_ep_group() != 0 ||
        stages > scenario_.model.num_layers)
      return;
    constexpr std::int64_t kBalancedFor = 4096;  // as a plan without layers_per_stage is read
    const auto layers = balanced_layers_per_stage(scenario_.model, stages, kBalancedFor);
    const std::string pp = std::to_string(2 * plan_.pp), dp = std::to_string(plan_.dp / 2);
    ParallelPlan& changed = add("pp " + pp + ", dp " + dp + ", layers balanced",
                                {{"pp", pp}, {"dp", dp}, {"layers_per_stage", in_json(layers)}});
    changed.pp *= 2;
    changed.dp /= 2;
    changed.layers_per_stage = layers;
  }
  void more_expert_ranks() {
    const std::int64_t group = 2 * plan_.ranks_per_ep_group(),
                       node = scenario_.cluster.gpus_per_node;
    if (!scenario_.model.moe || plan_.placement.redundant_experts > 0 ||
        plan_.ranks_per_stage() % group != 0 ||
        scenario_.model.moe->num_experts % (2 * plan_.ep) != 0 ||
        (group > node && group % node != 0))
      return;
    const std::string ep = std::to_string(2 * plan_.ep);
    add("ep " + ep, {{"ep", ep}}).ep *= 2;
  }
  void smaller_microbatch() {
    if (plan_.microbatch % 2 != 0) return;
    const std::string half = std::to_string(plan_.microbatch / 2);
    add("microbatch " + half, {{"microbatch", half}}).microbatch /= 2;
  }
  void narrower_state() {
    if (plan_.moment_bytes == 4)
      add("moments \"bf16\"", {{"moments", "\"bf16\""}}).moment_bytes = 2;
    if (plan_.gradient_bytes == 4)
      add("gradients \"bf16\"", {{"gradients", "\"bf16\""}}).gradient_bytes = 2;
  }
  std::vector<Change>& all() { return changes_; }

 private:
  ParallelPlan& add(std::string change, std::vector<std::pair<std::string, std::string>> set) {
    changes_.push_back({{std::move(change), std::move(set), {}, {}, false}, plan_});
    return changes_.back().plan;
  }

  const Scenario& scenario_;
  const ParallelPlan& plan_;
  std::vector<Change> changes_;
};

}  // namespace

Bytes fullest(const std::vector<RankMemory>& memory) {
  Bytes most;
  for (const RankMemory& rank : memory) most = std::max(most, rank.total());
  return most;
}

std::vector<MemoryAdvice> memory_advice(const Scenario& scenario,
                                        const TrainingPhase& phase,
                                        const std::vector<RankMemory>& memory,
                                        const RankLoad& load) {
  Changes changes(scenario, phase.plan);
  changes.recompute();
  changes.zero_stage();
  changes.more_stages();
  changes.more_expert_ranks();
  changes.smaller_microbatch();
  changes.narrower_state();
  const Bytes now = fullest(memory);
  std::vector<MemoryAdvice> list;
  for (Change& change : changes.all()) {
    TrainingPhase changed = phase;
    changed.plan = change.plan;
    if (!schedule_refusal(changed).empty()) continue;
    MemoryAdvice& advice = change.advice;
    // Drawing a load anew costs more than all else here.
    const bool same_load =
        changed.plan.ep == phase.plan.ep && changed.plan.microbatch == phase.plan.microbatch;
    advice.total =
        fullest(memory_of(scenario, changed, same_load ? load : mean_load(scenario, changed)));
    advice.saved = now - advice.total;
    advice.fits = advice.total <= scenario.cluster.gpu.hbm;
    if (advice.saved > Bytes()) list.push_back(std::move(advice));
  }
  std::stable_sort(list.begin(), list.end(), [](const MemoryAdvice& a, const MemoryAdvice& b) {
    return a.saved > b.saved;
  });
  return list;
}

}  // namespace moesim
