// Whole serving clusters: times that can be worked out by hand, and what must hold in all of them.
#include "sim/serving/cluster.hpp"
#include "tests/catch.hpp"
#include "tests/serving_cluster.hpp"

using namespace moesim;

namespace {

ServingSpec colocated(std::int64_t units) {
  ServingSpec spec;
  spec.pools = {small_pool(PoolRole::colocated, units)};
  return spec;
}

ServingSpec disaggregated(std::int64_t prefill, std::int64_t decode) {
  ServingSpec spec;
  spec.pools = {small_pool(PoolRole::prefill, prefill), small_pool(PoolRole::decode, decode)};
  spec.transfer_latency = 1 * ms;
  return spec;
}

ServingResult simulate(const ServingSpec& spec,
                       std::vector<Request> requests,
                       const std::vector<PoolModel>& models,
                       ListLog& log,
                       const ServingOptions& options = {}) {
  ListSource source(std::move(requests));
  return simulate_serving(spec, source, models, log, options);
}

// Every request left once, as counted.
void check_all_left(const ServingResult& result, const ListLog& log, std::int64_t requests) {
  std::vector<int> seen(static_cast<std::size_t>(requests));
  std::int64_t served = 0, lost = 0, rejected = 0;
  for (const RequestRecord& record : log.records) {
    ++seen[static_cast<std::size_t>(record.request.id)];
    served += record.outcome == Outcome::served;
    lost += record.outcome == Outcome::lost;
    rejected += record.outcome != Outcome::served && record.outcome != Outcome::lost;
    if (record.outcome != Outcome::served) continue;
    CHECK(record.request.arrival <= record.scheduled);
    CHECK(record.scheduled <= record.first_token);
    CHECK(record.first_token <= record.finished);
  }
  CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
  CHECK(served == result.served);
  CHECK(lost == result.lost);
  CHECK(rejected == result.rejected());
  CHECK(result.taken == requests);
  CHECK(result.inside == 0);
}

}  // namespace

TEST_CASE("cluster: one request in a colocated unit", "[serving]") {
  ListLog log;
  const auto result =
      simulate(colocated(1), {request_of(0, 1 * s, 100, 5)}, {small_model(10 * ms)}, log);
  check_all_left(result, log, 1);
  const RequestRecord& record = log.of(0);
  CHECK(record.scheduled == to_tick(1 * s));
  CHECK(record.first_token == to_tick(1 * s + 10 * ms));
  CHECK(record.finished == to_tick(1 * s + 50 * ms));
  CHECK(record.prefill_unit == 0);
  CHECK(record.decode_unit == 0);
  CHECK(result.end == record.finished);
  CHECK(result.pools[0].total.output_tokens == 5);
  CHECK(result.pools[0].total.prompt_tokens == 100);
  CHECK(result.pools[0].total.busy == to_tick(50 * ms));
  CHECK(result.pools[0].gpu_time.in(s) == Approx(1.05));
}

TEST_CASE("cluster: from prefill over the network to decode", "[serving]") {
  ListLog log;
  const auto result = simulate(disaggregated(1, 1),
                               {request_of(0, 1 * s, 1000, 5), request_of(1, 1 * s, 24, 1)},
                               {small_model(10 * ms), small_model(3 * ms)},
                               log);
  check_all_left(result, log, 2);
  // 1000 tokens of 400 KB at 0.8 x 50 GB/s take 10 ms, and 1 ms + 2 us on the way.
  const RequestRecord& record = log.of(0);
  CHECK(record.first_token == to_tick(1010 * ms));
  CHECK(record.finished == to_tick(1010 * ms + 10 * ms + 1002 * us + 4 * 3 * ms));
  CHECK(record.prefill_unit == 0);
  CHECK(record.decode_unit == 1);
  // A request of one token is done where it was prefilled.
  CHECK(log.of(1).finished == to_tick(1010 * ms));
  CHECK(log.of(1).decode_unit == -1);
  CHECK(result.transfers.count == 1);
  CHECK(result.transfers.bytes.in(MB) == Approx(400));
  CHECK((result.transfers.wire_ticks * ps).in(ms) == Approx(11.002));
  CHECK(result.transfers.place_ticks == 0);
}

