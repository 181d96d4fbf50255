#include "calibrate/measure.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "calibrate/measure_check.hpp"
#include "calibrate/measure_sentinels.hpp"
#include "model/errors.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {
namespace {

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at), high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - std::floor(at)) * (sorted[high] - sorted[low]);
}

double rounded_us(Seconds time) {
  constexpr double kPerMicrosecond = 1e4;
  return std::round(time.in(us)*kPerMicrosecond) / kPerMicrosecond;
}

double three_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return std::strtod(text, nullptr);
}

bool is_throttled(const DeviceState& state) {
  const auto& reasons = state.throttled_by;
  return std::any_of(
      reasons.begin(), reasons.end(), [](const auto& reason) { return reason != kPowerCap; });
}

// The tiles that the kernel used, which follow from the shape by the plan of this version.
std::optional<JsonValue> plan_of(const PlannedCall& planned, std::int64_t num_sms) {
  const Shape& shape = planned.call.shape;
  const std::int64_t sms = planned.call.sms > 0 ? planned.call.sms : num_sms;
  JsonValue value = JsonValue::object();
  switch (planned.of->form) {
    case Form::gemm: {
      const bool grouped = shape.size() == 4;
      const std::int64_t* const mnk = shape.data() + (grouped ? 1 : 0);
      const GemmPlan plan = fewest_waves_plan(
          {mnk[0], mnk[1], mnk[2], grouped ? shape[0] : 1, planned.call.counts}, sms);
      value.set("bm", plan.tile.bm).set("bn", plan.tile.bn);
      value.set("tiles", plan.tiles).set("waves", plan.waves);
      return value;
    }
    case Form::attention:
      return value.set("tiles", prefill_plan(shape[0], shape[1], shape[2], shape[3]).tiles);
    case Form::decode: {
      const DecodePlan plan = decode_plan(shape[0], shape[1], shape[2] * shape[3], sms);
      return value.set("partitions", plan.partitions).set("blocks", plan.blocks);
    }
    case Form::memory:
    case Form::fixed:
    case Form::segments: break;
  }
  return std::nullopt;
}

class Measuring {
 public:
  Measuring(Device& device,
            const GpuSpec& gpu,
            const MeasuringPlan& plan,
            const EarlierPoints& earlier,
            const MeasureOptions& options,
            PointWriter& out)
      : device_(device),
        gpu_(gpu),
        plan_(plan),
        earlier_(earlier),
        options_(options),
        out_(out),
        sentinels_(choose_sentinels(plan, device), earlier.first_times),
        window_(earlier.open_window) {}

  MeasureResult run() {
    for (std::size_t i = 0; i < plan_.calls.size(); ++i) {
      const PlannedCall& planned = plan_.calls[i];
      if (earlier_.done.contains(call_key(*planned.of, planned.call))) {
        ++result_.num_there;
        continue;
      }
      if (!verified(*planned.of)) continue;
      if (!has_begun_) begin();
      if (options_.budget && device_.clock() + sentinels_.cost() >= *options_.budget) {
        ++result_.num_left;
        continue;
      }
      if (sentinels_.is_due(device_)) look_at_sentinels();
      options_.progress("measuring " + std::to_string(i + 1) + " of " +
                        std::to_string(plan_.calls.size()) + ": " + std::string(planned.of->op));
      measure_call(planned);
    }
    if (has_begun_ && window_ > 0) look_at_sentinels();
    finish_spread();
    result_.time = device_.clock();
    return std::move(result_);
  }

 private:
  bool verified(const Case& of) {
    const auto known = verified_.find(&of);
    if (known != verified_.end()) return !known->second.wrong;
    options_.progress("verifying " + std::string(of.op));
    const Verification found = verify(device_, of, options_.seed);
    verified_.emplace(&of, found);
    if (found.wrong) result_.wrong.emplace(of.op, *found.wrong);
    return !found.wrong;
  }

