// The search for the fewest GPUs, against trying everything on made-up surfaces.
#include <atomic>
#include <cmath>

#include "model/random.hpp"
#include "sim/serving/capacity_search.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

using Units = std::vector<std::int64_t>;

CapacityEvaluation by_margin(double margin, const char* binding = "p99_ttft") {
  return {margin >= 0, margin, binding};
}

CapacityRequest two_pools(std::int64_t first_gpus, std::int64_t second_gpus, std::int64_t most) {
  CapacityRequest request;
  request.pools = {{"prefill", first_gpus, 1, most}, {"decode", second_gpus, 1, most}};
  request.budget = 2000;
  return request;
}

std::optional<std::int64_t> fewest_by_trying(const CapacityRequest& request) {
  std::optional<std::int64_t> fewest;
  const std::int64_t g0 = request.pools[0].gpus_per_unit, g1 = request.pools[1].gpus_per_unit;
  for (std::int64_t p = request.pools[0].least; p <= request.pools[0].most; ++p)
    for (std::int64_t d = request.pools[1].least; d <= request.pools[1].most; ++d)
      if (request.evaluate({p, d}).holds)
        fewest = std::min(fewest.value_or(INT64_MAX), p * g0 + d * g1);
  return fewest;
}

}  // namespace

TEST_CASE("capacity: one pool", "[serving]") {
  for (std::int64_t needed = 1; needed <= 70; ++needed) {
    CapacityRequest request;
    request.pools = {{"all", 8, 1, 64}};
    request.evaluate = [&](const Units& u) {
      return by_margin(static_cast<double>(u[0] - needed) / 10, "p99_tpot");
    };
    const CapacityResult result = search_capacity(request);
    CHECK(result.complete);
    CHECK(result.surprises.empty());
    CHECK(result.evaluated.size() <= 18);
    if (needed > 64) {
      CHECK_FALSE(result.best.has_value());
      CHECK(result.closest.units == Units{64});
      CHECK(result.closest.found.margin == Approx(static_cast<double>(64 - needed) / 10));
      continue;
    }
    REQUIRE(result.best.has_value());
    CHECK(result.best->units == Units{needed});
    CHECK(result.best->gpus == 8 * needed);
    CHECK(result.best->found.binding == "p99_tpot");
  }
}

TEST_CASE("capacity: a bound that is enough is the answer", "[serving]") {
  CapacityRequest request = two_pools(32, 144, 100);
  request.pools[0].least = 7;
  request.pools[1].least = 3;
  request.evaluate = [](const Units&) { return by_margin(0.1); };
  const CapacityResult result = search_capacity(request);
  CHECK(result.best->units == Units{7, 3});
  CHECK(result.best->gpus == 7 * 32 + 3 * 144);
  CHECK(result.evaluated.size() == 3);  // itself and one more of each
}

TEST_CASE("capacity: two pools that do not affect each other", "[serving]") {
  CapacityRequest request = two_pools(32, 144, 200);
  request.evaluate = [](const Units& u) {
    return by_margin(
        std::min(static_cast<double>(u[0]) / 23 - 1, static_cast<double>(u[1]) / 9 - 1));
  };
  const CapacityResult result = search_capacity(request);
  CHECK(result.best->units == Units{23, 9});
  CHECK(result.evaluated.size() < 40);
}

TEST_CASE("capacity: random staircases, as by trying everything", "[serving]") {
  std::size_t most_evaluated = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    auto draw = [&](int from, int to) {
      return from + static_cast<std::int64_t>(random.uniform() * (to - from + 1));
    };
    CapacityRequest request = two_pools(draw(1, 9), draw(1, 9), 24);
    // The fewest of the second pool for each number of the first: falls, or nothing is enough.
    Units needed(26, 100);
    const std::int64_t first = draw(1, 26);
    std::int64_t at = draw(1, 30);
    for (std::int64_t p = first; p <= 24; ++p) {
      needed[static_cast<std::size_t>(p)] = at;
      if (draw(0, 2) == 0) at = std::max<std::int64_t>(1, at - draw(0, 4));
    }
    request.evaluate = [&](const Units& u) {
      return by_margin(static_cast<double>(u[1] - needed[static_cast<std::size_t>(u[0])]));
    };
    const CapacityResult result = search_capacity(request);
    CHECK(result.complete);
    CHECK(result.surprises.empty());
    const auto fewest = fewest_by_trying(request);
    REQUIRE(result.best.has_value() == fewest.has_value());
    if (fewest) CHECK(result.best->gpus == *fewest);
    most_evaluated = std::max(most_evaluated, result.evaluated.size());
  }
  CHECK(most_evaluated < 60);  // of 576
}

TEST_CASE("capacity: the same for any number of threads", "[serving]") {
  CapacityRequest request = two_pools(3, 5, 60);
  request.sweep = 3;
  std::atomic<int> calls = 0;
  request.evaluate = [&](const Units& u) {
    ++calls;
    return by_margin(static_cast<double>(u[0] * u[1]) / 300 - 1);
  };
  const CapacityResult one = search_capacity(request);
  CHECK(calls == std::ssize(one.evaluated));
  for (const int threads : {2, 3, 8}) {
    request.num_threads = threads;
    const CapacityResult many = search_capacity(request);
    CHECK(many.best->units == one.best->units);
    REQUIRE(many.evaluated.size() == one.evaluated.size());
    for (std::size_t i = 0; i < one.evaluated.size(); ++i)
      CHECK(many.evaluated[i].units == one.evaluated[i].units);
  }
  CHECK(one.best->gpus == *fewest_by_trying(request));
}

