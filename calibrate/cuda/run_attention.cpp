// Latent attention by own kernels: prefill before absorption, decode after it.
#include <cmath>

#include "calibrate/cases/attention_reference.hpp"
#include "calibrate/cuda/library_attention.hpp"
#include "calibrate/cuda/routes.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"

namespace moesim {
namespace {

constexpr int kDecodeQkHead = 192;  // before absorption: what scores are scaled by the root of

std::vector<std::int32_t> equal_rows(std::int64_t requests, std::int64_t rows) {
  std::vector<std::int32_t> first;
  for (std::int64_t i = 0; i <= requests; ++i) first.push_back(static_cast<std::int32_t>(i * rows));
  return first;
}

// The cache in whole pages, what a request does not fill of its last one zero. Requests lie in
// reverse order, so that only a kernel that reads the table is right.
void fill_pages(const Call& call, GpuCall& gpu, MlaDecode& d) {
  const std::int64_t batch = call.shape[0], kv = call.shape[1], pages = d.pages_per_request;
  const std::int64_t room = pages * kMlaPage * kMlaLatent;  // of one request
  Bf16* const cache = gpu.allocate<Bf16>(batch * room);
  gpu_set_bytes(cache, 0, static_cast<std::size_t>(batch * room) * sizeof(Bf16), gpu.stream);
  std::vector<std::int32_t> table;
  for (std::int64_t request = 0; request < batch; ++request) {
    const std::int64_t place = batch - 1 - request, size = kv * kMlaLatent;
    fill_normal(cache + place * room, size, {gpu.seed, 1, request * size}, gpu.stream);
    for (std::int64_t page = 0; page < pages; ++page)
      table.push_back(static_cast<std::int32_t>(place * pages + page));
  }
  d.cache = cache;
  d.num_pages = static_cast<std::int32_t>(batch * pages);
  d.block_table = gpu.upload(table);
}

// All but where the results go.
MlaPrefill forward_inputs(const AttentionSizes& a, GpuCall& gpu) {
  const std::int64_t queries = a.batch * a.seq, keys = a.batch * a.keys();
  const std::vector<std::int32_t> first_query = equal_rows(a.batch, a.seq),
                                  first_key = equal_rows(a.batch, a.keys());
  const std::vector<MlaPrefillTile> tiles = mla_prefill_tiles(first_query, first_key);
  MlaPrefill p = {};
  p.q = gpu.bf16(queries * a.heads * a.qk, 0);
  p.k = gpu.bf16(keys * a.heads * a.qk, 1);
  p.v = gpu.bf16(keys * a.heads * a.v, 2);
  p.first_query = gpu.upload(first_query);
  p.first_key = gpu.upload(first_key);
  p.batch = static_cast<std::int32_t>(a.batch);
  p.heads = static_cast<std::int32_t>(a.heads);
  p.queries = static_cast<std::int32_t>(queries);
  p.keys = static_cast<std::int32_t>(keys);
  p.scale = static_cast<float>(a.scale());
  p.tiles = gpu.upload(tiles);
  p.num_tiles = static_cast<std::int32_t>(tiles.size());
  return p;
}

// [heads, batch, seq] to [batch, heads, seq].
void by_request(const AttentionSizes& a, const float* from, float* to, Stream stream) {
  const std::size_t row = static_cast<std::size_t>(a.seq) * sizeof(float);
  for (std::int64_t request = 0; request < a.batch; ++request)
    gpu_copy_rows({to + request * a.heads * a.seq, row},
                  {from + request * a.seq, static_cast<std::size_t>(a.batch) * row},
                  row,
                  static_cast<std::size_t>(a.heads),
                  stream);
}

}  // namespace

bool can_run_attention(const Call& call) {
  return call.shape[4] == kMlaQkHead && call.shape[5] == kMlaVHead;
}

void prepare_attention_forward(const Call& call, GpuCall& gpu) {
  const AttentionSizes a = attention_sizes(call.shape);
  MlaPrefill p = forward_inputs(a, gpu);
  p.out = gpu.output<Bf16>("out", Element::bf16, a.batch * a.seq * a.heads * a.v);
  p.lse = gpu.allocate<float>(a.batch * a.seq * a.heads);
  gpu.run(p, mla_prefill, mla_prefill_naive);
}

LibraryAttentionForward attention_forward_operands(const Call& call, GpuCall& gpu) {
  const AttentionSizes a = attention_sizes(call.shape);
  const std::int64_t queries = a.batch * a.seq * a.heads, keys = a.batch * a.keys() * a.heads;
  LibraryAttentionForward made{attention_forward_graph(a), {}};
  made.memory.resize(made.graph.tensors.size());
  made.memory[made.graph.q] = gpu.bf16(queries * a.qk, 0);
  made.memory[made.graph.k] = gpu.bf16(keys * a.qk, 1);
  made.memory[made.graph.v] = gpu.bf16(keys * a.v, 2);
  made.memory[made.graph.out] = gpu.output<Bf16>("out", Element::bf16, queries * a.v);
  made.memory[made.graph.lse] = gpu.allocate<float>(queries);
  return made;
}

LibraryAttentionBackward attention_backward_operands(const Call& call, GpuCall& gpu) {
  const AttentionSizes a = attention_sizes(call.shape);
  const std::int64_t queries = a.batch * a.seq * a.heads, keys = a.batch * a.keys() * a.heads;
  MlaPrefill p = forward_inputs(a, gpu);
  p.out = gpu.allocate<Bf16>(queries * a.v);
  p.lse = gpu.allocate<float>(queries);
  mla_prefill(p, gpu.stream);
  auto* const lse = gpu.allocate<float>(queries);
  by_request(a, p.lse, lse, gpu.stream);

  LibraryAttentionBackward made{a, attention_backward_graph(a), {}};
  const AttentionBackwardGraph& g = made.graph;
  made.memory.resize(g.tensors.size());
  const auto give = [&](std::size_t tensor, const void* memory) {
    made.memory[tensor] = const_cast<void*>(memory);
  };
  give(g.q, p.q);
  give(g.k, p.k);
  give(g.v, p.v);
  give(g.out, p.out);
  give(g.d_out, gpu.bf16(queries * a.v, 3));
  give(g.lse, lse);
  give(g.d_q, gpu.output<Bf16>("d_q", Element::bf16, queries * a.qk));
  give(g.d_k, gpu.output<Bf16>("d_k", Element::bf16, keys * a.qk));
  give(g.d_v, gpu.output<Bf16>("d_v", Element::bf16, keys * a.v));
  give(g.row_sum, gpu.allocate<float>(queries));
  give(g.d_q_sum, gpu.allocate<float>(queries * a.qk));
  return made;
}

void prepare_attention_decode(const Call& call, GpuCall& gpu) {
  const std::int64_t batch = call.shape[0], kv = call.shape[1], queries = call.shape[2],
                     heads = call.shape[3], rows = batch * queries * heads;
  const std::vector<std::int32_t> lengths(static_cast<std::size_t>(batch),
                                          static_cast<std::int32_t>(kv));
  const MlaDecodeSchedule schedule = mla_decode_schedule(lengths, queries * heads, gpu.sms);
  MlaDecode d = {};
  d.batch = static_cast<std::int32_t>(batch);
  d.s_q = static_cast<std::int32_t>(queries);
  d.heads = static_cast<std::int32_t>(heads);
  d.pages_per_request = static_cast<std::int32_t>((kv + kMlaPage - 1) / kMlaPage);
  d.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kDecodeQkHead)));
  d.q = gpu.bf16(rows * kMlaLatent, 0);
  fill_pages(call, gpu, d);
  d.lengths = gpu.upload(lengths);
  d.out = gpu.output<Bf16>("out", Element::bf16, rows * kMlaValue);
  d.lse = gpu.output<float>("lse", Element::fp32, rows);
  d.parts = gpu.upload(schedule.parts);
  d.first_part = gpu.upload(schedule.first_part);
  d.splits = gpu.upload(schedule.splits);
  d.partitions = schedule.partitions();
  d.num_splits = static_cast<std::int32_t>(schedule.splits.size());
  d.partial_out = gpu.allocate<float>(schedule.num_slots * queries * heads * kMlaValue);
  d.partial_lse = gpu.allocate<float>(schedule.num_slots * queries * heads);
  gpu.run(d, mla_decode, mla_decode_naive);
}

}  // namespace moesim
