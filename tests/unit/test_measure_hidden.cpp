// The fake device's hidden formula lies in the family that a fit searches: the model's own forms,
// given the hidden numbers, say the same.
#include "calibrate/fake_time.hpp"
#include "model/json_reader.hpp"
#include "model/kernel_model.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {
namespace {

GpuSpec h100() { return read_gpu_spec(read_json_file(scenario_folder() / "gpus/h100.json")); }

}  // namespace

TEST_CASE("measure: the hidden GEMM is one of the model's") {
  GemmModel model;  // as in calibrate/fake_time.cpp
  model.rule = TileRule::fewest_waves;
  model.mma_efficiency = 0.745;
  model.load = 131 * GB_per_s;
  model.store = 88 * GB_per_s;
  model.fill = 0.62 * us;
  model.overhead = 2.45 * us;
  model.hbm_efficiency = 0.81;
  model.norm = 3.5;
  const GpuSpec gpu = h100();
  const Case& gemm = *find_case("gemm_fp8");
  for (const GridCall& g : gemm.experiment->grid(gpu.num_sms)) {
    if (g.call.beside_communication) continue;
    const Shape& x = g.call.shape;
    const std::int64_t sms = g.call.sms > 0 ? g.call.sms : gpu.num_sms;
    const Seconds time =
        gemm_base_time(model, *gpu.peak_fp8, gpu, {x[0], x[1], x[2], 1, {}}, 1, 2, sms);
    CHECK(hidden_time(gemm, g.call, gpu, Cache::cold) / time == Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("measure: the hidden decode is one of the model's") {
  const GpuSpec gpu = h100();
  DecodeModel model;
  model.overhead = 8.3 * us;
  model.block = (2.0 * 64 * 64 * (576 + 512) * FLOP) /
                (0.58 / static_cast<double>(gpu.num_sms) * gpu.peak_bf16);
  model.bandwidth = 0.815 * gpu.hbm_bandwidth;
  model.norm = 4.5;
  model.sms = gpu.num_sms;
  const Case& decode = *find_case("attention_decode");
  for (const GridCall& g : decode.experiment->grid(gpu.num_sms)) {
    const Shape& x = g.call.shape;
    const Bytes bytes = decode.work(x, {}).bytes;
    const Seconds time = decode_base_time(model, x[0], x[1], x[2] * x[3], bytes, gpu.num_sms);
    CHECK(hidden_time(decode, g.call, gpu, Cache::cold) / time == Approx(1).epsilon(1e-9));
  }
}

}  // namespace moesim
