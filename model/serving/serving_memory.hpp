// What a GPU of a serving unit holds, line by line, and what is left of it for KV pages.
//
//   weights      by part and precision (UnitPlan). Embedding, head, gate and norms are BF16. Latent
//                attention also keeps both absorbed up-projections in BF16 (SGLang's w_kc and
//                w_vc), because decoding multiplies them head by head.
//   activations  tensors alive at the worst moment of the largest step. The residual stream (hidden
//                states and residual) is alive all the time; beside it either attention's (queries,
//                keys and values rebuilt from latents, output), or the experts', whichever is more,
//                of half a batch where halves overlap. Of the experts' tensors two are alive at a
//                time (engines free each when the next is made), and most at the end: the last
//                product's rows and what is gathered from them.
//                  normal       sizes follow the routing. No engine may run out under any, so the
//                               worst case is taken: every token of the group is received, in as
//                               many copies as a received token has on average.
//                  low latency  slabs of fixed size, ranks x tokens for each expert of the rank.
//   buffers      of the exchange, by DeepEP's own formulas (csrc/config.hpp: the two
//                get_..._buffer_size_hint with the chunks of Buffer.get_dispatch_config, and
//                LowLatencyLayout): 2116.29 MB for 288 experts and 128 tokens of 7168 (DeepEP
//                issue 28).
//   framework    as the engine's user states it: CUDA context, NCCL, graphs.
//
// Pages are what is left under the memory fraction. Where that is of weights and pages only
// (KvSpec::fraction_is_static), activations, buffers and framework have to fit beside it.
//
// Of experts in tiers (ExpertTiers) only those in HBM count.
// A prefix longer than a step's tokens is rebuilt
// in pieces as long as these, as engines do.
//
// Left out: fragmentation, workspaces of libraries, partial results of split-KV decoding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_spec.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

struct ServingMemoryLine {
  std::string key, title;  // "routed_experts_bytes"
  Bytes bytes;
};

struct ServingMemory {
  std::vector<ServingMemoryLine> lines;  // KV pages last; zero where nothing is left for them
  Bytes budget;  // memory fraction x HBM
  Bytes kv_per_token, page;              // of an attention rank, on this GPU
  std::int64_t page_tokens = 0, pages = 0;
  std::int64_t least_pages = 1;  // that the largest step needs: its own tokens
  bool fits = false;             // the lines are within the budget, and pages are enough
  Bytes total() const;
  Bytes without_pages() const;
  // Requests of so many cached tokens that the pages hold; 0 when it does not fit.
  std::int64_t most_requests(std::int64_t context) const;
};

ServingMemory serving_memory(const ModelSpec& model, const PoolSpec& pool);

// Cached bytes of a token on one of the tp GPUs of an attention rank: latents whole on each, the
// keys and values of other attention shared out by heads. Layers of MTP modules count where drafts
// are made.
Bytes kv_bytes_per_token(const ModelSpec& model, const PoolSpec& pool);

// Buffers of DeepEP for rows of `hidden` BF16 values.
Bytes low_latency_buffer(std::int64_t experts, std::int64_t tokens, std::int64_t hidden);
Bytes normal_buffer(std::int64_t ranks,
                    std::int64_t ranks_per_node,
                    std::int64_t sms,
                    std::int64_t hidden);

}  // namespace moesim
