// The naive twins of kernels/naive.hpp over rows, pairs, values and weights.
#include <cmath>

#include "kernels/each_thread.hpp"
#include "kernels/naive.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

__device__ float summed_at(const RmsnormInput& in, std::int64_t i) {
  return to_float(in.x[i]) + (in.residual == nullptr ? 0 : to_float(in.residual[i]));
}

__device__ float norm_scale(const RmsnormInput& in, std::int64_t row) {
  float squares = 0;
  for (std::int64_t c = 0; c < in.columns; ++c) {
    const float s = summed_at(in, row * in.columns + c);
    squares += s * s;
  }
  return 1 / sqrtf(squares / static_cast<float>(in.columns) + in.epsilon);
}

// Last, for `sum` may be the residual.
__device__ void keep_sums(const RmsnormInput& in, std::int64_t row) {
  if (in.sum == nullptr) return;
  for (std::int64_t i = row * in.columns; i < (row + 1) * in.columns; ++i)
    in.sum[i] = to_bf16(summed_at(in, i));
}

struct RmsnormEach {
  Rmsnorm p;
  __device__ void operator()(std::int64_t row) const {
    const float scale = norm_scale(p.in, row);
    for (std::int64_t c = 0; c < p.in.columns; ++c) {
      const std::int64_t i = row * p.in.columns + c;
      p.out[i] = to_bf16(summed_at(p.in, i) * scale * to_float(p.in.weight[c]));
    }
    keep_sums(p.in, row);
  }
};

struct RmsnormCastEach {
  RmsnormCast p;
  __device__ void operator()(std::int64_t row) const {
    const float scale = norm_scale(p.in, row);
    const auto normed = [&](std::int64_t c) {
      return summed_at(p.in, row * p.in.columns + c) * scale * to_float(p.in.weight[c]);
    };
    for (std::int64_t first = 0; first < p.in.columns; first += kQuantBlock) {
      const std::int64_t end =
          first + kQuantBlock < p.in.columns ? first + kQuantBlock : p.in.columns;
      float amax = 0;
      for (std::int64_t c = first; c < end; ++c) amax = fmaxf(amax, fabsf(normed(c)));
      const QuantScale s = quant_scale(amax);
      for (std::int64_t c = first; c < end; ++c)
        p.codes[row * p.in.columns + c] = to_e4m3(__fmul_rn(normed(c), s.to_code));
      p.scales[first / kQuantBlock * scale_stride(p.in.rows) + row] = s.scale;
    }
    keep_sums(p.in, row);
  }
};

// Leaves 1 / rms of the row in the scratch.
struct RmsnormSlopeEach {
  RmsnormBackward p;
  __device__ void operator()(std::int64_t row) const {
    const std::int64_t begin = row * p.columns;
    const auto count = static_cast<float>(p.columns);
    float squares = 0, slope = 0;
    for (std::int64_t c = 0; c < p.columns; ++c) {
      const float s = to_float(p.sum[begin + c]);
      squares += s * s;
      slope += s * to_float(p.d_out[begin + c]) * to_float(p.weight[c]);
    }
    const float scale = 1 / sqrtf(squares / count + p.epsilon);
    slope *= scale * scale / count;
    for (std::int64_t c = 0; c < p.columns; ++c) {
      const float g = to_float(p.d_out[begin + c]) * to_float(p.weight[c]),
                  passed = p.d_residual == nullptr ? 0 : to_float(p.d_residual[begin + c]);
      p.d_sum[begin + c] = to_bf16(scale * (g - slope * to_float(p.sum[begin + c])) + passed);
    }
    p.scratch[row] = scale;
  }
};

struct RmsnormWeightEach {
  RmsnormBackward p;
  __device__ void operator()(std::int64_t c) const {
    float sum = 0;
    for (std::int64_t row = 0; row < p.rows; ++row)
      sum += to_float(p.d_out[row * p.columns + c]) * to_float(p.sum[row * p.columns + c]) *
             p.scratch[row];
    p.d_weight[c] += sum;
  }
};

