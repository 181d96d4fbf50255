// What surrounds the units of a serving cluster, each part alone: routers, KV transfers, scalers.
#include <numeric>

#include "sim/serving/kv_transfer.hpp"
#include "sim/serving/router.hpp"
#include "sim/serving/scaler.hpp"
#include "sim/serving/serving_series.hpp"
#include "tests/catch.hpp"
#include "tests/serving_cluster.hpp"

using namespace moesim;

namespace {

Router router_of(RouterKind kind, const std::vector<double>& work) {
  Router router(kind, 7, work.size());
  for (std::size_t u = 0; u < work.size(); ++u) {
    router.unit(u).work = work[u];
    router.unit(u).available = true;
  }
  return router;
}

}  // namespace

TEST_CASE("router: round robin skips what is not there", "[serving]") {
  Router router = router_of(RouterKind::round_robin, {0, 0, 0, 0});
  std::vector<std::size_t> chosen;
  for (int i = 0; i < 5; ++i) chosen.push_back(*router.choose());
  CHECK(chosen == std::vector<std::size_t>{0, 1, 2, 3, 0});
  router.unit(1).available = false;
  CHECK(router.choose() == 2);
  router.unit(3).pool = 1;
  const std::vector<std::uint8_t> second_refuses = {0, 1};
  CHECK(router.choose(second_refuses) == 0);
  for (std::size_t u = 0; u < 4; ++u) router.unit(u).available = false;
  CHECK_FALSE(router.choose().has_value());
}

TEST_CASE("router: least loaded and least KV", "[serving]") {
  Router loaded = router_of(RouterKind::least_loaded, {3, 1, 1, 0.5});
  CHECK(loaded.choose() == 3);
  loaded.unit(3).available = false;
  CHECK(loaded.choose() == 1);  // the lower number of a tie
  Router kv = router_of(RouterKind::least_kv, {0, 9, 9});
  for (std::size_t u = 0; u < 3; ++u) kv.unit(u).kv_share = 0.5 - 0.1 * static_cast<double>(u);
  CHECK(kv.choose() == 2);
  kv.unit(2).pool = 1;
  const std::vector<std::uint8_t> refused = {0, 1};
  CHECK(kv.choose(refused) == 1);
}

TEST_CASE("router: a prefix wins unless its unit is behind by more than it saves", "[serving]") {
  Router router = router_of(RouterKind::prefix_aware, {10, 0, 4});
  for (std::size_t u = 0; u < 3; ++u) router.unit(u).token_time = 0.01;
  const std::vector<std::int64_t> uncached = {0, 2000, 1000};  // first token after 10, 20 and 14
  CHECK(router.choose({}, uncached) == 0);
  router.unit(0).work = 15;
  CHECK(router.choose({}, uncached) == 2);
  CHECK(router.choose() == 1);  // no prefixes known: the least loaded
}

TEST_CASE("router: power of two choices", "[serving]") {
  // The most loaded of n units is never chosen; the least loaded in 2 / n of all pairs.
  constexpr std::size_t kUnits = 5;
  constexpr int kDraws = 20000;
  Router router = router_of(RouterKind::power_of_two, {4, 3, 2, 1, 0});
  std::vector<int> chosen(kUnits);
  for (int i = 0; i < kDraws; ++i) ++chosen[*router.choose()];
  CHECK(chosen[0] == 0);
  // Of the pairs that hold unit u, it wins against the u units before it: u / 10.
  for (std::size_t u = 1; u < kUnits; ++u)
    CHECK(chosen[u] == Approx(kDraws * static_cast<double>(u) / 10).epsilon(0.05));
  Router again = router_of(RouterKind::power_of_two, {4, 3, 2, 1, 0});
  std::vector<int> repeated(kUnits);
  for (int i = 0; i < kDraws; ++i) ++repeated[*again.choose()];
  CHECK(repeated == chosen);
  for (std::size_t u = 1; u < kUnits; ++u) again.unit(u).available = false;
  CHECK(again.choose() == 0);
}

TEST_CASE("KV transfer: alone it takes bytes over the slower side's rate", "[serving]") {
  TransferPorts ports;
  const std::size_t fast = ports.add(2, 50 * GB_per_s), slow = ports.add(1, 25 * GB_per_s);
  const auto transfer = ports.send(fast, slow, 1 * GB, to_tick(3 * s));
  CHECK(transfer.start == to_tick(3 * s));
  CHECK(transfer.end == to_tick(3 * s + 40 * ms));
  // The other sender is free, the receiver is not.
  const auto queued = ports.send(fast + 1, slow, 0.5 * GB, to_tick(3 * s));
  CHECK(queued.start == transfer.end);
  CHECK(queued.end == to_tick(3 * s + 60 * ms));
}

