#include "sim/step_program.hpp"

#include <algorithm>

namespace moesim {
namespace {

constexpr std::int16_t kNoLayer = -1;  // an operation that belongs to no MoE layer

class ProgramBuilder {
 public:
  ProgramBuilder(StepProgram& program, const StepContext& context) : p_(program), c_(context) {}

  void startup() {
    p_.compute.push_back(
        {ComputeKind::startup, Block::attention_f, LayerKind::dense, false, -1, 0});
    p_.receive_f = c_.receive_f;
    p_.receive_b = c_.receive_b;
    input_gradient_done_ = 1;  // the first gradient rows leave once the step has started
  }

  // --- forward chunk, layer by layer ---
  void f_attention(std::size_t i) {
    compute(Block::attention_f, i, false, combine_f_done_);
    attention_f_done_ = num_compute();
    if (moe(*c_.f_layers, i))
      dispatch_f_done_ = comm(CommKind::dispatch_f, moe_index(*c_.f_layers, i), attention_f_done_);
  }
  void f_ffn(std::size_t i) {
    const bool is_moe = moe(*c_.f_layers, i);
    compute(Block::ffn_f, i, false, is_moe ? dispatch_f_done_ : combine_f_done_);
    if (is_moe) f_combine_pending_ = true;
  }
  // Combine follows in stream order after whatever the caller put in between.
  void f_combine(std::size_t i) {
    if (f_combine_pending_)
      combine_f_done_ = comm(CommKind::combine_f, moe_index(*c_.f_layers, i), num_compute());
    f_combine_pending_ = false;
  }
  void f_end() {
    p_.compute.push_back({ComputeKind::tail,
                          Block::ffn_f,
                          LayerKind::dense,
                          false,
                          -1,
                          static_cast<std::int16_t>(combine_f_done_)});
    if (c_.send_f) comm(CommKind::send_f, kNoLayer, num_compute());
  }

  // --- backward chunk, last layer first ---
  void b_combine(std::size_t i) {
    b_waits_ = moe(*c_.b_layers, i)
                   ? comm(CommKind::combine_b, moe_index(*c_.b_layers, i), input_gradient_done_)
                   : 0;
  }
  void b_ffn(std::size_t i) {
    compute(Block::ffn_b, i, true, b_waits_);
    b_waits_ = moe(*c_.b_layers, i)
                   ? comm(CommKind::dispatch_b, moe_index(*c_.b_layers, i), num_compute())
                   : b_waits_;
  }
  void b_ffn_weight(std::size_t i) { compute(Block::ffn_w, i, true, 0); }
  void b_attention(std::size_t i) {
    compute(Block::attention_b, i, true, b_waits_);
    input_gradient_done_ = num_compute();
  }
  void b_attention_weight(std::size_t i) { compute(Block::attention_w, i, true, 0); }
  void b_end() {
    if (c_.send_b) comm(CommKind::send_b, kNoLayer, input_gradient_done_);
  }

 private:
  bool moe(const std::vector<LayerKind>& layers, std::size_t i) const {
    return c_.expert_parallel && layers[i] == LayerKind::moe;
  }
  static std::int16_t moe_index(const std::vector<LayerKind>& layers, std::size_t i) {
    if (layers[i] != LayerKind::moe) return kNoLayer;
    return static_cast<std::int16_t>(std::count(
        layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(i), LayerKind::moe));
  }
  int num_compute() const { return static_cast<int>(p_.compute.size()); }
  void compute(Block block, std::size_t i, bool backward, int wait_comm) {
    const auto& layers = backward ? *c_.b_layers : *c_.f_layers;
    p_.compute.push_back({ComputeKind::block,
                          block,
                          layers[i],
                          backward,
                          moe_index(layers, i),
                          static_cast<std::int16_t>(wait_comm)});
  }
  int comm(CommKind kind, std::int16_t moe_layer, int wait_compute) {
    p_.comm.push_back({kind, moe_layer, static_cast<std::int16_t>(wait_compute)});
    return static_cast<int>(p_.comm.size());
  }