  void begin() {
    has_begun_ = true;
    const std::vector<PlannedCall> calls = sentinels_.calls();
    for (const PlannedCall& sentinel : calls)
      if (!verified(*sentinel.of)) sentinels_.drop(*sentinel.of);
    run_line_ = run_line(measuring_run(device_, options_));
    look_at_sentinels();
  }

  // Closes the window of points since the last look and opens the next. The device may have begun
  // to drift at any time in a window, so its points are flagged when either end has moved.
  void look_at_sentinels() {
    const std::vector<Point> points = sentinels_.measure(device_, options_.seed);
    std::string lines;
    if (window_ > 0 && sentinels_.moved() && !is_drifting_) {
      lines += flag_line("drift", window_, *sentinels_.moved());
      result_.num_flagged += num_unflagged_;
    }
    lines += std::exchange(run_line_, "");
    for (const Point& point : points)
      if (is_possible(point)) lines += point_line(point);
    out_.add(lines);
    is_drifting_ = sentinels_.moved().has_value();
    window_ = num_unflagged_ = 0;
  }

  void measure_call(const PlannedCall& planned) {
    const auto prepared = device_.prepare(*planned.of, planned.call, options_.seed);
    device_.state();  // forgets what was before
    Point point = point_of(planned);
    point.cold = time(*prepared, Cache::cold);
    point.warm = time(*prepared, Cache::warm);
    const DeviceState state = device_.state();
    if (is_drifting_) point.flags.emplace_back("drift");
    if (is_throttled(state)) point.flags.emplace_back("throttled");
    if (const std::string_view kernel = device_.kernel_of(*planned.of); !kernel.empty())
      point.evidence.emplace_back("kernel", std::string(kernel));
    point.evidence.emplace_back(
        "check", JsonValue::object().set("rel_l2", three_digits(verified_.at(planned.of).worst)));
    add_state(state, point);
    if (device_.info().other_kernels.empty())
      if (const auto plan = plan_of(planned, device_.info().num_sms))
        point.evidence.emplace_back("plan", *plan);
    if (!is_possible(point)) return;
    out_.add(point_line(point));
    ++window_;
    ++result_.num_measured;
    ++(point.flags.empty() ? num_unflagged_ : result_.num_flagged);
    spreads_.push_back((*point.cold->p90 - *point.cold->p10) / point.cold->median / 2);
  }

  // A file with a point that cannot be would be refused as a whole when it is read.
  bool is_possible(const Point& point) {
    Point named = point;
    named.place = device_.info().name;
    try {
      refuse_impossible(named, gpu_);
      return true;
    } catch (const InputError& error) {
      result_.impossible.emplace_back(error.what());
      return false;
    }
  }

  static Timing time(PreparedCall& prepared, Cache cache) {
    std::vector<Seconds> warm_ups = prepared.time(cache, kWarmUps);
    return summary(prepared.time(cache, num_repeats(warm_ups.back())));
  }

  void finish_spread() {
    if (spreads_.empty()) return;
    std::sort(spreads_.begin(), spreads_.end());
    result_.median_spread = quantile(spreads_, 0.5);
    result_.p95_spread = quantile(spreads_, 0.95);
  }

  Device& device_;
  const GpuSpec& gpu_;
  const MeasuringPlan& plan_;
  const EarlierPoints& earlier_;
  const MeasureOptions& options_;
  PointWriter& out_;
  Sentinels sentinels_;
  std::map<const Case*, Verification> verified_;
  std::string run_line_;           // until it is written
  std::size_t window_;             // points in the file since the last look at the sentinels
  std::size_t num_unflagged_ = 0;  // of these, of this run
  bool has_begun_ = false, is_drifting_ = false;
  std::vector<double> spreads_;
  MeasureResult result_;
};

}  // namespace

Timing summary(std::vector<Seconds> times) {
  ENSURE(!times.empty());
  std::vector<double> sorted;
  for (const Seconds t : times) sorted.push_back(t.in(us));
  std::sort(sorted.begin(), sorted.end());
  Timing timing;
  timing.median = rounded_us(quantile(sorted, 0.5) * us) * us;
  timing.p10 = rounded_us(quantile(sorted, 0.1) * us) * us;
  timing.p90 = rounded_us(quantile(sorted, 0.9) * us) * us;
  timing.repeats = static_cast<std::int64_t>(sorted.size());
  return timing;
}