TEST_CASE("KV transfer: in order of asking at each side", "[serving]") {
  TransferPorts ports;
  const std::size_t out = ports.add(2, 1 * GB_per_s), in = ports.add(2, 1 * GB_per_s);
  ports.send(out, in, 1 * GB, 0);                              // 0 -> 0: 0 to 1 s
  const auto waits = ports.send(out + 1, in, 1 * GB, 0);       // 1 -> 0: 1 to 2 s
  const auto behind = ports.send(out + 1, in + 1, 1 * GB, 0);  // 1 -> 1: behind its sender's first
  const auto free_again = ports.send(out, in + 1, 1 * GB, to_tick(5 * s));
  CHECK(waits.end == to_tick(2 * s));
  CHECK(behind.start == to_tick(2 * s));
  CHECK(behind.end == to_tick(3 * s));
  CHECK(free_again.start == to_tick(5 * s));
}

TEST_CASE("scaler: none and scheduled", "[serving]") {
  CHECK_FALSE(Scaler(ScalerSpec{}).next_decision().has_value());
  ScalerSpec spec;
  spec.kind = ScalerKind::scheduled;
  spec.min_units = 1;
  spec.max_units = 9;
  spec.schedule = {{1 * hour, 4}, {2 * hour, 9}};
  Scaler scaler(spec);
  CHECK(scaler.next_decision() == to_tick(1 * hour));
  CHECK(scaler.decide({}, 0) == 4);
  CHECK(scaler.next_decision() == to_tick(2 * hour));
  CHECK(scaler.decide({}, 0) == 9);
  CHECK_FALSE(scaler.next_decision().has_value());
}

TEST_CASE("scaler: reactive keeps units at their target", "[serving]") {
  ScalerSpec spec;
  spec.kind = ScalerKind::reactive;
  spec.min_units = 2;
  spec.max_units = 10;
  spec.interval = 30 * s;
  spec.target = 0.8;
  Scaler scaler(spec);
  CHECK(scaler.next_decision() == to_tick(30 * s));
  CHECK(scaler.decide({0, 0, 0}, 0) == 2);
  CHECK(scaler.next_decision() == to_tick(60 * s));
  CHECK(scaler.decide({1, 2.4, 2}, 0) == 3);  // the shortest resource decides
  CHECK(scaler.decide({1, 2.41, 2}, 0) == 4);
  CHECK(scaler.decide({6, 0, 0}, 0) == 8);
  CHECK(scaler.decide({0, 0, 100}, 0) == 10);
}

TEST_CASE("scaler: predictive extends the line of arrivals", "[serving]") {
  ScalerSpec spec;
  spec.kind = ScalerKind::predictive;
  spec.min_units = 1;
  spec.max_units = 100;
  spec.interval = 1 * minute;
  spec.horizon = 4 * minute;
  spec.target = 1;
  Scaler rising(spec);
  CHECK(rising.decide({10, 0, 0}, 100) == 10);  // one interval has no slope
  CHECK(rising.decide({10, 0, 0}, 120) == 17);  // 120 + 4 x 20 = 200 of 120
  CHECK(rising.decide({10, 0, 0}, 140) == 16);  // 220 of 140
  CHECK(rising.decide({10, 0, 0}, 160) == 15);  // 240 of 160
  CHECK(rising.decide({10, 0, 0}, 180) == 15);  // 260 of 180; the first is out of the window
  Scaler level(spec), falling(spec);
  for (int i = 0; i < 5; ++i) CHECK(level.decide({7, 0, 0}, 50) == 7);
  falling.decide({10, 0, 0}, 100);
  CHECK(falling.decide({10, 0, 0}, 50) == 1);  // the line is below zero by then
  CHECK(falling.decide({0, 0, 0}, 0) == 1);
}

TEST_CASE("capacity of a unit: a full step of prompts", "[serving]") {
  PoolSpec pool = small_pool(PoolRole::prefill, 1, 4);
  pool.engine.step_overhead = 1 * ms;
  const PoolModel model = small_model(10 * ms, 50 * us);
  // Four ranks of 1024 tokens in 10 + 51.2 + 1 ms.
  const UnitCapacity prefill = capacity_of(pool, model);
  CHECK(prefill.prompt_tokens_per_tick * (1 * s).in(ps) == Approx(4 * 1024 / 0.0622));
  CHECK(prefill.places == 32);
  CHECK(prefill.pages == 4096);
  pool.engine.max_context_tokens = 501;  // prompts of 500 at most
  CHECK(capacity_of(pool, model).prompt_tokens_per_tick * (1 * s).in(ps) ==
        Approx(4 * 500 / 0.036));
  pool.role = PoolRole::decode;
  CHECK(capacity_of(pool, model).prompt_tokens_per_tick == 0);
}

