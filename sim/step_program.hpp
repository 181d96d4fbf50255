// A schedule step as the two streams of a rank see it: an ordered list of compute operations and
// one of communication operations, each waiting for a number of operations of the other stream.
// Both streams are first in, first out, so a dependency is a count: "wait until k operations of the
// other stream (counted from the step's own first) are done".
//
// Order inside an overlapped layer: the plan's (model/overlap_order), by default the reference
// trace's (README, section 1):
//   compute        attn(F)     mlp(B)       mlp(W)   mlp(F)        attn(B)   attn(W)
//   communication  combine(B)  dispatch(F)  dispatch(B)            combine(F)
// "combine(B)", the backward pass of combine, is a dispatch of gradients; "dispatch(B)" is a
// combine of gradients.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/op_graph.hpp"
#include "model/overlap_order.hpp"
#include "sim/schedule/schedule.hpp"

namespace moesim {

enum class ComputeKind : std::uint8_t { startup, block, tail };
enum class CommKind : std::uint8_t { dispatch_f, combine_f, combine_b, dispatch_b, send_f, send_b };

struct ComputeOp {
  ComputeKind kind = ComputeKind::block;
  Block block = Block::attention_f;
  LayerKind layer = LayerKind::dense;
  bool backward_chunk = false;  // belongs to the step's b chunk, else to its f chunk
  std::int16_t moe_index = -1;  // which MoE layer of the stage, for its load
  std::int16_t wait_comm = 0;   // communication operations of this step that must be done
};

struct CommOp {
  CommKind kind = CommKind::dispatch_f;
  std::int16_t moe_index = -1;
  std::int16_t wait_compute = 0;  // compute operations of this step that must be done
};

struct StepProgram {
  std::vector<ComputeOp> compute;
  std::vector<CommOp> comm;
  bool overlapped = false;  // forward and backward share the GPU: communication runs beside compute
  // Messages the step waits for before it starts (its first compute operation): as the published
  // implementation does.
  bool receive_f = false, receive_b = false;
};

struct StepContext {
  const std::vector<LayerKind>* f_layers = nullptr;  // of the stage the f chunk finds on the rank
  const std::vector<LayerKind>* b_layers = nullptr;
  bool receive_f = false, send_f = false;  // false at the pipeline's ends
  bool receive_b = false, send_b = false;
  bool expert_parallel = false;  // ep > 1
  OverlapOrder overlap_order = kTraceOrder;
};

// What a timeline calls an operation: "mlp(B) 3" is a block of microbatch 3, "mlp(B) 3.1" one at
// the rank's second stage (of the reverse direction, where there are two).
std::string operation_name(const ComputeOp& op, const ScheduleStep& step);
std::string operation_name(const CommOp& op, const ScheduleStep& step);
// The same without its chunk, and the chunk.
const char* operation_kind(const ComputeOp& op);
const char* operation_kind(const CommOp& op);
const Chunk& chunk_of(const ComputeOp& op, const ScheduleStep& step);
const Chunk& chunk_of(const CommOp& op, const ScheduleStep& step);

StepProgram build_step_program(StepKind kind, const StepContext& context);

}  // namespace moesim
