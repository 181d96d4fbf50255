// Objectives as text: what they mean, what they are checked against, and where a text is wrong.
#include <string>
#include <vector>

#include "sim/serving/slo.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

namespace {

std::string refused(const std::string& text) {
  return refusal([&] { parse_slo(text); });
}

ServingMetrics metrics_with(double p99_ttft_s, double mean_e2e_s) {
  ServingMetrics m;
  m.requests = 1000;
  m.outcomes[0] = 1000;
  m.good_requests = 900;
  m.end_s = 10;
  m.ttft_s.count = m.e2e_s.count = 1000;
  m.ttft_s.percentiles = {{99, p99_ttft_s}};
  m.e2e_s.mean = mean_e2e_s;
  return m;
}

}  // namespace

TEST_CASE("Objectives are read", "[slo]") {
  const std::vector<SloBound> bounds = parse_slo(
      "p99_ttft<2s, p99.9_tpot <= 50 ms,mean_e2e<0.5 min, goodput>0.95,median_itl<30ms,"
      "p95_e2el_ms<1500,output_throughput>=1e4,refused<0.01");
  REQUIRE(bounds.size() == 8);
  CHECK(bounds[0].metric == SloMetric::ttft);
  CHECK(bounds[0].statistic == SloStatistic::percentile);
  CHECK(bounds[0].percentile == 99);
  CHECK(bounds[0].limit == 2);
  CHECK(bounds[0].is_upper);
  CHECK(bounds[0].is_strict);
  CHECK(bounds[0].text == "p99_ttft<2s");
  CHECK(bounds[1].percentile == 99.9);
  CHECK_FALSE(bounds[1].is_strict);
  CHECK(bounds[1].limit == Approx(0.05));
  CHECK(bounds[2].statistic == SloStatistic::mean);
  CHECK(bounds[2].limit == 30);
  CHECK_FALSE(bounds[3].is_upper);
  CHECK(bounds[3].limit == 0.95);
  CHECK(bounds[4].statistic == SloStatistic::median);
  CHECK(bounds[5].metric == SloMetric::e2e);
  CHECK(bounds[5].limit == 1.5);
  CHECK(bounds[6].limit == 10000);
  MetricsSettings settings;
  settings.percentiles = {50, 99};
  add_percentiles(settings, bounds);
  CHECK(settings.percentiles == std::vector<double>{50, 95, 99, 99.9});
}

TEST_CASE("Margins, and which bound binds", "[slo]") {
  const auto bounds = parse_slo("p99_ttft<2s,mean_e2e<30s,goodput>0.8");
  SloResult result = check(bounds, metrics_with(1, 29));
  CHECK(result.holds);
  CHECK(result.checks[0].margin == Approx(0.5));
  CHECK(result.checks[1].margin == Approx(1.0 / 30));
  CHECK(result.checks[2].margin == Approx(0.125));
  CHECK(result.binding == 1);
  result = check(bounds, metrics_with(2, 20));  // not less than 2 s
  CHECK_FALSE(result.holds);
  CHECK(result.binding == 0);
  CHECK(check(parse_slo("p99_ttft<=2s"), metrics_with(2, 20)).holds);
  CHECK(check(parse_slo("request_throughput>99"), metrics_with(2, 20)).holds);
}

TEST_CASE("Refused requests do not make latencies good", "[slo]") {
  ServingMetrics m = metrics_with(1, 1);
  m.outcomes = {989, 0, 0, 11, 0};
  CHECK_FALSE(check(parse_slo("p99_ttft<2s"), m).holds);  // 1.1 % wait for ever
  CHECK(check(parse_slo("p99_ttft<2s"), m).checks[0].by_refusal);
  m.outcomes = {991, 0, 0, 9, 0};
  CHECK(check(parse_slo("p99_ttft<2s"), m).holds);
  CHECK(check(parse_slo("refused<0.01"), m).holds);
  // Longer than the context is the request's own fault.
  m.outcomes = {500, 500, 0, 0, 0};
  CHECK(check(parse_slo("p99_ttft<2s"), m).holds);
  m.outcomes = {0, 0, 0, 0, 1000};
  CHECK_FALSE(check(parse_slo("mean_e2e<2s"), m).holds);
}

TEST_CASE("A wrong objective is refused with its place", "[slo]") {
  CHECK(refused("") == "--slo: column 1: expected bounds like p99_ttft<2s");
  CHECK(refused("p99_ttft<2s,,mean_e2e<1s") ==
        "--slo: column 13: expected a bound like p99_ttft<2s, found none");
  CHECK(refused("p99_ttft<2s,p99_tftf<50ms") ==
        "--slo: at \"p99_tftf\", column 13: unknown metric \"tftf\"; known: ttft, tpot, itl, e2e, "
        "e2el, queue, goodput, refused, request_throughput, output_throughput, total_throughput, "
        "request_goodput");
  CHECK(refused("p99_ttft=2s") == "--slo: at \"=2s\", column 9: expected <, <=, > or >=");
  CHECK(refused("p99_ttft") == "--slo: at \"p99_ttft\", column 1: expected <, <=, > or >=");
  CHECK(refused("<2s") == "--slo: at \"<2s\", column 1: expected a metric before \"<\"");
  CHECK(refused("ttft<2s") ==
        "--slo: at \"ttft\", column 1: expected a statistic before it: mean_, median_, min_, max_ or "
        "a percentile like p99_");
  CHECK(refused("p99_goodput>0.9") == "--slo: at \"p99_goodput\", column 1: has no statistics");
  CHECK(refused("p101_ttft<2s") ==
        "--slo: at \"p101_ttft\", column 1: expected a percentile of 0 to 100, like p99 or p99.9");
  CHECK(refused("p9x_ttft<2s") ==
        "--slo: at \"p9x_ttft\", column 1: expected a percentile of 0 to 100, like p99 or p99.9");
  CHECK(refused("p99_ttft<").rfind("--slo: column 10: expected a value after ", 0) == 0);
  CHECK(refused("p99_ttft<2").rfind("--slo: at \"2\", column 10: expected a time with its unit, like "
                                    "2s or 50ms: ",
                                    0) == 0);
  CHECK(refused("p99_ttft<2 parsec").rfind("--slo: at \"2 parsec\", column 10: expected a time", 0) == 0);
  CHECK(refused("p99_ttft<-2s").rfind("--slo: at \"-2s\", column 10: ", 0) == 0);
  CHECK(refused("goodput>95") == "--slo: at \"95\", column 9: expected a share of 0 to 1");
  CHECK(refused("goodput>0.9x") == "--slo: at \"0.9x\", column 9: expected a number of at least 0");
  CHECK(refused("goodput_ms>0.9") == "--slo: at \"goodput_ms\", column 1: is not a time");
}
