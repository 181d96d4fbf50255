// Popularity laws against their closed forms and distribution functions, drift, and the refusal of
// what no routing can give.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <vector>

#include "model/popularity.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

PopularitySpec zipf(double exponent, double drift_time = 0) {
  return {.kind = PopularityKind::zipf, .exponent = exponent, .drift_time = drift_time};
}
PopularitySpec dirichlet(double cv, double drift_time = 0) {
  return {.kind = PopularityKind::dirichlet, .cv = cv, .drift_time = drift_time};
}
PopularitySpec power_law(double exponent, double lowest, double highest) {
  return {.kind = PopularityKind::power_law,
          .exponent = exponent,
          .lowest = lowest,
          .highest = highest};
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> sorted(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values;
}

// The largest distance between the distribution of the sample and `law` (Kolmogorov and Smirnov).
double distance(const std::vector<double>& sample, const std::function<double(double)>& law) {
  const std::vector<double> values = sorted(sample);
  const auto count = static_cast<double>(values.size());
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double f = law(values[i]);
    largest = std::max({largest,
                        std::abs(f - static_cast<double>(i) / count),
                        std::abs(f - static_cast<double>(i + 1) / count)});
  }
  return largest;
}

std::string read_refused(const std::string& text, std::int64_t num_experts = 8) {
  const JsonNode node = parse_json(text, "x.json");
  return refusal([&] { read_popularity(node, num_experts, 2); });
}

PopularitySpec read(const std::string& text) {
  const JsonNode node = parse_json(text, "x.json");
  return read_popularity(node, 8, 2);
}

}  // namespace

TEST_CASE("Loads have mean 1, differ by layer and seed, and repeat") {
  for (const PopularitySpec& spec :
       {zipf(0.7), power_law(2, 1, 50), power_law(1, 1, 50), dirichlet(0.3), dirichlet(4)}) {
    const std::vector<double> loads = relative_load(spec, 64, 1, 3);
    REQUIRE(loads.size() == 64);
    CHECK(mean_of(loads) == Approx(1));
    CHECK(*std::min_element(loads.begin(), loads.end()) >= 0);
    CHECK(loads == relative_load(spec, 64, 1, 3));
    CHECK(loads != relative_load(spec, 64, 1, 4));
    CHECK(loads != relative_load(spec, 64, 2, 3));
  }
  CHECK(relative_load({}, 5, 1, 0) == std::vector<double>(5, 1.0));
  CHECK(relative_load(dirichlet(0), 5, 1, 0) == std::vector<double>(5, 1.0));
}

TEST_CASE("Zipf's law is rank to the power of minus the exponent, in every order") {
  // Four experts and exponent 1: 1, 1/2, 1/3, 1/4 over their mean 25/48.
  std::vector<int> at_top(4, 0);
  for (std::int64_t layer = 0; layer < 4000; ++layer) {
    const std::vector<double> loads = relative_load(zipf(1), 4, 5, layer);
    const std::vector<double> values = sorted(loads);
    CHECK(values[3] == Approx(48.0 / 25));
    CHECK(values[2] == Approx(24.0 / 25));
    CHECK(values[1] == Approx(16.0 / 25));
    CHECK(values[0] == Approx(12.0 / 25));
    ++at_top[static_cast<std::size_t>(std::max_element(loads.begin(), loads.end()) -
                                      loads.begin())];
  }
  for (const int count : at_top) CHECK(std::abs(count - 1000) < 4 * std::sqrt(750.0));
}

TEST_CASE("The bounded power law follows its distribution function") {
  for (const double exponent : {0.0, 0.5, 1.0, 2.5}) {
    const double highest = 30;
    const std::vector<double> loads =
        relative_load(power_law(exponent, 0.1, 0.1 * highest), 40000, 7, 0);
    // The unit of the loads is the mean of the law between 1 and `highest`: the integral of x^(1-a)
    // over the integral of x^-a.
    const auto integral = [&](double power, double to) {
      return power == -1 ? std::log(to) : (std::pow(to, power + 1) - 1) / (power + 1);
    };
    const double unit = integral(1 - exponent, highest) / integral(-exponent, highest);
    INFO("exponent " << exponent);
    // The mean of the sample is off by its own noise, hence 2.5 in place of the usual 1.6.
    CHECK(distance(loads, [&](double load) {
            const double x = std::clamp(load * unit, 1.0, highest);
            return integral(-exponent, x) / integral(-exponent, highest);
          }) < 2.5 / std::sqrt(40000.0));
    CHECK(sorted(loads).back() / sorted(loads).front() <= highest * (1 + 1e-9));
  }
}

