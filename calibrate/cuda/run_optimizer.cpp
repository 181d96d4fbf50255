// Optimizer steps, in place.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cuda/routes.hpp"
#include "kernels/naive.hpp"

namespace moesim {

void prepare_adam(const Call& call, GpuCall& gpu) {
  constexpr std::int64_t kWidth = 2048, kWeightBytes = 22;
  AdamStep<Bf16> p = {};
  p.size = static_cast<std::int64_t>(rows_of(call, kWidth * kWeightBytes)) * kWidth;
  p.settings = {0.125F, 0.9F, 0.95F, 1e-8F, 0.1F, 3};
  p.gradient = gpu.fp32(p.size, 0);
  p.master = gpu.fp32(p.size, 1);
  p.first = gpu.bf16(p.size, 2);
  p.second = gpu.allocate<Bf16>(p.size);
  fill_squares(p.second, p.size, {gpu.seed, 3}, gpu.stream);
  const std::uint64_t seed = gpu.seed;
  const Stream stream = gpu.stream;
  gpu.changed_in_place(p.master, "master", Element::fp32, p.size, [=] {
    fill_normal(p.master, p.size, {seed, 1}, stream);
  });
  gpu.changed_in_place(p.first, "first", Element::bf16, p.size, [=] {
    fill_normal(p.first, p.size, {seed, 2}, stream);
  });
  gpu.changed_in_place(p.second, "second", Element::bf16, p.size, [=] {
    fill_squares(p.second, p.size, {seed, 3}, stream);
  });
  p.weight = gpu.output<Bf16>("weight", Element::bf16, p.size);
  gpu.run<AdamStep<Bf16>>(p, adam_step, adam_step_naive);
}

}  // namespace moesim