  StepProgram& p_;
  const StepContext& c_;
  int attention_f_done_ = 0, dispatch_f_done_ = 0, combine_f_done_ = 0, input_gradient_done_ = 0,
      b_waits_ = 0;
  bool f_combine_pending_ = false;
};

// In the order of the enumerators of OverlapMove.
struct Move {
  bool of_f_chunk;
  void (ProgramBuilder::*append)(std::size_t layer);
};
constexpr Move kMoves[] = {{false, &ProgramBuilder::b_combine},
                           {true, &ProgramBuilder::f_attention},
                           {false, &ProgramBuilder::b_ffn},
                           {false, &ProgramBuilder::b_ffn_weight},
                           {true, &ProgramBuilder::f_ffn},
                           {true, &ProgramBuilder::f_combine},
                           {false, &ProgramBuilder::b_attention},
                           {false, &ProgramBuilder::b_attention_weight}};

std::string chunk_name(const Chunk& c) {
  return " " + std::to_string(c.microbatch) + (c.part == 0 ? "" : "." + std::to_string(c.part));
}

}  // namespace

const char* operation_kind(const ComputeOp& op) {
  if (op.kind != ComputeKind::block) return "chunk start";
  return kBlockNames[static_cast<std::size_t>(op.block)].data();
}

const char* operation_kind(const CommOp& op) {
  switch (op.kind) {
    case CommKind::dispatch_f: return "dispatch(F)";
    case CommKind::combine_f: return "combine(F)";
    case CommKind::combine_b: return "combine(B)";
    case CommKind::dispatch_b: return "dispatch(B)";
    case CommKind::send_f: return "PP(F)";
    case CommKind::send_b: return "PP(B)";
  }
  throw std::logic_error("communication without a name");
}

const Chunk& chunk_of(const ComputeOp& op, const ScheduleStep& step) {
  return op.backward_chunk ? step.b : step.f;
}

const Chunk& chunk_of(const CommOp& op, const ScheduleStep& step) {
  const bool backward = op.kind == CommKind::combine_b || op.kind == CommKind::dispatch_b ||
                        op.kind == CommKind::send_b;
  return backward ? step.b : step.f;
}

std::string operation_name(const ComputeOp& op, const ScheduleStep& step) {
  if (op.kind != ComputeKind::block) return operation_kind(op);
  return operation_kind(op) + chunk_name(chunk_of(op, step));
}

std::string operation_name(const CommOp& op, const ScheduleStep& step) {
  return operation_kind(op) + chunk_name(chunk_of(op, step));
}

StepProgram build_step_program(StepKind kind, const StepContext& context) {
  StepProgram program;
  ProgramBuilder b(program, context);
  const std::size_t num_f = context.f_layers != nullptr ? context.f_layers->size() : 0;
  const std::size_t num_b = context.b_layers != nullptr ? context.b_layers->size() : 0;
  if (kind == StepKind::weight) {
    for (std::size_t i = num_b; i-- > 0;) {
      b.b_ffn_weight(i);
      b.b_attention_weight(i);
    }
    return program;
  }
  b.startup();
  if (kind == StepKind::forward) {
    for (std::size_t i = 0; i < num_f; ++i) {
      b.f_attention(i);
      b.f_ffn(i);
      b.f_combine(i);
    }
    b.f_end();
    return program;
  }
  if (kind == StepKind::forward_backward) {
    program.overlapped = true;
    for (std::size_t pair = 0; pair < std::max(num_f, num_b); ++pair) {
      const bool f = pair < num_f, back = pair < num_b;
      for (const OverlapMove move : context.overlap_order) {
        const auto& [of_f_chunk, append] = kMoves[static_cast<std::size_t>(move)];
        if (of_f_chunk ? f : back) (b.*append)(of_f_chunk ? pair : num_b - 1 - pair);
      }
    }
    b.f_end();
    b.b_end();
    return program;
  }
  // Backward alone; with weight gradients these fill the time in which the input gradient's combine
  // travels.
  const bool with_weights = kind == StepKind::backward;
  for (std::size_t i = num_b; i-- > 0;) {
    b.b_combine(i);
    b.b_ffn(i);
    if (with_weights) b.b_ffn_weight(i);
    b.b_attention(i);
    if (with_weights) b.b_attention_weight(i);
  }
  b.b_end();
  return program;
}

}  // namespace moesim
