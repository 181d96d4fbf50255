#include "calibrate/fit/gather.hpp"

#include <algorithm>

#include "calibrate/fit/kernel_fit.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

TileRule rule_of(const PointRun& run, const std::string& place, const FitRequest& request) {
  if (run.plan.empty()) return request.rule.value_or(TileRule::fastest);
  const TileRule rule = run.plan == tile_rule_name(TileRule::fewest_waves) ? TileRule::fewest_waves
                                                                           : TileRule::fastest;
  if (run.plan != tile_rule_name(rule))
    throw InputError(place,
                     "the run's kernels follow the plan " + in_quotes(run.plan) +
                         "; known: \"fastest\", \"fewest_waves\"");
  if (request.rule && *request.rule != rule)
    throw InputError(place,
                     "the run's kernels follow the plan " + in_quotes(run.plan) + ", not " +
                         in_quotes(tile_rule_name(*request.rule)) +
                         ": a fit on a wrong plan is worse than on a guessed one");
  return rule;
}

void check_run(const PointRun& run, const std::string& gpu, const std::string& place) {
  if (run.gpu != gpu)
    throw InputError(
        place, "is of the GPU " + in_quotes(run.gpu) + "; the first run is of " + in_quotes(gpu));
  if (run.plan_version && *run.plan_version != kPlanVersion)
    throw InputError(place,
                     "the run was measured with kernel plans of version " +
                         std::to_string(*run.plan_version) + "; this program's are version " +
                         std::to_string(kPlanVersion) + ", with other tiles");
}

// Empty where the point does not say.
std::string kernel_of(const Point& p) {
  for (const auto& [key, value] : p.evidence)
    if (key == "kernel") return value.dump_line();
  return "";
}

// Two kernels' times are no noise of one another: a fit of both would be of neither.
void refuse_other_kernel(const Point& p, std::map<const Case*, std::string>& kernels) {
  const std::string kernel = kernel_of(p);
  if (kernel.empty()) return;
  const auto [it, is_new] = kernels.emplace(p.of, kernel);
  if (it->second != kernel)
    throw InputError(p.place,
                     std::string(p.of->op) + " is timed by the kernel " + kernel +
                         "; points before it by " + it->second + "; fit them apart");
}

// Which integers of a shape may be 0: what is cached before a prefill, and sizes.
bool may_be_nothing(std::string_view axis) {
  return axis == "prefix" || axis == "bytes" || axis == "tokens";
}

// What a points file may hold but no form can be fitted to.
void check_shape(const Point& p, const GpuSpec& gpu) {
  const Case& of = *p.of;
  for (std::size_t i = 0; i < p.shape.size(); ++i)
    if (p.shape[i] < 1 && !may_be_nothing(of.axes[i]))
      throw InputError(p.place,
                       std::string(of.op) + " " + shape_text(of, p.shape) + ": " +
                           std::string(of.axes[i]) + " is 0; expected at least 1");
  if (of.between_gpus && (p.shape[0] < 2 || p.shape[1] > p.shape[0]))
    throw InputError(p.place,
                     std::string(of.op) + " " + shape_text(of, p.shape) +
                         ": expected two ranks or more, and no more a node than there are");
  if (!of.between_gpus && p.sms > gpu.num_sms)
    throw InputError(p.place,
                     std::string(of.op) + " ran on " + std::to_string(p.sms) + " SMs; the " +
                         gpu.name + " has " + std::to_string(gpu.num_sms));
  if (of.peak == Peak::fp8 && !gpu.peak_fp8)
    throw InputError(p.place,
                     std::string(of.op) + " ran in FP8, which the " + gpu.name + " has not");
}

// Shapes whose repeats differ by more than a quarter: never averaged.
void settle_disagreements(std::vector<const Point*>& points,
                          const FitRequest& request,
                          std::vector<std::string>& notes) {
  const std::vector<Disagreement> shapes = disagreements(points);
  if (shapes.empty()) return;
  const Point &a = *shapes.front().first, &b = *shapes.front().second;
  const std::string what = std::string(a.of->op) + " " + shape_text(*a.of, a.shape) + " took " +
                           number_text(a.timing().median.in(us)) + " us at " + a.place + " and " +
                           number_text(b.timing().median.in(us)) + " us at " + b.place;
  if (!request.leave_out_disagreeing)
    throw InputError(b.place,
                     what + " (" + std::to_string(shapes.size()) +
                         " such shapes): measure again, or leave them out with "
                         "--leave-out-disagreeing");
  std::set<const Point*> out;
  for (const Disagreement& d : shapes) out.insert(d.points.begin(), d.points.end());
  std::erase_if(points, [&](const Point* p) { return out.contains(p); });
  notes.push_back(std::to_string(out.size()) + " points of " + std::string(a.of->op) +
                  " disagree with a repeat of their shape and were left out, among them " + what);
}

