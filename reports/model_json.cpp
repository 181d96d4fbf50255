#include "reports/model_json.hpp"

#include "model/model_counts.hpp"

namespace moesim {

JsonValue model_json(const ModelSpec& m, std::int64_t seq_len) {
  const ParameterCounts c = count_parameters(m);
  JsonValue doc = JsonValue::object();
  doc.set("schema_version", 1);
  doc.set("model", m.name);
  doc.set("model_type", m.model_type);
  doc.set("parameters",
          JsonValue::object()
              .set("total", c.total())
              .set("active", active_parameters(m))
              .set("embedding", c.embedding)
              .set("head", c.head)
              .set("attention", c.attention)
              .set("dense_ffn", c.dense_ffn)
              .set("routed_experts", c.routed_experts)
              .set("shared_experts", c.shared_experts)
              .set("gate", c.gate)
              .set("norms", c.norms)
              .set("mtp_not_in_total", c.mtp));
  JsonValue flops = JsonValue::object();
  flops.set("seq_len_tokens", seq_len);
  for (const auto& [name, convention] :
       {std::pair<const char*, AttentionConvention>{"causal", AttentionConvention::causal},
        {"noncausal", AttentionConvention::non_causal}}) {
    const FlopsPerToken f = flops_per_token(m, seq_len, convention);
    flops.set(name,
              JsonValue::object()
                  .set("forward", f.forward.in(FLOP))
                  .set("backward", f.backward.in(FLOP))
                  .set("training", f.training().in(FLOP))
                  .set("mtp_forward_not_included",
                       mtp_forward_flops_per_token(m, seq_len, convention).in(FLOP)));
  }
  flops.set("recompute", recompute_flops_per_token(m).in(FLOP));
  doc.set("flops_per_token", std::move(flops));
  doc.set("kv_bytes_per_token",
          JsonValue::object()
              .set("bf16", kv_bytes_per_token(m, 2).in(B))
              .set("fp8", kv_bytes_per_token(m, 1).in(B))
              .set("6bit", kv_bytes_per_token(m, 0.75).in(B)));
  const auto total = static_cast<double>(c.total());
  doc.set("weight_bytes",
          JsonValue::object()
              .set("fp32", 4 * total)
              .set("bf16", 2 * total)
              .set("fp8", total)
              .set("fp4", total / 2));
  doc.set("equivalent_gqa_groups", equivalent_gqa_groups(m));
  return doc;
}

}  // namespace moesim
