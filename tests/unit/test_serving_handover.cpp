// A prefill and a decode unit that hand requests over and are lost now and then: nothing gets lost,
// nothing is counted twice, and the gaps that clients see add up to the tick.
#include <deque>

#include "model/random.hpp"
#include "sim/event_queue.hpp"
#include "tests/catch.hpp"
#include "tests/serving_drive.hpp"

namespace moesim {
namespace {

enum class Kind : std::uint8_t { arrives, step_ends, fetched, fails };
struct Event {
  Kind kind = Kind::arrives;
  int unit = 0, life = 0, request = 0;
};

struct Transfer {
  LiveRequest request;
  int prefill_life = 0, decode_life = 0;
};

class TwoUnits {
 public:
  static constexpr int kPrefill = 0, kDecode = 1;
  TwoUnits(const UnitSettings& prefill, const UnitSettings& decode, int seed) : random_(seed) {
    units_.emplace_back(prefill, std::make_shared<AffineClock>(), log);
    units_.emplace_back(decode, std::make_shared<AffineClock>(), log);
  }

  void run(const std::vector<Request>& requests,
           const std::vector<std::pair<Tick, int>>& failures) {
    for (const Request& request : requests)
      events_.at(request.arrival, {Kind::arrives, 0, 0, static_cast<int>(request.id)});
    for (const auto& [when, unit] : failures) events_.at(when, {Kind::fails, unit, 0, 0});
    while (!events_.empty()) {
      const Event event = events_.pop();
      const Tick now = events_.now();
      if (event.kind == Kind::arrives) {
        units_[kPrefill].add(live(requests[event.request]), now);
      } else if (event.kind == Kind::step_ends) {
        if (event.life != life_[event.unit]) continue;
        const StepOutcome& outcome = units_[event.unit].finish_step(now);
        for (const LiveRequest& request : outcome.finished) done.push_back(request);
        for (const LiveRequest& request : outcome.prefilled) waiting_.push_back(request);
      } else if (event.kind == Kind::fetched) {
        hand_over(transfers_[event.request], now);
      } else {
        fail(event.unit, now);
      }
      move_on(now);
      for (const ServingUnit& unit : units_) unit.check();
    }
  }

  GapLog log;
  std::vector<LiveRequest> done;
  std::vector<ServingUnit> units_;

 private:
  void start_again(LiveRequest request, Tick now) {
    request.prefill_rank = request.prefill_slot = request.decode_rank = -1;
    request.kv_arrived = false;
    units_[kPrefill].add(request, now);
  }
  void fail(int unit, Tick now) {
    const auto lost = units_[unit].fail(now);
    ++life_[unit];
    for (const LiveRequest& request : lost) start_again(request, now);
    if (unit == kDecode) return;
    for (const LiveRequest& request : waiting_) start_again(request, now);
    waiting_.clear();
  }
  void hand_over(Transfer& transfer, Tick now) {
    const bool source = transfer.prefill_life == life_[kPrefill];
    const bool target = transfer.decode_life == life_[kDecode];
    if (source) units_[kPrefill].release(transfer.request, now);
    if (source && target) {
      transfer.request.kv_arrived = true;
      units_[kDecode].add(transfer.request, now);
      return;
    }
    if (target) units_[kDecode].cancel(transfer.request, now);
    start_again(transfer.request, now);
  }
  void move_on(Tick now) {
    while (!waiting_.empty() && units_[kDecode].reserve(waiting_.front(), now)) {
      transfers_.push_back({waiting_.front(), life_[kPrefill], life_[kDecode]});
      waiting_.pop_front();
      const auto delay = static_cast<Tick>(random_.uniform() * 5000);
      events_.at(now + delay, {Kind::fetched, 0, 0, static_cast<int>(transfers_.size()) - 1});
    }
    for (const int unit : {kPrefill, kDecode})
      if (!units_[unit].stepping())
        if (const auto end = units_[unit].start_step(now))
          events_.at(*end, {Kind::step_ends, unit, life_[unit], 0});
  }