TEST_CASE("cluster: a full decode unit holds back prefill", "[serving]") {
  ServingSpec spec = disaggregated(1, 1);
  spec.pools[1].engine.max_requests = 1;
  std::vector<PoolModel> models = {small_model(10 * ms), small_model(3 * ms)};
  models[0].pages = 10;  // of one prompt of 160 tokens
  models[0].kv_per_token = models[1].kv_per_token = 0 * B;
  spec.pools[0].cluster.nic_latency = spec.pools[1].cluster.nic_latency = {};
  spec.transfer_latency = {};
  ListLog log;
  const auto result = simulate(spec,
                               {request_of(0, 0 * s, 160, 101),
                                request_of(1, 0 * s, 160, 11),
                                request_of(2, 0 * s, 160, 11)},
                               models,
                               log);
  check_all_left(result, log, 3);
  CHECK(log.of(0).first_token == to_tick(10 * ms));
  CHECK(log.of(0).finished == to_tick(310 * ms));
  // The second prompt is computed once the first one's pages are free, then waits for its place.
  CHECK(log.of(1).first_token == to_tick(20 * ms));
  CHECK(log.of(1).finished == to_tick(340 * ms));
  // The third finds no pages until then.
  CHECK(log.of(2).scheduled == to_tick(310 * ms));
  CHECK(log.of(2).first_token == to_tick(320 * ms));
  CHECK(log.of(2).finished == to_tick(370 * ms));
  CHECK((result.transfers.place_ticks * ps).in(ms) == Approx(290 + 20));
}

TEST_CASE("cluster: who arrives when a step ends is in the next one", "[serving]") {
  ListLog log;
  simulate(colocated(1),
           {request_of(0, 0 * s, 10, 3), request_of(1, 10 * ms, 10, 1)},
           {small_model(10 * ms)},
           log);
  CHECK(log.of(1).scheduled == to_tick(10 * ms));
  CHECK(log.of(1).finished == to_tick(20 * ms));
}

