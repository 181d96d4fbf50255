// Experts in tiers of memory, against closed forms.
#include <cmath>
#include <numeric>

#include "model/model_counts.hpp"
#include "model/popularity.hpp"
#include "sim/serving/expert_cache.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

// Chances of a token that visits `top_k` experts whose loads follow Zipf's law.
std::vector<double> zipf(std::size_t experts, double top_k, double exponent) {
  std::vector<double> visit;
  for (std::size_t e = 1; e <= experts; ++e)
    visit.push_back(std::pow(static_cast<double>(e), -exponent));
  const double sum = std::accumulate(visit.begin(), visit.end(), 0.0);
  for (double& v : visit) v *= top_k / sum;
  REQUIRE(visit.front() <= 1);
  return visit;
}

ExpertCacheProblem problem_of(std::vector<double> visit, std::int64_t hbm, std::int64_t host) {
  ExpertCacheProblem problem;
  problem.visit = std::move(visit);
  problem.hbm_experts = hbm;
  problem.host_experts = host;
  problem.expert = 100 * MB;
  problem.host_bandwidth = 20 * GB_per_s;  // 5 ms an expert
  problem.ssd_bandwidth = 4 * GB_per_s;    // 25 ms
  return problem;
}

}  // namespace

TEST_CASE("experts in tiers: how many a step touches", "[serving]") {
  // E (1 - (1 - k / E)^T) of E equal experts.
  const std::vector<double> even(256, 8.0 / 256);
  for (const std::int64_t tokens : {1, 2, 8, 16, 17, 64, 1024}) {
    const double expected = 256 * (1 - std::pow(1 - 8.0 / 256, static_cast<double>(tokens)));
    CHECK(expected_touched(even, static_cast<double>(tokens)) == Approx(expected));
    CHECK(expert_use(problem_of(even, 64, 192), tokens, 1).touched ==
          Approx(expected).epsilon(0.01));
  }
  // One token visits exactly its eight.
  CHECK(expert_use(problem_of(zipf(64, 8, 0.5), 16, 48), 1, 3).touched == Approx(8).epsilon(1e-12));
}

TEST_CASE("experts in tiers: of equal experts LRU finds those it has room for", "[serving]") {
  const std::vector<double> even(64, 6.0 / 64);
  for (const std::int64_t tokens : {1, 4, 32, 500})
    for (const std::int64_t hbm : {8, 32, 60}) {
      const ExpertUse use = expert_use(problem_of(even, hbm, 64), tokens, 5);
      CHECK(use.hit_rate() == Approx(static_cast<double>(hbm) / 64).margin(0.01));
      CHECK(use.from_ssd == 0);
    }
  // Host memory is the same one tier further out: what is in neither comes from the SSD.
  const ExpertUse use = expert_use(problem_of(even, 16, 32), 4, 5);
  CHECK(use.from_host / use.touched == Approx(0.5).margin(0.01));
  CHECK(use.from_ssd / use.touched == Approx(0.25).margin(0.01));
  CHECK(expert_use(problem_of(even, 64, 0), 4, 5).hit_rate() == 1);
  CHECK(expert_use(problem_of(even, 0, 64), 4, 5).hit_rate() == 0);
}

TEST_CASE("experts in tiers: LRU of unequal experts, against Che's approximation", "[serving]") {
  for (const double exponent : {0.3, 0.7})
    for (const std::int64_t tokens : {1, 4})
      for (const std::int64_t hbm : {32, 64, 128, 200}) {
        const std::vector<double> visit = zipf(256, 8, exponent);
        CAPTURE(exponent, tokens, hbm);
        CHECK(expert_use(problem_of(visit, hbm, 256), tokens, 7).hit_rate() ==
              Approx(che_hit_rate(visit, static_cast<double>(tokens), hbm)).margin(0.012));
      }
  const std::vector<double> even(100, 0.04);
  CHECK(che_hit_rate(even, 3, 25) == Approx(0.25));
  CHECK(che_hit_rate(even, 3, 100) == 1);
  CHECK(che_hit_rate(even, 3, 0) == 0);
}

TEST_CASE("experts in tiers: LFU keeps the most popular", "[serving]") {
  const std::vector<double> visit = zipf(128, 4, 0.8);
  ExpertCacheProblem problem = problem_of(visit, 32, 64);
  problem.frequency = true;
  for (const std::int64_t tokens : {1, 10, 100}) {
    std::vector<double> chance;
    for (const double v : visit) chance.push_back(1 - std::pow(1 - v, static_cast<double>(tokens)));
    const double all = std::accumulate(chance.begin(), chance.end(), 0.0),
                 hbm = std::accumulate(chance.begin(), chance.begin() + 32, 0.0),
                 ssd = std::accumulate(chance.begin() + 96, chance.end(), 0.0);
    const ExpertUse use = expert_use(problem, tokens, 1);
    CHECK(use.touched == Approx(all));
    CHECK(use.hit_rate() == Approx(hbm / all));
    CHECK(use.from_ssd == Approx(ssd));
    // Independent draws from a fixed law: nothing does better than keeping the likeliest.
    problem.frequency = false;
    CHECK(expert_use(problem, tokens, 1).hit_rate() < use.hit_rate() + 0.01);
    problem.frequency = true;
  }
}

