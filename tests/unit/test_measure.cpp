// The measuring loop on the fake device: what it keeps, what it flags, what it refuses, and that it
// can be stopped anywhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "calibrate/fake_device.hpp"
#include "calibrate/fake_time.hpp"
#include "calibrate/measure.hpp"
#include "calibrate/measure_check.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {
namespace {

GpuSpec gpu(const std::string& name) {
  return read_gpu_spec(read_json_file(scenario_folder() / "gpus" / (name + ".json")));
}

std::unique_ptr<Device> fake(std::vector<std::string> faults = {}, double noise = 0.02) {
  return make_fake_device("h100", gpu("h100"), {noise, 1, std::move(faults)});
}

// A run into a file of its own, or on with what is there.
class Run {
 public:
  explicit Run(Suite suite = Suite::small, std::vector<std::string> only = {})
      : suite_(suite), only_(std::move(only)) {}

  MeasureResult operator()(Device& device, std::optional<Seconds> budget = {}) const {
    MeasureOptions options;
    options.budget = budget;
    const MeasuringPlan plan = measuring_plan(suite_, only_, device);
    EarlierPoints earlier;
    if (std::filesystem::exists(path()))
      earlier = earlier_points(points(), measuring_run(device, options));
    PointWriter out(path());
    return measure(device, gpu(device.info().gpu), plan, earlier, options, out);
  }
  std::filesystem::path path() const { return folder_.path() / "p.jsonl"; }
  PointFile points() const { return read_points(path(), scenario_folder() / "gpus"); }
  // Lines of points but for sentinels, sorted.
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (const Point& p : points().points)
      if (std::find(p.flags.begin(), p.flags.end(), "sentinel") == p.flags.end())
        all.push_back(point_line(p));
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  TemporaryFolder folder_;
  Suite suite_;
  std::vector<std::string> only_;
};

std::size_t count_flag(const PointFile& file, const std::string& flag) {
  return static_cast<std::size_t>(
      std::count_if(file.points.begin(), file.points.end(), [&](const Point& p) {
        return std::find(p.flags.begin(), p.flags.end(), flag) != p.flags.end();
      }));
}

Seconds hidden(const Point& p, Cache cache) {
  return hidden_time(*p.of, {p.shape, p.counts, p.sms, p.beside_communication}, gpu("h100"), cache);
}

// A device that answers as the fake does but for what a test changes.
class OddCall : public PreparedCall {
 public:
  explicit OddCall(std::unique_ptr<PreparedCall> fake) : fake_(std::move(fake)) {}
  Arrays outputs() override { return fake_->outputs(); }
  Pieces pieces(Pieces wanted) override { return fake_->pieces(std::move(wanted)); }
  std::vector<Seconds> time(Cache cache, int repeats) override {
    std::vector<Seconds> times = fake_->time(cache, repeats);
    for (Seconds& t : times) t *= 0.3;
    return times;
  }

 private:
  std::unique_ptr<PreparedCall> fake_;
};
class FastDevice final : public Device {
 public:
  const DeviceInfo& info() const override { return fake_->info(); }
  bool can_run(const Case& of, const Call& call) const override { return fake_->can_run(of, call); }
  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    return std::make_unique<OddCall>(fake_->prepare(of, call, seed));
  }
  DeviceState state() override { return {}; }
  Seconds clock() override { return fake_->clock(); }
  LaunchOverhead launch_overhead() override { return {}; }

 private:
  std::unique_ptr<Device> fake_ = fake();
};
// As a GPU is with a library's kernels.
class LibraryDevice final : public Device {
 public:
  LibraryDevice() : fake_(fake()), info_(fake_->info()) { info_.other_kernels = "of libraries"; }
  const DeviceInfo& info() const override { return info_; }
  bool can_run(const Case& of, const Call& call) const override { return fake_->can_run(of, call); }
  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    return fake_->prepare(of, call, seed);
  }
  std::string_view kernel_of(const Case& /*of*/) const override { return "cuBLASLt"; }
  DeviceState state() override { return fake_->state(); }
  Seconds clock() override { return fake_->clock(); }
  LaunchOverhead launch_overhead() override { return fake_->launch_overhead(); }

 private:
  std::unique_ptr<Device> fake_;
  DeviceInfo info_;
};

}  // namespace

