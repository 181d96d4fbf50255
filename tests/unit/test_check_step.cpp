// A layer's forward on the fake device against the cost model.
#include "calibrate/check_step.hpp"
#include "calibrate/fake_device.hpp"
#include "calibrate/fake_time.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

StepCheck fake_step(const std::vector<std::string>& faults = {},
                    StepHalf half = StepHalf::forward) {
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  const auto device = make_fake_device("h100", gpu, {0, 1, faults});
  const CostModel costs(read_profile_file(scenario_folder() / "profiles" / "synthetic.json"), gpu);
  return check_step(*device, shipped_model("deepseek-v3"), costs, 1, half);
}

}  // namespace

TEST_CASE("a layer's forward is timed at the trace's shapes", "[check_step]") {
  const StepCheck check = fake_step();
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  Seconds measured;
  bool saw_experts = false;
  for (const StepOperation& o : check.operations) {
    if (!o.measured) continue;
    measured += *o.measured;
    if (o.op.name != "grouped_gate_up") continue;
    saw_experts = true;
    CHECK(o.call->shape == Shape{4, 32512, 4096, 7168});
    const Seconds hidden = hidden_time(*find_case("grouped_gemm_fp8"), *o.call, gpu, Cache::warm);
    CHECK(o.measured->in(us) == Approx(hidden.in(us)).epsilon(1e-4));
  }
  CHECK(saw_experts);
  REQUIRE(check.one_stream);
  CHECK(check.one_stream->in(us) == Approx(measured.in(us)).epsilon(0.01));
  CHECK_THAT(check_step_text(check), Contains("| o_proj | gemm_fp8 | m=4096 n=7168 k=16384 | "));
  CHECK_THAT(check_step_text(check), Contains("| the same in one stream |"));
}

TEST_CASE("a layer's backward is timed at the trace's shapes", "[check_step]") {
  const StepCheck check = fake_step({}, StepHalf::backward);
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  // In order, one of each kind of work, at shapes that the trace shows.
  struct Expected {
    const char *name, *op;
    Shape shape;
  };
  const std::vector<Expected> expected = {
      {"grouped_down_dgrad", "grouped_gemm_fp8", {4, 32512, 2048, 7168}},
      {"expert_gate_up_wgrad(x4,2 streams)", "gemm_fp8_wgrad", {4096, 7168, 8128}},
      {"rmsnorm_mlp_bwd", "rmsnorm_backward", {4096 * 7168 * 8}},
      {"o_proj_dgrad", "gemm_fp8", {4096, 16384, 7168}},
      {"flash_attn_bwd(causal)", "attention_backward", {1, 4096, 0, 128, 192, 128}}};
  std::size_t found = 0;
  Seconds measured;
  for (const StepOperation& o : check.operations) {
    if (o.measured) measured += *o.measured;
    if (found == expected.size() || o.op.name != expected[found].name) continue;
    INFO(o.op.name);
    REQUIRE(o.call);
    CHECK(o.call->shape == expected[found].shape);
    const Seconds hidden = hidden_time(*find_case(expected[found].op), *o.call, gpu, Cache::warm);
    CHECK(o.measured->in(us) == Approx(o.op.launches * hidden.in(us)).epsilon(1e-4));
    ++found;
  }
  CHECK(found == expected.size());
  REQUIRE(check.one_stream);
  CHECK(check.one_stream->in(us) == Approx(measured.in(us)).epsilon(0.02));
  // What a kernel of ours does is timed; the rest is told.
  for (const StepOperation& o : check.operations) {
    INFO(o.op.name);
    const bool has_kernel = o.op.kernel != Kernel::small && o.op.kernel != Kernel::cast_back_e5m6 &&
                            o.op.kernel != Kernel::scale_copy &&
                            o.op.kernel != Kernel::scale_transpose &&
                            o.op.kernel != Kernel::attention_backward_edges;
    CHECK(o.measured.has_value() == has_kernel);
  }
}

TEST_CASE("a device that cannot run an operation of the layer says why", "[check_step]") {
  StepCheck check;
  StepOperation lacking;
  lacking.op.name = "flash_attn_bwd(causal)";
  lacking.op.kernel = Kernel::attention_backward;
  lacking.not_timed = "cuDNN is not there";
  check.operations = {lacking};
  CHECK_THAT(check_step_text(check), Contains("| not timed: cuDNN is not there | - |"));
}

TEST_CASE("a device that is slower than its profile is seen in the error", "[check_step]") {
  const StepCheck plain = fake_step(), slow = fake_step({"throttled"});
  REQUIRE(plain.operations.size() == slow.operations.size());
  for (std::size_t i = 0; i < plain.operations.size(); ++i)
    if (plain.operations[i].measured)
      CHECK(*slow.operations[i].measured / *plain.operations[i].measured ==
            Approx(1.25).epsilon(1e-3));
}

TEST_CASE("a memory-bound operation is timed at whole rows of its case", "[check_step]") {
  Op op;
  op.kernel = Kernel::cast;
  const std::int64_t row = find_case("cast")->experiment->checks()[0].shape[0];
  op.bytes = 3.4 * static_cast<double>(row) * B;
  CHECK(call_of(op)->shape == Shape{3 * row});
  op.bytes = 1 * B;
  CHECK(call_of(op)->shape == Shape{row});
  op.kernel = Kernel::scale_copy;
  CHECK(!call_of(op));
}