  EventQueue<Event> events_;
  std::deque<LiveRequest> waiting_;
  std::deque<Transfer> transfers_;
  int life_[2] = {0, 0};
  Random random_;
};

}  // namespace

TEST_CASE("requests survive hand-overs, shortage and the loss of units", "[serving_unit]") {
  std::int64_t preemptions = 0, recomputed = 0;
  for (int number = 0; number < 150; ++number) {
    CAPTURE(number);
    Random random(23, number);
    const auto between = [&](int least, int most) {
      return least + static_cast<int>(random.uniform() * (most - least + 1));
    };
    UnitSettings prefill = plain_settings(), decode = plain_settings();
    prefill.role = PoolRole::prefill;
    decode.role = PoolRole::decode;
    prefill.num_ranks = between(1, 3);
    decode.num_ranks = between(1, 5);
    prefill.pages = between(20, 60);
    decode.pages = between(18, 40);
    prefill.watermark = decode.watermark = between(0, 1) * 0.05;
    decode.engine.max_requests = between(1, 6);
    decode.engine.acceptance.assign(between(0, 2), 0.7);
    prefill.prefix_cache = between(0, 1) == 1;
    prefill.block_tokens = prefill.prefix_cache ? 8 : 0;

    std::vector<Request> requests(60);
    std::vector<std::vector<std::uint32_t>> blocks(requests.size());
    Tick now = 0;
    std::int64_t input = 0, output = 0;
    for (int i = 0; i < static_cast<int>(requests.size()); ++i) {
      Request& r = requests[i];
      r.id = i;
      r.arrival = now += between(0, 3000);
      r.input_tokens = between(1, 36);
      r.output_tokens = between(1, 30);
      input += r.input_tokens;
      output += r.output_tokens;
      if (!prefill.prefix_cache) continue;
      const int tree = between(0, 2), shared = between(0, 4);
      for (int b = 0; b * 8 < r.input_tokens; ++b)
        blocks[i].push_back(b < shared ? 100 * tree + b : 1000 + 10 * i + b);
      r.blocks = blocks[i];
    }
    std::vector<std::pair<Tick, int>> failures;
    for (int i = between(0, 3); i > 0; --i) failures.push_back({between(0, 90'000), between(0, 1)});

    TwoUnits cluster(prefill, decode, number);
    cluster.run(requests, failures);
    REQUIRE(cluster.done.size() == requests.size());
    std::vector<int> times(requests.size(), 0);
    Tick streamed = 0;
    for (const LiveRequest& r : cluster.done) {
      ++times[r.record.request.id];
      REQUIRE(r.record.outcome == Outcome::served);
      REQUIRE(r.generated == r.record.request.output_tokens);
      REQUIRE(r.record.request.arrival <= r.record.scheduled);
      REQUIRE(r.record.scheduled < r.record.first_token);
      REQUIRE(r.record.first_token <= r.record.finished);
      streamed += r.record.finished - r.record.first_token;
    }
    REQUIRE(times == std::vector<int>(requests.size(), 1));
    Tick gaps = 0;
    std::int64_t tokens = cluster.log.bursts;
    for (const auto& [gap, count] : cluster.log.gaps) {
      gaps += gap.second * count;
      tokens += count;
    }
    REQUIRE(gaps == streamed);
    REQUIRE(tokens == output - static_cast<std::int64_t>(requests.size()));
    std::int64_t computed = 0, made = 0;
    for (const ServingUnit& unit : cluster.units_) {
      const UnitCounters& c = unit.counters();
      computed += c.prompt_tokens + c.cached_tokens - c.recomputed_tokens;
      made += c.output_tokens;
      preemptions += c.preemptions;
      recomputed += c.recomputed_tokens;
      REQUIRE(unit.idle());
      REQUIRE(unit.pages_in_use() == 0);
    }
    REQUIRE(computed == input);
    REQUIRE(made == output);
  }
  CHECK(preemptions > 100);
  CHECK(recomputed > 1000);
}

}  // namespace moesim