struct RopeEach {
  Rope p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t pairs = p.rotated / 2, pair = i % pairs, head = i / pairs % p.heads,
                       row = i / pairs / p.heads;
    const std::int64_t position = p.position == nullptr ? row : p.position[row];
    const float* const turn = p.table + (position * pairs + pair) * 2;
    Bf16* const at =
        p.x + (row * p.heads + head) * p.head_dim + (p.head_dim - p.rotated) + 2 * pair;
    const float a = to_float(at[0]), b = to_float(at[1]), cosine = turn[0],
                sine = p.inverse ? -turn[1] : turn[1];
    at[0] = to_bf16(a * cosine - b * sine);
    at[1] = to_bf16(a * sine + b * cosine);
  }
};

struct AddEach {
  AddTensors p;
  __device__ void operator()(std::int64_t i) const {
    p.out[i] = to_bf16(to_float(p.a[i]) + to_float(p.b[i]));
  }
};

struct CopyEach {
  CopyPieces p;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t byte = i % p.piece_bytes, copy = i / p.piece_bytes % p.copies,
                       row = i / p.piece_bytes / p.copies;
    static_cast<std::byte*>(p.to)[row * p.to_row_stride + copy * p.to_copy_stride + byte] =
        static_cast<const std::byte*>(
            p.from)[row * p.from_row_stride + copy * p.from_copy_stride + byte];
  }
};

__device__ float moment(float stored) { return stored; }
__device__ float moment(Bf16 stored) { return to_float(stored); }
__device__ void keep_moment(float* at, float value) { *at = value; }
__device__ void keep_moment(Bf16* at, float value) { *at = to_bf16(value); }

template <class Moment>
struct AdamEach {
  AdamStep<Moment> p;
  float first_correction, second_correction;  // 1 - beta^t
  __device__ void operator()(std::int64_t i) const {
    const AdamSettings& s = p.settings;
    const float g = p.gradient[i];
    const float first = s.beta1 * moment(p.first[i]) + (1 - s.beta1) * g,
                second = s.beta2 * moment(p.second[i]) + (1 - s.beta2) * g * g;
    const float step = first / first_correction / (sqrtf(second / second_correction) + s.epsilon);
    const float weight = p.master[i] - s.learning_rate * (step + s.decay * p.master[i]);
    p.master[i] = weight;
    keep_moment(p.first + i, first);
    keep_moment(p.second + i, second);
    p.weight[i] = to_bf16(weight);
  }
};

template <class Moment>
void launch_adam(const AdamStep<Moment>& p, Stream stream) {
  refuse_unless(p.settings.step >= 1, "adam_step_naive: steps count from 1");
  const auto correction = [&](float beta) {
    return static_cast<float>(1 - std::pow(double{beta}, static_cast<double>(p.settings.step)));
  };
  launch_each("adam_step_naive",
              stream,
              p.size,
              AdamEach<Moment>{p, correction(p.settings.beta1), correction(p.settings.beta2)});
}

}  // namespace

void rmsnorm_naive(const Rmsnorm& p, Stream stream) {
  launch_each("rmsnorm_naive", stream, p.in.rows, RmsnormEach{p});
}
void rmsnorm_cast_naive(const RmsnormCast& p, Stream stream) {
  launch_each("rmsnorm_cast_naive", stream, p.in.rows, RmsnormCastEach{p});
}
void rmsnorm_backward_naive(const RmsnormBackward& p, Stream stream) {
  refuse_unless(p.rows <= kRmsnormParts * p.columns,
                "rmsnorm_backward_naive: more rows than the scratch holds");
  launch_each("rmsnorm_backward_naive", stream, p.rows, RmsnormSlopeEach{p});
  launch_each("rmsnorm_weight_naive", stream, p.columns, RmsnormWeightEach{p});
}
void rope_naive(const Rope& p, Stream stream) {
  launch_each("rope_naive", stream, p.rows * p.heads * (p.rotated / 2), RopeEach{p});
}
void add_tensors_naive(const AddTensors& p, Stream stream) {
  launch_each("add_tensors_naive", stream, p.size, AddEach{p});
}
void copy_pieces_naive(const CopyPieces& p, Stream stream) {
  launch_each("copy_pieces_naive", stream, p.rows * p.copies * p.piece_bytes, CopyEach{p});
}
void adam_step_naive(const AdamStep<float>& p, Stream stream) { launch_adam(p, stream); }
void adam_step_naive(const AdamStep<Bf16>& p, Stream stream) { launch_adam(p, stream); }

}  // namespace moesim
