#include "model/serving/serving_memory.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/kernel_plan.hpp"
#include "model/model_counts.hpp"
#include "model/op_graph/pieces.hpp"
#include "model/rank_parameters.hpp"

namespace moesim {
namespace {

constexpr double kBf16 = 2, kFp32 = 4;

double d(std::int64_t n) { return static_cast<double>(n); }

// Of one GPU.
class GpuMemory {
 public:
  GpuMemory(const ModelSpec& model, const PoolSpec& pool)
      : m_(model),
        pool_(pool),
        plan_(pool.plan),
        tp_(d(plan_.tp)),
        drafts_(pool.engine.draft_tokens() > 0),
        moe_layers_(d(model.num_moe_layers())),
        dense_layers_(d(model.num_layers) - moe_layers_) {}

  ServingMemory lines() {
    add("attention_bytes", "attention weights", attention_weights(d(m_.num_layers)));
    if (m_.latent)
      add("absorbed_bytes", "absorbed up-projections, BF16", absorbed(d(m_.num_layers)));
    add("dense_ffn_bytes",
        "dense feed-forward weights",
        dense_layers_ * d(dense_ffn_parameters(m_)) / tp_ * bytes_per_weight(plan_.weights));
    add("embedding_head_bytes",
        "embedding and head",
        d(m_.vocab * m_.hidden) / tp_ * kBf16 * (m_.tied_embeddings ? 1 : 2));
    add("gate_norm_bytes",
        "gate and norms",
        (moe_layers_ * d(gate_parameters(m_)) + d(m_.num_layers * layer_norm_parameters(m_))) *
            kBf16);
    if (m_.moe) {
      const double all = moe_layers_ * routed_experts();
      add("routed_experts_bytes",
          "routed experts",
          pool_.expert_tiers ? std::min(all, pool_.expert_tiers->hbm.in(B)) : all);
      add("shared_experts_bytes", "shared experts", moe_layers_ * shared_experts());
    }
    if (drafts_) add("mtp_bytes", "MTP modules", d(m_.num_mtp_modules) * mtp_module());
    const Bytes weights = result_.total();
    add("activation_bytes", "activations of the largest step", activations());
    if (exchanges()) add("exchange_bytes", "exchange buffers", exchange_buffers());
    result_.lines.push_back({"framework_bytes", "framework", pool_.kv.framework});
    add_pages(result_.total() - weights);
    return std::move(result_);
  }

 private:
  void add(std::string key, std::string title, double bytes) {
    result_.lines.push_back({std::move(key), std::move(title), bytes * B});
  }
  bool exchanges() const { return m_.moe && plan_.ep > 1; }
  bool prefills() const { return pool_.role != PoolRole::decode; }
  bool decodes() const { return pool_.role != PoolRole::prefill; }
  bool uses(Exchange exchange) const {
    return (prefills() && plan_.prefill_exchange == exchange) ||
           (decodes() && plan_.decode_exchange == exchange);
  }

  double attention_weights(double layers) const {
    return layers * attention_parameters_of_rank(m_, plan_.tp) * bytes_per_weight(plan_.weights);
  }
  double absorbed(double layers) const {
    const LatentAttention& a = *m_.latent;
    return layers * std::ceil(d(m_.num_heads) / tp_) *
           d(a.kv_lora_rank * (a.qk_nope_head_dim + a.v_head_dim)) * kBf16;
  }
  double routed_experts() const {  // of a layer
    const double slots =
        exchanges() ? d(m_.moe->num_experts + plan_.placement.redundant_experts) / d(plan_.ep)
                    : d(m_.moe->num_experts) / tp_;
    return slots * d(expert_parameters(m_)) * bytes_per_weight(plan_.expert_weights);
  }
  double shared_experts() const {  // of a layer
    return d(shared_expert_parameters(m_)) / (exchanges() ? 1 : tp_) *
           bytes_per_weight(plan_.expert_weights);
  }
  double mtp_module() const {
    double bytes = attention_weights(1) + (m_.latent ? absorbed(1) : 0) +
                   d(mtp_projection_parameters(m_)) / tp_ * bytes_per_weight(plan_.weights) +
                   d(layer_norm_parameters(m_)) * kBf16;
    if (m_.moe)
      bytes += routed_experts() + shared_experts() + d(gate_parameters(m_)) * kBf16;
    else
      bytes += d(dense_ffn_parameters(m_)) / tp_ * bytes_per_weight(plan_.weights);
    return bytes;
  }

