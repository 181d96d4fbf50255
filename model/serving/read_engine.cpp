#include "model/json_message.hpp"
#include "model/serving/read_pool.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostRequests = 1 << 24, kMostTokens = std::int64_t{1} << 30;

std::string text(std::int64_t count) { return std::to_string(count); }

void check_engine(const ObjectReader& reader, const EngineSpec& engine, PoolRole role) {
  if (engine.batching != Batching::continuous && engine.chunked_prefill)
    reader.fail("chunked_prefill",
                "is true, but " +
                    in_quotes(kBatchingNames[static_cast<std::size_t>(engine.batching)]) +
                    " batches take whole prompts; expected false");
  if (engine.long_prefill_tokens > 0 && !engine.chunked_prefill)
    reader.fail("long_prefill_tokens",
                "given, but \"chunked_prefill\" is false: prompts are computed whole");
  // A decode pool computes prompts only after a preemption.
  if (!engine.chunked_prefill && role != PoolRole::decode &&
      engine.max_batch_tokens < engine.max_context_tokens)
    reader.fail("max_batch_tokens",
                "a step of " + text(engine.max_batch_tokens) +
                    " tokens cannot hold a whole prompt of up to max_context_tokens " +
                    text(engine.max_context_tokens) + "; expected as many, or chunked_prefill");
  if (role != PoolRole::prefill && engine.max_batch_tokens < engine.max_requests)
    reader.fail("max_batch_tokens",
                "a step of " + text(engine.max_batch_tokens) +
                    " tokens cannot hold one for each of max_requests " +
                    text(engine.max_requests));
}

// "bf16", "fp8", "fp4" (blocks of 16 with an FP8 scale, as NVFP4 has them) or a mean such as
// "6 bits". Published FP8 caches have one scale a layer.
double read_cache_bytes(ObjectReader& reader) {
  constexpr const char* kExpected =
      "expected \"bf16\", \"fp8\", \"fp4\" or bits an element from 1 to 32 such as \"6 bits\", "
      "found ";
  const std::string name = reader.text("kv_cache");
  if (name == "bf16") return 2;
  if (name == "fp8") return 1;
  if (name == "fp4") return 0.5 + 1.0 / 16;
  const std::string unit = " bits";
  if (name.size() <= unit.size() || !name.ends_with(unit))
    reader.fail("kv_cache", kExpected + in_quotes(name));
  const std::string digits = name.substr(0, name.size() - unit.size());
  std::size_t used = 0;
  double bits = 0;
  try {
    bits = std::stod(digits, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  // stod skips leading blanks and takes "inf" and hexadecimal.
  const bool is_decimal = digits.find_first_not_of("0123456789.") == std::string::npos;
  if (!is_decimal || used != digits.size() || bits < 1 || bits > 32)
    reader.fail("kv_cache", kExpected + in_quotes(name));
  return bits / 8;
}

std::vector<KvTier> read_tiers(const JsonNode& list) {
  std::vector<KvTier> tiers;
  if (list.kind != JsonNode::Kind::array)
    throw InputError(list.place(), "expected an array of tiers, found " + list.describe());
  for (const JsonNode& item : list.items) {
    ObjectReader reader(item);
    KvTier tier;
    tier.name = reader.text("name");
    tier.capacity = reader.bytes("capacity");
    tier.bandwidth = reader.bandwidth_at_least("bandwidth", "1 MB/s");
    tier.latency = reader.seconds_at_most("latency", "10 s");
    reader.finish();
    for (const KvTier& other : tiers)
      if (other.name == tier.name) reader.fail("name", in_quotes(tier.name) + " is there twice");
    tiers.push_back(std::move(tier));
  }
  return tiers;
}

}  // namespace

EngineSpec read_engine(const JsonNode& node, PoolRole role, std::vector<double> acceptance) {
  ObjectReader reader(node);
  EngineSpec engine;
  engine.batching = read_named_or(reader, "batching", kBatchingNames, engine.batching);
  engine.policy = read_named_or(reader, "policy", kPolicyNames, engine.policy);
  engine.preemption = read_named_or(reader, "preemption", kPreemptionNames, engine.preemption);
  engine.max_requests = reader.integer("max_requests", 1, kMostRequests);
  engine.max_batch_tokens = reader.integer("max_batch_tokens", 1, kMostTokens);
  engine.chunked_prefill =
      reader.boolean_or("chunked_prefill", engine.batching == Batching::continuous);
  engine.long_prefill_tokens = reader.integer_or("long_prefill_tokens", 0, kMostTokens, 0);
  engine.max_context_tokens = reader.integer("max_context_tokens", 2, kMostTokens);
  engine.step_overhead = reader.seconds_at_most("step_overhead", "10 s");
  engine.acceptance = std::move(acceptance);
  reader.finish();
  check_engine(reader, engine, role);
  return engine;
}

KvSpec read_kv(const JsonNode& node, const EngineSpec& engine) {
  ObjectReader reader(node);
  KvSpec kv;
  kv.page_tokens = reader.integer("page_tokens", 1, 1 << 20);
  kv.bytes_per_element = read_cache_bytes(reader);
  kv.memory_fraction = reader.number_or("memory_fraction", 0.01, 1, kv.memory_fraction);
  if (reader.has("memory_fraction_of"))
    kv.fraction_is_static = reader.choice("memory_fraction_of", {"all", "static"}) == "static";
  if (reader.has("pages")) kv.pages = reader.integer("pages", 1, std::int64_t{1} << 40);
  // Not needed for the number of pages when that is given.
  if (!kv.pages || reader.has("framework")) kv.framework = reader.bytes("framework");
  kv.watermark = reader.number_or("watermark", 0, 0.5, kv.watermark);
  kv.prefix_cache = reader.boolean_or("prefix_cache", false);
  const JsonNode* tiers = reader.optional("tiers");
  reader.finish();
  if (tiers != nullptr) {
    kv.tiers = read_tiers(*tiers);
    if (!kv.tiers.empty() && !kv.prefix_cache && engine.preemption != Preemption::swap)
      reader.fail("tiers",
                  "given, but nothing goes there: \"prefix_cache\" is false and \"preemption\" is "
                  "not \"swap\"");
  }
  if (engine.preemption == Preemption::swap && kv.tiers.empty())
    reader.fail("tiers",
                "expected a tier that \"preemption\": \"swap\" moves pages to, found none");
  if (kv.pages && *kv.pages * kv.page_tokens < engine.max_context_tokens)
    reader.fail("pages",
                text(*kv.pages) + " pages x " + text(kv.page_tokens) +
                    " tokens = " + text(*kv.pages * kv.page_tokens) +
                    " tokens are too few for one request of max_context_tokens " +
                    text(engine.max_context_tokens));
  return kv;
}

}  // namespace moesim
