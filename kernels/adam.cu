#include <cmath>

#include "kernels/adam.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kThreads = 256;

// What all elements have in common.
struct Update {
  float rate, decay, beta1, beta2, epsilon;
  float first_correction, second_correction;  // 1 / (1 - beta^t)
};

struct Floats4 {
  float at[4];
};
__device__ Floats4 load_moments(const float* from) {
  const float4 v = load_words<float4>(from);
  return {{v.x, v.y, v.z, v.w}};
}
__device__ Floats4 load_moments(const Bf16* from) {
  const uint2 words = load_words<uint2>(from);
  const Floats2 a = unpack_bf16x2(words.x), b = unpack_bf16x2(words.y);
  return {{a.lo, a.hi, b.lo, b.hi}};
}
__device__ void store_moments(float* to, const Floats4& v) {
  store_words(to, make_float4(v.at[0], v.at[1], v.at[2], v.at[3]));
}
__device__ void store_moments(Bf16* to, const Floats4& v) {
  store_words(to, make_uint2(pack_bf16x2({v.at[0], v.at[1]}), pack_bf16x2({v.at[2], v.at[3]})));
}

template <class Moment>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(const AdamStep<Moment> p, const Update update) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  if (i >= p.size) return;
  const Floats4 gradient = load_moments(p.gradient + i);
  Floats4 weight = load_moments(p.master + i), first = load_moments(p.first + i),
          second = load_moments(p.second + i);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float g = gradient.at[j];
    first.at[j] = update.beta1 * first.at[j] + (1 - update.beta1) * g;
    second.at[j] = update.beta2 * second.at[j] + (1 - update.beta2) * g * g;
    const float step = first.at[j] * update.first_correction /
                       (sqrtf(second.at[j] * update.second_correction) + update.epsilon);
    weight.at[j] -= update.rate * (step + update.decay * weight.at[j]);
  }
  store_moments(p.master + i, weight);
  store_moments(p.first + i, first);
  store_moments(p.second + i, second);
  store_moments(p.weight + i, weight);
}

template <class Moment>
void launch_step(const AdamStep<Moment>& p, Stream stream) {
  const AdamSettings& s = p.settings;
  refuse_unless(p.size % 4 == 0, "adam_step: the size is no multiple of 4");
  refuse_unless(s.step >= 1, "adam_step: steps count from 1");
  if (p.size == 0) return;
  const auto correction = [&](float beta) {
    return static_cast<float>(1 / (1 - std::pow(double{beta}, static_cast<double>(s.step))));
  };
  const Update update = {s.learning_rate,
                         s.decay,
                         s.beta1,
                         s.beta2,
                         s.epsilon,
                         correction(s.beta1),
                         correction(s.beta2)};
  launch("adam_step",
         stream,
         adam_kernel<Moment>,
         dim3(static_cast<unsigned>((p.size / 4 + kThreads - 1) / kThreads)),
         dim3(kThreads),
         0,
         p,
         update);
}

}  // namespace

void adam_step(const AdamStep<float>& p, Stream stream) { launch_step(p, stream); }
void adam_step(const AdamStep<Bf16>& p, Stream stream) { launch_step(p, stream); }

}  // namespace moesim
