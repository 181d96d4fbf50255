// Drawn requests against the closed forms of their distributions and processes.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <string>
#include <vector>

#include "model/serving/arrival_process.hpp"
#include "model/serving/length_sampler.hpp"
#include "model/serving/request_spec.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

namespace {

constexpr Tick kSecond = 1'000'000'000'000;

RequestSpec spec_of(const std::string& text) {
  return read_requests(parse_json(text, "s.json"), ".");
}

// Poisson arrivals of 100 / s with these lengths.
RequestSpec with_lengths(const std::string& input, const std::string& output, const std::string& more = "") {
  return spec_of(R"({"arrivals": {"process": "poisson", "rate_per_s": 100}, "num_requests": 100000,
                    "input_tokens": )" +
                 input + R"(, "output_tokens": )" + output + more + "}");
}

std::vector<Request> all_of(const RequestSpec& spec, std::uint64_t seed = 1) {
  std::vector<Request> requests;
  for (const auto source = make_source(spec, seed); source->next_arrival();) {
    REQUIRE(*source->next_arrival() >= (requests.empty() ? 0 : requests.back().arrival));
    requests.push_back(source->take());
    source->finished(requests.back(), requests.back().arrival);
  }
  return requests;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double covariance(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = mean_of(a), mean_b = mean_of(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum / static_cast<double>(a.size());
}

double variance(const std::vector<double>& a) { return covariance(a, a); }

std::vector<double> inputs(const std::vector<Request>& requests) {
  std::vector<double> values;
  for (const Request& r : requests) values.push_back(r.input_tokens);
  return values;
}

std::vector<double> gaps(const RequestSpec& spec) {
  std::vector<double> values;
  Tick last = 0;
  for (const Request& r : all_of(spec)) {
    values.push_back(static_cast<double>(r.arrival - last) / kSecond);
    last = r.arrival;
  }
  return values;
}

// Arrivals per window of `width`.
std::vector<double> counts(const RequestSpec& spec, double width_s) {
  std::vector<double> values;
  for (const Request& r : all_of(spec)) {
    const auto at = static_cast<std::size_t>(static_cast<double>(r.arrival) / kSecond / width_s);
    if (values.size() <= at) values.resize(at + 1);
    values[at] += 1;
  }
  values.pop_back();  // the last window may be cut
  return values;
}

const std::string kOneToken = R"({"distribution": "constant", "tokens": 1})";

RequestSpec arriving(const std::string& arrivals, const std::string& stop) {
  return spec_of(R"({"arrivals": )" + arrivals + R"(, "input_tokens": )" + kOneToken +
                 R"(, "output_tokens": )" + kOneToken + ", " + stop + "}");
}

}  // namespace

TEST_CASE("Lengths have the mean and spread that are stated", "[requests]") {
  // 4 standard errors of the mean of 100,000.
  const auto check = [](const std::string& length, double mean, double deviation) {
    const std::vector<double> values = inputs(all_of(with_lengths(length, kOneToken)));
    CAPTURE(length);
    CHECK(mean_of(values) == Approx(mean).margin(4 * deviation / std::sqrt(1e5) + 1e-9));
    CHECK(std::sqrt(variance(values)) == Approx(deviation).epsilon(0.03).margin(1e-9));
  };
  check(R"({"distribution": "constant", "tokens": 77})", 77, 0);
  check(R"({"distribution": "uniform", "min": 11, "max": 20})", 15.5, std::sqrt(99.0 / 12));
  check(R"({"distribution": "exponential", "mean": 1000})", 1000, 1000);
  check(R"({"distribution": "geometric", "mean": 20})", 20, std::sqrt(20.0 * 19));
  check(R"({"distribution": "lognormal", "mean": 1000, "cv": 0.5})", 1000, 500);
  check(R"({"distribution": "gamma", "mean": 1000, "cv": 0.7})", 1000, 700);
  check(R"({"distribution": "gamma", "mean": 1000, "cv": 2})", 1000, 2000);
  check(R"({"distribution": "empirical", "values": [10, 20, 60], "weights": [1, 0, 3]})", 47.5,
        std::sqrt(0.25 * 37.5 * 37.5 + 0.75 * 12.5 * 12.5));
  check(R"({"distribution": "empirical", "edges": [100, 200, 600], "weights": [1, 1]})", 275,
        std::sqrt(0.5 * (125.0 * 125 + 100.0 * 100 / 12) + 0.5 * (125.0 * 125 + 400.0 * 400 / 12)));
  // The median that was asked for.
  std::vector<double> values = inputs(
      all_of(with_lengths(R"({"distribution": "lognormal", "mean": 1155, "p50": 1020})", kOneToken)));
  std::nth_element(values.begin(), values.begin() + 50000, values.end());
  CHECK(values[50000] == Approx(1020).epsilon(0.01));
}

TEST_CASE("Bounds clamp lengths", "[requests]") {
  std::vector<double> values = inputs(all_of(with_lengths(
      R"({"distribution": "exponential", "mean": 100, "min": 50, "max": 200})", kOneToken)));
  CHECK(*std::min_element(values.begin(), values.end()) == 50);
  CHECK(*std::max_element(values.begin(), values.end()) == 200);
  // P(X > 200) = exp(-2) lies on the bound.
  const auto beyond = static_cast<double>(std::count(values.begin(), values.end(), 200.0)) / 1e5;
  CHECK(beyond == Approx(std::exp(-1.995)).margin(0.005));
}

TEST_CASE("Input and output are correlated as far as is stated", "[requests]") {
  const std::string length = R"({"distribution": "lognormal", "mean": 5000, "cv": 0.8})";
  for (const double rho : {-0.6, 0.0, 0.6}) {
    std::vector<double> a, b;
    for (const Request& r :
         all_of(with_lengths(length, length, ", \"correlation\": " + std::to_string(rho)))) {
      a.push_back(std::log(r.input_tokens));
      b.push_back(std::log(r.output_tokens));
    }
    CHECK(covariance(a, b) / std::sqrt(variance(a) * variance(b)) == Approx(rho).margin(0.015));
  }
  // Both follow the rank of the same normal deviate.
  const auto same = all_of(with_lengths(R"({"distribution": "exponential", "mean": 500})",
                                        R"({"distribution": "uniform", "min": 1, "max": 1000})",
                                        R"(, "correlation": 1)"));
  for (std::size_t i = 0; i < 100; ++i) {
    const double u = 1 - std::exp(-same[i].input_tokens / 500.0);
    CHECK(same[i].output_tokens == Approx(1000 * u).margin(4));
  }
}

TEST_CASE("The stated share of input tokens is cached, to a token", "[requests]") {
  const std::string length = R"({"distribution": "exponential", "mean": 300})";
  for (const std::string more :
       {R"(, "cached_share": 0.563)", R"(, "cached_share": 0.563, "cached_requests": 0.6)"}) {
    double input = 0, cached = 0, with = 0;
    for (const Request& r : all_of(with_lengths(length, kOneToken, more))) {
      REQUIRE(r.stated_cached_tokens < r.input_tokens);
      REQUIRE(r.stated_cached_tokens >= 0);
      input += r.input_tokens;
      cached += r.stated_cached_tokens;
      if (r.stated_cached_tokens > 0) ++with;
    }
    if (more.size() < 25) CHECK(cached == Approx(0.563 * input).margin(1.01));
    CHECK(cached == Approx(0.563 * input).epsilon(0.01));
    if (more.size() > 25) CHECK(with / 1e5 == Approx(0.6).margin(0.01));
  }
}

TEST_CASE("Classes come in their shares, with their priorities", "[requests]") {
  std::map<std::int32_t, double> share;
  for (const Request& r : all_of(with_lengths(kOneToken, kOneToken, R"(, "classes": [
         {"name": "chat", "share": 0.7, "slo": {"ttft": "2 s"}},
         {"name": "batch", "share": 0.3, "priority": 5}])"))) {
    share[r.slo_class] += 1e-5;
    REQUIRE(r.priority == (r.slo_class == 1 ? 5 : 0));
  }
  CHECK(share[0] == Approx(0.7).margin(0.006));
}

TEST_CASE("The same seed gives the same requests, another seed others", "[requests]") {
  const RequestSpec spec = with_lengths(R"({"distribution": "gamma", "mean": 300, "cv": 1})",
                                        R"({"distribution": "exponential", "mean": 300})",
                                        R"(, "cached_share": 0.2)");
  const std::vector<Request> a = all_of(spec, 7), b = all_of(spec, 7), c = all_of(spec, 8);
  std::int64_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].arrival == b[i].arrival);
    REQUIRE(a[i].input_tokens == b[i].input_tokens);
    REQUIRE(a[i].output_tokens == b[i].output_tokens);
    REQUIRE(a[i].id == static_cast<std::int64_t>(i));
    equal += a[i].arrival == c[i].arrival ? 1 : 0;
  }
  CHECK(equal == 0);
}

