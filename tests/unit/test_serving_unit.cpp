// The serving unit by hand: what a step holds, and when tokens come.
#include "tests/catch.hpp"
#include "tests/serving_drive.hpp"

namespace moesim {
namespace {

Request request(std::int64_t id, Tick arrival, std::int32_t input, std::int32_t output) {
  Request r;
  r.id = id;
  r.arrival = arrival;
  r.input_tokens = input;
  r.output_tokens = output;
  return r;
}

struct Bed {
  explicit Bed(const UnitSettings& settings) : clock(std::make_shared<AffineClock>()) {
    clock->keep = true;
    unit.emplace(settings, clock, log);
  }
  std::shared_ptr<AffineClock> clock;
  GapLog log;
  std::optional<ServingUnit> unit;
};

}  // namespace

TEST_CASE("one request: prefill, then a token a step", "[serving_unit]") {
  Bed bed(plain_settings());
  const auto served = serve(*bed.unit, {request(0, 5000, 30, 3)});
  REQUIRE(served.size() == 1);
  const RequestRecord& r = served[0].record;
  CHECK(r.scheduled == 5000);
  CHECK(r.first_token == 5000 + 1000 + 300);
  CHECK(r.finished == r.first_token + 2 * 1007);
  CHECK(served[0].generated == 3);
  CHECK(bed.log.gaps == decltype(bed.log.gaps){{{7307, 1007}, 1}, {{8314, 1007}, 1}});
  REQUIRE(bed.clock->seen.size() == 3);
  CHECK(bed.clock->seen[0].prefill_pairs == 450);
  CHECK(bed.clock->seen[0].prefill_context == 30);
  CHECK(bed.clock->seen[1].decode_context == 30);
  CHECK(bed.clock->seen[2].decode_context == 31);
  CHECK(bed.unit->idle());
  CHECK(bed.unit->pages_in_use() == 0);
  const UnitCounters& c = bed.unit->counters();
  CHECK(c.prompt_tokens == 30);
  CHECK(c.output_tokens == 3);
  CHECK(c.steps == 3);
  CHECK(c.busy == r.finished - 5000);
  CHECK(c.most_pages == 8);
  CHECK(c.running_ticks == static_cast<double>(r.finished - 5000));
  bed.unit->check();
}

TEST_CASE("chunks of a long prompt share steps with decoding", "[serving_unit]") {
  Bed bed(plain_settings());
  // The second prompt has 100 tokens: 63 beside the first one's decoding, then 37.
  const auto served = serve(*bed.unit, {request(0, 0, 8, 4), request(1, 1, 100, 1)});
  REQUIRE(bed.clock->seen.size() == 4);
  const RankBatch& mixed = bed.clock->seen[1];
  CHECK(mixed.decode_requests == 1);
  CHECK(mixed.prefill_tokens == 63);
  const RankBatch& rest = bed.clock->seen[2];
  CHECK(rest.prefill_tokens == 37);
  CHECK(rest.prefill_context == 100);
  CHECK(rest.prefill_pairs == 37 * 63 + 37 * 37 / 2.0);
  CHECK(served[1].record.first_token == served[1].record.finished);
}

TEST_CASE("whole prompts do not share a step that is too small for them", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.engine.chunked_prefill = false;
  Bed bed(settings);
  serve(*bed.unit, {request(0, 0, 40, 1), request(1, 0, 40, 1), request(2, 0, 100, 1)});
  REQUIRE(bed.clock->seen.size() == 3);
  CHECK(bed.clock->seen[0].prefill_tokens == 40);
  CHECK(bed.clock->seen[1].prefill_tokens == 40);
  CHECK(bed.clock->seen[2].prefill_tokens == 100);  // longer than any step: alone
}

TEST_CASE("a static batch keeps its slots until its longest request is done", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.engine.batching = Batching::static_batch;
  settings.engine.max_requests = 2;
  Bed bed(settings);
  const auto served =
      serve(*bed.unit, {request(0, 0, 8, 2), request(1, 0, 8, 4), request(2, 0, 8, 1)});
  REQUIRE(bed.clock->seen.size() == 5);
  for (int step = 1; step < 4; ++step) CHECK(bed.clock->seen[step].decode_requests == 2);
  CHECK(bed.clock->seen[3].decode_context == 8 + 1 + 8 + 2);
  CHECK(bed.clock->seen[4].prefill_tokens == 8);
  CHECK(served[0].record.finished < served[1].record.finished);
  CHECK(served[2].record.scheduled == served[1].record.finished);
  CHECK(bed.unit->pages_in_use() == 0);
}

TEST_CASE("policies order the queue", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.engine.max_requests = 1;
  settings.first_token_deadline = {10'000, 100};
  std::vector<Request> requests = {
      request(0, 0, 9, 1), request(1, 1, 8, 1), request(2, 2, 7, 1), request(3, 3, 7, 1)};
  requests[1].priority = 5;
  requests[3].priority = -1;
  requests[3].slo_class = 1;
  const auto order = [&](Policy policy) {
    settings.engine.policy = policy;
    Bed bed(settings);
    auto served = serve(*bed.unit, requests);
    std::sort(served.begin(), served.end(), [](const LiveRequest& a, const LiveRequest& b) {
      return a.record.finished < b.record.finished;
    });
    std::vector<std::int64_t> ids;
    for (const LiveRequest& r : served) ids.push_back(r.record.request.id);
    return ids;
  };
  CHECK(order(Policy::fcfs) == std::vector<std::int64_t>{0, 1, 2, 3});
  CHECK(order(Policy::priority) == std::vector<std::int64_t>{0, 3, 2, 1});
  CHECK(order(Policy::shortest_prompt) == std::vector<std::int64_t>{0, 2, 3, 1});
  CHECK(order(Policy::slo_aware) == std::vector<std::int64_t>{0, 3, 1, 2});
}

TEST_CASE("a prefill unit keeps pages until they are fetched", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.role = PoolRole::prefill;
  settings.pages = 10;
  settings.watermark = 0;
  Bed bed(settings);
  std::vector<LiveRequest> waiting;
  serve(*bed.unit, {request(0, 0, 28, 5), request(1, 0, 16, 5)}, [&](const LiveRequest& r) {
    waiting.push_back(r);
  });
  REQUIRE(waiting.size() == 1);  // 7 pages are held: the other prompt needs 4 of 3
  CHECK(waiting[0].generated == 1);
  CHECK(bed.unit->pages_in_use() == 7);
  CHECK(bed.unit->num_waiting() == 1);
  const Tick fetched = 50'000;
  bed.unit->release(waiting[0], fetched);
  CHECK(bed.unit->pages_in_use() == 0);
  CHECK(bed.unit->start_step(fetched) == fetched + 1000 + 160);
  const StepOutcome& outcome = bed.unit->finish_step(fetched + 1160);
  REQUIRE(outcome.prefilled.size() == 1);
  CHECK(outcome.prefilled[0].record.request.id == 1);
  bed.unit->release(outcome.prefilled[0], fetched + 1160);
  bed.unit->check();
  CHECK(bed.unit->pages_in_use() == 0);
  CHECK(bed.unit->idle());
}

TEST_CASE("a decode unit takes reserved requests, and their first gap is the true one",
          "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.role = PoolRole::decode;
  settings.num_ranks = 2;
  settings.pages = 10;
  settings.watermark = 0.1;
  Bed bed(settings);
  std::vector<LiveRequest> requests;
  for (int i = 0; i < 3; ++i) {
    requests.push_back(live(request(i, 0, 30, 3)));
    LiveRequest& r = requests.back();
    r.generated = 1;
    r.record.first_token = r.last_token = 100;
    r.kv_arrived = true;
  }
  CHECK(bed.unit->reserve(requests[0], 200));
  CHECK(bed.unit->reserve(requests[1], 200));
  CHECK(requests[0].decode_rank == 0);
  CHECK(requests[1].decode_rank == 1);
  CHECK_FALSE(bed.unit->reserve(requests[2], 200));
  bed.unit->cancel(requests[1], 210);
  CHECK(bed.unit->reserve(requests[2], 220));
  CHECK(bed.unit->pages_in_use() == 16);
  bed.unit->add(requests[0], 300);
  bed.unit->add(requests[2], 300);
  CHECK(bed.unit->start_step(300) == 1307);
  bed.unit->check();
  CHECK(bed.unit->finish_step(1307).finished.empty());
  CHECK(bed.unit->start_step(1307) == 2314);
  CHECK(bed.unit->finish_step(2314).finished.size() == 2);
  CHECK(bed.log.gaps == decltype(bed.log.gaps){{{1307, 1207}, 2}, {{2314, 1007}, 2}});
  CHECK(bed.unit->pages_in_use() == 0);
  CHECK(bed.unit->idle());
  bed.unit->check();
}

TEST_CASE("preempted requests come before new reservations", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.role = PoolRole::decode;
  settings.pages = 8;
  settings.watermark = 0;
  Bed bed(settings);
  const auto arrived = [](std::int64_t id, std::int32_t input, std::int32_t output) {
    LiveRequest r = live(request(id, 0, input, output));
    r.generated = 1;
    r.kv_arrived = true;
    return r;
  };
  for (int i = 0; i < 2; ++i) {
    LiveRequest r = arrived(i, 13, 9);
    REQUIRE(bed.unit->reserve(r, 0));
    bed.unit->add(r, 0);
  }
  Tick now = 0;
  for (int step = 0; step < 3; ++step) {
    now = *bed.unit->start_step(now);
    bed.unit->finish_step(now);
  }
  // Both have filled their four pages: the one admitted last gives its pages up.
  now = *bed.unit->start_step(now);
  CHECK(bed.clock->seen.back().decode_requests == 1);
  CHECK(bed.unit->num_waiting() == 1);
  CHECK(bed.unit->pages_in_use() == 5);
  LiveRequest small = arrived(2, 4, 2);
  CHECK_FALSE(bed.unit->reserve(small, now));
  bed.unit->finish_step(now);
  for (std::size_t done = 0; done < 2;) {
    now = *bed.unit->start_step(now);
    done += bed.unit->finish_step(now).finished.size();
    bed.unit->check();
  }
  CHECK(bed.unit->reserve(small, now));
  const UnitCounters& c = bed.unit->counters();
  CHECK(c.preemptions == 1);
  CHECK(c.prompt_tokens == 13 + 4);  // recomputed with the four tokens it had
  CHECK(c.output_tokens == 2 * 8);
}

TEST_CASE("a unit that fails hands over all it has", "[serving_unit]") {
  Bed bed(plain_settings());
  for (int i = 0; i < 3; ++i) bed.unit->add(live(request(i, 0, 60, 10)), 0);
  Tick now = 0;
  for (int i = 0; i < 3; ++i) {
    now = *bed.unit->start_step(now);
    bed.unit->finish_step(now);
  }
  bed.unit->start_step(now);
  auto lost = bed.unit->fail(now + 5);
  REQUIRE(lost.size() == 3);
  CHECK(lost[0].generated == 3);
  CHECK(lost[0].last_token == now);
  CHECK(lost[1].generated == 2);
  CHECK(lost[2].generated == 1);
  CHECK(bed.unit->idle());
  CHECK(bed.unit->pages_in_use() == 0);
  // Taken over by another: the prompt and what was generated are computed, then it goes on.
  Bed other(plain_settings());
  other.unit->add(lost[0], now + 10);
  const Tick end = *other.unit->start_step(now + 10);
  CHECK(other.clock->seen[0].prefill_tokens == 63);
  other.unit->finish_step(end);
  CHECK(other.log.gaps == decltype(bed.log.gaps){{{end, end - now}, 1}});
  CHECK(other.unit->counters().recomputed_tokens == 63);
}

TEST_CASE("what can never fit is refused", "[serving_unit]") {
  UnitSettings settings = plain_settings();
  settings.pages = 10;
  settings.engine.max_context_tokens = 60;
  Bed bed(settings);
  CHECK_FALSE(bed.unit->refusal(request(0, 0, 39, 2)));
  CHECK(bed.unit->refusal(request(0, 0, 39, 3)) == Outcome::rejected_memory);
  CHECK(bed.unit->refusal(request(0, 0, 59, 2)) == Outcome::rejected_context);
  const auto served = serve(*bed.unit, {request(0, 0, 41, 1)});  // asked all the same
  REQUIRE(served.size() == 1);
  CHECK(served[0].record.outcome == Outcome::rejected_memory);
}

}  // namespace moesim
