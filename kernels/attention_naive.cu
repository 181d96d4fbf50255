// The naive versions of MLA decode and prefill: one row of attention by one block of 128 threads,
// as plainly as it can be done without storing all of its scores.
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"

namespace moesim {
namespace {

constexpr int kNaiveThreads = 128;

// key(j), value(j): pointers to those of key j. Returns the natural logarithm of the sum of the
// exponentials, and leaves value columns threadIdx.x + 128 i in out[i]. 128 keys at a time: each
// thread one score, then all of them one column of the weighted sum.
template <int kWidth, int kColumns, class Key, class Value>
__device__ float naive_attention_row(
    const Bf16* q, int num_keys, float scale, Key key, Value value, float (&out)[kColumns]) {
  __shared__ float scores[kNaiveThreads];
  const int thread = static_cast<int>(threadIdx.x);
  float highest = -INFINITY, sum = 0;
  for (float& o : out) o = 0;
  for (int first = 0; first < num_keys; first += kNaiveThreads) {
    const int here = num_keys - first < kNaiveThreads ? num_keys - first : kNaiveThreads;
    if (thread < here) {
      const Bf16* const k = key(first + thread);
      float score = 0;
      for (int d = 0; d < kWidth; ++d) score += to_float(q[d]) * to_float(k[d]);
      scores[thread] = score * scale;
    }
    __syncthreads();
    float higher = highest;
    for (int j = 0; j < here; ++j) higher = fmaxf(higher, scores[j]);
    const float shrink = expf(highest - higher);
    highest = higher;
    sum *= shrink;
    for (float& o : out) o *= shrink;
    for (int j = 0; j < here; ++j) {
      const float weight = expf(scores[j] - highest);
      const Bf16* const v = value(first + j);
      sum += weight;
      for (int i = 0; i < kColumns; ++i) out[i] += weight * to_float(v[thread + kNaiveThreads * i]);
    }
    __syncthreads();
  }
  if (sum == 0) return -INFINITY;
  for (float& o : out) o /= sum;
  return highest + logf(sum);
}

__global__ void mla_decode_naive_kernel(MlaDecode d) {
  const int rows = d.s_q * d.heads;
  const int request = static_cast<int>(blockIdx.x) / rows,
            row = static_cast<int>(blockIdx.x) % rows;
  const int seen = d.lengths[request] - (d.s_q - 1) + row / d.heads;
  const std::int32_t* const table =
      d.block_table + static_cast<std::int64_t>(request) * d.pages_per_request;
  const auto cached = [&](int j) {
    const std::int64_t token = std::int64_t{table[j / kMlaPage]} * kMlaPage + j % kMlaPage;
    return d.cache + token * kMlaLatent;
  };
  constexpr int kColumns = kMlaValue / kNaiveThreads;
  float out[kColumns];
  const std::int64_t at = blockIdx.x;
  const float lse =
      naive_attention_row<kMlaLatent>(d.q + at * kMlaLatent, seen, d.scale, cached, cached, out);
  for (int i = 0; i < kColumns; ++i)
    d.out[at * kMlaValue + threadIdx.x + kNaiveThreads * i] = to_bf16(out[i]);
  if (threadIdx.x == 0) d.lse[at] = lse;
}

// The request of a query, all of whose rows follow each other.
__device__ int request_of(const MlaPrefill& p, int query) {
  int request = 0;
  while (query >= p.first_query[request + 1]) ++request;
  return request;
}

__global__ void mla_prefill_naive_kernel(MlaPrefill p) {
  const int query = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int request = request_of(p, query);
  const int first_key = p.first_key[request];
  // Its last query sees all of a request's keys.
  const int seen = p.first_key[request + 1] - first_key - (p.first_query[request + 1] - 1 - query);
  const auto row = [&](int token) { return std::int64_t{token} * p.heads + head; };
  float out[1];
  const float lse = naive_attention_row<kMlaQkHead>(
      p.q + row(query) * kMlaQkHead,
      seen,
      p.scale,
      [&](int j) { return p.k + row(first_key + j) * kMlaQkHead; },
      [&](int j) { return p.v + row(first_key + j) * kMlaVHead; },
      out);
  p.out[row(query) * kMlaVHead + threadIdx.x] = to_bf16(out[0]);
  if (threadIdx.x == 0) p.lse[std::int64_t{head} * p.queries + query] = lse;
}

}  // namespace

void mla_decode_naive(const MlaDecode& d, Stream stream) {
  const auto rows = static_cast<unsigned>(d.batch * d.s_q * d.heads);
  launch(
      "mla_decode_naive", stream, mla_decode_naive_kernel, dim3(rows), dim3(kNaiveThreads), 0, d);
}

void mla_prefill_naive(const MlaPrefill& p, Stream stream) {
  static_assert(kMlaVHead == kNaiveThreads, "a thread of the naive kernel has one value column");
  launch("mla_prefill_naive",
         stream,
         mla_prefill_naive_kernel,
         dim3(static_cast<unsigned>(p.queries), static_cast<unsigned>(p.heads)),
         dim3(kNaiveThreads),
         0,
         p);
}

}  // namespace moesim