TEST_CASE("Poisson and gamma gaps, constant rates", "[requests]") {
  const std::string stop = R"("num_requests": 100000)";
  const auto check = [&](const std::string& arrivals, double mean, double cv) {
    const std::vector<double> values = gaps(arriving(arrivals, stop));
    CAPTURE(arrivals);
    CHECK(mean_of(values) == Approx(mean).epsilon(4 * cv / std::sqrt(1e5)));
    CHECK(std::sqrt(variance(values)) / mean == Approx(cv).epsilon(0.04));
    std::vector<double> next(values.begin() + 1, values.end()), now(values.begin(), values.end() - 1);
    CHECK(covariance(now, next) / variance(values) == Approx(0).margin(0.015));  // renewal process
  };
  check(R"({"process": "poisson", "rate_per_s": 20})", 0.05, 1);
  check(R"({"process": "gamma", "rate_per_s": 20, "cv": 3})", 0.05, 3);
  check(R"({"process": "gamma", "rate_per_s": 20, "cv": 0.3})", 0.05, 0.3);
  check(R"({"process": "gamma", "rate_per_s": 20, "burstiness": 0.25})", 0.05, 2);
  const std::vector<Request> even =
      all_of(arriving(R"({"process": "constant", "rate_per_s": 3})", R"("duration": "10 s")"));
  CHECK(even.size() == 30);
  CHECK(even[0].arrival == 0);
  CHECK(even[1].arrival == 333'333'333'333);
  CHECK(even[3].arrival == kSecond);
}

TEST_CASE("MMPP: rate, and counts that vary as the closed form says", "[requests]") {
  // Two states: the rate's covariance decays with 1/s1 + 1/s2, so the variance of counts of width t
  // is m t + 2 v (t / d - (1 - exp(-d t)) / d^2), m and v of the stationary rate.
  const double r1 = 30, r2 = 2, s1 = 1, s2 = 3, t = 2;
  const double p = s1 / (s1 + s2), m = p * r1 + (1 - p) * r2, v = p * (1 - p) * (r1 - r2) * (r1 - r2);
  const double d = 1 / s1 + 1 / s2;
  const RequestSpec spec = arriving(R"({"process": "mmpp", "states": [
      {"rate_per_s": 30, "mean_stay": "1 s"}, {"rate_per_s": 2, "mean_stay": "3 s"}]})",
                                    R"("duration": "60000 s")");
  const std::vector<double> values = counts(spec, t);
  CHECK(mean_of(values) == Approx(m * t).epsilon(0.02));
  CHECK(variance(values) ==
        Approx(m * t + 2 * v * (t / d - (1 - std::exp(-d * t)) / (d * d))).epsilon(0.04));
  // Three states, one silent: each is visited a third of the times.
  const RequestSpec three = arriving(R"({"process": "mmpp", "states": [
      {"rate_per_s": 10, "mean_stay": "1 s"}, {"rate_per_s": 0, "mean_stay": "2 s"},
      {"rate_per_s": 4, "mean_stay": "5 s"}]})",
                                     R"("duration": "60000 s")");
  CHECK(mean_of(counts(three, 1)) == Approx((10 * 1 + 4 * 5) / 8.0).epsilon(0.02));
}