TEST_CASE("measure: median and percentiles of repeats") {
  std::vector<Seconds> times;
  for (const int i : {7, 1, 11, 3, 9, 5, 2, 10, 4, 8, 6}) times.push_back(i * us);
  const Timing timing = summary(times);
  CHECK(timing.median.in(us) == Approx(6));
  CHECK(timing.p10->in(us) == Approx(2));
  CHECK(timing.p90->in(us) == Approx(10));
  CHECK(timing.repeats == 11);
  CHECK(summary({1.00004 * us, 1.0001 * us}).median.in(us) == Approx(1.0001).epsilon(1e-12));
  CHECK(num_repeats(1 * us) == 40);
  CHECK(num_repeats(250 * us) == 20);
  CHECK(num_repeats(1 * s) == 10);
}

TEST_CASE("measure: without noise a point is the hidden time") {
  const Run run(Suite::small);
  const auto device = fake({}, 0);
  const MeasureResult result = run(*device);
  const PointFile file = run.points();
  CHECK(result.num_measured + 2 * 5 == file.points.size());  // five sentinels, twice
  CHECK(result.num_flagged == 0);
  CHECK(result.p95_spread == 0);
  std::set<std::string_view> ops;
  for (const Point& p : file.points) {
    ops.insert(p.of->op);
    INFO(point_line(p));
    CHECK(std::abs(p.cold->median.in(us)-hidden(p, Cache::cold).in(us)) < 1e-4);
    if (!p.warm) continue;
    CHECK(std::abs(p.warm->median.in(us)-hidden(p, Cache::warm).in(us)) < 1e-4);
    CHECK(p.warm->median <= p.cold->median);
  }
  CHECK(ops.size() == 26);
}

TEST_CASE("measure: with noise the medians are around the hidden times") {
  const Run run(Suite::small);
  const auto device = fake({}, 0.02);
  const MeasureResult result = run(*device);
  std::vector<double> errors;
  double sum = 0;
  for (const Point& p : run.points().points) {
    errors.push_back(std::abs(std::log(p.cold->median / hidden(p, Cache::cold))));
    sum += std::log(p.cold->median / hidden(p, Cache::cold));
  }
  std::nth_element(errors.begin(), errors.begin() + 200, errors.end());
  CHECK(errors[200] > 0.0005);
  CHECK(errors[200] < 0.006);
  CHECK(std::abs(sum / static_cast<double>(errors.size())) < 0.001);
  // Half of the 10 % to 90 % range of a normal law is 1.28 of its deviation.
  CHECK(result.median_spread == Approx(1.28 * 0.02).epsilon(0.2));
}

TEST_CASE("measure: every operation is begun before any is finished") {
  const auto device = fake();
  const MeasuringPlan plan = measuring_plan(Suite::hopper, {}, *device);
  CHECK(plan.calls.size() > 2000);
  CHECK(plan.num_left_out == 0);
  std::set<std::string_view> ops;
  for (std::size_t i = 0; i < 100; ++i) ops.insert(plan.calls[i].of->op);
  CHECK(ops.size() == 26);
  Tier tier = Tier::core;
  for (const PlannedCall& p : plan.calls) {
    CHECK(p.tier >= tier);
    tier = p.tier;
  }
  const MeasuringPlan some = measuring_plan(Suite::hopper, {"cast", "rope"}, *device);
  CHECK(some.calls.size() == find_case("cast")->experiment->grid(132).size() +
                                 find_case("rope")->experiment->grid(132).size());
  CHECK(refusal([&] {
          measuring_plan(Suite::small, {"cats"}, *device);
        }).starts_with("--only: \"cats\" is no operation; expected some of gemm_fp8, "));
  CHECK(refusal([&] { measuring_plan(Suite::small, {"small"}, *device); }) ==
        "--only: \"small\" is only imported, no device measures it");
}

TEST_CASE("measure: a GPU without FP8 has no FP8 points") {
  const auto a100 = make_fake_device("a100-80", gpu("a100-80"), {0, 1, {}});
  const MeasuringPlan plan = measuring_plan(Suite::small, {}, *a100);
  CHECK(plan.num_left_out > 100);
  CHECK(std::none_of(plan.calls.begin(), plan.calls.end(), [](const PlannedCall& p) {
    return p.of->peak == Peak::fp8;
  }));
}

TEST_CASE("measure: a wrong kernel has no points and is named") {
  const Run run(Suite::small);
  const auto device = fake({"wrong=cast", "unwritten=attention_decode"});
  const MeasureResult result = run(*device);
  REQUIRE(result.wrong.size() == 2);
  CHECK(
      result.wrong.at("cast").starts_with("codes of cast bytes=21728 has a relative L2 error of"));
  CHECK(result.wrong.at("attention_decode") ==
        "out of attention_decode batch=2 kv_len=100 seq_q=1 heads=16 has 2048 of 16384 values not "
        "written or not finite");
  std::set<std::string_view> ops;
  for (const Point& p : run.points().points) ops.insert(p.of->op);
  CHECK(ops.size() == 24);
  CHECK_FALSE(ops.contains("cast"));
  CHECK_FALSE(ops.contains("attention_decode"));
}