  // Of the largest step of either kind.
  std::int64_t decode_tokens() const {
    return pool_.engine.max_requests * (pool_.engine.draft_tokens() + 1);
  }
  std::int64_t prompt_tokens() const { return pool_.engine.max_batch_tokens; }
  // That are in the tensors of one layer: of half a batch where halves overlap.
  std::int64_t at_once(std::int64_t tokens) const {
    return exchanges() && plan_.two_batch_overlap ? ceil_div(tokens, 2) : tokens;
  }

  double activations() const {
    double most = 0;
    if (prefills()) most = of_step(prompt_tokens(), plan_.prefill_exchange, true);
    if (decodes()) most = std::max(most, of_step(decode_tokens(), plan_.decode_exchange, false));
    return most;
  }
  double of_step(std::int64_t tokens, Exchange exchange, bool prompts) const {
    const double residual = 2 * d(tokens * m_.hidden) * kBf16;
    const double inside = std::max(attention_tensors(at_once(tokens), prompts),
                                   feed_forward_tensors(at_once(tokens), exchange));
    // One row of logits a request; of prompts, the last token's.
    const std::int64_t rows = prompts ? std::min(pool_.engine.max_requests, tokens) : tokens;
    const double logits = d(rows * m_.vocab) / tp_ * kFp32;
    return residual + std::max(inside, logits);
  }
  double attention_tensors(std::int64_t tokens, bool prompts) const {
    const double heads = std::ceil(d(m_.num_heads) / tp_), t = d(tokens);
    const double queries = heads * d(m_.head_dim), output = heads * d(m_.value_head_dim());
    double per_token = queries + output;
    if (m_.latent) {
      const LatentAttention& a = *m_.latent;
      per_token += d(a.q_lora_rank + a.kv_lora_rank + a.qk_rope_head_dim);
      per_token += prompts ? heads * (d(a.qk_nope_head_dim + a.v_head_dim) + d(m_.head_dim))
                           : heads * d(2 * a.kv_lora_rank + a.qk_rope_head_dim);
    } else {
      per_token += 2 * std::ceil(d(m_.num_kv_heads) / tp_) * d(m_.head_dim);
    }
    return t * per_token * kBf16;
  }
  double feed_forward_tensors(std::int64_t tokens, Exchange exchange) const {
    const double t = d(tokens), hidden = d(m_.hidden);
    const double operand = dispatched_row(plan_.recipe);
    const double dense = t * (3 * d(m_.dense_intermediate) / tp_ + hidden) * kBf16;
    if (!m_.moe) return dense;
    const double width = d(m_.moe->expert_intermediate) / (exchanges() ? 1 : tp_);
    const double input = t * hidden * operand, result = t * hidden * kBf16;
    double received = t, rows = t * d(m_.moe->top_k);
    if (exchanges() && exchange == Exchange::normal) {
      received = t / tp_ * d(plan_.ep);
      rows = received * copies_of_received();
    } else if (exchanges()) {
      rows = t / tp_ * d(m_.moe->num_experts + plan_.placement.redundant_experts);
      received = 0;  // the last product's rows are what is sent back
    }
    // Two at a time: received and scattered rows, scattered rows and gate and up, gate and up and
    // their product, that and the last product, the last product and what is gathered from it.
    const double scattered = rows * hidden * operand, gate_up = rows * 2 * width * kBf16,
                 product = rows * width * operand, down = rows * hidden * kBf16;
    const double most = std::max({received * hidden * operand + scattered,
                                  scattered + gate_up,
                                  gate_up + product,
                                  product + down,
                                  down + received * hidden * kBf16});
    return std::max(dense_layers_ > 0 ? dense : 0, input + most + result);
  }
  // Copies of a token on a rank that it visits at all, experts chosen evenly: k p / (1 - (1 - p)^k)
  // with a share p of the experts on the rank.
  double copies_of_received() const {
    const double k = d(m_.moe->top_k), p = 1 / d(plan_.ep);
    return k * p / (1 - std::pow(1 - p, k));
  }

  double exchange_buffers() const {
    double bytes = 0;
    const std::int64_t per_node = std::min(plan_.ep, pool_.cluster.gpus_per_node);
    if (uses(Exchange::normal))
      bytes += normal_buffer(plan_.ep, per_node, plan_.comm_sms, m_.hidden).in(B);
    if (uses(Exchange::low_latency)) {
      std::int64_t tokens = 0;
      if (decodes() && plan_.decode_exchange == Exchange::low_latency) tokens = decode_tokens();
      if (prefills() && plan_.prefill_exchange == Exchange::low_latency)
        tokens = std::max(tokens, prompt_tokens());
      bytes += low_latency_buffer(m_.moe->num_experts + plan_.placement.redundant_experts,
                                  ceil_div(at_once(tokens), plan_.tp),
                                  m_.hidden)
                   .in(B);
    }
    return bytes;
  }

