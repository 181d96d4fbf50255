#include "model/block_collectives.hpp"

#include <algorithm>

#include "model/op_graph/pieces.hpp"

namespace moesim {
namespace {

using Kind = CollectiveKind;

class Exchange {
 public:
  Exchange(const ModelSpec& model, LayerKind layer, const ChunkShape& shape, const RankLoad& load)
      : m_(rank_share(model, shape)),
        layer_(layer),
        s_(shape),
        load_(load),
        tokens_(static_cast<double>(shape.tokens)),
        hidden_(static_cast<double>(m_.hidden)),
        operand_(casts_of(shape.recipe).row),
        gradient_(casts_of(shape.recipe).gradient_row) {}

  std::vector<BlockCollective> of(Block block) {
    list_.reserve(8);  // more than any block has; GCC 12 sees an overflow in the growth of a list
    switch (block) {
      case Block::attention_f:
      case Block::attention_r: forward_attention_side(); break;
      case Block::ffn_f:
      case Block::ffn_r: forward_ffn_side(); break;
      case Block::ffn_b: backward_ffn_side(); break;
      case Block::attention_b: backward_attention_side(); break;
      case Block::attention_w:
        if (layer_ == LayerKind::embedding && s_.sequence_parallel)
          tp(Kind::all_gather, "gather embedding gradient", 2 * hidden_);
        break;
      case Block::ffn_w: break;
    }
    return std::move(list_);
  }

 private:
  bool attends() const { return layer_ == LayerKind::dense || layer_ == LayerKind::moe; }
  bool has_dense_products() const {
    return layer_ == LayerKind::dense ||
           (layer_ == LayerKind::moe && m_.moe->shared_intermediate > 0);
  }
  // Bytes of a token that attention's cut products read, or whose gradient they make; the rotary
  // key goes into no product.
  double attention_input(double bytes_per_element) const {
    if (!m_.latent) return hidden_ * bytes_per_element;
    const LatentAttention& a = *m_.latent;
    const std::int64_t queries = a.q_lora_rank > 0 ? a.q_lora_rank : m_.hidden;
    return static_cast<double>(queries + a.kv_lora_rank) * bytes_per_element +
           2 * static_cast<double>(a.qk_rope_head_dim);
  }
  double heads_bytes(std::int64_t heads, std::int64_t width) const {
    return 2 * static_cast<double>(heads * width);
  }

  void tp(Kind kind, std::string_view name, double bytes_per_token, std::string_view beside = {}) {
    if (s_.tp > 1)
      list_.push_back({name, kind, SharingGroup::tp, tokens_ * bytes_per_token * B, 1, beside, 1});
  }
  void cp(Kind kind, std::string_view name, Bytes bytes) {
    if (s_.cp > 1) list_.push_back({name, kind, SharingGroup::cp, bytes, 1, {}, 1});
  }
  // n - 1 hops of a piece.
  void ring(std::string_view name, double bytes_per_token, std::string_view beside) {
    if (s_.cp > 1)
      list_.push_back({name,
                       Kind::send,
                       SharingGroup::cp,
                       tokens_ * bytes_per_token * B,
                       s_.cp - 1,
                       beside,
                       s_.cp});
  }
  void expert_rows(Kind kind, std::string_view name, double row_bytes) {
    if (s_.expert_tp > 1)
      list_.push_back({name,
                       kind,
                       SharingGroup::expert_tp,
                       static_cast<double>(load_.tokens_received) * row_bytes * B,
                       1,
                       {},
                       1});
  }
  // Sums partial results of every rank: where each rank goes on with its own tokens, or all do.
  void sum(std::string_view name, double bytes_per_token, std::string_view beside = {}) {
    tp(s_.sequence_parallel ? Kind::reduce_scatter : Kind::all_reduce,
       name,
       bytes_per_token,
       beside);
  }
  // Makes whole what each rank has of its own tokens.
  void gather(std::string_view name, double bytes_per_token, std::string_view beside = {}) {
    if (s_.sequence_parallel) tp(Kind::all_gather, name, bytes_per_token, beside);
  }

  Bytes gathered_keys() const {
    const std::int64_t width = m_.latent ? m_.latent->kv_lora_rank + m_.latent->qk_rope_head_dim
                                         : 2 * m_.num_kv_heads * m_.head_dim;
    return static_cast<double>(s_.tokens * s_.cp * width * 2) * B;
  }
  std::int64_t kv_heads() const { return m_.latent ? m_.num_heads : m_.num_kv_heads; }
  double keys_and_values() const {
    return heads_bytes(kv_heads(), m_.head_dim + m_.value_head_dim());
  }
  double output() const { return heads_bytes(m_.num_heads, m_.value_head_dim()); }
  double queries_keys_values() const {
    return heads_bytes(m_.num_heads, m_.head_dim) +
           heads_bytes(std::max(kv_heads(), s_.cp), m_.head_dim + m_.value_head_dim());
  }
  Bytes all_tokens(double bytes_per_token) const { return tokens_ * bytes_per_token * B; }

