#include "calibrate/fake_device.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "calibrate/fake_time.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

constexpr double kDriftFactor = 1.08, kThrottleFactor = 1.25, kNoisyFactor = 10;
constexpr double kClock_mhz = 1755, kThrottledClock_mhz = 1410;
constexpr Seconds kHostTime = 7 * ms;  // of preparing a call
constexpr Bytes kFlushed = 256 * MB;
constexpr double kMemoryShare = 0.9;  // of the HBM that calls may fill

struct Faults {
  std::set<std::string, std::less<>> wrong, unwritten;
  Seconds drift_after = std::numeric_limits<double>::infinity() * s;
  bool noisy = false, throttled = false;
  std::int64_t dies_after = std::numeric_limits<std::int64_t>::max();
};

[[noreturn]] void refuse(const std::string& fault, const std::string& problem) {
  throw InputError("--fake-fault " + one_line(fault), problem);
}

double number_of(const std::string& fault, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0) || value > 1e9)
    refuse(fault, "expected a number from 0 to 1e9 after \"=\"");
  return value;
}

std::string op_of(const std::string& fault, const std::string& text) {
  const Case* const of = find_case(text);
  if (of == nullptr || of->experiment == nullptr) {
    std::vector<std::string> known;
    for (const Case* c : cases())
      if (c->experiment != nullptr) known.emplace_back(c->op);
    refuse(fault, in_quotes(text) + " is no operation; expected one of " + joined(known));
  }
  return text;
}

Faults parse_faults(const std::vector<std::string>& texts) {
  Faults faults;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals),
                      value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if ((name == "noisy" || name == "throttled") && equals != std::string::npos)
      refuse(text, "expected no value");
    if (name == "wrong")
      faults.wrong.insert(op_of(text, value));
    else if (name == "unwritten")
      faults.unwritten.insert(op_of(text, value));
    else if (name == "drift")
      faults.drift_after = number_of(text, value) * s;
    else if (name == "dies")
      faults.dies_after = static_cast<std::int64_t>(number_of(text, value));
    else if (name == "noisy")
      faults.noisy = true;
    else if (name == "throttled")
      faults.throttled = true;
    else
      refuse(text, "expected wrong=OP, unwritten=OP, drift=SECONDS, dies=N, noisy or throttled");
  }
  return faults;
}

float stored(Element element, float value) {
  return element == Element::bf16 ? round_bf16(value) : value;
}

// Words that tell calls apart, for their noise.
std::uint64_t words_of(const Case& of, const Call& call) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  const auto add = [&](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3u; };
  for (const char c : of.op) add(static_cast<unsigned char>(c));
  for (const std::int64_t axis : call.shape) add(static_cast<std::uint64_t>(axis));
  for (const std::int64_t rows : call.counts) add(static_cast<std::uint64_t>(rows) + 1);
  add(static_cast<std::uint64_t>(call.sms));
  add(call.beside_communication ? 1 : 0);
  return hash;
}

struct FakeGpu {
  GpuSpec spec;
  FakeOptions options;
  Faults faults;
  Seconds clock;
  std::int64_t calls_timed = 0;
};

class FakeCall final : public PreparedCall {
 public:
  FakeCall(FakeGpu& gpu, const Case& of, const Call& call, std::uint64_t seed)
      : gpu_(gpu),
        of_(of),
        call_(call),
        seed_(seed),
        noise_{Random(gpu.options.seed, words_of(of, call), 0),
               Random(gpu.options.seed, words_of(of, call), 1)} {}

  Arrays outputs() override {
    const Experiment& experiment = *of_.experiment;
    Arrays all = experiment.outputs(call_, experiment.inputs(call_, seed_));
    for (Array& array : all) {
      const std::size_t kept = array.values.size() - (array.values.size() + 7) / 8;
      for (std::size_t i = 0; i < array.values.size(); ++i) {
        float& value = array.values[i];
        value = stored(array.element, value);
        if (i >= kept && gpu_.faults.wrong.contains(of_.op)) value = 0;
        if (i >= kept && gpu_.faults.unwritten.contains(of_.op))
          value = std::numeric_limits<float>::quiet_NaN();
      }
    }
    return all;
  }

