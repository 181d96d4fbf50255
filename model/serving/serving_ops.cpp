#include "model/serving/serving_ops.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/model_counts.hpp"
#include "model/op_graph/pieces.hpp"

namespace moesim {
namespace {

constexpr Pass kForward = Pass::forward;

// A BF16 product for every head, in one launch; both absorbed products are of this kind.
Op head_products(std::string_view name,
                 std::int64_t heads,
                 std::int64_t tokens,
                 std::int64_t n,
                 std::int64_t k) {
  Op op;
  op.name = name;
  op.kernel = Kernel::gemm_bf16;
  op.category = Category::attention_gemm;
  op.gemm = {heads * tokens, n, k, heads};
  const auto m = static_cast<double>(op.gemm.m), nd = static_cast<double>(n),
             kd = static_cast<double>(k);
  op.flops = 2 * m * nd * kd * FLOP;
  op.bytes = 2 * (m * kd + static_cast<double>(heads) * nd * kd + m * nd) * B;
  op.out_bytes = 2;
  return op;
}

}  // namespace

ServingOps::ServingOps(const ModelSpec& model, const UnitPlan& plan, double kv_bytes_per_element)
    : model_(model),
      tp_(plan.tp),
      ep_(plan.ep),
      recipe_(plan.recipe),
      kv_bytes_(kv_bytes_per_element) {
  ENSURE(plan.tp >= 1 && kv_bytes_per_element > 0);
  share_ = rank_share(model, chunk(0));
  // Experts that lie over the unit are whole, and so is the shared one beside them.
  if (model.moe && ep_ > 1) share_.moe = model.moe;
}

ChunkShape ServingOps::chunk(std::int64_t tokens) const {
  ChunkShape s;
  s.tokens = tokens;
  s.recipe = recipe_;
  s.tp = tp_;
  s.expert_tp = ep_ > 1 ? 1 : tp_;
  return s;
}

std::int64_t ServingOps::expert_tokens(std::int64_t tokens) const {
  return ep_ > 1 ? ceil_div(tokens, tp_) : tokens;
}

OpList ServingOps::attention_input(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  const ModelSpec& m = share_;
  const auto t = static_cast<double>(tokens), hidden = static_cast<double>(m.hidden),
             heads = static_cast<double>(m.num_heads);
  b.memory("rmsnorm_attn(+residual)", Kernel::rmsnorm, kElt, kForward, t * hidden * 8);
  b.quantise("cast_x", Kernel::cast, kForward, t * hidden);
  if (m.latent) {
    const LatentAttention& a = *m.latent;
    const auto qr = static_cast<double>(a.q_lora_rank), kvr = static_cast<double>(a.kv_lora_rank),
               rope = static_cast<double>(a.qk_rope_head_dim);
    const std::int64_t kv_a = a.kv_lora_rank + a.qk_rope_head_dim;
    if (a.q_lora_rank > 0) {
      b.gemm("qkv_a_proj", kProj, kForward, tokens, a.q_lora_rank + kv_a, m.hidden);
      b.memory("q_a_layernorm", Kernel::rmsnorm, kElt, kForward, t * qr * 4);
    } else {
      b.gemm("q_proj", kProj, kForward, tokens, m.num_heads * m.head_dim, m.hidden);
      b.gemm("kv_a_proj", kProj, kForward, tokens, kv_a, m.hidden);
    }
    b.memory("kv_a_layernorm", Kernel::rmsnorm, kElt, kForward, t * kvr * 4);
    if (a.q_lora_rank > 0) {
      b.quantise("cast_q_latent", Kernel::cast, kForward, t * qr);
      b.gemm("q_b_proj", kProj, kForward, tokens, m.num_heads * m.head_dim, a.q_lora_rank);
    }
    b.memory("rope_qk", Kernel::rope, kElt, kForward, t * (heads + 1) * rope * 4);
    b.memory(
        "write_kv", Kernel::copy, kElt, kForward, t * static_cast<double>(kv_a) * (2 + kv_bytes_));
  } else {
    const auto q = heads * static_cast<double>(m.head_dim),
               kv = static_cast<double>(m.num_kv_heads * m.head_dim);
    b.gemm("qkv_proj",
           kProj,
           kForward,
           tokens,
           (m.num_heads + 2 * m.num_kv_heads) * m.head_dim,
           m.hidden);
    if (m.qk_norm) b.memory("qk_norm", Kernel::rmsnorm, kElt, kForward, t * (q + kv) * 4);
    b.memory("rope_qk", Kernel::rope, kElt, kForward, t * (q + kv) * 4);
    b.memory("write_kv", Kernel::copy, kElt, kForward, t * 2 * kv * (2 + kv_bytes_));
  }
  return ops;
}

OpList ServingOps::attention_output(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  const ModelSpec& m = share_;
  const std::int64_t width = m.num_heads * m.value_head_dim();
  const auto t = static_cast<double>(tokens);
  b.quantise("cast_attn_out", Kernel::cast, kForward, t * static_cast<double>(width));
  b.gemm("o_proj", kProj, kForward, tokens, m.hidden, width);
  b.memory("rmsnorm_mlp(+residual)",
           Kernel::rmsnorm,
           kElt,
           kForward,
           t * static_cast<double>(m.hidden) * 8);
  return ops;
}

OpList ServingOps::absorb(std::int64_t tokens) const {
  if (!share_.latent) return {};
  const LatentAttention& a = *share_.latent;
  return {
      head_products("q_nope x W_UK", share_.num_heads, tokens, a.kv_lora_rank, a.qk_nope_head_dim),
      head_products("attn_out x W_UV", share_.num_heads, tokens, a.v_head_dim, a.kv_lora_rank)};
}

OpList ServingOps::expand(std::int64_t context_tokens) const {
  OpList ops;
  if (!share_.latent) return ops;
  BlockBuilder b(ops, recipe_);
  const LatentAttention& a = *share_.latent;
  const auto t = static_cast<double>(context_tokens), heads = static_cast<double>(share_.num_heads),
             nope = static_cast<double>(a.qk_nope_head_dim),
             rope = static_cast<double>(a.qk_rope_head_dim);
  b.quantise("cast_kv_latent", Kernel::cast, kForward, t * static_cast<double>(a.kv_lora_rank));
  b.gemm("kv_b_proj",
         kProj,
         kForward,
         context_tokens,
         share_.num_heads * (a.qk_nope_head_dim + a.v_head_dim),
         a.kv_lora_rank);
  b.memory("copy_k_nope->K", Kernel::copy, kElt, kForward, t * heads * nope * 4);
  b.memory(
      "copy_k_rope_bcast->K", Kernel::broadcast_copy, kElt, kForward, t * rope * 2 * (heads + 1));
  return ops;
}

Op ServingOps::prefill_core(const AttentionShape& x) const {
  Op op;
  op.name = "flash_attn_fwd(causal)";
  op.kernel = Kernel::attention_forward;
  op.category = Category::attention;
  op.attention = {
      x.batch, x.seq, x.prefix, share_.num_heads, share_.head_dim, share_.value_head_dim()};
  const auto tokens = static_cast<double>(x.batch * x.seq),
             keys = static_cast<double>(x.batch * (x.prefix + x.seq)),
             heads = static_cast<double>(share_.num_heads),
             widths = static_cast<double>(share_.head_dim + share_.value_head_dim());
  const double kv_heads = share_.latent ? heads : static_cast<double>(share_.num_kv_heads);
  const double pairs = tokens * (static_cast<double>(x.prefix) + 0.5 * static_cast<double>(x.seq));
  op.flops = 2 * pairs * heads * widths * FLOP;
  op.bytes = 2 * widths * (tokens * heads + keys * kv_heads) * B;
  return op;
}

Op ServingOps::decode_core(std::int64_t requests,
                           std::int64_t context,
                           std::int64_t query_tokens) const {
  Op op;
  op.kernel = Kernel::attention_decode;
  op.category = Category::attention;
  const auto r = static_cast<double>(requests), keys = r * static_cast<double>(context),
             q = r * static_cast<double>(query_tokens),
             heads = static_cast<double>(share_.num_heads);
  double qk = 0, v = 0;  // widths of a key and a value as they are cached
  double cached = 0;     // elements of a token
  if (share_.latent) {
    op.name = "absorbed_decode";
    v = static_cast<double>(share_.latent->kv_lora_rank);
    qk = v + static_cast<double>(share_.latent->qk_rope_head_dim);
    cached = qk;
  } else {
    op.name = "grouped_decode";
    qk = v = static_cast<double>(share_.head_dim);
    cached = 2 * qk * static_cast<double>(share_.num_kv_heads);
  }
  op.attention = {requests,
                  query_tokens,
                  context,
                  share_.num_heads,
                  static_cast<std::int64_t>(qk),
                  static_cast<std::int64_t>(v)};
  op.flops = 2 * keys * static_cast<double>(query_tokens) * heads * (qk + v) * FLOP;
  op.bytes = (keys * cached * kv_bytes_ + q * heads * (qk + v) * 2) * B;
  return op;
}

OpList ServingOps::gate(std::int64_t tokens) const {
  OpList ops;
  if (!model_.moe) return ops;
  BlockBuilder b(ops, recipe_);
  const auto t = static_cast<double>(tokens),
             experts = static_cast<double>(model_.moe->num_experts),
             k = static_cast<double>(model_.moe->top_k);
  b.gemm_bf16(
      "gate_gemm", Category::gate, kForward, tokens, model_.moe->num_experts, model_.hidden, 4);
  // Scores in, the chosen experts and their weights out; then logical to physical experts.
  b.memory("fused_topk", Kernel::elementwise, Category::gate, kForward, t * (experts * 4 + k * 8));
  b.small("map_replicas", Category::gate, kForward, 1);
  if (b.casts().quantises_before_dispatch || model_.moe->shared_intermediate > 0)
    b.quantise("cast_moe_in", Kernel::cast, kForward, t * static_cast<double>(model_.hidden));
  return ops;
}

namespace {

void swiglu_products(BlockBuilder& b,
                     std::int64_t tokens,
                     std::int64_t width,
                     std::int64_t hidden) {
  b.gemm("gate_up", Category::ffn_gemm, kForward, tokens, 2 * width, hidden);
  b.swiglu("swiglu", kForward, static_cast<double>(tokens * width));
  b.gemm("down", Category::ffn_gemm, kForward, tokens, hidden, width);
}

}  // namespace

OpList ServingOps::shared_expert(std::int64_t tokens) const {
  OpList ops;
  if (!share_.moe || share_.moe->shared_intermediate == 0) return ops;
  BlockBuilder b(ops, recipe_);
  swiglu_products(b, tokens, share_.moe->shared_intermediate, share_.hidden);
  return ops;
}

OpList ServingOps::dense_feed_forward(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  b.quantise("cast_ffn_in", Kernel::cast, kForward, static_cast<double>(tokens * share_.hidden));
  swiglu_products(b, tokens, share_.dense_intermediate, share_.hidden);
  return ops;
}

OpList ServingOps::routed_experts(const RankLoad& load,
                                  std::int64_t slots,
                                  ExpertLayout layout) const {
  OpList ops;
  if (load.rows == 0) return ops;
  BlockBuilder b(ops, recipe_);
  const MoeSpec& moe = *share_.moe;
  const bool packed = layout == ExpertLayout::contiguous;
  // A packed operand has padding rows; the others' kernels compute tiles of the rows there are.
  const std::int64_t rows = packed ? load.padded_rows : load.rows;
  const auto r = static_cast<double>(rows), hidden = static_cast<double>(share_.hidden),
             width = static_cast<double>(moe.expert_intermediate),
             received = static_cast<double>(load.tokens_received),
             row = hidden * dispatched_row(recipe_);
  if (layout != ExpertLayout::masked) b.small("expert_offsets", Category::permute, kForward, 1);
  if (packed) {
    b.memory(
        "scatter_to_experts", Kernel::permute, Category::permute, kForward, (received + r) * row);
  }
  if (!b.casts().quantises_before_dispatch)
    b.quantise("cast_expert_rows", Kernel::cast, kForward, r * hidden);
  b.gemm("grouped_gate_up",
         Category::moe_gemm,
         kForward,
         rows,
         2 * moe.expert_intermediate,
         share_.hidden,
         slots);
  b.swiglu("swiglu_experts", kForward, r * width);
  b.gemm("grouped_down",
         Category::moe_gemm,
         kForward,
         rows,
         share_.hidden,
         moe.expert_intermediate,
         slots);
  if (layout != ExpertLayout::masked)
    b.memory("gather_from_experts",
             Kernel::unpermute,
             Category::permute,
             kForward,
             (r + received) * hidden * 2);
  return ops;
}

OpList ServingOps::embedding(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  b.memory("embedding",
           Kernel::copy,
           Category::head,
           kForward,
           static_cast<double>(tokens * share_.hidden) * 4);
  return ops;
}

OpList ServingOps::head(std::int64_t rows) const {
  OpList ops;
  if (rows == 0) return ops;
  BlockBuilder b(ops, recipe_);
  const auto r = static_cast<double>(rows);
  b.memory("final_rmsnorm",
           Kernel::rmsnorm,
           Category::head,
           kForward,
           r * static_cast<double>(share_.hidden) * 8);
  b.gemm_bf16("lm_head", Category::head, kForward, rows, share_.vocab, share_.hidden, 4);
  // Softmax over FP32 logits, read and written; draw, gather and stop checks.
  b.memory("sampling",
           Kernel::elementwise,
           Category::head,
           kForward,
           r * static_cast<double>(share_.vocab) * 8);
  b.small("sampling_small_kernels", Category::head, kForward, 3);
  return ops;
}

OpList ServingOps::mtp_input(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  const double elements = static_cast<double>(tokens * share_.hidden);
  b.memory("mtp_rmsnorm", Kernel::rmsnorm, kElt, kForward, elements * 4, 2);
  b.quantise("mtp_cast", Kernel::cast, kForward, elements * 2);
  b.gemm("mtp_projection",
         Category::ffn_gemm,
         kForward,
         tokens,
         ceil_div(model_.hidden, tp_),
         2 * model_.hidden);
  return ops;
}

OpList ServingOps::send_rows(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  const auto t = static_cast<double>(tokens), hidden = static_cast<double>(model_.hidden);
  b.small("send_rows_flags", Category::permute, kForward, 1);
  b.memory("send_rows",
           Kernel::permute,
           Category::permute,
           kForward,
           t * hidden * (2 + dispatched_row(recipe_)));
  return ops;
}

OpList ServingOps::receive_rows(std::int64_t rows) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  b.small("receive_rows_flags", Category::permute, kForward, 1);
  b.memory("receive_rows",
           Kernel::permute,
           Category::permute,
           kForward,
           static_cast<double>(rows * model_.hidden) * 2 * dispatched_row(recipe_));
  return ops;
}

OpList ServingOps::return_rows(std::int64_t rows) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  b.small("return_rows_flags", Category::permute, kForward, 1);
  b.memory("return_rows",
           Kernel::permute,
           Category::permute,
           kForward,
           static_cast<double>(rows * model_.hidden) * 4);
  return ops;
}

OpList ServingOps::reduce_rows(std::int64_t tokens) const {
  OpList ops;
  BlockBuilder b(ops, recipe_);
  b.small("reduce_rows_flags", Category::permute, kForward, 1);
  b.memory(
      "reduce_rows",
      Kernel::unpermute,
      Category::permute,
      kForward,
      static_cast<double>(tokens * model_.hidden) * 2 * static_cast<double>(model_.moe->top_k + 1));
  return ops;
}

Cost roofline_cost(const Op& op, const GpuSpec& gpu) {
  // As for every kernel nobody measured (model/cost_model): up to 3.3 times too fast.
  constexpr double kRooflineError = 2.3;
  return {std::max(op.flops / gpu.peak_bf16, op.bytes / gpu.hbm_bandwidth),
          Origin::roofline,
          std::log1p(kRooflineError)};
}

}  // namespace moesim