Point point_of(const PlannedCall& planned) {
  Point point;
  point.of = planned.of;
  point.shape = planned.call.shape;
  point.counts = planned.call.counts;
  point.sms = planned.call.sms;
  point.beside_communication = planned.call.beside_communication;
  return point;
}

void add_state(const DeviceState& state, Point& point) {
  JsonValue value = JsonValue::object();
  bool has_any = false;
  const auto set = [&](const char* key, const std::optional<double>& number) {
    if (!number) return;
    value.set(key, *number);
    has_any = true;
  };
  set("sm_clock_mhz", state.sm_clock_mhz);
  set("memory_clock_mhz", state.memory_clock_mhz);
  set("power_w", state.power_w);
  set("temperature_c", state.temperature_c);
  if (!state.throttled_by.empty()) {
    JsonValue reasons = JsonValue::array();
    for (const std::string& reason : state.throttled_by) reasons.push(reason);
    value.set("throttled_by", std::move(reasons));
    has_any = true;
  }
  if (has_any) point.evidence.emplace_back("state", std::move(value));
}

PointRun measuring_run(Device& device, const MeasureOptions& options) {
  const DeviceInfo& info = device.info();
  const Device::LaunchOverhead launch = device.launch_overhead();
  PointRun run;
  run.kind = info.kind;
  run.gpu = info.gpu;
  run.source = "moesim-calibrate measure on " + info.name;
  if (info.other_kernels.empty()) {
    run.plan = tile_rule_name(TileRule::fewest_waves);
    run.plan_version = kPlanVersion;
  }
  run.details = {{"device", info.name}, {"num_sms", info.num_sms}};
  if (!info.other_kernels.empty()) run.details.emplace_back("kernels", info.other_kernels);
  run.details.insert(run.details.end(), info.details.begin(), info.details.end());
  JsonValue method = JsonValue::object();
  method.set("timer", info.timer).set("flush", info.flush);
  method.set("warm_ups", kWarmUps).set("stat", "median");
  method.set("data", "near standard normal").set("seed", options.seed);
  run.details.emplace_back("method", std::move(method));
  run.details.emplace_back("launch",
                           JsonValue::object()
                               .set("graph_us", rounded_us(launch.graph))
                               .set("stream_us", rounded_us(launch.stream)));
  return run;
}

EarlierPoints earlier_points(const PointFile& file, const PointRun& run) {
  const auto device_of = [](const PointRun& r) {
    for (const auto& [key, value] : r.details)
      if (key == "device") return value.dump_line();
    return std::string();
  };
  std::vector<bool> is_same;
  for (const PointRun& r : file.runs)
    is_same.push_back(r.kind == run.kind && r.gpu == run.gpu && r.plan == run.plan &&
                      r.plan_version == run.plan_version && device_of(r) == device_of(run));
  EarlierPoints earlier;
  for (const Point& p : file.points) {
    const bool is_sentinel = std::find(p.flags.begin(), p.flags.end(), "sentinel") != p.flags.end();
    earlier.open_window = is_sentinel || !is_same[p.run] ? 0 : earlier.open_window + 1;
    if (!is_same[p.run]) continue;
    const std::string key = call_key(*p.of, {p.shape, p.counts, p.sms, p.beside_communication});
    if (is_sentinel)
      earlier.first_times.emplace(key, p.timing().median);
    else if (p.flags.empty() && p.cold && p.warm)
      earlier.done.insert(key);
  }
  return earlier;
}

MeasureResult measure(Device& device,
                      const GpuSpec& gpu,
                      const MeasuringPlan& plan,
                      const EarlierPoints& earlier,
                      const MeasureOptions& options,
                      PointWriter& out) {
  return Measuring(device, gpu, plan, earlier, options, out).run();
}

}  // namespace moesim
