// Kernels that a profile may not know are costed as the one that is most like them.
#include "model/cost_model.hpp"
#include "sim/error_sources.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

TEST_CASE("a kernel that the profile lacks is costed and judged as its stand-in", "[cost]") {
  const GpuSpec gpu = read_gpu_spec(read_json_file(scenario_folder() / "gpus" / "h100.json"));
  Profile profile = read_profile_file(scenario_folder() / "profiles" / "h100-published.json");
  Op op;
  op.bytes = 50e6 * B;
  const auto cost_as = [&](Kernel kernel) {
    op.kernel = kernel;
    return CostModel(profile, gpu).cost(op, {gpu.num_sms, false});
  };
  for (const auto& [kernel, like] : {std::pair{Kernel::swiglu_backward, Kernel::swiglu},
                                     std::pair{Kernel::adam, Kernel::elementwise}}) {
    INFO(kKernelNames[static_cast<std::size_t>(kernel)]);
    const std::size_t index = static_cast<std::size_t>(kernel);
    REQUIRE(!profile.memory[index]);
    const Cost borrowed = cost_as(kernel), theirs = cost_as(like);
    CHECK(borrowed.time == theirs.time);
    CHECK(borrowed.origin == theirs.origin);
    CHECK(borrowed.log_error == theirs.log_error);
    CHECK(judged_as(profile, kernel) == like);

    profile.memory[index] = profile.memory[static_cast<std::size_t>(like)];
    profile.memory[index]->overhead = 1 * ms;
    CHECK(cost_as(kernel).time > 1 * ms);
    CHECK(judged_as(profile, kernel) == kernel);
  }
  // Nothing is like a permute: without its model the datasheet is what is left.
  profile.memory[static_cast<std::size_t>(Kernel::permute)].reset();
  CHECK(cost_as(Kernel::permute).origin == Origin::roofline);
}