  void context_forward(std::string_view beside) {
    switch (s_.cp_method) {
      case ContextMethod::all_gather: cp(Kind::all_gather, "gather K, V", gathered_keys()); break;
      case ContextMethod::ring: ring("pass K, V on", keys_and_values(), beside); break;
      case ContextMethod::ulysses:
        cp(Kind::all_to_all, "swap tokens for heads", all_tokens(queries_keys_values()));
        cp(Kind::all_to_all, "swap heads for tokens", all_tokens(output()));
        break;
    }
  }
  void context_backward() {
    // A layer computed again just before has them all.
    const bool has_all = s_.recompute.whole_layer;
    if (s_.recompute.core_attention && s_.cp_method == ContextMethod::ring)
      context_forward("flash_attn_fwd(recompute)");
    switch (s_.cp_method) {
      case ContextMethod::all_gather:
        if (!has_all) cp(Kind::all_gather, "gather K, V again", gathered_keys());
        cp(Kind::reduce_scatter, "scatter dK, dV", gathered_keys());
        break;
      case ContextMethod::ring:
        ring("pass K, V, dK, dV on", 2 * keys_and_values(), "flash_attn_bwd(causal)");
        break;
      case ContextMethod::ulysses:
        if (m_.latent && s_.recompute.latent_up_projection)
          cp(Kind::all_to_all, "swap rebuilt Q, K, V", all_tokens(queries_keys_values()));
        cp(Kind::all_to_all, "swap output gradient", all_tokens(output()));
        cp(Kind::all_to_all, "swap dQ, dK, dV", all_tokens(queries_keys_values()));
        break;
    }
  }

  void forward_attention_side() {
    if (layer_ == LayerKind::embedding) sum("sum embedding", 2 * hidden_);
    if (layer_ == LayerKind::mtp_projection) {
      gather("gather MTP input", 2 * hidden_ * operand_);
      tp(Kind::all_gather, "gather MTP columns", 2 * hidden_);
    }
    if (!attends()) return;
    gather("gather attention input", attention_input(operand_));
    context_forward("flash_attn_fwd(causal)");
    sum("sum attention output", 2 * hidden_);
  }
  void backward_attention_side() {
    if (layer_ == LayerKind::mtp_projection) {
      gather("gather MTP gradient", hidden_ * gradient_);
      gather("gather MTP input again", 2 * hidden_ * operand_, "mtp_projection_dgrad");
      sum("sum MTP input gradient", 4 * hidden_, "mtp_projection_wgrad");
    }
    if (!attends()) return;
    gather("gather attention output gradient", hidden_ * gradient_);
    // Latents are needed before anything is rebuilt from them; else only by weight gradients.
    const bool rebuilt = m_.latent && s_.recompute.latent_up_projection;
    if (!s_.recompute.whole_layer)
      gather("gather attention input again",
             attention_input(operand_),
             rebuilt     ? std::string_view()
             : m_.latent ? "kv_b_dgrad"
                         : "qkv_dgrad");
    context_backward();
    sum("sum attention input gradient", attention_input(2), m_.latent ? "kv_b_wgrad" : "qkv_wgrad");
  }
  void forward_ffn_side() {
    if (layer_ == LayerKind::head) {
      gather("gather head input", 2 * hidden_);
      if (s_.tp > 1)
        list_.push_back(
            {"sum up the loss", Kind::all_reduce, SharingGroup::tp, tokens_ * 4 * B, 3, {}, 1});
    }
    if (has_dense_products()) gather("gather FFN input", hidden_ * operand_);
    if (layer_ == LayerKind::moe)
      expert_rows(Kind::all_gather, "gather expert rows", hidden_ * dispatched_row(s_.recipe));
    if (layer_ == LayerKind::moe)
      expert_rows(Kind::reduce_scatter, "scatter expert results", 2 * hidden_);
    if (has_dense_products()) sum("sum FFN output", 2 * hidden_);
  }
  void backward_ffn_side() {
    if (layer_ == LayerKind::head) {
      gather("gather head input again", 2 * hidden_, "lm_head_dgrad");
      sum("sum head input gradient", 2 * hidden_, "lm_head_wgrad");
    }
    if (has_dense_products()) gather("gather FFN output gradient", hidden_ * gradient_);
    if (layer_ == LayerKind::moe)
      expert_rows(Kind::all_gather, "gather expert gradients", hidden_ * dispatched_row(s_.recipe));
    if (has_dense_products() && !s_.recompute.whole_layer)
      gather("gather FFN input again", hidden_ * operand_, "shared_gate_up_dgrad");
    if (layer_ == LayerKind::moe)
      expert_rows(Kind::reduce_scatter, "scatter expert input gradients", 2 * hidden_);
    if (has_dense_products()) sum("sum FFN input gradient", 2 * hidden_, "shared_gate_up_wgrad");
  }

  const ModelSpec m_;
  LayerKind layer_;
  const ChunkShape& s_;
  const RankLoad& load_;
  double tokens_, hidden_, operand_, gradient_;
  std::vector<BlockCollective> list_;
};

}  // namespace

std::vector<BlockCollective> block_collectives(const ModelSpec& model,
                                               LayerKind kind,
                                               Block block,
                                               const ChunkShape& shape,
                                               const RankLoad& load) {
  if (shape.tp == 1 && shape.cp == 1 && shape.expert_tp == 1) return {};
  return Exchange(model, kind, shape, load).of(block);
}

const Op* find_op(const LayerOps& layer, std::string_view name) {
  for (const OpList& ops : layer.blocks)
    for (const Op& op : ops)
      if (op.name == name) return &op;
  return nullptr;
}

Bytes sent_bytes(const BlockCollective& c, std::int64_t ranks) {
  const auto n = static_cast<double>(ranks);
  const double part = c.kind == CollectiveKind::send         ? 1
                      : c.kind == CollectiveKind::all_reduce ? 2 * (n - 1) / n
                                                             : (n - 1) / n;
  return static_cast<double>(c.count) * part * c.bytes;
}

}  // namespace moesim