TEST_CASE("capacity: the sweep has the fewest of the second pool", "[serving]") {
  CapacityRequest request = two_pools(3, 5, 60);
  request.sweep = 4;
  request.evaluate = [&](const Units& u) {
    return by_margin(static_cast<double>(u[0] * u[1]) / 300 - 1);
  };
  const CapacityResult result = search_capacity(request);
  REQUIRE(result.sweep.size() == 9);
  for (std::size_t i = 0; i < 9; ++i) {
    const CapacityPoint& row = result.sweep[i];
    CHECK(row.units[0] == result.best->units[0] - 4 + static_cast<std::int64_t>(i));
    CHECK(row.units[1] == (300 + row.units[0] - 1) / row.units[0]);
    CHECK(row.found.holds);
    CHECK(row.gpus >= result.best->gpus);
  }
}

TEST_CASE("capacity: surprises next to the answer are found and used", "[serving]") {
  // Needs 20, but 13 hold too by luck, and 21 do not.
  CapacityRequest request;
  request.pools = {{"all", 1, 1, 64}};
  auto run = [&](const std::vector<std::int64_t>& lucky, const std::vector<std::int64_t>& unlucky) {
    request.evaluate = [=](const Units& u) {
      const bool is_lucky = std::count(lucky.begin(), lucky.end(), u[0]) != 0,
                 is_unlucky = std::count(unlucky.begin(), unlucky.end(), u[0]) != 0;
      return by_margin(((u[0] >= 20 && !is_unlucky) || is_lucky) ? 0.1 : -0.1);
    };
    return search_capacity(request);
  };
  CHECK(run({}, {}).best->units == Units{20});
  CHECK(run({19}, {}).best->units == Units{19});
  CHECK(run({19, 18, 17}, {}).best->units == Units{17});  // verified in turn
  const CapacityResult unlucky = run({}, {21});
  CHECK(unlucky.best->units == Units{20});
  REQUIRE(unlucky.surprises.size() == 1);
  CHECK(unlucky.surprises[0].holds.units == Units{20});
  CHECK(unlucky.surprises[0].fails.units == Units{21});
  // Whatever the noise, what is reported holds and its lower neighbour does not.
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    request.evaluate = [seed](const Units& u) {
      const double noise = Random(seed, u[0]).uniform() * 8 - 4;
      return by_margin(static_cast<double>(u[0]) + noise - 30);
    };
    const CapacityResult result = search_capacity(request);
    const std::int64_t units = result.best->units[0];
    CHECK(request.evaluate({units}).holds);
    CHECK_FALSE(request.evaluate({units - 1}).holds);
    CHECK(units >= 26);
    CHECK(units <= 34);
    for (const CapacitySurprise& s : result.surprises) {
      CHECK(s.holds.units[0] < s.fails.units[0]);
      CHECK(s.holds.found.holds);
      CHECK_FALSE(s.fails.found.holds);
    }
  }
}

TEST_CASE("capacity: a budget that runs out", "[serving]") {
  CapacityRequest request = two_pools(1, 1, 1000);
  request.evaluate = [](const Units& u) {
    return by_margin(static_cast<double>(std::min(u[0], u[1])) / 300 - 1);
  };
  request.budget = 12;
  const CapacityResult result = search_capacity(request);
  CHECK_FALSE(result.complete);
  CHECK(result.evaluated.size() == 12);
  REQUIRE(result.best.has_value());  // not the fewest, but it holds
  CHECK(result.best->units[0] >= 300);
  request.budget = 3;
  const CapacityResult none = search_capacity(request);
  CHECK_FALSE(none.best.has_value());
  CHECK(none.closest.units == Units{4, 4});
}

TEST_CASE("capacity: spares", "[serving]") {
  CHECK(fewest_spares(10, 1, 0.99999) == 0);
  CHECK(fewest_spares(1, 0.9, 0.89) == 0);
  CHECK(fewest_spares(1, 0.9, 0.95) == 1);   // 1 - 0.1^2
  CHECK(fewest_spares(1, 0.9, 0.995) == 2);  // 1 - 0.1^3
  // Against binomial sums: at least n of n + s are up.
  for (const std::int64_t n : {2, 7, 40})
    for (const double a : {0.7, 0.95, 0.999})
      for (const double wanted : {0.9, 0.999, 0.99999}) {
        auto chance = [&](std::int64_t s) {
          double sum = 0;
          const auto all = static_cast<double>(n + s);
          for (std::int64_t up = n; up <= n + s; ++up) {
            const auto k = static_cast<double>(up);
            sum += std::exp(std::lgamma(all + 1) - std::lgamma(k + 1) - std::lgamma(all - k + 1) +
                            k * std::log(a) + (all - k) * std::log(1 - a));
          }
          return sum;
        };
        const std::int64_t spares = fewest_spares(n, a, wanted);
        CHECK(chance(spares) >= wanted - 1e-12);
        if (spares > 0) CHECK(chance(spares - 1) < wanted);
      }
}
