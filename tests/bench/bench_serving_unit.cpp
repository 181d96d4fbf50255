// Requests per second of wall time that serving units take on one core, with a clock that costs
// nothing: the engine alone.
#include <cmath>
#include <cstdio>
#include <memory>

#include "model/random.hpp"
#include "sim/serving/serving_unit.hpp"
#include "tests/bench/bench.hpp"

namespace moesim {
namespace {

struct AffineClock : StepClock {
  Tick step_time(std::span<const RankBatch> ranks) const override {
    std::int64_t tokens = 0, context = 0;
    for (const RankBatch& rank : ranks) {
      tokens = std::max(tokens, rank.prefill_tokens + rank.decode_requests);
      context = std::max(context, rank.decode_context);
    }
    return to_tick(5 * ms) + tokens * to_tick(2 * us) + context * to_tick(10 * ns);
  }
};

struct CountingLog : RequestLog {
  std::int64_t gaps = 0;
  void finished(const RequestRecord&) override {}
  void token_gaps(Tick, Tick, std::int64_t count) override { gaps += count; }
};

std::int32_t drawn_length(Random& random, double mean) {
  return static_cast<std::int32_t>(1 - (mean - 1) * std::log(random.uniform()));
}

Request drawn_request(std::int64_t id, Tick arrival, double input, double output, Random& random) {
  Request request;
  request.id = id;
  request.arrival = arrival;
  request.input_tokens = drawn_length(random, input);
  request.output_tokens = drawn_length(random, output);
  return request;
}

// One rank, prompts in chunks beside up to 256 requests that decode.
void colocated() {
  constexpr std::int64_t kRequests = 200'000;
  UnitSettings settings;
  settings.engine.max_requests = 256;
  settings.engine.max_batch_tokens = 2048;
  settings.engine.max_context_tokens = 1 << 20;
  settings.pages = 10'000;
  settings.page_tokens = 64;
  CountingLog log;
  ServingUnit unit(settings, std::make_shared<AffineClock>(), log);
  Random random(3);
  Tick arrival = 0;
  std::int64_t added = 0, finished = 0;
  LiveRequest next;
  next.record.request = drawn_request(0, 0, 1000, 200, random);
  const auto start = std::chrono::steady_clock::now();
  for (Tick now = 0; finished < kRequests;) {
    for (; added < kRequests && arrival <= now; ++added) {
      unit.add(next, now);
      arrival -= static_cast<Tick>(std::log(random.uniform()) * 10e9);  // 100 a second
      next.record.request = drawn_request(added + 1, arrival, 1000, 200, random);
    }
    if (const auto end = unit.start_step(now)) {
      now = *end;
      finished += static_cast<std::int64_t>(unit.finish_step(now).finished.size());
    } else {
      now = arrival;
    }
  }
  const double t = seconds_since(start);
  std::printf("colocated unit: %.0f requests/s of wall time (%.0f steps/s, %lld preemptions)\n",
              kRequests / t,
              static_cast<double>(unit.counters().steps) / t,
              static_cast<long long>(unit.counters().preemptions));
}

// 144 ranks with 88 requests each, as a large decode unit has them, always full.
void decode_unit(double acceptance) {
  constexpr std::int64_t kRequests = 1'000'000, kRanks = 144, kRequestsPerRank = 88;
  UnitSettings settings;
  settings.role = PoolRole::decode;
  settings.num_ranks = kRanks;
  settings.engine.max_requests = kRequestsPerRank;
  settings.engine.max_batch_tokens = 1024;
  settings.engine.max_context_tokens = 1 << 20;
  if (acceptance > 0) settings.engine.acceptance = {acceptance};
  settings.pages = 10'000;
  settings.page_tokens = 64;
  CountingLog log;
  ServingUnit unit(settings, std::make_shared<AffineClock>(), log);
  Random random(4);
  std::int64_t added = 0, finished = 0;
  Tick now = 0;
  const auto join = [&] {
    LiveRequest request;
    request.record.request = drawn_request(added, now, 4000, 1000, random);
    request.record.request.output_tokens += 1;
    request.generated = 1;
    request.kv_arrived = true;
    request.record.first_token = request.last_token = now;
    if (!unit.reserve(request, now)) return false;
    unit.add(request, now);
    ++added;
    return true;
  };
  const auto start = std::chrono::steady_clock::now();
  while (finished < kRequests) {
    while (added < kRequests && unit.num_running() + unit.num_waiting() < kRanks * kRequestsPerRank)
      if (!join()) break;
    now = *unit.start_step(now);
    finished += static_cast<std::int64_t>(unit.finish_step(now).finished.size());
  }
  const double t = seconds_since(start);
  std::printf("decode unit of 144 ranks, acceptance %.2f: %.2f us a request (%.0f steps/s)\n",
              acceptance,
              1e6 * t / kRequests,
              static_cast<double>(unit.counters().steps) / t);
}

}  // namespace

void bench_serving_unit() {
  colocated();
  decode_unit(0);
  decode_unit(0.85);
}

}  // namespace moesim