TEST_CASE("Dirichlet draws have the asked coefficient of variation") {
  for (const double cv : {0.1, 0.3, 1.0, 3.0}) {
    std::vector<double> squares;
    for (std::int64_t layer = 0; layer < 400; ++layer) {
      double sum = 0;
      for (const double load : relative_load(dirichlet(cv), 64, 11, layer)) {
        sum += (load - 1) * (load - 1);
      }
      squares.push_back(sum / 64);
    }
    const double mean = mean_of(squares);
    double variance = 0;
    for (const double square : squares) variance += (square - mean) * (square - mean) / 400;
    INFO("cv " << cv << ": " << std::sqrt(mean));
    CHECK(std::abs(mean - cv * cv) < 4 * std::sqrt(variance / 400));
  }
}

TEST_CASE("A Dirichlet draw of concentration 1 has beta distributed shares") {
  // cv^2 = (E - 1) / (E + 1) is concentration 1: a share is below x with chance 1 - (1 - x)^(E -
  // 1).
  const double cv = std::sqrt(7.0 / 9);
  std::vector<double> first;
  for (std::int64_t layer = 0; layer < 4000; ++layer) {
    first.push_back(relative_load(dirichlet(cv), 8, 13, layer)[0] / 8);
  }
  CHECK(distance(first, [](double x) { return 1 - std::pow(1 - x, 7); }) < 1.7 / std::sqrt(4000.0));
  // Concentration 1/2, so shapes below 1: beta(1/2, 1/2) of two experts, the arcsine law.
  first.clear();
  for (std::int64_t layer = 0; layer < 4000; ++layer) {
    first.push_back(relative_load(dirichlet(std::sqrt(0.5)), 2, 13, layer)[0] / 2);
  }
  CHECK(distance(first, [](double x) { return 2 / std::numbers::pi * std::asin(std::sqrt(x)); }) <
        1.7 / std::sqrt(4000.0));
}

TEST_CASE("Popularity drifts from one independent draw to the next") {
  const std::vector<double> fixed = relative_load(zipf(0.8), 32, 17, 2);
  const PopularitySpec spec = zipf(0.8, 100);
  CHECK(relative_load(spec, 32, 17, 2) == fixed);
  CHECK(relative_load(zipf(0.8), 32, 17, 2, 1e6) == fixed);
  const std::vector<double> next = relative_load(spec, 32, 17, 2, 100);
  CHECK(next != fixed);
  CHECK(sorted(next).front() == Approx(sorted(fixed).front()));
  CHECK(sorted(next).back() == Approx(sorted(fixed).back()));
  // 30 % of the way the logarithm of the ratio of any two experts is mixed by cosine and sine.
  const std::vector<double> between = relative_load(spec, 32, 17, 2, 30);
  CHECK(mean_of(between) == Approx(1));
  const double angle = std::numbers::pi / 2 * 0.3;
  const auto log_ratio = [](const std::vector<double>& loads, std::size_t e) {
    return std::log(loads[e] / loads[0]);
  };
  for (std::size_t e = 1; e < 32; ++e) {
    CHECK(log_ratio(between, e) ==
          Approx(std::cos(angle) * log_ratio(fixed, e) + std::sin(angle) * log_ratio(next, e))
              .margin(1e-12));
  }
  // Continuous where one pair of draws takes over from the last.
  const std::vector<double> before = relative_load(spec, 32, 17, 2, 100 - 1e-6);
  const std::vector<double> after = relative_load(spec, 32, 17, 2, 100 + 1e-6);
  for (std::size_t e = 0; e < 32; ++e) {
    CHECK(before[e] == Approx(next[e]).epsilon(1e-5));
    CHECK(after[e] == Approx(next[e]).epsilon(1e-5));
  }
}

TEST_CASE("Draws of a hundred steps are uncorrelated when the drift time is one step") {
  double product = 0, square = 0;
  for (std::int64_t step = 0; step < 100; ++step) {
    const std::vector<double> now =
        relative_load(dirichlet(0.5, 1), 64, 19, 0, static_cast<double>(step));
    const std::vector<double> then =
        relative_load(dirichlet(0.5, 1), 64, 19, 0, static_cast<double>(step + 1));
    for (std::size_t e = 0; e < 64; ++e) {
      product += (now[e] - 1) * (then[e] - 1);
      square += (now[e] - 1) * (now[e] - 1);
    }
  }
  CHECK(std::abs(product / square) < 4 / std::sqrt(6400.0));
}

TEST_CASE("A table's rows are used in turn") {
  const auto table = std::make_shared<const LoadTable>(LoadTable{{{0.5, 1.5}, {1.25, 0.75}}});
  const PopularitySpec spec{.kind = PopularityKind::table, .table = table};
  CHECK(relative_load(spec, 2, 1, 0) == table->layers[0]);
  CHECK(relative_load(spec, 2, 9, 3, 50) == table->layers[1]);
}