TEST_CASE("measure: every kernel of the fake device is right and none is exact for nothing") {
  const auto device = fake();
  for (const Case* of : cases()) {
    if (of->experiment == nullptr) continue;
    const Verification found = verify(*device, *of, 1);
    INFO(of->op);
    CHECK_FALSE(found.wrong);
    CHECK(found.worst <= of->experiment->tolerance);
    CHECK((found.worst > 0) == (of->experiment->tolerance > 0 && of->op != "gemm_fp8_wgrad" &&
                                of->op != "swiglu"));  // these two store what the reference says
    const auto wrong = fake({"wrong=" + std::string(of->op)});
    CHECK(verify(*wrong, *of, 1).wrong);
  }
}

TEST_CASE("measure: drift flags the minute it began in and what follows") {
  const Run run(Suite::hopper);
  const auto device = fake({"drift=65"});
  const MeasureResult result = run(*device);
  CHECK(result.time > 66 * s);
  const PointFile file = run.points();
  const std::size_t flagged = count_flag(file, "drift");
  CHECK(flagged == result.num_flagged);
  CHECK(flagged > 50);
  CHECK(flagged < file.points.size() / 2);
  for (const Point& p : file.points)  // what is 8 % off is flagged
    if (p.flags.empty()) CHECK(p.cold->median / hidden(p, Cache::cold) < 1.05);
  const std::string text = file_text(run.path());
  CHECK(text.find(R"("note":"gemm_fp8 m=4096 n=4096 k=7168 took )") != std::string::npos);
}

TEST_CASE("measure: in a drifting minute points are flagged as they are written") {
  const Run run(Suite::hopper);
  const GpuSpec h20 = gpu("h20");  // a slower GPU: five minutes
  const auto device = make_fake_device("h20", h20, {0.02, 1, {"drift=70", "dies=1800"}});
  CHECK_THROWS_AS(run(*device), std::runtime_error);
  CHECK(device->clock() > 200 * s);
  const PointFile file = run.points();
  CHECK(count_flag(file, "drift") > 500);
  for (const Point& p : file.points) {
    const Call call{p.shape, p.counts, p.sms, p.beside_communication};
    if (p.flags.empty()) CHECK(p.cold->median / hidden_time(*p.of, call, h20, Cache::cold) < 1.05);
  }
}

TEST_CASE("measure: what was throttled is flagged and measured again") {
  const Run run(Suite::small, {"rope"});
  const auto slow = fake({"throttled"});
  CHECK(run(*slow).num_flagged == 7);
  CHECK(count_flag(run.points(), "throttled") == 7);
  CHECK(run(*slow).num_measured == 7);
  CHECK(run.points().points[5].evidence[1].second.dump_line() ==
        R"({"sm_clock_mhz":1410.0,"throttled_by":["hardware_thermal"]})");
}

TEST_CASE("measure: a device that is lost leaves a file that is carried on") {
  const Run whole(Suite::small), lost(Suite::small);
  const auto device = fake();
  whole(*device);
  std::size_t there = 0;
  for (const char* fault : {"dies=5", "dies=37", "dies=200"}) {
    const auto dying = fake({fault});
    CHECK_THROWS_AS(lost(*dying), std::runtime_error);
    CHECK(lost.lines().size() >= there);
    there = lost.lines().size();
  }
  CHECK(there > 200);
  const auto again = fake();
  const MeasureResult result = lost(*again);
  CHECK(result.num_there == there);
  CHECK(lost.lines() == whole.lines());
  // Nothing is left to do, and nothing is written.
  const std::string before = file_text(lost.path());
  const auto idle = fake();
  CHECK(lost(*idle).num_measured == 0);
  CHECK(file_text(lost.path()) == before);
}

TEST_CASE("measure: another device's points are not taken for its own") {
  const Run run(Suite::small, {"rope"});
  const auto first = fake({}, 0.02), second = fake({}, 0.01);
  CHECK(run(*first).num_measured == 7);
  CHECK(run(*second).num_measured == 7);
  CHECK(run(*first).num_there == 7);
  // Nor those of another plan version.
  MeasureOptions options;
  PointRun now = measuring_run(*first, options);
  CHECK(earlier_points(run.points(), now).done.size() == 7);
  now.plan_version = 999;
  CHECK(earlier_points(run.points(), now).done.empty());
}

TEST_CASE("measure: points of a library's kernels name them, and are not those of our own") {
  const Run run(Suite::small, {"gemm_fp8"});
  LibraryDevice library;
  const std::size_t count = run(library).num_measured;
  CHECK(count > 0);
  const PointFile file = run.points();
  CHECK(file.runs.at(0).plan.empty());
  CHECK(!file.runs.at(0).plan_version);
  for (const std::string& line : run.lines()) {
    CHECK(line.find("\"kernel\":\"cuBLASLt\"") != std::string::npos);
    CHECK(line.find("\"plan\"") == std::string::npos);
  }
  const auto own = fake();
  const MeasureResult beside = run(*own);
  CHECK(beside.num_measured == count);
  CHECK(beside.num_there == 0);
}

TEST_CASE("measure: drift before an interruption is found after it") {
  const Run run(Suite::small, {"rope", "cast"});
  const auto device = fake({}, 0);
  run(*device);
  // Cut off before the closing sentinels; then those of the resumed run have all moved.
  PointFile file = run.points();
  std::string text = run_line(file.runs[0]);
  for (const Point& p : file.points) {
    if (text.find("\"check\"") != std::string::npos && p.flags.size() == 1) break;
    Point changed = p;
    if (!p.flags.empty()) changed.cold->median *= 1.05, changed.cold->p90 = changed.cold->p10 = {};
    if (p.of->op == "cast" && p.flags.empty() && p.shape[0] > 100000000) continue;
    text += point_line(changed);
  }
  const Run resumed(Suite::small, {"rope", "cast"});
  PointWriter(resumed.path()).add(text);
  const auto later = fake({}, 0);
  CHECK(resumed(*later).num_measured == 2);
  const PointFile found = resumed.points();
  CHECK(count_flag(found, "drift") == 14);
}

TEST_CASE("measure: the budget ends a run between two calls") {
  const Run run(Suite::hopper);
  const auto device = fake();
  const MeasureResult result = run(*device, 2 * s);
  CHECK(result.time.in(s) < 2.2);  // one call more than fits
  CHECK(result.time > 1.8 * s);
  CHECK(result.num_left > 1000);
  CHECK(result.num_left + result.num_measured ==
        measuring_plan(Suite::hopper, {}, *device).calls.size());
  CHECK(run.lines().size() == result.num_measured);
}

TEST_CASE("measure: a time below the datasheet's is not kept") {
  const Run run(Suite::small, {"gemm_fp8"});
  FastDevice device;
  const MeasureResult result = run(device);
  CHECK(result.impossible.size() > 40);
  CHECK(result.impossible[0] ==
        "fake H100, seed 1, noise 0.02: gemm_fp8 m=4096 n=4096 k=7168 took 52.81 us; the H100 "
        "datasheet allows no less than 121.5 us, so the timer or a unit is wrong");
  CHECK(run.lines().size() == result.num_measured);
}

TEST_CASE("measure: faults that the fake device does not know are refused") {
  const auto refused = [](const std::string& fault) { return refusal([&] { fake({fault}); }); };
  CHECK(refused("wrog=cast").starts_with("--fake-fault wrog=cast: expected wrong=OP"));
  CHECK(refused("wrong").starts_with("--fake-fault wrong: \"\" is no operation"));
  CHECK(refused("wrong=small").starts_with("--fake-fault wrong=small: \"small\" is no operation"));
  CHECK(refused("drift=soon") ==
        "--fake-fault drift=soon: expected a number from 0 to 1e9 after \"=\"");
  CHECK(refused("dies=-1").starts_with("--fake-fault dies=-1: expected a number"));
  CHECK(refused("noisy=2") == "--fake-fault noisy=2: expected no value");
}

TEST_CASE("measure: sharing SMs and communication beside it slow a kernel down") {
  const Case& gemm = *find_case("gemm_fp8");
  const GpuSpec h100 = gpu("h100");
  const auto time = [&](std::int64_t sms, bool beside) {
    return hidden_time(gemm, {{4096, 4096, 7168}, {}, sms, beside}, h100, Cache::cold);
  };
  CHECK(time(132, false) == time(0, false));
  CHECK(time(112, false) > time(0, false));
  CHECK(time(112, true) / time(112, false) == Approx(1 + 0.37 * 20 / 132));
}

}  // namespace moesim
