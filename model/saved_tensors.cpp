#include "model/saved_tensors.hpp"

#include "model/op_graph/recipe.hpp"

namespace moesim {
namespace {

constexpr double kBf16 = 2, kFp32 = 4, kTokenId = 4;

using List = std::vector<SavedTensor>;

void add(List& list, std::string_view name, double elements, double bytes_per_element) {
  list.push_back({name, elements * bytes_per_element * B});
}

void add_attention(List& list, const ModelSpec& m, const ChunkShape& s) {
  const auto tokens = static_cast<double>(s.tokens), own = static_cast<double>(s.own_tokens()),
             kv_tokens = static_cast<double>(s.kv_tokens());
  const auto q_width = static_cast<double>(m.num_heads * m.head_dim);
  if (m.latent) {
    const LatentAttention& a = *m.latent;
    add(list,
        "key-value latents",
        own * kv_tokens / tokens * static_cast<double>(a.kv_lora_rank + a.qk_rope_head_dim),
        kBf16);
    if (a.q_lora_rank > 0)
      add(list, "query latents", own * static_cast<double>(a.q_lora_rank), kBf16);
    else
      add(list, "queries", tokens * q_width, kBf16);
    if (!s.recompute.latent_up_projection) {
      if (a.q_lora_rank > 0) add(list, "queries", tokens * q_width, kBf16);
      add(list,
          "keys and values",
          kv_tokens * static_cast<double>(m.num_heads * (m.head_dim + m.value_head_dim())),
          kBf16);
    }
  } else {
    add(list,
        "queries, keys and values",
        tokens * static_cast<double>((m.num_heads + 2 * m.num_kv_heads) * m.head_dim),
        kBf16);
  }
  add(list,
      "attention output",
      tokens * static_cast<double>(m.num_heads * m.value_head_dim()),
      casts_of(s.recipe).attention_output);
  if (!s.recompute.core_attention)
    add(list, "attention log-sum-exp", tokens * static_cast<double>(m.num_heads), kFp32);
}

// Gate and up of `rows`, and the activation where it is not made again.
void add_swiglu(List& list, double rows, std::int64_t width, const ChunkShape& s) {
  const double elements = rows * static_cast<double>(width), row = casts_of(s.recipe).row;
  add(list, "gate and up", 2 * elements, row);
  if (!s.recompute.swiglu) add(list, "activation", elements, row);
}

}  // namespace

std::vector<SavedTensor> saved_tensors(const ModelSpec& model,
                                       LayerKind kind,
                                       const ChunkShape& s,
                                       const RankLoad& load) {
  const ModelSpec m = rank_share(model, s);
  const auto tokens = static_cast<double>(s.tokens), own = static_cast<double>(s.own_tokens()),
             h = static_cast<double>(m.hidden);
  const double row = casts_of(s.recipe).row;
  List list;
  switch (kind) {
    case LayerKind::embedding: add(list, "token ids", tokens, kTokenId); return list;
    case LayerKind::head:
      add(list, "head input", own * h, kBf16);
      add(list, "logits", tokens * static_cast<double>(m.vocab), kFp32);
      return list;
    case LayerKind::mtp_projection: add(list, "MTP inputs", own * 2 * h, kBf16); return list;
    case LayerKind::dense:
    case LayerKind::moe: break;
  }
  if (s.recompute.whole_layer) {
    add(list, "layer input", own * h, kBf16);
    return list;
  }
  add(list, "attention norm input", own * h, kBf16);
  add(list, "feed-forward norm input", own * h, kBf16);
  if (!s.recompute.norm) add(list, "norm outputs", own * 2 * h, row);
  add_attention(list, m, s);
  if (kind == LayerKind::dense) {
    add_swiglu(list, tokens, m.dense_intermediate, s);
    return list;
  }
  add_swiglu(list, tokens, m.moe->shared_intermediate, s);
  add(list, "gate scores", own * static_cast<double>(m.moe->num_experts), kFp32);
  add(list, "received rows", static_cast<double>(load.tokens_received) * h, row);
  add_swiglu(list, static_cast<double>(load.padded_rows), m.moe->expert_intermediate, s);
  return list;
}

}  // namespace moesim
