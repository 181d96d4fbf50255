#include "calibrate/fit/fit_profile.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "calibrate/fit/gather.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/profile_transfer.hpp"

namespace moesim {
namespace {

// The largest that a profile holds.
constexpr double kMostError = 10;

// Whether the cost model slows the operation down beside communication: weight gradients it does
// not (model/cost_model.cpp).
bool is_slowed(const Case& of) { return of.form == Form::gemm && of.op != "gemm_fp8_wgrad"; }

std::string points_of(std::size_t count, const Case& of) {
  return std::to_string(count) + " points of " + std::string(of.op) + " beside communication";
}

// A point that far from a fit that saw it, and its residual, is in another unit or of another call:
// to pass it over in silence would hide that, to weigh it in would be worse.
void refuse_absurd(const Case& of, const FurthestPoint& point) {
  const double ratio = point.measured / point.predicted;
  if (std::max(ratio, 1 / ratio) <= 1 + kMostError) return;
  const std::string times = number_text(std::round(std::max(ratio, 1 / ratio)));
  throw InputError(point.place,
                   std::string(of.op) + " " + shape_text(of, point.shape) + " took " +
                       number_text(point.measured.in(us)) + " us, " +
                       (ratio > 1 ? times + " times" : "1/" + times + " of") +
                       " what a fit to all points says. Is its time in another unit, or of another "
                       "call?");
}

// Time beside communication over the model's time on the same SMs alone, the median over shapes.
void fit_slowdown(const Gathered& all, FitResult& result) {
  const GpuSpec& gpu = result.profile.gpu;
  std::map<std::int64_t, std::vector<double>> ratios;
  std::set<std::string> sources;
  for (const Case* of : cases()) {
    if (!all.beside.contains(of)) continue;
    const std::vector<const Point*>& points = all.beside.at(of);
    const auto fit = std::find_if(result.kernels.begin(),
                                  result.kernels.end(),
                                  [&](const KernelFit& k) { return k.of == of; });
    if (!is_slowed(*of) || fit == result.kernels.end()) {
      result.notes.push_back(
          points_of(points.size(), *of) + " were not used: " +
          (is_slowed(*of) ? "none of it alone were measured" : "a profile has no slowdown of it"));
      continue;
    }
    const auto form = kernel_form(*of, gpu, all.rules.at(of), points);
    const std::vector<double> alone = form->seconds(fit->values, points);
    std::size_t on_all = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Point& p = *points[i];
      const double corrected =
          alone[i] * std::exp(fit->residual.at(form->residual_axes(p)).log_factor);
      refuse_absurd(*of, {p.place, p.shape, p.timing().median, corrected * s});
      if (p.sms > 0 && p.sms < gpu.num_sms)
        ratios[gpu.num_sms - p.sms].push_back(p.timing().median.in(s) / corrected);
      else
        ++on_all;
    }
    if (on_all > 0)
      result.notes.push_back(points_of(on_all, *of) +
                             " leave no SMs to the communication and were not used");
    sources.insert(all.sources.at(of).begin(), all.sources.at(of).end());
  }
  if (ratios.empty()) return;
  CommSlowdown slowdown;
  for (auto& [sms, of_sms] : ratios) {
    std::sort(of_sms.begin(), of_sms.end());
    slowdown.comm_sms.push_back(sms);
    slowdown.factor.push_back(std::max(1.0, quantile(of_sms, 0.5)));
  }
  slowdown.source =
      joined({sources.begin(), sources.end()}) + ": GEMMs beside communication, median over shapes";
  result.profile.gemm_slowdown = slowdown;
}

GroupFit group_of(const SegmentFit& fit, const std::string& source) {
  GroupFit group;
  group.op = std::string(fit.of->op);
  group.ranks = fit.ranks;
  group.ranks_per_node = fit.ranks_per_node;
  group.hidden = fit.hidden;
  group.topk = fit.topk;
  group.sms = fit.sms;
  group.segments = fit.segments;
  group.sizes = {fit.smallest, fit.largest};
  group.error.inside = fit.left_out.p90;
  group.error.outside = 2 * fit.left_out.p90;  // nothing bounds a protocol beyond its sizes
  group.error.basis = "held_out";
  group.error.num_points = static_cast<std::int64_t>(fit.num_points);
  group.error.tests = {{"in sample", fit.in_sample.median, fit.in_sample.p95, fit.in_sample.max},
                       {"size left out", fit.left_out.median, fit.left_out.p95, fit.left_out.max}};
  group.source = source;
  return group;
}

// What the base knows, told to be the base's.
Profile carried_over(const Profile& base, const GpuSpec& gpu, const std::string& id) {
  Profile profile = transferred(base, gpu);
  const bool moved = base.gpu.name != gpu.name;
  if (!moved && base.id == id) return profile;  // a profile that is being extended
  const std::string from =
      "Carried over from " + base.id + (moved ? " by datasheet ratios: " : ": ");
  const auto mark = [&](std::string& source) {
    if (!source.empty() && source.rfind("Carried over", 0) != 0) source = from + source;
  };
  for (std::string& source : profile.source) mark(source);
  mark(profile.comm_source);
  mark(profile.launch_source);
  mark(profile.gemm_slowdown.source);
  for (GroupFit& group : profile.groups) mark(group.source);
  return profile;
}

void keep_gemm_points(const Case& of, const std::vector<const Point*>& points, Profile& profile) {
  const bool grouped = of.axes.size() == 4;
  const std::size_t m = grouped ? 1 : 0;
  for (const Point* p : points) {
    if (!p->counts.empty()) continue;  // a profile's points are of even groups
    const GemmShape shape{p->shape[m], p->shape[m + 1], p->shape[m + 2], grouped ? p->shape[0] : 1};
    profile.points.push_back({static_cast<Kernel>(kernel_index(of)),
                              shape,
                              p->sms > 0 ? p->sms : profile.gpu.num_sms,
                              of.work(p->shape, p->counts).flops / p->timing().median});
  }
}

// An error that large is no error of a measurement.
void check_form(const KernelFit& fit, const std::string& place) {
  const ModelError error = model_error(fit);
  if (error.outside > kMostError)
    throw InputError(place,
                     std::string(fit.of->op) + " does not follow the form of its operation: " +
                         percent_text(error.outside) +
                         " off at the 90th percentile; expected at most " +
                         percent_text(kMostError) + ". Is it another kernel, or a wrong unit?");
}

void fit_one_kernel(const Case& of,
                    const Gathered& all,
                    const FitRequest& request,
                    FitResult& result) {
  const std::vector<const Point*>& points = all.points.at(&of);
  Profile& profile = result.profile;
  FitOptions options;
  if (const auto rule = all.rules.find(&of); rule != all.rules.end()) options.rule = rule->second;
  options.smoothing = request.smoothing;
  options.num_threads = request.num_threads;
  KernelFit fit = fit_kernel(points, profile.gpu, options);
  check_form(fit, points.front()->place);
  refuse_absurd(of, fit.furthest);
  const auto kernel = static_cast<Kernel>(kernel_index(of));
  const std::set<std::string>& sources = all.sources.at(&of);
  store(fit, points, profile.gpu, options.rule, joined({sources.begin(), sources.end()}), profile);
  std::erase_if(profile.points, [&](const GemmPoint& p) { return p.kernel == kernel; });
  if (request.keep_points && of.form == Form::gemm) keep_gemm_points(of, points, profile);
  if (fit.num_not_monotone > 0)
    result.notes.push_back(std::string(of.op) + ": " + std::to_string(fit.num_not_monotone) +
                           " points took over 5 % less time than the same shape with fewer rows; "
                           "tile edges are real, so they were fitted as they are");
  if (profile.error[kernel_index(of)].basis == "stated")
    result.notes.push_back(std::string(of.op) + ": " + std::to_string(fit.num_shapes) +
                           " shapes are too few to know an error from; it is put at " +
                           percent_text(profile.error[kernel_index(of)].inside));
  result.kernels.push_back(std::move(fit));
}

void fit_groups(const Case& of, const Gathered& all, const FitRequest& request, FitResult& result) {
  const std::set<std::string>& sources = all.sources.at(&of);
  std::vector<GroupFit>& groups = result.profile.groups;
  for (SegmentFit& fit : fit_segments(all.points.at(&of), request.num_threads)) {
    if (2 * fit.left_out.p90 > kMostError)
      throw InputError(all.points.at(&of).front()->place,
                       std::string(of.op) + " on " + std::to_string(fit.ranks) +
                           " ranks does not follow latencies and rates: " +
                           percent_text(fit.left_out.p90) + " off at the 90th percentile");
    refuse_absurd(of, fit.furthest);
    std::erase_if(groups, [&](const GroupFit& g) {
      return g.op == of.op && g.ranks == fit.ranks && g.ranks_per_node == fit.ranks_per_node &&
             g.hidden == fit.hidden && g.topk == fit.topk && g.sms == fit.sms;
    });
    groups.push_back(group_of(fit, joined({sources.begin(), sources.end()})));
    result.groups.push_back(std::move(fit));
  }
}

std::string nothing_to_fit(const std::vector<std::string>& notes) {
  std::string text = "no point can be fitted";
  for (const std::string& note : notes) text += "; " + note;
  return text;
}

}  // namespace

