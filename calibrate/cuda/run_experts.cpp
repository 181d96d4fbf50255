// The gate, and where the rows of a rank's experts go.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/expert_layout.hpp"
#include "calibrate/cuda/routes.hpp"
#include "kernels/naive.hpp"

namespace moesim {

void prepare_gate(const Call& call, GpuCall& gpu) {
  constexpr std::int64_t kExperts = 256, kTopK = 8;
  GateTopK p = {};
  p.num_tokens = static_cast<std::int64_t>(rows_of(call, kExperts * 4));
  p.num_experts = kExperts;
  p.num_groups = 8;
  p.max_groups = 4;
  p.top_k = kTopK;
  p.scale = 2.5F;
  p.logits = gpu.fp32(p.num_tokens * kExperts, 0);
  std::vector<float> bias = normal_values(kExperts, gpu.seed, 1);
  for (float& b : bias) b *= 1.0F / 64;
  p.bias = gpu.upload(bias);
  p.experts = gpu.output<std::int32_t>("experts", Element::index, p.num_tokens * kTopK);
  p.weights = gpu.output<float>("weights", Element::fp32, p.num_tokens * kTopK);
  gpu.run(p, gate_top_k, gate_top_k_naive);
}

namespace {

// Poison is -1 as an integer, which is what unwritten rows have to be: zeros before a checked run.
std::int32_t* marked_output(std::string_view name, std::int64_t size, GpuCall& gpu) {
  auto* const memory = gpu.allocate<std::int32_t>(size);
  gpu.changed_in_place(memory, name, Element::index, size, [memory, size, stream = gpu.stream] {
    gpu_set_bytes(memory, 0, static_cast<std::size_t>(size) * sizeof(std::int32_t), stream);
  });
  return memory;
}

ExpertPlaces expert_places(const Call& call, GpuCall& gpu) {
  ExpertPlaces p = {};
  p.tokens = static_cast<std::int64_t>(rows_of(call, kLayoutTokenBytes));
  p.top_k = kLayoutTopK;
  p.num_experts = kLayoutExperts;
  p.alignment = kLayoutAlignment;
  p.max_rows = expert_layout_rows(p);
  p.experts = gpu.upload(layout_choices(p.tokens, gpu.seed));
  p.scratch = gpu.allocate<std::int32_t>(expert_layout_scratch(p));
  return p;
}

}  // namespace

void prepare_expert_count(const Call& call, GpuCall& gpu) {
  ExpertPlaces p = expert_places(call, gpu);
  p.counts = gpu.output<std::int32_t>("counts", Element::index, p.num_experts);
  p.offsets = gpu.output<std::int32_t>("offsets", Element::index, p.num_experts + 1);
  p.source = marked_output("source", p.max_rows, gpu);
  gpu.run(p, expert_count, expert_count_naive);
}

void prepare_expert_place(const Call& call, GpuCall& gpu) {
  ExpertPlaces p = expert_places(call, gpu);
  p.counts = gpu.allocate<std::int32_t>(p.num_experts);
  p.offsets = gpu.allocate<std::int32_t>(p.num_experts + 1);
  p.position = marked_output("position", p.tokens * p.top_k, gpu);
  auto* const source = gpu.allocate<std::int32_t>(p.max_rows);
  p.source = source;
  // What the operation before this one leaves: rows that are nobody's, and what it counted.
  gpu.changed_in_place(source, "source", Element::index, p.max_rows, [p, stream = gpu.stream] {
    expert_count(p, stream);
  });
  expert_count(p, gpu.stream);
  gpu.run(p, expert_place, expert_place_naive);
}

}  // namespace moesim