TEST_CASE("Diurnal rates integrate to what is stated, hour by hour", "[requests]") {
  // [24] expected arrivals of each hour of the day, over two days that start at 5:30.
  const auto check = [](const std::string& arrivals, const std::function<double(double)>& rate) {
    const RequestSpec spec = arriving(arrivals, R"("duration": "48 h")");
    std::vector<double> seen(24), expected(24);
    double all = 0;
    for (const Request& r : all_of(spec)) {
      const double hour = static_cast<double>(r.arrival) / kSecond / 3600 + 5.5;
      seen[static_cast<std::size_t>(std::fmod(hour, 24))] += 1;
    }
    for (int i = 0; i < 24 * 100; ++i) {
      const double hour = (i + 0.5) / 100;
      expected[static_cast<std::size_t>(hour)] += 2 * 36 * rate(hour);
    }
    CAPTURE(arrivals);
    for (std::size_t h = 0; h < 24; ++h) {
      CHECK(std::abs(seen[h] - expected[h]) < 4.5 * std::sqrt(expected[h]) + 1e-9);
      all += expected[h];
    }
    CHECK(std::accumulate(seen.begin(), seen.end(), 0.0) == Approx(all).epsilon(4 / std::sqrt(all)));
  };
  check(R"({"process": "diurnal", "rate_per_s": 2, "swing": 0.8, "peak_hour": 15, "start_hour": 5.5})",
        [](double hour) { return 2 * (1 + 0.8 * std::cos(2 * 3.14159265358979 * (hour - 15) / 24)); });
  std::string list;
  std::vector<double> rates;
  for (int h = 0; h < 24; ++h) {
    rates.push_back(h % 5);
    list += (h > 0 ? ", " : "") + std::to_string(h % 5);
  }
  const std::string steps = R"({"process": "diurnal", "hourly_rates_per_s": [)" + list + "]";
  check(steps + R"(, "start_hour": 5.5})",
        [&](double hour) { return rates[static_cast<std::size_t>(hour)]; });
  check(steps + R"(, "start_hour": 5.5, "between": "linear"})", [&](double hour) {
    const auto h = static_cast<std::size_t>(hour);
    const double part = hour - static_cast<double>(h);
    return rates[h] + part * (rates[(h + 1) % 24] - rates[h]);
  });
}

