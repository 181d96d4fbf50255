#include "calibrate/measure_sentinels.hpp"

#include <algorithm>
#include <cmath>

#include "calibrate/measure.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::size_t kNumSentinels = 5;
constexpr int kSentinelRepeats = 40;

struct Sentinel {
  std::string_view op;
  Shape shape;
};

// Tensor cores, HBM under a GEMM, the decode scheduler, a plain copy (11,776 rows of a cast, 256
// MB), attention.
std::vector<Sentinel> preferred() {
  return {{"gemm_fp8", {4096, 4096, 7168}},
          {"gemm_fp8", {64, 7168, 16384}},
          {"attention_decode", {64, 4096, 1, 128}},
          {"cast", {std::int64_t{11776} * 21728}},
          {"attention_forward", {1, 4096, 0, 128, 192, 128}}};
}

}  // namespace

std::vector<PlannedCall> choose_sentinels(const MeasuringPlan& plan, const Device& device) {
  std::vector<PlannedCall> chosen;
  const auto add = [&](const Case* of, const Call& call) {
    const bool known = std::any_of(chosen.begin(), chosen.end(), [&](const PlannedCall& c) {
      return c.of == of && c.call == call;
    });
    if (chosen.size() < kNumSentinels && !known && device.can_run(*of, call))
      chosen.push_back({of, Tier::core, call});
  };
  for (const Sentinel& sentinel : preferred()) {
    const auto planned =
        std::find_if(plan.calls.begin(), plan.calls.end(), [&](const PlannedCall& p) {
          return p.of->op == sentinel.op;
        });
    if (planned != plan.calls.end()) add(planned->of, {sentinel.shape, {}, 0, false});
  }
  for (const PlannedCall& p : plan.calls) add(p.of, p.call);
  return chosen;
}

Sentinels::Sentinels(std::vector<PlannedCall> calls, std::map<std::string, Seconds> first_times)
    : calls_(std::move(calls)), first_times_(std::move(first_times)) {}

void Sentinels::drop(const Case& of) {
  ENSURE(prepared_.empty());
  std::erase_if(calls_, [&](const PlannedCall& c) { return c.of == &of; });
}

std::vector<Point> Sentinels::measure(Device& device, std::uint64_t seed) {
  const Seconds start = device.clock();
  std::vector<Point> points;
  moved_.reset();
  for (std::size_t i = prepared_.size(); i < calls_.size(); ++i)
    prepared_.push_back(device.prepare(*calls_[i].of, calls_[i].call, seed));
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const PlannedCall& sentinel = calls_[i];
    prepared_[i]->time(Cache::cold, kWarmUps);
    Point point = point_of(sentinel);
    point.cold = summary(prepared_[i]->time(Cache::cold, kSentinelRepeats));
    point.flags = {"sentinel"};
    add_state(device.state(), point);
    const auto [first, is_new] =
        first_times_.emplace(call_key(*sentinel.of, sentinel.call), point.cold->median);
    if (!is_new && !moved_ && std::abs(point.cold->median / first->second - 1) > kDriftLimit)
      moved_ = call_text(*sentinel.of, sentinel.call) + " took " +
               number_text(first->second.in(us)) + " us, then " +
               number_text(point.cold->median.in(us)) + " us";
    points.push_back(std::move(point));
  }
  last_ = device.clock();
  cost_ = last_ - start;
  return points;
}

}  // namespace moesim