  // `rest`: what the fraction leaves out where it is for weights and pages only.
  void add_pages(Bytes rest) {
    result_.budget = pool_.kv.memory_fraction * pool_.cluster.gpu.hbm;
    result_.kv_per_token = kv_bytes_per_token(m_, pool_);
    result_.page_tokens = pool_.kv.page_tokens;
    result_.page = d(pool_.kv.page_tokens) * result_.kv_per_token;
    Bytes within = result_.total();  // beside pages, under the fraction
    bool rest_fits = true;
    if (pool_.kv.fraction_is_static) {
      within -= rest;
      rest_fits = rest <= pool_.cluster.gpu.hbm - result_.budget;
    }
    const Bytes left = result_.budget - within;
    const auto possible =
        left > Bytes() ? static_cast<std::int64_t>(std::floor(left / result_.page)) : 0;
    result_.pages = pool_.kv.pages.value_or(possible);
    // The tokens of a prompt step are all cached while it runs.
    if (prefills()) result_.least_pages = ceil_div(prompt_tokens(), pool_.kv.page_tokens);
    result_.least_pages = std::max<std::int64_t>(1, result_.least_pages);
    result_.fits = rest_fits && result_.pages <= possible && result_.pages >= result_.least_pages;
    result_.lines.push_back({"kv_pages_bytes", "KV pages", d(result_.pages) * result_.page});
  }

  const ModelSpec& m_;
  const PoolSpec& pool_;
  const UnitPlan& plan_;
  double tp_;
  bool drafts_;
  double moe_layers_, dense_layers_;
  ServingMemory result_;
};

}  // namespace

Bytes ServingMemory::total() const {
  Bytes sum;
  for (const ServingMemoryLine& line : lines) sum += line.bytes;
  return sum;
}

Bytes ServingMemory::without_pages() const { return total() - d(pages) * page; }

std::int64_t ServingMemory::most_requests(std::int64_t context) const {
  ENSURE(context > 0);
  return fits ? pages / ceil_div(context, page_tokens) : 0;
}

ServingMemory serving_memory(const ModelSpec& model, const PoolSpec& pool) {
  return GpuMemory(model, pool).lines();
}

Bytes kv_bytes_per_token(const ModelSpec& model, const PoolSpec& pool) {
  const std::int64_t layers =
      model.num_layers + (pool.engine.draft_tokens() > 0 ? model.num_mtp_modules : 0);
  const std::int64_t elements =
      model.latent ? kv_elements_per_token_layer(model)
                   : 2 * ceil_div(model.num_kv_heads, pool.plan.tp) * model.head_dim;
  return d(layers * elements) * pool.kv.bytes_per_element * B;
}

Bytes low_latency_buffer(std::int64_t experts, std::int64_t tokens, std::int64_t hidden) {
  // A message is a row in BF16 and 16 bytes of its own; odd and even calls have a buffer each to
  // send from and to receive into, and a counter an expert.
  constexpr double kHeader = 16, kCounter = 4;
  const double message = d(hidden) * kBf16 + kHeader;
  return 2 * d(experts) * (2 * d(tokens) * message + kCounter) * B;
}

Bytes normal_buffer(std::int64_t ranks,
                    std::int64_t ranks_per_node,
                    std::int64_t sms,
                    std::int64_t hidden) {
  // Rows in flight of a channel and peer: DeepEP, Buffer.get_dispatch_config; 128 between nodes.
  const std::int64_t nvlink_rows = ranks <= ranks_per_node ? 256
                                   : ranks <= 64           ? 288
                                   : ranks <= 128          ? 560
                                                           : 720;
  constexpr double kNetworkRows = 128;
  // A row in BF16 with room for 128 experts (8-byte index, 4-byte weight), 128 scales, metadata.
  const double row = d(hidden) * kBf16 + 128 * (8 + 4) + 128 * 4 + 16;
  constexpr std::int64_t kDefaultSms = 20;  // Buffer.num_sms
  const double channels = d((sms > 0 ? sms : kDefaultSms) / 2);
  const double nodes = d(ceil_div(ranks, ranks_per_node));
  const double nvlink = channels * d(std::min(ranks, ranks_per_node)) * d(nvlink_rows) * row;
  const double network = nodes > 1 ? channels * nodes * kNetworkRows * row * 2 : 0;
  return (nvlink + network) * B;
}

}  // namespace moesim
