// A serving fleet of the size that DeepSeek published: 24 prefill units of 32 ranks and 8 decode
// units of 144, with clocks that cost nothing, so that what is measured is the simulation of
// requests: units, routing, transfers.
#include <cmath>
#include <cstdio>

#include "model/random.hpp"
#include "sim/serving/cluster.hpp"
#include "tests/bench/bench.hpp"
#include "tests/serving_cluster.hpp"

namespace moesim {
namespace {

// Poisson arrivals, lengths drawn evenly around the published means (D01: 608B input and 168B
// output tokens a day, 56.3 % of the input cached).
class FleetSource : public RequestSource {
 public:
  FleetSource(std::int64_t count, double per_s) : left_(count), per_s_(per_s) { draw(); }
  std::optional<Tick> next_arrival() override {
    return left_ > 0 ? std::optional(next_.arrival) : std::nullopt;
  }
  Request take() override {
    const Request request = next_;
    --left_;
    ++next_.id;
    draw();
    return request;
  }
  RequestCounts counts() const override { return {}; }

 private:
  void draw() {
    next_.arrival += to_tick(-std::log(random_.uniform()) / per_s_ * s);
    next_.input_tokens = 500 + static_cast<std::int32_t>(random_.uniform() * 7200);
    next_.stated_cached_tokens = static_cast<std::int32_t>(0.563 * next_.input_tokens);
    next_.output_tokens = 1 + static_cast<std::int32_t>(random_.uniform() * 2100);
  }
  std::int64_t left_;
  double per_s_;
  Random random_{3};
  Request next_;
};

class NoLog : public RequestLog {
 public:
  void finished(const RequestRecord&) override {}
  void token_gaps(Tick, Tick, std::int64_t) override {}
};

ServingSpec fleet() {
  ServingSpec spec;
  spec.pools = {small_pool(PoolRole::prefill, 24, 32), small_pool(PoolRole::decode, 8, 144)};
  spec.transfer_latency = 1 * ms;
  for (PoolSpec& pool : spec.pools) {
    pool.kv.page_tokens = 64;
    pool.kv.watermark = 0.01;
    pool.engine.max_context_tokens = 131072;
    pool.engine.max_requests = 256;
  }
  spec.pools[0].engine.max_batch_tokens = 16384;
  spec.pools[1].engine.acceptance = {0.85};
  return spec;
}

void bench_fleet(std::int64_t requests, RouterKind router) {
  ServingSpec spec = fleet();
  spec.router = router;
  std::vector<PoolModel> models = {small_model(50 * ms, 100 * us),
                                   small_model(30 * ms, {}, 0.15 * ms)};
  for (PoolModel& model : models) {
    model.pages = 6000;
    model.kv_per_token = 70 * KB;
  }
  FleetSource source(requests, 1800);
  NoLog log;
  const auto start = std::chrono::steady_clock::now();
  const ServingResult result = simulate_serving(spec, source, models, log);
  const double wall_s = seconds_since(start);
  std::printf(
      "serving fleet, %s: %.2f us a request, %lld requests of %.0f s in %.2f s wall, "
      "%lld + %lld steps, %.1f running a decode rank\n",
      kRouterNames[static_cast<std::size_t>(router)],
      1e6 * wall_s / static_cast<double>(requests),
      static_cast<long long>(requests),
      to_seconds(result.end).in(s),
      wall_s,
      static_cast<long long>(result.pools[0].total.steps),
      static_cast<long long>(result.pools[1].total.steps),
      result.pools[1].total.running_ticks / static_cast<double>(result.end) / (8 * 144));
}

}  // namespace

void bench_serving_cluster() {
  bench_fleet(500'000, RouterKind::least_loaded);
  bench_fleet(500'000, RouterKind::power_of_two);
}

}  // namespace moesim
