// What a GPU holds in serving: published figures, sums, what changes with the plan.
#include <cmath>

#include "model/serving/serving_memory.hpp"
#include "tests/catch.hpp"
#include "tests/serving_pools.hpp"

using namespace moesim;

namespace {

double line(const ServingMemory& memory, const std::string& key) {
  for (const ServingMemoryLine& l : memory.lines)
    if (l.key == key) return l.bytes.in(GB);
  FAIL("no line " << key);
  return 0;
}

PoolSpec v3_prefill(std::int64_t tokens, bool overlap) {
  PoolSpec pool = with_redundant_experts(h100_pool(PoolRole::prefill, 32));
  pool.engine.max_batch_tokens = tokens;
  pool.plan.two_batch_overlap = overlap;
  return pool;
}

}  // namespace

TEST_CASE("serving memory: cached bytes of a token", "[serving][memory]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  PoolSpec pool = h100_pool(PoolRole::decode, 72);
  CHECK(kv_bytes_per_token(v3, pool).in(B) == 70272);
  pool.kv.bytes_per_element = 1;  // row M06
  CHECK(kv_bytes_per_token(v3, pool).in(B) == 35136);
  // Every tensor-parallel rank has the latents; keys and values are shared out, at least one head.
  pool.plan.tp = 4;
  CHECK(kv_bytes_per_token(v3, pool).in(B) == 35136);
  // A draft module attends too.
  pool.engine.acceptance = {0.85};
  CHECK(kv_bytes_per_token(v3, pool).in(B) == 62 * 576);
  const ModelSpec llama = shipped_model("llama-3.1-70b");
  PoolSpec grouped = pool;
  grouped.kv.bytes_per_element = 2;
  CHECK(kv_bytes_per_token(llama, grouped).in(B) == 80 * 2 * 2 * 128 * 2);
  grouped.plan.tp = 16;
  CHECK(kv_bytes_per_token(llama, grouped).in(B) == 80 * 2 * 1 * 128 * 2);
}

TEST_CASE("serving memory: DeepEP's buffers", "[serving][memory]") {
  // "Allocating buffer size: 2116.291072 MB" for 288 experts, 128 tokens of 7168 (DeepEP issue 28);
  // alignment is left out.
  CHECK(low_latency_buffer(288, 128, 7168).in(MB) == Approx(2116.291072).epsilon(1e-6));
  // 12 channels; 8 peers x 288 rows on the node, 4 nodes x 128 rows twice; rows of 16,400 bytes.
  const double row = 2 * 7168 + 128 * 12 + 128 * 4 + 16;
  CHECK(normal_buffer(32, 8, 24, 7168).in(B) == Approx(12 * (8 * 288 + 2 * 4 * 128) * row));
  CHECK(normal_buffer(8, 8, 24, 7168).in(B) == Approx(12 * 8 * 256 * row));
}

TEST_CASE("serving memory: lines add up to the budget", "[serving][memory]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  for (const bool overlap : {false, true}) {
    const ServingMemory m = serving_memory(v3, v3_prefill(16384, overlap));
    CHECK(m.fits);
    CHECK(m.total() <= m.budget);
    CHECK(m.total() + m.page > m.budget);
    CHECK((m.without_pages() + static_cast<double>(m.pages) * m.page).in(B) ==
          Approx(m.total().in(B)));
    CHECK(m.budget.in(GB) == Approx(0.9 * 79.6 * 1.073741824));
    // 187.1M parameters of attention a layer; 9 slots of 44.04M on each of 58 layers; one shared.
    CHECK(line(m, "attention_bytes") == Approx(61 * 0.1871).epsilon(1e-3));
    CHECK(line(m, "routed_experts_bytes") == Approx(58 * 9 * 0.04404).epsilon(1e-3));
    CHECK(line(m, "shared_experts_bytes") == Approx(58 * 0.04404).epsilon(1e-3));
    CHECK(line(m, "absorbed_bytes") == Approx(61e-9 * 128 * 512 * 256 * 2));
    CHECK(line(m, "embedding_head_bytes") == Approx(2e-9 * 129280 * 7168 * 2));
  }
}