TEST_CASE("experts in tiers: a stall is what cannot be fetched ahead", "[serving]") {
  const std::vector<double> even(64, 4.0 / 64);
  ExpertCacheProblem problem = problem_of(even, 0, 64);
  // All four are fetched from host memory: 20 ms.
  CHECK(ExpertCacheTable(problem, 1, 1).stall(1, 1 * s).in(ms) == Approx(20));
  problem.host_experts = 0;  // from the SSD
  CHECK(ExpertCacheTable(problem, 1, 1).stall(1, 1 * s).in(ms) == Approx(100));
  problem.host_experts = 64;
  problem.preload_accuracy = 1;
  const ExpertCacheTable known(problem, 1, 1);
  CHECK(known.stall(1, 20 * ms).in(ms) == Approx(0).margin(1e-9));
  CHECK(known.stall(1, 5 * ms).in(ms) == Approx(15));
  CHECK(known.stall(1, Seconds()).in(ms) == Approx(20));
  CHECK(known.stall(0, Seconds()).in(ms) == 0);
  // Three of four guesses are right: 20 ms are sent ahead, of which one expert in vain.
  problem.preload_accuracy = 0.75;
  const ExpertCacheTable guessed(problem, 1, 1);
  CHECK(guessed.stall(1, 20 * ms).in(ms) == Approx(5));
  CHECK(guessed.stall(1, 10 * ms).in(ms) == Approx(5 + 7.5));
  // All in HBM: nothing to fetch.
  problem.hbm_experts = 64;
  CHECK(ExpertCacheTable(problem, 1024, 1).stall(700, Seconds()).in(ms) == 0);
}

TEST_CASE("experts in tiers: the table between its points", "[serving]") {
  ExpertCacheProblem problem = problem_of(zipf(64, 4, 0.5), 16, 48);
  problem.frequency = true;
  const ExpertCacheTable table(problem, 300, 1);
  for (const std::int64_t tokens : {1, 2, 3, 5, 11, 48, 100, 300}) {
    const ExpertUse exact = expert_use(problem, tokens, 1);
    CHECK(table.at(tokens).touched == Approx(exact.touched).epsilon(0.02));
    CHECK(table.at(tokens).hit_rate() == Approx(exact.hit_rate()).margin(0.01));
  }
  CHECK(table.at(100000).touched == Approx(64).epsilon(0.001));
}

TEST_CASE("experts in tiers: what fits of a model", "[serving]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  ExpertTiers tiers;
  tiers.hbm = 40 * GB;
  tiers.host = 400 * GB;
  tiers.host_bandwidth = 50 * GB_per_s;
  tiers.ssd_bandwidth = 7 * GB_per_s;
  UnitPlan plan;
  plan.expert_weights = WeightPrecision::fp4;
  const std::vector<double> load =
      relative_load({PopularityKind::zipf, 0.4}, v3.moe->num_experts, 1, 0);
  ExpertCacheProblem problem = expert_cache_problem(tiers, v3, plan, load);
  // 3 x 7168 x 2048 weights of 0.5625 bytes in 58 layers.
  CHECK(problem.expert.in(B) == Approx(3.0 * 7168 * 2048 * 0.5625));
  CHECK(problem.hbm_experts == 27);  // 40 GB / 1.437 GB
  CHECK(problem.host_experts == 256);
  CHECK(std::accumulate(problem.visit.begin(), problem.visit.end(), 0.0) == Approx(8));
  plan.tp = 2;
  CHECK(expert_cache_problem(tiers, v3, plan, load).hbm_experts == 55);
  plan.tp = 1;
  plan.dp = plan.ep = 8;
  problem = expert_cache_problem(tiers, v3, plan, load);
  CHECK(problem.visit.size() == 32);
  CHECK(problem.hbm_experts == 27);
  CHECK(problem.host_experts == 32);
}

TEST_CASE("experts in tiers: a clock that stalls in each layer", "[serving]") {
  class Fixed : public StepClock {
    Tick step_time(std::span<const RankBatch>) const override { return to_tick(60 * ms); }
  };
  ExpertCacheProblem problem = problem_of(std::vector<double>(64, 4.0 / 64), 0, 64);
  problem.preload_accuracy = 1;
  problem.frequency = true;
  const ExpertCacheTable table(problem, 64, 1);
  std::vector<RankBatch> ranks(2);
  ranks[0].decode_requests = 1;
  ranks[1].decode_requests = 3;
  ranks[1].prefill_tokens = 2;
  // Ten layers of 6 ms each.
  const ExpertTierClock own(std::make_shared<Fixed>(), table, 10, 2, false),
      shared(std::make_shared<Fixed>(), table, 10, 2, true);
  CHECK(own.step_time(ranks) == to_tick(60 * ms + 10.0 * table.stall(8, 6 * ms)));
  CHECK(shared.step_time(ranks) == to_tick(60 * ms + 10.0 * table.stall(10, 6 * ms)));
  CHECK(table.stall(8, 6 * ms) > 0 * s);
}