  // Only the case knows what is there: `wanted` has to be its samples.
  Pieces pieces(Pieces wanted) override {
    Pieces found = of_.experiment->samples(call_, seed_);
    ENSURE(found.size() == wanted.size());
    const bool wrong = gpu_.faults.wrong.contains(of_.op),
               unwritten = gpu_.faults.unwritten.contains(of_.op);
    for (std::size_t i = 0; i < found.size(); ++i) {
      ENSURE(found[i].output == wanted[i].output && found[i].first == wanted[i].first);
      // The end of the outputs, as in a whole one.
      if (i + 1 < found.size()) continue;
      for (float& value : found[i].values)
        value = unwritten ? std::numeric_limits<float>::quiet_NaN() : wrong ? 0 : value;
    }
    return found;
  }

  std::vector<Seconds> time(Cache cache, int repeats) override {
    if (!was_timed_ && gpu_.calls_timed++ >= gpu_.faults.dies_after)
      throw std::runtime_error("the fake device was lost, as --fake-fault dies asked");
    was_timed_ = true;
    const Seconds hidden = hidden_time(of_, call_, gpu_.spec, cache);
    const double noise = gpu_.options.noise * (gpu_.faults.noisy ? kNoisyFactor : 1);
    const Seconds flush = cache == Cache::cold ? kFlushed / gpu_.spec.hbm_bandwidth : Seconds();
    std::vector<Seconds> times;
    for (int i = 0; i < repeats; ++i) {
      double factor = std::exp(noise * noise_[static_cast<std::size_t>(cache)].normal());
      if (gpu_.clock >= gpu_.faults.drift_after) factor *= kDriftFactor;
      if (gpu_.faults.throttled) factor *= kThrottleFactor;
      times.push_back(factor * hidden);
      gpu_.clock += times.back() + flush;
    }
    return times;
  }

 private:
  FakeGpu& gpu_;
  const Case& of_;
  const Call call_;
  const std::uint64_t seed_;
  Random noise_[2];  // cold and warm
  bool was_timed_ = false;
};

class FakeDevice final : public Device {
 public:
  FakeDevice(const std::string& gpu_name, const GpuSpec& gpu, const FakeOptions& options)
      : gpu_{gpu, options, parse_faults(options.faults), Seconds(), 0} {
    info_.name = "fake " + gpu.name + ", seed " + std::to_string(options.seed) + ", noise " +
                 number_text(options.noise);
    for (const std::string& fault : options.faults)
      if (!fault.starts_with("dies")) info_.name += ", " + fault;
    info_.gpu = gpu_name;
    info_.kind = ProfileKind::synthetic;
    info_.num_sms = gpu.num_sms;
    info_.timer = "formula of the fake device";
    info_.flush = "as if 256 MB were written";
  }

  const DeviceInfo& info() const override { return info_; }

  bool can_run(const Case& of, const Call& call) const override {
    const bool has_type = of.peak != Peak::fp8 || gpu_.spec.peak_fp8.has_value();
    return of.experiment != nullptr && has_type &&
           of.work(call.shape, call.counts).bytes <= kMemoryShare * gpu_.spec.hbm;
  }

  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    ENSURE(can_run(of, call));
    gpu_.clock += kHostTime;
    return std::make_unique<FakeCall>(gpu_, of, call, seed);
  }

  DeviceState state() override {
    DeviceState state;
    state.sm_clock_mhz = gpu_.faults.throttled ? kThrottledClock_mhz : kClock_mhz;
    if (gpu_.faults.throttled) state.throttled_by = {"hardware_thermal"};
    return state;
  }

  Seconds clock() override { return gpu_.clock; }

  LaunchOverhead launch_overhead() override { return {1.25 * us, 3.15 * us}; }

  std::optional<Seconds> time_in_order(const std::vector<PreparedCall*>& calls) override {
    Seconds sum;
    for (PreparedCall* const call : calls) sum += call->time(Cache::warm, 1).front();
    return sum;
  }

 private:
  FakeGpu gpu_;
  DeviceInfo info_;
};

}  // namespace

std::unique_ptr<Device> make_fake_device(const std::string& gpu_name,
                                         const GpuSpec& gpu,
                                         const FakeOptions& options) {
  return std::make_unique<FakeDevice>(gpu_name, gpu, options);
}

}  // namespace moesim