TEST_CASE("serving memory: the worst step of a prefill unit", "[serving][memory]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const double alone = line(serving_memory(v3, v3_prefill(16384, false)), "activation_bytes"),
               halves = line(serving_memory(v3, v3_prefill(16384, true)), "activation_bytes"),
               half = line(serving_memory(v3, v3_prefill(8192, false)), "activation_bytes");
  // All 524,288 tokens of the group come, with 1.12 copies each: the last product's rows and what
  // is gathered from them are 16 GB. Half a batch at a time needs half, but for the residual
  // stream.
  const double received = 32 * 16384, copies = 8. / 32 / (1 - std::pow(31. / 32, 8));
  const double rows = received * (1 + copies) * 7168 * 2,
               own = 16384. * 7168 * (2 * 2 + 2 + 1 + 4. / 128);
  CHECK(alone == Approx((rows + own) * 1e-9));
  CHECK(halves - half == Approx(8192. * 7168 * 2 * 2 * 1e-9));
  CHECK(halves / alone < 0.52);

  // Row M08: SGLang keeps 0.85 of the memory for weights and pages, whatever activations need. What
  // is then left takes 8,192 tokens, or 16,384 in halves, and not 16,384 at once.
  const auto with_static_pages = [&](std::int64_t tokens, bool overlap) {
    PoolSpec pool = v3_prefill(tokens, overlap);
    pool.kv.framework = 3 * GB;
    const ServingMemory m = serving_memory(v3, pool);
    const double weights =
        m.without_pages().in(GB)-line(m, "activation_bytes") - line(m, "exchange_bytes") - 3;
    pool.kv.memory_fraction = 1;
    pool.kv.pages =
        static_cast<std::int64_t>((0.85 * pool.cluster.gpu.hbm - weights * GB) / m.page);
    return serving_memory(v3, pool).fits;
  };
  CHECK(with_static_pages(8192, false));
  CHECK_FALSE(with_static_pages(16384, false));
  CHECK(with_static_pages(16384, true));
}

TEST_CASE("serving memory: requests that a GPU holds", "[serving][memory]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  // Row M09: NVFP4 experts, FP8 cache, 16 GPUs, 0.75 of the memory; 136K tokens a request. In
  // decimal gigabytes the source's arithmetic gives 36.8 and 21.8; it operates 36 and 20.
  PoolSpec pool = shipped_pool("gb200-nvl72", "h100-published", PoolRole::decode, 16);
  pool.plan.expert_weights = WeightPrecision::fp4;
  pool.kv.bytes_per_element = 1;
  pool.kv.memory_fraction = 0.75;
  pool.engine.max_requests = 24;
  const std::int64_t gb200 = serving_memory(v3, pool).most_requests(136000);
  CHECK(gb200 >= 20);
  CHECK(gb200 <= 24);
  pool.cluster.gpu.hbm = 288 * GB;
  pool.engine.max_requests = 40;
  const std::int64_t gb300 = serving_memory(v3, pool).most_requests(136000);
  CHECK(gb300 >= 36);
  CHECK(gb300 <= 40);
}

TEST_CASE("serving memory: DeepSeekMoE 16B on one GPU of 40 GB", "[serving][memory]") {
  const ModelSpec m = shipped_model("deepseek-moe-16b");  // row M07
  PoolSpec pool = shipped_pool("a100-512", "h100-published", PoolRole::colocated, 1);
  pool.plan.recipe = Recipe::bf16;
  pool.plan.weights = pool.plan.expert_weights = WeightPrecision::bf16;
  pool.engine.max_batch_tokens = 4096;
  pool.engine.max_requests = 32;
  pool.cluster.gpu.hbm = 40 * GB;
  const ServingMemory on_40 = serving_memory(m, pool);
  CHECK(on_40.fits);
  CHECK(on_40.without_pages().in(GB) == Approx(32.8).epsilon(0.02));
  pool.cluster.gpu.hbm = 32 * GB;
  const ServingMemory on_32 = serving_memory(m, pool);
  CHECK_FALSE(on_32.fits);
  CHECK(on_32.pages == 0);
  CHECK(on_32.most_requests(100) == 0);
}
