// The fast engine against a slow, naive one, on many small random cases: every clock, batch and gap
// must be the same.
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/naive_unit.hpp"
#include "tests/serving_drive.hpp"

namespace moesim {
namespace {

struct Case {
  UnitSettings settings;
  AffineClock clock;
  std::vector<Request> requests;
  std::vector<std::vector<std::uint32_t>> blocks;  // [request]
};

struct Dice {
  Random random;
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least +
           static_cast<std::int64_t>(random.uniform() * static_cast<double>(most - least + 1));
  }
  bool one_in(int n) { return between(1, n) == 1; }
};

Case random_case(int number) {
  Dice dice{Random(17, number)};
  Case c;
  UnitSettings& s = c.settings;
  s = plain_settings();
  EngineSpec& e = s.engine;
  e.batching = dice.one_in(4) ? static_cast<Batching>(dice.between(1, 2)) : Batching::continuous;
  e.policy = static_cast<Policy>(dice.between(0, 3));
  e.preemption = dice.one_in(3) ? Preemption::swap : Preemption::recompute;
  e.max_requests = dice.between(1, 6);
  e.max_batch_tokens = dice.between(4, 40);
  e.chunked_prefill = !dice.one_in(4);
  e.long_prefill_tokens = dice.one_in(3) ? dice.between(1, 8) : 0;
  if (dice.one_in(3)) e.acceptance.assign(dice.between(1, 3), dice.one_in(2) ? 1.0 : 0.0);
  s.page_tokens = dice.between(1, 8);
  s.pages = dice.between(30, 60) / s.page_tokens + 3;
  s.watermark = dice.one_in(2) ? 0 : 0.1;
  s.first_token_deadline = {5000, 20'000};
  s.prefix_cache = dice.one_in(2);
  s.block_tokens = s.prefix_cache ? dice.between(1, 8) : 0;
  if (e.preemption == Preemption::swap || dice.one_in(2)) {
    const Bandwidth slow = (static_cast<double>(dice.between(1, 100)) / 1e4) * TB_per_s;
    s.tiers.push_back({"host", static_cast<double>(dice.between(0, 4000)) * B, slow, 3 * ns});
    s.tiers.push_back({"ssd", static_cast<double>(dice.between(0, 4000)) * B, 0.5 * slow, 20 * ns});
  }
  c.clock.each = dice.between(0, 2000);
  c.clock.per_context = dice.random.uniform();
  c.clock.per_pair = dice.random.uniform();
  c.clock.keep = true;

  const bool named_blocks = s.prefix_cache && !dice.one_in(4);
  // Some are long, as decoding goes in stretches of some hundred tokens.
  const std::int64_t longest_output = dice.one_in(40) ? 1400 : 25;
  if (longest_output > 25) {
    s.page_tokens = dice.between(16, 64);
    s.pages = dice.between(1500, 2500) / s.page_tokens;
  }
  const std::int64_t apart = dice.between(1, 8000);
  Tick now = 0;
  std::uint32_t unheard = 1000;
  for (int i = 0; i < 25; ++i) {
    Request r;
    r.id = i;
    r.arrival = now += dice.between(0, apart);
    r.input_tokens = static_cast<std::int32_t>(dice.between(1, 30));
    r.output_tokens = static_cast<std::int32_t>(dice.between(1, longest_output));
    r.priority = static_cast<std::int32_t>(dice.between(0, 2));
    r.slo_class = static_cast<std::int32_t>(dice.between(0, 1));
    if (!named_blocks && dice.one_in(3))
      r.stated_cached_tokens = static_cast<std::int32_t>(dice.between(0, r.input_tokens));
    std::vector<std::uint32_t> blocks;
    if (named_blocks) {
      // A walk down one of three trees of shared prefixes, then blocks of its own.
      const auto tree = static_cast<std::uint32_t>(dice.between(0, 2));
      const std::int64_t shared = dice.between(0, 6);
      for (std::int64_t b = 0; b * s.block_tokens < r.input_tokens; ++b)
        blocks.push_back(b < shared ? tree * 100 + static_cast<std::uint32_t>(b) : unheard++);
    }
    c.blocks.push_back(blocks);
    c.requests.push_back(r);
  }
  for (int i = 0; i < 25; ++i) c.requests[i].blocks = c.blocks[i];
  return c;
}

bool same(const RankBatch& a, const RankBatch& b) {
  return a.decode_requests == b.decode_requests && a.decode_context == b.decode_context &&
         a.prefill_requests == b.prefill_requests && a.prefill_tokens == b.prefill_tokens &&
         a.prefill_context == b.prefill_context && a.prefill_pairs == b.prefill_pairs;
}

}  // namespace

TEST_CASE("the fast engine does what the naive one does", "[serving_unit]") {
  std::int64_t preemptions = 0, swapped = 0, tier_hits = 0, evictions = 0, rejected = 0;
  for (int number = 0; number < 900; ++number) {
    CAPTURE(number);
    const Case c = random_case(number);
    const auto fast_clock = std::make_shared<AffineClock>(c.clock);
    const auto naive_clock = std::make_shared<AffineClock>(c.clock);
    GapLog fast_log, naive_log;
    ServingUnit fast(c.settings, fast_clock, fast_log);
    NaiveUnit naive(c.settings, naive_clock, naive_log);
    const auto a = serve(fast, c.requests, {}, [&] { fast.check(); });
    const auto b = serve(naive, c.requests);
    REQUIRE(a.size() == c.requests.size());
    REQUIRE(b.size() == c.requests.size());
    std::int64_t input = 0, output = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const RequestRecord &x = a[i].record, &y = b[i].record;
      CAPTURE(i);
      REQUIRE(x.outcome == y.outcome);
      REQUIRE(x.scheduled == y.scheduled);
      REQUIRE(x.first_token == y.first_token);
      REQUIRE(x.finished == y.finished);
      REQUIRE(x.cached_tokens == y.cached_tokens);
      REQUIRE(x.preemptions == y.preemptions);
      rejected += x.outcome != Outcome::served;
      if (x.outcome == Outcome::served) input += x.request.input_tokens;
      output += a[i].generated;
    }
    REQUIRE(fast_clock->seen.size() == naive_clock->seen.size());
    std::int64_t different = 0;
    for (std::size_t i = 0; i < fast_clock->seen.size(); ++i)
      different += !same(fast_clock->seen[i], naive_clock->seen[i]);
    REQUIRE(different == 0);
    REQUIRE(fast_log.gaps == naive_log.gaps);
    REQUIRE(fast_log.bursts == naive_log.bursts);
    fast.check();
    REQUIRE(fast.idle());
    REQUIRE(fast.pages_in_use() == 0);
    const UnitCounters& counters = fast.counters();
    REQUIRE(counters.preemptions == naive.num_preemptions);
    REQUIRE(counters.output_tokens == output);
    if (rejected == 0)
      REQUIRE(counters.prompt_tokens + counters.cached_tokens - counters.recomputed_tokens ==
              input);
    preemptions += naive.num_preemptions;
    swapped += naive.num_swapped;
    tier_hits += naive.num_tier_hits;
    evictions += naive.num_evictions;
  }
  // The cases reach what they are for.
  CHECK(preemptions > 700);
  CHECK(swapped > 50);
  CHECK(tier_hits > 1000);
  CHECK(evictions > 1000);
  CHECK(rejected > 10);
}

}  // namespace moesim