TEST_CASE("capacity of a unit: fewest units for a load", "[serving]") {
  PoolSpec prefill = small_pool(PoolRole::prefill, 1, 2),
           decode = small_pool(PoolRole::decode, 1, 2);
  // 2048 prompt tokens in 102.4 ms; 16 requests a step of 10 ms + 8 x 0.5 ms.
  const PoolModel prompts = small_model(0 * ms, 100 * us),
                  tokens = small_model(10 * ms, {}, 0.5 * ms);
  ServingWork work;
  work.within = to_tick(10 * s);
  work.prompt_tokens = 3 * 200'000;
  work.output_tokens = 2 * 16 * 10 / 0.014;
  CHECK(least_units(prefill, prompts, work) == 3);
  CHECK(least_units(decode, tokens, work) == 2);
  work.prompt_tokens += 1;
  CHECK(least_units(prefill, prompts, work) == 4);
  decode.engine.acceptance = {0.5, 0.5};  // 1.75 tokens a step
  CHECK(least_units(decode, tokens, work) == 2);
  work.output_tokens *= 2;
  CHECK(least_units(decode, tokens, work) == 3);
  decode.engine.acceptance.clear();
  decode.role = PoolRole::colocated;
  work.prompt_tokens = 5 * 1024 * 2 * 10 / 0.01;  // a full chunk takes 10 ms
  CHECK(least_units(decode, tokens, work) == 5);
  work.prompt_tokens = 0;
  CHECK(least_units(decode, tokens, work) == 4);
  CHECK(least_units(decode, tokens, {0, 0, 1}) == 1);
}

TEST_CASE("series: intervals are joined, nothing is lost", "[serving]") {
  // One unit from the start and one arrival a second, for five hours and half a second.
  ServingSeries series(std::nullopt, 1);
  const UnitCapacity capacity{1e-9, 8, 100};
  auto sums_at = [](Tick at) {
    ClusterSums sums;
    const auto ticks = static_cast<double>(at);
    sums.arrivals = at / to_tick(1 * s);
    sums.served = sums.arrivals;
    sums.pools.resize(1);
    sums.pools[0].up_ticks = ticks;
    sums.pools[0].provisioned_ticks = 2 * ticks;
    sums.pools[0].running_ticks = 4 * ticks;
    sums.pools[0].page_ticks = 25 * ticks;
    sums.pools[0].prompt_tokens = at / to_tick(1 * us) / 10;  // 1e-7 a tick
    return sums;
  };
  const Tick end = to_tick(5 * hour + 0.5 * s);
  while (series.next_boundary() < end) series.record(sums_at(series.next_boundary()));
  const std::vector<SeriesPoint> points = series.finish(end, sums_at(end), {capacity});
  CHECK(points.size() > 200);
  CHECK(points.size() <= 513);
  Tick at = 0;
  std::int64_t arrivals = 0, prompts = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const SeriesPoint& point = points[i];
    CHECK(point.start == at);
    at += point.length;
    if (i + 1 < points.size()) CHECK(point.length == points[0].length);
    arrivals += point.arrivals;
    prompts += point.pools[0].prompt_tokens;
    CHECK(point.pools[0].units_up == Approx(1));
    CHECK(point.pools[0].units_provisioned == Approx(2));
    CHECK(point.pools[0].running == Approx(4));
    CHECK(point.pools[0].kv_share == Approx(0.25));
    // 1e-7 tokens a tick over 1e-9 of a unit are more than half the places or a quarter of the
    // pages.
    CHECK(point.pools[0].fewest_units == Approx(100).epsilon(0.001));
  }
  CHECK(at == end);
  CHECK(arrivals == 5 * 3600);
  CHECK(prompts == 1'800'050'000);
}

TEST_CASE("series: stated intervals are kept", "[serving]") {
  ServingSeries series(to_tick(10 * ms), 0);
  for (int i = 0; i < 2000; ++i) series.record({});
  const auto points = series.finish(to_tick(20 * s), {}, {});
  CHECK(points.size() == 2000);
  CHECK(points[1999].start == to_tick(19.99 * s));
}
