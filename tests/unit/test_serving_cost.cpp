// Dollars, margins and joules of serving against arithmetic done by hand and DeepSeek's published
// day (open-infra-index, day 6).
#include "sim/serving/serving_cost.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr double kDay = 86400;

PoolUse pool(PoolRole role, double nodes) {
  return {role, nodes * 8 * kDay, 2 * USD_per_hour, 700 * W};
}

}  // namespace

TEST_CASE("serving cost: the published day costs, earns and returns what was published",
          "[serving_cost]") {
  const TokenPrices prices{0.55 * USD, 0.14 * USD, 2.19 * USD};
  const ServingCost cost = serving_cost(
      {pool(PoolRole::prefill, 95.5), pool(PoolRole::decode, 131.25)}, {608e9, 342e9, 168e9}, prices);
  CHECK(cost.total.in(USD) == Approx(87072));
  CHECK(cost.revenue->in(USD) == Approx(562027).epsilon(3e-4));
  CHECK(*cost.margin == Approx(5.45).epsilon(2e-3));
  CHECK(cost.gpu_hours == Approx(226.75 * 8 * 24));
  CHECK(cost.per_million_input->in(USD) == Approx(95.5 * 8 * 48 / 608e3));
  CHECK(cost.per_million_computed_input->in(USD) == Approx(95.5 * 8 * 48 / 266e3));
  CHECK(cost.per_million_output->in(USD) == Approx(131.25 * 8 * 48 / 168e3));
  CHECK(cost.all_per_million_output->in(USD) == Approx(87072 / 168e3));
  CHECK(cost.all_per_million_tokens->in(USD) == Approx(87072 / 776e3));
  CHECK(*cost.most_joules_per_output_token == Approx(226.75 * 8 * 700 * kDay / 168e9));
}

TEST_CASE("serving cost: a colocated pool's cost is not divided; unknown power and no tokens give "
          "no figure",
          "[serving_cost]") {
  PoolUse dark = pool(PoolRole::colocated, 1);
  dark.max_power.reset();
  const ServingCost cost = serving_cost({dark, pool(PoolRole::decode, 1)}, {1e6, 0, 0}, {});
  CHECK_FALSE(cost.per_million_input);
  CHECK_FALSE(cost.per_million_output);
  CHECK_FALSE(cost.all_per_million_output);
  CHECK(cost.all_per_million_tokens->in(USD) == Approx(2 * 384.0));
  CHECK_FALSE(cost.revenue);
  CHECK_FALSE(cost.margin);
  CHECK_FALSE(cost.most_energy);
}
