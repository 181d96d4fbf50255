// Samples of large calls are what the whole reference has at their places.
#include <algorithm>

#include "calibrate/check.hpp"
#include "calibrate/fake_device.hpp"
#include "calibrate/measure_plan.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

CheckResult sampled(const std::vector<std::string>& faults, const std::vector<std::string>& only) {
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  const auto device = make_fake_device("h100", gpu, {0, 1, faults});
  return check_device(
      *device, only, 1, [](const std::string&) {}, CheckShapes::core);
}

}  // namespace

TEST_CASE("samples are pieces of the whole reference", "[samples]") {
  for (const Case* of : cases()) {
    if (of->experiment == nullptr) continue;
    const Experiment& e = *of->experiment;
    INFO(of->op);
    REQUIRE(e.samples != nullptr);
    for (const Call& call : e.checks()) {
      const Arrays whole = e.outputs(call, e.inputs(call, 7));
      const Pieces pieces = e.samples(call, 7);
      INFO(call_text(*of, call));
      // All outputs but the weights' gradient of a norm, which has all rows in it; and the end.
      bool reaches_end = false;
      for (const Piece& piece : pieces) {
        const std::vector<float>& all = whole.at(piece.output).values;
        const auto first = static_cast<std::size_t>(piece.first);
        REQUIRE(first + piece.values.size() <= all.size());
        REQUIRE(!piece.values.empty());
        const std::vector<float> there(
            all.begin() + piece.first,
            all.begin() + piece.first + static_cast<std::ptrdiff_t>(piece.values.size()));
        CHECK(relative_l2(piece.values, there) <= (e.tolerance == 0 ? 0 : 1e-6));
        reaches_end = reaches_end || first + piece.values.size() == all.size();
      }
      CHECK(reaches_end);
      for (std::size_t output = 0; output < whole.size(); ++output)
        CHECK((of->op == "rmsnorm_backward" && output == 1) !=
              std::any_of(pieces.begin(), pieces.end(), [&](const Piece& p) {
                return p.output == output;
              }));
    }
  }
}

TEST_CASE("every measured shape of an operation is checked by samples", "[samples]") {
  const CheckResult result = sampled({}, {"cast", "gemm_fp8_wgrad"});
  CHECK(result.all_right());
  std::size_t large = 0;
  for (const CheckedCall& c : result.calls) large += c.sampled ? 1 : 0;
  CHECK(large == 7 + 30);
  CHECK_THAT(check_text(result), Contains("| cast, samples of 7 shapes | 0 | 0 | right |"));
  CHECK_THAT(check_text(result), Contains("| gemm_fp8_wgrad, samples of 30 shapes | 0 | "));
  CHECK_THAT(check_text(result), Contains("42 checks, 0 wrong"));
}

TEST_CASE("a sample that is wrong or was not written is told with its shape", "[samples]") {
  const CheckResult wrong = sampled({"wrong=cast"}, {"cast"});
  CHECK_THAT(check_text(wrong), Contains("| cast, samples of 7 shapes | 1 | 0 | 7 WRONG |"));
  CHECK_THAT(check_text(wrong), Contains("| cast bytes=1073732576 | 1 | 0 | WRONG |"));
  const CheckResult unwritten = sampled({"unwritten=cast"}, {"cast"});
  CHECK_THAT(unwritten.calls.back().problem.value_or(""),
             Contains("56 of 56 values not written or not finite"));
}