TEST_CASE("Closed loop: as many at once as there are users", "[requests]") {
  const RequestSpec spec = arriving(
      R"({"process": "closed_loop", "concurrency": 7, "think_time": "3 s"})", R"("num_requests": 20000)");
  const auto source = make_source(spec, 1);
  // Served in 2 s each: users take turns of 2 s + 3 s on average.
  std::priority_queue<std::pair<Tick, std::int64_t>, std::vector<std::pair<Tick, std::int64_t>>,
                      std::greater<>>
      running;
  std::map<std::int64_t, Request> requests;
  std::size_t most = 0;
  Tick now = 0;
  std::int64_t num_done = 0;
  for (;;) {
    const auto arrival = source->next_arrival();
    if (arrival && (running.empty() || *arrival <= running.top().first)) {
      const Request r = source->take();
      REQUIRE(r.arrival >= now);
      now = r.arrival;
      requests[r.id] = r;
      running.push({now + 2 * kSecond, r.id});
      most = std::max(most, running.size());
    } else if (!running.empty()) {
      now = running.top().first;
      const Request r = requests.at(running.top().second);
      running.pop();
      ++num_done;
      source->finished(r, now);
    } else {
      break;
    }
  }
  CHECK(num_done == 20000);
  CHECK(most == 7);
  CHECK(static_cast<double>(now) / kSecond == Approx(20000 * 5.0 / 7).epsilon(0.03));
}