TEST_CASE("Popularity is read by kind") {
  CHECK(read(R"({"kind": "uniform"})").kind == PopularityKind::uniform);
  const PopularitySpec law = read(R"({"kind": "zipf", "exponent": 0.5, "drift_time": 200})");
  CHECK(law.kind == PopularityKind::zipf);
  CHECK(law.exponent == 0.5);
  CHECK(law.drift_time == 200);
  const PopularitySpec bounded =
      read(R"({"kind": "power_law", "exponent": 2, "lowest": 0.5, "highest": 4})");
  CHECK(bounded.kind == PopularityKind::power_law);
  CHECK(bounded.exponent == 2);
  CHECK(bounded.lowest == 0.5);
  CHECK(bounded.highest == 4);
  CHECK(bounded.drift_time == 0);
  const PopularitySpec draws = read(R"({"kind": "dirichlet", "cv": 1.25})");
  CHECK(draws.kind == PopularityKind::dirichlet);
  CHECK(draws.cv == 1.25);
}

TEST_CASE("A table is looked for in the given folder") {
  const TemporaryFolder folder;
  folder.add_file("loads.json",
                  R"({"rows": [{"layer": 1, "relative_load": [0.5, 1.5, 1, 1]},
                               {"layer": 2, "relative_load": [3, 0.25, 0.25, 0.5]}]})");
  const JsonNode node = parse_json(R"({"kind": "table", "file": "loads.json"})", "x.json");
  const PopularitySpec spec = read_popularity(node, 4, 1, folder.path());
  REQUIRE(spec.kind == PopularityKind::table);
  CHECK(spec.table->layers == LoadTable{{{0.5, 1.5, 1, 1}, {3, 0.25, 0.25, 0.5}}}.layers);
  CHECK(
      refusal([&] { read_popularity(node, 4, 2, folder.path()); }) ==
      "x.json: /file: row 1: expert 0 has a relative load of 3; a token chooses an expert at most "
      "once, so at most num_experts / top_k = 2");
  CHECK(refusal([&] { read_popularity(node, 4, 1, folder.path() / "other"); }) ==
        "x.json: /file: " + (folder.path() / "other/loads.json").string() +
            ": cannot be read: no such file");
}

TEST_CASE("A Dirichlet law of next to no variation is uniform") {
  PopularitySpec spec;
  spec.kind = PopularityKind::dirichlet;
  for (const double cv : {0.0, 1e-300, 1e-160, 1e-9}) {
    spec.cv = cv;
    CHECK(relative_load(spec, 8, 1, 0) == std::vector<double>(8, 1.0));
  }
}

TEST_CASE("Wrong popularity is refused in one line") {
  CHECK(read_refused(R"({"kind": "zipfian"})") ==
        "x.json: /kind: unknown value \"zipfian\"; known: uniform, zipf, power_law, dirichlet, "
        "table");
  CHECK(read_refused(R"({"kind": "uniform", "exponent": 1})") ==
        "x.json: unknown key \"exponent\"; known: kind");
  CHECK(read_refused(R"({"kind": "uniform", "drift_time": 1})") ==
        "x.json: unknown key \"drift_time\"; known: kind");
  CHECK(read_refused(R"({"kind": "zipf"})") == "x.json: missing key \"exponent\"");
  CHECK(read_refused(R"({"kind": "table"})") == "x.json: missing key \"file\"");
  CHECK(read_refused(R"({"kind": "zipf", "exponent": 0.5, "drift_time": -1})") ==
        "x.json: /drift_time: expected a number from 0 to 1e+12, found -1");
  CHECK(read_refused(R"({"kind": "power_law", "exponent": 2, "lowest": 3, "highest": 2})") ==
        "x.json: /highest: expected a number from 3 to 1e+09, found 2");
  // 8 / (1 + 1/4 + 1/9 + ... + 1/64) = 5.2376
  CHECK(
      read_refused(R"({"kind": "zipf", "exponent": 2})") ==
      "x.json: /exponent: gives the most popular expert a relative load of 5.238; a token chooses "
      "an expert at most once, so at most num_experts / top_k = 4");
  // With all tokens on 2 of 8 experts, cv^2 = 3.
  CHECK(read_refused(R"({"kind": "dirichlet", "cv": 1.74})") ==
        "x.json: /cv: expected a number from 0 to 1.7320508075688772, found 1.74");
}

TEST_CASE("Loads beyond one choice a token are named") {
  CHECK(popularity_refusal({1, 1, 1, 1}, 4) == "");
  CHECK(popularity_refusal({2, 0, 2, 0}, 2) == "");
  CHECK(popularity_refusal({0.5, 0, 2.12345, 1.37655}, 2) ==
        "expert 2 has a relative load of 2.123; a token chooses an expert at most once, so at most "
        "num_experts / top_k = 2");
}
