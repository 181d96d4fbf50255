// What a search may not go past, as text.
#include "sim/plan_search.hpp"
#include "sim/serving/deployment_search.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

TEST_CASE("limits: quantities, signs and units", "[search_limits]") {
  const auto limits =
      parse_limits("gpus<=1024, days<60,usd< 6e6 ,memory<70 GB,step<20 s", plan_limits());
  REQUIRE(limits.size() == 5);
  CHECK(limits[0].quantity == LimitedQuantity::gpus);
  CHECK(limits[0].is_kept_by(1024));
  CHECK_FALSE(limits[0].is_kept_by(1025));
  CHECK(limits[1].text == "days<60");
  CHECK_FALSE(limits[1].is_kept_by(60));
  CHECK(limits[2].limit == 6e6);
  CHECK(limits[3].limit == 70e9);
  CHECK(limits[4].limit == 20);
}

TEST_CASE("limits: what cannot be read says where", "[search_limits]") {
  const auto message = [](const std::string& text, const std::vector<LimitedQuantity>& known) {
    return refusal([&] { parse_limits(text, known); });
  };
  CHECK(message("gpu<8", plan_limits()) ==
        "--limit: unknown quantity \"gpu\"; known here: gpus, usd_per_hour, memory, step, days, "
        "gpu_hours, usd");
  CHECK(message("days<60", deployment_limits()) ==
        "--limit: unknown quantity \"days\"; known here: gpus, usd_per_hour");
  CHECK(
      message("gpus>8", plan_limits()) ==
      "--limit: expected quantity<value or quantity<=value, such as gpus<=1024, found \"gpus>8\"");
  CHECK(message("gpus<many", plan_limits()) ==
        "--limit: in \"gpus<many\": expected a number above 0, found \"many\"");
  CHECK(message("memory<70", plan_limits()).find("--limit: in \"memory<70\": ") == 0);
  CHECK(message("gpus<8,", plan_limits()) ==
        "--limit: expected quantity<value or quantity<=value, such as gpus<=1024, found \"\"");
}