TEST_CASE("cluster: round robin and least loaded spread requests", "[serving]") {
  ServingSpec spec = colocated(3);
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(request_of(i, 0 * s, i == 0 ? 900 : 10, 2));
  for (const auto& [router, expected] :
       {std::pair{RouterKind::round_robin, std::vector<int>{0, 1, 2, 0, 1, 2}},
        std::pair{RouterKind::least_loaded, std::vector<int>{0, 1, 2, 1, 2, 1}}}) {
    spec.router = router;
    ListLog log;
    simulate(spec, requests, {small_model(10 * ms)}, log);
    for (int i = 0; i < 6; ++i)
      CHECK(log.of(i).prefill_unit == expected[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("cluster: prefixes attract their requests", "[serving]") {
  ServingSpec spec = colocated(4);
  spec.router = RouterKind::prefix_aware;
  spec.pools[0].kv.prefix_cache = true;
  class BlockSource : public ListSource {
   public:
    using ListSource::ListSource;
    std::int64_t block_tokens() const override { return 16; }
  };
  // Three conversations in turn; each turn repeats the blocks of the one before.
  std::vector<std::vector<std::uint32_t>> blocks(3);
  for (std::uint32_t c = 0; c < 3; ++c)
    for (std::uint32_t i = 0; i < 20; ++i) blocks[c].push_back(100 * c + i);
  std::vector<Request> requests;
  for (int i = 0; i < 15; ++i) {
    Request request = request_of(i, i * s, 16 * (6 + i / 3), 1);
    request.blocks = std::span(blocks[static_cast<std::size_t>(i % 3)])
                         .first(static_cast<std::size_t>(6 + i / 3));
    requests.push_back(request);
  }
  BlockSource source(requests);
  ListLog log;
  const auto result = simulate_serving(spec, source, {small_model(1 * ms, 1 * ms)}, log, {});
  check_all_left(result, log, 15);
  for (int i = 3; i < 15; ++i) {
    CHECK(log.of(i).prefill_unit == log.of(i - 3).prefill_unit);
    CHECK(log.of(i).cached_tokens == log.of(i - 3).request.input_tokens);
  }
}

TEST_CASE("cluster: a queue of at most so many", "[serving]") {
  ServingSpec spec = colocated(1);
  spec.max_waiting = 3;
  spec.pools[0].engine.max_requests = 1;
  std::vector<Request> requests;
  for (int i = 0; i < 8; ++i) requests.push_back(request_of(i, 0 * s, 10, 1));
  requests.push_back(request_of(8, 5 * ms, 4000, 97));  // a token longer than the limit
  ListLog log;
  const auto result = simulate(spec, requests, {small_model(10 * ms)}, log);
  check_all_left(result, log, 9);
  CHECK(result.rejected_queue == 5);
  CHECK(result.rejected_context == 1);
  CHECK(log.of(2).finished == to_tick(30 * ms));
  CHECK(log.of(3).outcome == Outcome::rejected_queue);
  CHECK(log.of(3).finished == 0);
  CHECK(log.of(8).outcome == Outcome::rejected_context);
}

TEST_CASE("cluster: mean wait of M/D/1", "[serving]") {
  ServingSpec spec = colocated(1);
  spec.pools[0].engine.max_requests = 1;
  const double load = 0.7;
  ListLog log;
  constexpr std::int64_t kRequests = 200000;
  const auto result =
      simulate(spec, random_requests(5, kRequests, load / 0.01, 1, 1), {small_model(10 * ms)}, log);
  check_all_left(result, log, kRequests);
  double wait = 0;
  for (const RequestRecord& r : log.records)
    wait += static_cast<double>(r.scheduled - r.request.arrival);
  wait /= kRequests;
  // Pollaczek and Khinchine: load / (2 (1 - load)) services.
  CHECK((wait * ps).in(ms) == Approx(10 * load / (2 * (1 - load))).epsilon(0.02));
  double busy = 0, ticks = 0, waiting = 0;
  for (const SeriesPoint& point : result.series) {
    busy += point.pools[0].busy_units * static_cast<double>(point.length);
    waiting += point.pools[0].waiting * static_cast<double>(point.length);
    ticks += static_cast<double>(point.length);
  }
  CHECK(busy / ticks == Approx(load).epsilon(0.01));
  // Little: waiting requests are arrivals times their wait.
  CHECK(waiting == Approx(wait * kRequests).epsilon(1e-9));
}

TEST_CASE("cluster: closed loop keeps its concurrency", "[serving]") {
  // Four clients at a unit that takes 10 ms a step: all four in each step.
  std::vector<Request> requests;
  for (int i = 0; i < 40; ++i) requests.push_back(request_of(i, 0 * s, 10, 1));
  ListSource source(requests, 4, 0 * s);
  ListLog log;
  const auto result = simulate_serving(colocated(1), source, {small_model(10 * ms)}, log, {});
  check_all_left(result, log, 40);
  CHECK(result.end == to_tick(100 * ms));
  CHECK(result.pools[0].total.steps == 10);
}

TEST_CASE("cluster: stopped at a stated time", "[serving]") {
  ServingOptions options;
  options.until = to_tick(95 * ms);
  ListLog log;
  const auto result = simulate(
      colocated(1),
      {request_of(0, 0 * s, 10, 3), request_of(1, 50 * ms, 10, 100), request_of(2, 1 * s, 1, 1)},
      {small_model(10 * ms)},
      log,
      options);
  CHECK(result.taken == 2);
  CHECK(result.served == 1);
  CHECK(result.inside == 1);
  CHECK(result.end == to_tick(95 * ms));
  CHECK(result.pools[0].gpu_time.in(ms) == Approx(95));
}

TEST_CASE("cluster: a failed unit's requests start again elsewhere", "[serving]") {
  ServingSpec spec = colocated(2);
  spec.router = RouterKind::round_robin;
  spec.pools[0].failures.stated = {{35 * ms, 0}};
  spec.pools[0].failures.repair = 1 * s;
  ListLog log;
  const auto result = simulate(
      spec,
      {request_of(0, 0 * s, 100, 10), request_of(1, 0 * s, 100, 2), request_of(2, 1.1 * s, 5, 1)},
      {small_model(10 * ms)},
      log);
  check_all_left(result, log, 3);
  CHECK(result.requeued == 1);
  CHECK(result.pools[0].failures == 1);
  // Three tokens were made; the prompt and these are computed again, which makes the fourth.
  CHECK(log.of(0).first_token == to_tick(10 * ms));
  CHECK(log.of(0).finished == to_tick(35 * ms + 7 * 10 * ms));
  CHECK(log.of(0).prefill_unit == 1);
  CHECK(result.pools[0].total.recomputed_tokens >= 100);
  CHECK(log.of(2).prefill_unit == 0);  // repaired
  // Under repair it is paid for, but not up.
  CHECK(result.pools[0].provisioned_ticks == Approx(2.0 * static_cast<double>(result.end)));
  CHECK(result.pools[0].up_ticks ==
        Approx(2.0 * static_cast<double>(result.end) - static_cast<double>(to_tick(1 * s))));
}

TEST_CASE("cluster: without a unit requests wait for repair, or are lost", "[serving]") {
  ServingSpec spec = colocated(1);
  spec.pools[0].failures.stated = {{15 * ms, 0}};
  spec.pools[0].failures.repair = 100 * ms;
  const std::vector<Request> requests = {request_of(0, 0 * s, 10, 5),
                                         request_of(1, 50 * ms, 10, 1)};
  ListLog repaired, gone;
  auto result = simulate(spec, requests, {small_model(10 * ms)}, repaired);
  check_all_left(result, repaired, 2);
  CHECK(result.served == 2);
  CHECK(repaired.of(1).scheduled == to_tick(115 * ms));
  CHECK(result.series[0].unrouted * static_cast<double>(result.end) ==
        Approx(static_cast<double>(to_tick(165 * ms))));
  spec.pools[0].failures.repair.reset();
  result = simulate(spec, requests, {small_model(10 * ms)}, gone);
  check_all_left(result, gone, 2);
  CHECK(result.lost == 2);
  CHECK(gone.of(0).finished == to_tick(15 * ms));
  CHECK(gone.of(1).finished == to_tick(50 * ms));
}

TEST_CASE("cluster: KV of a failed prefill unit is lost, of a failed decode unit sent again",
          "[serving]") {
  // 1000 tokens take 10 ms to compute and 10 ms + 1.002 ms to move.
  const std::vector<Request> requests = {request_of(0, 0 * s, 1000, 3)};
  const std::vector<PoolModel> models = {small_model(10 * ms), small_model(3 * ms)};
  ServingSpec spec = disaggregated(2, 2);
  spec.pools[0].failures.stated = {{15 * ms, 0}};
  ListLog prefill_fails, decode_fails, both_gone;
  auto result = simulate(spec, requests, models, prefill_fails);
  check_all_left(result, prefill_fails, 1);
  CHECK(prefill_fails.of(0).prefill_unit == 1);
  // Computed again from 15 ms on, which makes the second token; then one more is decoded.
  CHECK(prefill_fails.of(0).finished == to_tick(25 * ms + 10 * ms + 10 * us + 1002 * us + 3 * ms));
  spec = disaggregated(2, 2);
  spec.pools[1].failures.stated = {{15 * ms, 0}};
  result = simulate(spec, requests, models, decode_fails);
  check_all_left(result, decode_fails, 1);
  CHECK(decode_fails.of(0).decode_unit == 3);
  // The sender's port is busy with the first attempt until 20 ms.
  CHECK(decode_fails.of(0).finished == to_tick(30 * ms + 1002 * us + 6 * ms));
  CHECK(result.transfers.count == 2);
  spec.pools[1].failures.stated.push_back({16 * ms, 1});
  result = simulate(spec, requests, models, both_gone);
  check_all_left(result, both_gone, 1);
  CHECK(result.lost == 1);
  CHECK(both_gone.of(0).finished == to_tick(16 * ms));
}

TEST_CASE("cluster: a decode unit's victims are prefilled again", "[serving]") {
  ServingSpec spec = disaggregated(1, 2);
  spec.pools[1].failures.stated = {{40 * ms, 0}};
  ListLog log;
  const auto result = simulate(
      spec, {request_of(0, 0 * s, 1000, 20)}, {small_model(10 * ms), small_model(3 * ms)}, log);
  check_all_left(result, log, 1);
  CHECK(result.requeued == 1);
  CHECK(log.of(0).decode_unit == 2);
  CHECK(log.of(0).first_token == to_tick(10 * ms));
  CHECK(result.pools[0].total.prompt_tokens > 2000);
}

TEST_CASE("cluster: a schedule starts and drains units", "[serving]") {
  ServingSpec spec = colocated(1);
  spec.router = RouterKind::round_robin;
  spec.pools[0].scaler.kind = ScalerKind::scheduled;
  spec.pools[0].scaler.max_units = 3;
  spec.pools[0].scaler.start_up = 1 * s;
  spec.pools[0].scaler.schedule = {{1 * s, 3}, {5 * s, 1}};
  std::vector<Request> requests;
  for (int i = 0; i < 100; ++i) requests.push_back(request_of(i, 0.1 * i * s, 10, 1));
  // Each unit has a long one when two are drained, those of higher numbers.
  requests[45] = request_of(45, 4.5 * s, 10, 200);
  requests[46] = request_of(46, 4.6 * s, 10, 200);
  requests[47] = request_of(47, 4.7 * s, 10, 220);
  ListLog log;
  const auto result = simulate(spec, requests, {small_model(10 * ms)}, log);
  check_all_left(result, log, 100);
  const PoolResult& pool = result.pools[0];
  CHECK(pool.decisions.size() == 2);
  CHECK(pool.decisions[0].to == 3);
  CHECK(pool.peak_units == 3);
  std::vector<int> of_unit(3);
  for (const RequestRecord& r : log.records) {
    ++of_unit[static_cast<std::size_t>(r.prefill_unit)];
    if (r.prefill_unit > 0) {
      CHECK(r.request.arrival >= to_tick(2 * s));
      CHECK(r.request.arrival < to_tick(5 * s));
    }
  }
  CHECK(of_unit == std::vector<int>{80, 10, 10});
  CHECK(log.of(45).prefill_unit == 2);
  CHECK(log.of(47).prefill_unit == 1);
  // One unit throughout, two from 1 s until their last request is done.
  CHECK(pool.gpu_time.in(s) ==
        Approx(to_seconds(result.end + log.of(45).finished + log.of(47).finished - to_tick(2 * s))
                   .in(s)));
}

TEST_CASE("cluster: a reactive scaler follows the load", "[serving]") {
  ServingSpec spec = disaggregated(1, 1);
  for (PoolSpec& pool : spec.pools) {
    pool.scaler.kind = ScalerKind::reactive;
    pool.scaler.min_units = 1;
    pool.scaler.max_units = 6;
    pool.scaler.start_up = 2 * s;
    pool.scaler.interval = 1 * s;
    pool.scaler.target = 0.8;
  }
  // 20 requests a second for 20 s, then 200, then 20 again.
  std::vector<Request> requests;
  Seconds at;
  for (int i = 0; at < 60 * s; ++i) {
    at += (at < 20 * s || at > 40 * s ? 0.05 : 0.005) * s;
    requests.push_back(request_of(i, at, 100, 10));
  }
  ListLog log;
  const auto result =
      simulate(spec, requests, {small_model(1 * ms, 0.1 * ms), small_model(10 * ms)}, log);
  check_all_left(result, log, std::ssize(requests));
  const PoolResult &prefill = result.pools[0], &decode = result.pools[1];
  // 200 x 100 tokens a second over 1024 tokens in 103.4 ms are 2.02 units' worth: three at 80 %.
  CHECK(prefill.peak_units >= 3);
  CHECK(prefill.peak_units <= 6);
  CHECK(decode.peak_units >= 3);  // 200 x 90 ms = 18 requests in units of 8
  CHECK(prefill.decisions.back().to == 1);
  CHECK(decode.decisions.back().to == 1);
  double bound = 0, used = 0, up = 0;
  for (const SeriesPoint& point : result.series) {
    const auto length = static_cast<double>(point.length);
    bound += point.pools[0].fewest_units * length;
    used += point.pools[0].units_provisioned * length;
    up += point.pools[0].units_up * length;
  }
  CHECK(used == Approx(prefill.provisioned_ticks));
  CHECK(up == Approx(prefill.up_ticks));
  CHECK(bound < up);
  // Prompts are what prefill is short of, but for a few intervals with hardly any.
  CHECK(bound == Approx(static_cast<double>(prefill.total.prompt_tokens) /
                        prefill.capacity.prompt_tokens_per_tick)
                     .epsilon(0.01));
}

TEST_CASE("cluster: pools of one role that are unlike", "[serving]") {
  ServingSpec spec = disaggregated(1, 1);
  spec.pools.insert(spec.pools.begin() + 1, small_pool(PoolRole::prefill, 1));
  spec.pools.push_back(small_pool(PoolRole::decode, 2));
  for (std::size_t p : {0, 2}) spec.pools[p].engine.max_context_tokens = 256;
  const std::vector<PoolModel> models = {small_model(10 * ms, 0.1 * ms),
                                         small_model(20 * ms, 0.2 * ms),
                                         small_model(3 * ms),
                                         small_model(3 * ms)};
  std::vector<Request> requests = random_requests(3, 400, 50, 100, 20);
  for (std::size_t i = 0; i < requests.size(); i += 4) requests[i].input_tokens = 500;
  requests[7].input_tokens = 5000;
  ListLog log;
  const auto result = simulate(spec, requests, models, log);
  check_all_left(result, log, 400);
  CHECK(result.rejected_context == 1);
  int fast = 0, slow = 0;
  for (const RequestRecord& r : log.records) {
    if (r.outcome != Outcome::served) continue;
    if (r.request.input_tokens == 500) {
      CHECK(r.prefill_unit == 1);
      if (r.request.output_tokens > 1) CHECK(r.decode_unit >= 3);
    } else {
      ++(r.prefill_unit == 0 ? fast : slow);
    }
  }
  CHECK(fast > slow);  // the faster pool gets more of what both can serve
}

TEST_CASE("cluster: a long request waits in vain for a pool that is gone", "[serving]") {
  ServingSpec spec = colocated(1);
  spec.pools.push_back(small_pool(PoolRole::colocated, 1));
  spec.pools[0].engine.max_context_tokens = 256;
  spec.pools[1].failures.stated = {{15 * ms, 0}};
  ListLog log;
  const auto result = simulate(
      spec,
      {request_of(0, 0 * s, 500, 5), request_of(1, 20 * ms, 500, 5), request_of(2, 20 * ms, 50, 5)},
      {small_model(10 * ms), small_model(10 * ms)},
      log);
  check_all_left(result, log, 3);
  CHECK(log.of(0).outcome == Outcome::lost);
  CHECK(log.of(1).outcome == Outcome::lost);
  CHECK(log.of(2).outcome == Outcome::served);
}

TEST_CASE("cluster: nothing is made or lost, whatever happens", "[serving]") {
  // Random clusters: failures by chance and stated, scalers, full queues, tight pages.
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    Random random(seed, 99);
    auto draw = [&](int below) { return static_cast<int>(random.uniform() * below); };
    ServingSpec spec =
        draw(2) == 0 ? colocated(1 + draw(4)) : disaggregated(1 + draw(3), 1 + draw(3));
    if (draw(3) == 0) {
      spec.pools.push_back(small_pool(spec.pools.back().role, 1 + draw(2)));
      spec.pools.back().engine.max_context_tokens = 300;
    }
    spec.router = static_cast<RouterKind>(draw(5));
    if (draw(3) == 0) spec.max_waiting = 20;
    std::vector<PoolModel> models;
    for (PoolSpec& pool : spec.pools) {
      pool.plan.dp = 1 + draw(3);
      pool.engine.max_requests = 2 + draw(6);
      pool.kv.watermark = 0.01;
      models.push_back(small_model(1 * ms, 20 * us, 0.2 * ms));
      models.back().pages = 40 + draw(100);
      if (draw(2) == 0) {
        pool.failures.mean_between = 3 * s;
        pool.failures.repair = 0.5 * s;
      }
      if (draw(4) == 0) pool.failures.stated = {{0.7 * s, 0}, {0.7 * s, 0}};
      if (draw(2) == 0) {
        pool.scaler.kind = draw(2) == 0 ? ScalerKind::reactive : ScalerKind::predictive;
        pool.scaler.max_units = pool.units + 2;
        pool.scaler.min_units = 1;
        pool.scaler.interval = 0.2 * s;
        pool.scaler.horizon = 1 * s;
        pool.scaler.start_up = 0.3 * s;
      }
    }
    constexpr std::int64_t kRequests = 400;
    const auto requests = random_requests(seed, kRequests, 150, 200, 80);
    ServingOptions options;
    options.seed = seed;
    options.series_interval = to_tick(0.25 * s);
    ListLog log, again;
    const auto result = simulate(spec, requests, models, log, options);
    check_all_left(result, log, kRequests);
    std::int64_t output = 0, arrivals = 0, left = 0, counted = 0, prompts = 0, in_series = 0;
    for (const RequestRecord& r : log.records)
      if (r.outcome == Outcome::served) output += r.request.output_tokens;
    for (const PoolResult& pool : result.pools) {
      counted += pool.total.output_tokens;
      prompts += pool.total.prompt_tokens;
    }
    for (const SeriesPoint& point : result.series) {
      arrivals += point.arrivals;
      left += point.served + point.refused;
      for (std::size_t p = 0; p < spec.pools.size(); ++p) {
        in_series += point.pools[p].prompt_tokens;
        CHECK(point.pools[p].units_up <= point.pools[p].units_provisioned + 1e-9);
      }
    }
    CHECK(arrivals == kRequests);
    CHECK(left == kRequests);
    CHECK(in_series == prompts);
    CHECK(counted >= output);
    if (result.lost == 0) CHECK(counted == output);
    const auto repeated = simulate(spec, requests, models, again, options);
    REQUIRE(again.records.size() == log.records.size());
    for (std::size_t i = 0; i < log.records.size(); ++i) {
      CHECK(again.records[i].request.id == log.records[i].request.id);
      CHECK(again.records[i].finished == log.records[i].finished);
    }
    CHECK(repeated.events == result.events);
  }
}