void check_noise(const Case& of,
                 const std::vector<const Point*>& points,
                 const FitRequest& request,
                 std::vector<std::string>& notes) {
  const auto noise = repeat_noise(points);
  if (!noise || noise->p95 <= kMostNoise) return;
  const std::string what = std::string(of.op) + ": repeats of a shape differ by " +
                           percent_text(noise->median) + " in the median and " +
                           percent_text(noise->p95) + " at the 95th percentile";
  if (!request.allow_noisy)
    throw InputError(points.front()->place,
                     what + "; above " + percent_text(kMostNoise) +
                         " a run is too noisy to fit. Measure again on an idle machine, or fit it "
                         "as it is with --allow-noisy");
  notes.push_back(what + ": a noisy run, fitted all the same");
}

void note_mixed_caches(const Case& of,
                       const std::vector<const Point*>& points,
                       std::vector<std::string>& notes) {
  const auto num_cold = std::count_if(
      points.begin(), points.end(), [](const Point* p) { return p->cold.has_value(); });
  const auto num_warm = static_cast<std::ptrdiff_t>(points.size()) - num_cold;
  if (num_cold > 0 && num_warm > 0)
    notes.push_back(std::string(of.op) + ": " + std::to_string(num_warm) + " of " +
                    std::to_string(points.size()) +
                    " points have no time with cold inputs and were fitted with their warm one");
}

// In the order of the case table, so that messages do not depend on addresses.
void judge(std::map<const Case*, std::vector<const Point*>>& all,
           const FitRequest& request,
           std::vector<std::string>& notes) {
  for (const Case* c : cases()) {
    const auto found = all.find(c);
    if (found == all.end()) continue;
    settle_disagreements(found->second, request, notes);
    if (found->second.empty()) {
      all.erase(found);
      continue;
    }
    check_noise(*c, found->second, request, notes);
    note_mixed_caches(*c, found->second, notes);
  }
}

}  // namespace

Gathered gather(const std::vector<PointFile>& files,
                const GpuSpec& gpu,
                const FitRequest& request,
                std::vector<std::string>& notes) {
  ENSURE(!files.empty() && !files.front().runs.empty());
  Gathered all;
  bool published = false, synthetic = false;
  std::map<std::string, std::size_t> flagged;
  std::map<const Case*, std::string> kernels;
  for (const PointFile& file : files)
    for (const Point& p : file.points) {
      const PointRun& run = file.runs[p.run];
      check_run(run, files.front().runs.front().gpu, p.place);
      for (const std::string& flag : p.flags) ++flagged[flag];
      if (!p.flags.empty()) continue;
      check_shape(p, gpu);
      refuse_other_kernel(p, kernels);
      published = published || run.kind == ProfileKind::published;
      synthetic = synthetic || run.kind == ProfileKind::synthetic;
      all.sources[p.of].insert(run.source);
      if (p.of->form == Form::gemm) {
        const TileRule rule = rule_of(run, p.place, request);
        const auto [it, is_new] = all.rules.emplace(p.of, rule);
        if (it->second != rule)
          throw InputError(p.place,
                           std::string(p.of->op) + " points follow the plan " +
                               in_quotes(tile_rule_name(rule)) + "; those before follow " +
                               in_quotes(tile_rule_name(it->second)) + "; fit them apart");
      }
      (p.beside_communication ? all.beside : all.points)[p.of].push_back(&p);
    }
  for (const auto& [flag, count] : flagged)
    notes.push_back(std::to_string(count) + " points are flagged " + in_quotes(flag) +
                    " and were not fitted");
  judge(all.points, request, notes);
  judge(all.beside, request, notes);
  all.kind = synthetic   ? ProfileKind::synthetic
             : published ? ProfileKind::published
                         : ProfileKind::measured;
  return all;
}

}  // namespace moesim
