// moesim-calibrate check, on the fake device.
#include <algorithm>

#include "calibrate/check.hpp"
#include "calibrate/fake_device.hpp"
#include "calibrate/measure_check.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

CheckResult checked(const std::vector<std::string>& faults, const std::vector<std::string>& only) {
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  const auto device = make_fake_device("h100", gpu, {0, 1, faults});
  return check_device(*device, only, 1, [](const std::string&) {});
}

// A fake device whose kernels take sizes in multiples of 16 alone, as a library's do.
class AlignedDevice final : public Device {
 public:
  AlignedDevice()
      : gpu_(read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"))),
        fake_(make_fake_device("h100", gpu_, {0, 1, {}})) {}
  const DeviceInfo& info() const override { return fake_->info(); }
  bool can_run(const Case& of, const Call& call) const override {
    return fake_->can_run(of, call) &&
           std::all_of(
               call.shape.begin(), call.shape.end(), [](std::int64_t n) { return n % 16 == 0; });
  }
  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    REQUIRE(can_run(of, call));
    return fake_->prepare(of, call, seed);
  }
  DeviceState state() override { return fake_->state(); }
  Seconds clock() override { return fake_->clock(); }
  LaunchOverhead launch_overhead() override { return fake_->launch_overhead(); }

 private:
  GpuSpec gpu_;
  std::unique_ptr<Device> fake_;
};

}  // namespace

TEST_CASE("shapes that a kernel does not take are left out and told", "[check]") {
  AlignedDevice device;
  const CheckResult result = check_device(device, {"gemm_fp8_wgrad"}, 1, [](const std::string&) {});
  CHECK(result.all_right());
  CHECK(result.calls.size() == 1);
  CHECK_THAT(check_text(result), Contains("gemm_fp8_wgrad does not take 2 of its small shapes\n"));
  CHECK(!verify(device, *find_case("gemm_fp8_wgrad"), 1).wrong);
  // None of them: nothing would be compared, and nothing may be timed.
  const CheckResult none =
      check_device(device, {"attention_backward"}, 1, [](const std::string&) {});
  CHECK(none.calls.empty());
  CHECK_THAT(check_text(none), Contains("no kernel for attention_backward: not checked\n"));
  CHECK_THAT(verify(device, *find_case("attention_backward"), 1).wrong.value_or(""),
             Contains("can run none of the shapes at which attention_backward is checked"));
}

TEST_CASE("every shape of an operation is checked and told", "[check]") {
  const CheckResult result = checked({}, {"cast", "gemm_fp8"});
  CHECK(result.all_right());
  CHECK(result.calls.size() == find_case("cast")->experiment->checks().size() +
                                   find_case("gemm_fp8")->experiment->checks().size());
  CHECK_THAT(check_text(result), Contains("| gemm_fp8 m=65 n=128 k=256 | "));
  CHECK_THAT(check_text(result), Contains("7 checks, 0 wrong"));
}

TEST_CASE("a wrong kernel does not end the check", "[check]") {
  const CheckResult result = checked({"wrong=cast"}, {"cast", "gemm_fp8"});
  CHECK(!result.all_right());
  CHECK(result.calls.size() == 7);
  CHECK_THAT(check_text(result), Contains("7 checks, 2 wrong"));
  CHECK_THAT(result.calls[5].problem.value_or(result.calls[0].problem.value_or("")),
             Contains("cast bytes="));
}

TEST_CASE("results that were not written are told by their number", "[check]") {
  const CheckResult result = checked({"unwritten=cast"}, {"cast"});
  CHECK_THAT(*result.calls[0].problem, Contains("values not written or not finite"));
}

TEST_CASE("an operation that is only imported cannot be checked", "[check]") {
  CHECK_THROWS_WITH(checked({}, {"scale_copy"}), Contains("is only imported"));
}