TEST_CASE("Sessions: turns wait, contexts grow, their blocks stay", "[requests]") {
  const RequestSpec spec = spec_of(R"({
      "arrivals": {"process": "sessions", "sessions_per_s": 5, "think_time": "10 s", "block_tokens": 16,
                   "system_tokens": 40, "turns": {"distribution": "geometric", "mean": 4}},
      "input_tokens": {"distribution": "exponential", "mean": 50},
      "output_tokens": {"distribution": "exponential", "mean": 30}, "duration": "2000 s"})");
  const auto source = make_source(spec, 3);
  CHECK(source->block_tokens() == 16);
  struct Last {
    std::vector<std::uint32_t> blocks;
    std::int64_t input = 0, output = 0;
    Tick done = 0;
  };
  std::map<std::int64_t, Last> sessions;
  double requests = 0, waits = 0, waited = 0;
  while (source->next_arrival()) {
    const Request r = source->take();
    REQUIRE(r.session >= 0);
    REQUIRE(r.blocks.size() == static_cast<std::size_t>((r.input_tokens + 15) / 16));
    REQUIRE(r.blocks[0] == 0);
    REQUIRE(r.blocks[1] == 1);  // 40 tokens that all have are 2 full blocks
    Last& last = sessions[r.session];
    if (last.input > 0) {
      REQUIRE(r.input_tokens > last.input + last.output);
      const auto full = static_cast<std::size_t>(last.input / 16);
      REQUIRE(std::equal(last.blocks.begin(), last.blocks.begin() + static_cast<std::ptrdiff_t>(full),
                         r.blocks.begin()));
      REQUIRE((full >= last.blocks.size() || last.blocks[full] != r.blocks[full]));
      waits += 1;
      waited += static_cast<double>(r.arrival - last.done) / kSecond;
    }
    last = {{r.blocks.begin(), r.blocks.end()}, r.input_tokens, r.output_tokens, r.arrival + kSecond};
    source->finished(r, r.arrival + kSecond);
    ++requests;
  }
  const auto num_sessions = static_cast<double>(sessions.size());
  CHECK(num_sessions == Approx(10000).margin(400));
  CHECK(requests / num_sessions == Approx(4).epsilon(0.03));  // less what the end cuts off
  CHECK(waited / waits == Approx(10).epsilon(0.03));
  CHECK(source->counts().read == static_cast<std::int64_t>(requests));
}

TEST_CASE("Sessions that outgrow the context end, and are counted", "[requests]") {
  const RequestSpec spec = spec_of(R"({
      "arrivals": {"process": "sessions", "sessions_per_s": 5, "think_time": "0 s", "block_tokens": 16,
                   "turns": {"distribution": "constant", "tokens": 10}},
      "input_tokens": {"distribution": "constant", "tokens": 20},
      "output_tokens": {"distribution": "constant", "tokens": 10}, "max_context_tokens": 100,
      "num_requests": 400})");
  // Turns of 20, 50, 80 input tokens; the fourth would be 110.
  const auto source = make_source(spec, 1);
  std::map<std::int64_t, std::int64_t> turns;
  std::int64_t taken = 0;
  for (; source->next_arrival(); ++taken) {
    const Request r = source->take();
    REQUIRE(r.input_tokens == 20 + 30 * turns[r.session]++);
    REQUIRE(r.input_tokens <= 80);
    source->finished(r, r.arrival);
  }
  CHECK(source->counts().read == 400);
  CHECK(taken + source->counts().too_long == 400);
  CHECK(source->counts().too_long == Approx(100).margin(1));
}

TEST_CASE("Too long requests are left out or cut, and counted", "[requests]") {
  const std::string length = R"({"distribution": "uniform", "min": 1, "max": 100})";
  const auto source = make_source(with_lengths(length, length, R"(, "max_context_tokens": 100)"), 1);
  std::int64_t taken = 0;
  for (; source->next_arrival(); ++taken) source->take();
  CHECK(source->counts().read == 100000);
  CHECK(source->counts().too_long == 100000 - taken);
  CHECK(static_cast<double>(taken) / 1e5 == Approx(0.495).margin(0.007));
  const auto cutting = make_source(
      with_lengths(length, length, R"(, "max_context_tokens": 100, "too_long": "truncate")"), 1);
  for (taken = 0; cutting->next_arrival(); ++taken) {
    const Request r = cutting->take();
    REQUIRE(r.input_tokens >= 1);
    REQUIRE(r.input_tokens + r.output_tokens <= 100);
  }
  CHECK(taken == 100000);
  CHECK(cutting->counts().truncated == source->counts().too_long);
  const RequestSpec hopeless = with_lengths(R"({"distribution": "constant", "tokens": 50})",
                                            R"({"distribution": "constant", "tokens": 51})",
                                            R"(, "max_context_tokens": 100)");
  CHECK_FALSE(make_source(hopeless, 1)->next_arrival());
}