FitResult fit_profile(const std::vector<PointFile>& files,
                      const GpuSpec& gpu,
                      const Profile& base,
                      const FitRequest& request) {
  FitResult result;
  const Gathered all = gather(files, gpu, request, result.notes);
  if (all.points.empty())
    throw InputError(
        files.front().points.empty() ? "the files of points" : files.front().points.front().place,
        nothing_to_fit(result.notes));
  result.profile = carried_over(base, gpu, request.id);
  Profile& profile = result.profile;
  profile.id = request.id;
  profile.about = request.about;
  profile.kind = all.kind;
  profile.derived_from.clear();
  std::size_t num_carried = 0;
  for (std::size_t i = 0; i < kNumKernels; ++i)
    if (!profile.source[i].empty()) ++num_carried;
  for (const Case* c : cases()) {
    if (!all.points.contains(c)) continue;
    if (c->form == Form::segments) {
      fit_groups(*c, all, request, result);
    } else {
      if (!profile.source[kernel_index(*c)].empty()) --num_carried;
      fit_one_kernel(*c, all, request, result);
    }
  }
  fit_slowdown(all, result);
  if (num_carried > 0)
    result.notes.push_back(std::to_string(num_carried) +
                           " kernels and all that has no points are carried over from " + base.id);
  return result;
}

}  // namespace moesim
