// moesim-calibrate check, on the fake device.
#include "calibrate/check.hpp"

#include "calibrate/fake_device.hpp"
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

}  // namespace

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
  CHECK_THROWS_WITH(checked({}, {"copy"}), Contains("is only imported"));
}