TEST_CASE("What \"requests\" may not say", "[requests]") {
  const auto refused = [](const std::string& text) { return refusal([&] { spec_of(text); }); };
  const auto arrivals = [&](const std::string& text) {
    return refusal([&] { arriving(text, R"("num_requests": 5)"); });
  };
  const auto length = [&](const std::string& text) {
    return refusal([&] { with_lengths(text, kOneToken); });
  };
  const auto more = [&](const std::string& text) {
    return refusal([&] { with_lengths(kOneToken, kOneToken, text); });
  };
  CHECK(refused("[]") == "s.json: expected an object, found an array");
  CHECK(refused("{}") == "s.json: expected \"arrivals\", \"trace\" or both");
  CHECK(refused(R"({"arrivals": {"process": "poisson", "rate_per_s": 1}})") ==
        "s.json: missing key \"input_tokens\"");
  CHECK(refused(R"({"arrivals": {"process": "poisson", "rate_per_s": 1}, "input_tokens": )" + kOneToken +
                R"(, "output_tokens": )" + kOneToken + "}") ==
        "s.json: expected \"num_requests\", \"duration\" or both: drawn requests have no end");
  CHECK(arrivals(R"({"process": "weibull"})") ==
        "s.json: /arrivals/process: unknown value \"weibull\"; known: poisson, constant, gamma, mmpp, "
        "diurnal, closed_loop, sessions");
  CHECK(arrivals(R"({"process": "poisson", "rate_per_s": 0})").rfind("s.json: /arrivals/rate_per_s: ", 0) == 0);
  CHECK(arrivals(R"({"process": "gamma", "rate_per_s": 1})") ==
        "s.json: /arrivals: expected one of \"cv\" and \"burstiness\"");
  CHECK(arrivals(R"({"process": "mmpp", "states": [{"rate_per_s": 1, "mean_stay": "1 s"}]})") ==
        "s.json: /arrivals/states: expected a list of at least 2 states");
  CHECK(arrivals(R"({"process": "mmpp", "states": [{"rate_per_s": 0, "mean_stay": "1 s"},
                     {"rate_per_s": 0, "mean_stay": "1 s"}]})") ==
        "s.json: /arrivals/states: all rates are 0");
  CHECK(arrivals(R"({"process": "mmpp", "states": [{"rate_per_s": 1, "mean_stay": "0 s"},
                     {"rate_per_s": 0, "mean_stay": "1 s"}]})") ==
        "s.json: /arrivals/states/0/mean_stay: expected more than 0 s");
  CHECK(arrivals(R"({"process": "diurnal", "hourly_rates_per_s": [1, 2]})") ==
        "s.json: /arrivals/hourly_rates_per_s: expected 24, found 2");
  CHECK(length(R"({"distribution": "lognormal", "mean": 5})") ==
        "s.json: /input_tokens: expected one of \"cv\" and \"p50\" beside \"mean\"");
  CHECK(length(R"({"distribution": "geometric", "mean": 1})") ==
        "s.json: /input_tokens/mean: expected more than 1; a \"constant\" is always 1");
  CHECK(length(R"({"distribution": "empirical", "values": [1, 2], "weights": [1]})") ==
        "s.json: /input_tokens/weights: expected 2, one a value, found 1");
  CHECK(length(R"({"distribution": "empirical", "edges": [1, 2, 2], "weights": [1, 1]})") ==
        "s.json: /input_tokens/edges: the edges do not ascend");
  CHECK(length(R"({"distribution": "empirical", "values": [1, 2], "weights": [0, 0]})") ==
        "s.json: /input_tokens/weights: all are 0");
  CHECK(more(R"(, "correlation": 0.5, "cached_shar": 1)").find("cached_share") != std::string::npos);
  CHECK(more(R"(, "cached_share": 0.6, "cached_requests": 0.5)") ==
        "s.json: /cached_requests: expected more than cached_share, 0.6: no request is cached "
        "altogether");
  CHECK(more(R"(, "too_long": "truncate")") ==
        "s.json: /too_long: has no effect without \"max_context_tokens\"");
  CHECK(more(R"(, "duration": "0 s")") == "s.json: /duration: expected more than 0 s");
  CHECK(more(R"(, "classes": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}])") ==
        "s.json: /classes: the shares add up to 0.9, expected 1");
  CHECK(more(R"(, "classes": [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}])") ==
        "s.json: /classes/1/name: is empty or the name of another class");
}
