// The serving unit made so simple that queueing theory knows its waiting times; laws of
// conservation on a busy one; drafts and prefix hits against what they must be.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>

#include "model/random.hpp"
#include "sim/serving/accepted_drafts.hpp"
#include "sim/serving/prefix_cache.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/serving_drive.hpp"

namespace moesim {
namespace {

constexpr Tick kStep = 1'000'000;

// A step takes kStep whatever is in it: a request of n output tokens is served for n steps (the
// first of them computes its prompt), and max_requests is the number of servers.
UnitSettings servers(std::int64_t number) {
  UnitSettings settings = plain_settings();
  settings.engine.max_requests = number;
  settings.engine.max_batch_tokens = 1000;
  settings.pages = 1'000'000;
  settings.page_tokens = 64;
  return settings;
}

std::shared_ptr<AffineClock> step_of_fixed_time() {
  auto clock = std::make_shared<AffineClock>();
  clock->each = kStep;
  clock->per_prefill_token = clock->per_decode = 0;
  return clock;
}

struct Service {
  std::vector<std::int32_t> steps;   // [request]
  double mean = 0, mean_square = 0;  // of the law they were drawn from
};

// Geometric: the exponential law in whole steps.
Service geometric(int requests, double mean, Random& random) {
  Service service;
  const double end = 1 / mean;
  for (int i = 0; i < requests; ++i)
    service.steps.push_back(
        1 + static_cast<std::int32_t>(std::log(random.uniform()) / std::log(1 - end)));
  service.mean = mean;
  service.mean_square = (2 - end) / (end * end);
  return service;
}

Service fixed(int requests, std::int32_t steps) {
  return {std::vector<std::int32_t>(requests, steps),
          static_cast<double>(steps),
          static_cast<double>(steps) * steps};
}

// Nine in ten are short.
Service two_lengths(int requests, Random& random) {
  Service service;
  for (int i = 0; i < requests; ++i) service.steps.push_back(random.uniform() < 0.9 ? 5 : 100);
  service.mean = 0.9 * 5 + 0.1 * 100;
  service.mean_square = 0.9 * 25 + 0.1 * 10'000;
  return service;
}

std::vector<Request> poisson(const Service& service, double load, int num_servers, Random& random) {
  std::vector<Request> requests;
  const double apart = service.mean / (load * num_servers);
  double now = 0;
  for (std::size_t i = 0; i < service.steps.size(); ++i) {
    now -= std::log(random.uniform()) * apart;
    Request r;
    r.id = static_cast<std::int64_t>(i);
    r.arrival = static_cast<Tick>(now * kStep);
    r.input_tokens = 1;
    r.output_tokens = service.steps[i];
    requests.push_back(r);
  }
  return requests;
}

struct Estimate {
  double mean, error;  // in steps; standard error by 30 batch means
};
Estimate mean_wait(const std::vector<LiveRequest>& served) {
  constexpr int kBatches = 30;
  const std::size_t size = served.size() / kBatches;
  std::vector<double> means(kBatches, 0);
  for (std::size_t i = 0; i < size * kBatches; ++i)
    means[i / size] +=
        static_cast<double>(served[i].record.scheduled - served[i].record.request.arrival) /
        static_cast<double>(kStep) / static_cast<double>(size);
  const double mean = std::accumulate(means.begin(), means.end(), 0.0) / kBatches;
  double squares = 0;
  for (const double m : means) squares += (m - mean) * (m - mean);
  return {mean, std::sqrt(squares / (kBatches * (kBatches - 1)))};
}

void check_one_server(const Service& service, double load, Random& random) {
  GapLog log;
  ServingUnit unit(servers(1), step_of_fixed_time(), log);
  const auto requests = poisson(service, load, 1, random);
  const auto served = serve(unit, requests);
  const Estimate wait = mean_wait(served);
  // Pollaczek-Khinchine, with the moments of the law in whole steps: exact.
  const double known = load / service.mean * service.mean_square / (2 * (1 - load));
  CAPTURE(known, wait.mean, wait.error);
  CHECK(std::abs(wait.mean - known) < 4 * wait.error);
  CHECK(wait.error < 0.05 * known);

  // Work is conserved, and Little's law holds exactly on what was counted.
  double waited = 0;
  std::int64_t steps = 0, wrong = 0;
  for (const LiveRequest& r : served) {
    waited += static_cast<double>(r.record.scheduled - r.record.request.arrival);
    steps += r.record.request.output_tokens;
    wrong += r.record.finished - r.record.scheduled != r.record.request.output_tokens * kStep;
  }
  CHECK(unit.counters().waiting_ticks == Approx(waited).epsilon(1e-12));
  CHECK(unit.counters().busy == steps * kStep);
  for (std::size_t i = 1; i < served.size(); ++i)  // never idle while somebody waits
    wrong +=
        served[i].record.scheduled != std::max(requests[i].arrival, served[i - 1].record.finished);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("M/M/1, M/D/1 and M/G/1 wait as Pollaczek and Khinchine say", "[serving_oracles]") {
  Random random(5);
  check_one_server(geometric(80'000, 12, random), 0.7, random);
  check_one_server(fixed(60'000, 8), 0.8, random);
  check_one_server(two_lengths(70'000, random), 0.6, random);
}

TEST_CASE("M/M/c waits as Erlang says", "[serving_oracles]") {
  // A batch of c requests is c servers with one queue. They share steps, so who arrives within one
  // is served at its end: up to a step is added to waits of hundreds.
  constexpr int kServers = 4;
  constexpr double kLoad = 0.8;
  Random random(6);
  const Service service = geometric(30'000, 120, random);
  GapLog log;
  ServingUnit unit(servers(kServers), step_of_fixed_time(), log);
  const Estimate wait = mean_wait(serve(unit, poisson(service, kLoad, kServers, random)));
  const double offered = kLoad * kServers;
  double term = 1, below = 0;  // offered^k / k!
  for (int k = 0; k < kServers; ++k) {
    below += term;
    term *= offered / (k + 1);
  }
  const double all_busy = term / (1 - kLoad) / (below + term / (1 - kLoad));
  const double known = all_busy * service.mean / (kServers * (1 - kLoad));
  CAPTURE(known, wait.mean, wait.error);
  CHECK(wait.mean > known - 4 * wait.error);
  CHECK(wait.mean < known + 1 + 4 * wait.error);
  CHECK(wait.error < 0.1 * known);
}

TEST_CASE("steps of accepted drafts follow their law", "[serving_oracles]") {
  const std::vector<std::vector<double>> kinds = {{0.85}, {0.9, 0.5, 0.2}, {1, 0.3}, {0, 0.7}};
  Random random(7);
  for (const auto& acceptance : kinds) {
    const AcceptedDrafts drafts(acceptance);
    const auto most = static_cast<std::int32_t>(acceptance.size());
    for (const std::int32_t target : {1, 2, 7, 64, 100, 300}) {
      // The law, from single steps: an independent sum over paths.
      std::map<std::pair<std::int32_t, std::int32_t>, double> known;  // (steps, tokens)
      std::vector<double> made(target, 0.0);
      made[0] = 1;
      for (std::int32_t step = 1; step <= target; ++step) {
        std::vector<double> then(target, 0.0);
        for (std::int32_t t = 0; t < target; ++t) {
          double reached = made[t];
          for (std::int32_t accepted = 0; accepted <= most; ++accepted) {
            const double stops = accepted < most ? 1 - acceptance[accepted] : 1;
            const std::int32_t now = t + 1 + accepted;
            (now < target ? then[now] : known[{step, now}]) += reached * stops;
            if (accepted < most) reached *= acceptance[accepted];
          }
        }
        made = then;
      }
      double sum = 0;
      for (const auto& outcome : drafts.law(target)) {
        CHECK(outcome.chance ==
              Approx(known[{outcome.stretch.steps, outcome.stretch.tokens}]).margin(1e-15));
        sum += outcome.chance;
      }
      CHECK(sum == Approx(1));
      // What is drawn: every outcome within five standard errors.
      constexpr int kDraws = 50'000;
      std::map<std::pair<std::int32_t, std::int32_t>, int> seen;
      for (int i = 0; i < kDraws; ++i) {
        const auto stretch = drafts.draw(target, random);
        ++seen[{stretch.steps, stretch.tokens}];
      }
      for (const auto& [what, count] : seen) REQUIRE(known[what] > 0);
      for (const auto& [what, chance] : known)
        CHECK(std::abs(seen[what] - kDraws * chance) <=
              5 * std::sqrt(kDraws * chance * (1 - chance)) + 2);
    }
  }
}

TEST_CASE("a speculating unit makes 1 + accepted tokens a step", "[serving_oracles]") {
  UnitSettings settings = servers(8);
  settings.engine.acceptance = {0.85, 0.6};
  GapLog log;
  ServingUnit unit(settings, step_of_fixed_time(), log);
  std::vector<Request> requests(200);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].id = static_cast<std::int64_t>(i);
    requests[i].input_tokens = 10;
    requests[i].output_tokens = 2001;
  }
  const auto served = serve(unit, requests);
  const UnitCounters& c = unit.counters();
  CHECK(c.output_tokens == 200 * 2001);
  const double a_step = 1 + 0.85 + 0.85 * 0.6, decode_steps = 200 * 2000 / a_step;
  CHECK(static_cast<double>(c.drafted_tokens) / 2 == Approx(decode_steps).epsilon(0.005));
  CHECK(c.accepted_tokens + c.drafted_tokens / 2 == 200 * 2000);
  CHECK(log.bursts == c.accepted_tokens);
  double squares = 0;  // of a request's steps, about their mean
  for (const LiveRequest& r : served) {
    const double steps = static_cast<double>((r.record.finished - r.record.first_token) / kStep);
    squares += (steps - 2000 / a_step) * (steps - 2000 / a_step);
  }
  // Renewal theory: variance n s^2 / m^3 for steps of mean m and deviation s.
  const double step_variance = 0.15 * 1 + 0.85 * 0.4 * 4 + 0.85 * 0.6 * 9 - a_step * a_step;
  CHECK(squares / 200 == Approx(2000 * step_variance / std::pow(a_step, 3)).epsilon(0.4));
  CHECK(unit.pages_in_use() == 0);
}

TEST_CASE("the prefix cache forgets leaves first and moves them to tiers", "[serving_oracles]") {
  PrefixCache cache({1, 2});
  std::vector<std::int32_t> first, second;
  for (const std::uint32_t block : {10, 11, 12}) CHECK(cache.insert(block, first));
  CHECK_FALSE(cache.insert(11, second));
  CHECK(cache.used_blocks() == 3);
  cache.release(first);
  CHECK(cache.unused_blocks() == 3);
  cache.evict();  // 12 to the first tier
  cache.evict();  // 11 there, 12 to the second
  const std::vector<std::uint32_t> prompt = {10, 11, 12, 13};
  PrefixCache::Match match = cache.match(prompt);
  CHECK(match.blocks == 3);
  CHECK(match.in_hbm == 1);
  CHECK(match.unused_in_hbm == 1);
  CHECK(match.in_tiers == std::vector<std::int64_t>{1, 1});
  cache.acquire(std::span(prompt).first(3), second);
  CHECK(cache.used_blocks() == 3);
  cache.check();
  cache.release(second);
  for (int i = 0; i < 3; ++i) cache.evict();
  match = cache.match(prompt);
  CHECK(match.blocks == 3);
  CHECK(match.in_tiers == std::vector<std::int64_t>{1, 2});
  const std::vector<std::uint32_t> other = {20};
  CHECK(cache.insert(20, first));
  cache.release(first);
  cache.evict();  // 12, the leaf that was used longest ago, has no place left
  CHECK(cache.match(prompt).blocks == 2);
  CHECK(cache.match(other).blocks == 1);
  cache.check();
  cache.drop();
  CHECK(cache.match(prompt).blocks == 0);
  cache.check();
}

TEST_CASE("prefix hits of the Mooncake conversation trace", "[serving_oracles]") {
  const auto folder = reference_folder();
  if (!folder) return;
  std::vector<std::vector<std::uint32_t>> blocks;
  std::vector<Request> requests;
  std::ifstream file(*folder / "traces/mooncake_conversation.jsonl");
  const auto number_after = [](const std::string& line, const char* key) {
    return std::strtoll(line.c_str() + line.find(key) + std::strlen(key), nullptr, 10);
  };
  for (std::string line; std::getline(file, line);) {
    Request r;
    r.id = static_cast<std::int64_t>(requests.size());
    r.input_tokens = static_cast<std::int32_t>(number_after(line, "\"input_length\": "));
    r.output_tokens = 1;
    requests.push_back(r);
    blocks.emplace_back();
    const char* at = line.c_str() + line.find('[') + 1;
    for (char* end = nullptr;; at = end + 1) {
      blocks.back().push_back(static_cast<std::uint32_t>(std::strtoul(at, &end, 10)));
      if (*end != ',') break;
    }
  }
  REQUIRE(requests.size() == 12'031);

  PrefixCache endless({});
  std::int64_t hits = 0, all = 0, usable_tokens = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::int64_t found = endless.match(blocks[i]).blocks;
    hits += found;
    all += static_cast<std::int64_t>(blocks[i].size());
    // The last block of a prompt is mostly not full, and one token is always computed.
    usable_tokens += 512 * std::min<std::int64_t>(found, (requests[i].input_tokens - 1) / 512);
    std::vector<std::int32_t> handles;
    for (const std::uint32_t block : blocks[i]) endless.insert(block, handles);
    endless.release(handles);
  }
  CHECK(all == 288'500);
  CHECK(hits == 105'710);

  // The same through a unit that serves one request at a time and never has to forget.
  UnitSettings settings = servers(1);
  settings.engine.max_batch_tokens = 200'000;
  settings.pages = 3'000'000;
  settings.prefix_cache = true;
  settings.block_tokens = 512;
  GapLog log;
  ServingUnit unit(settings, step_of_fixed_time(), log);
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].blocks = blocks[i];
  const auto served = serve(unit, requests);
  CHECK(served.size() == requests.size());
  CHECK(unit.counters().cached_tokens == usable_tokens);
  CHECK(unit.cached_prefix_tokens(requests[0]) == (requests[0].input_tokens - 1) / 512 * 512);
  unit.check();
}

}  // namespace moesim
