// Leaving points out: who goes with whom, and what the errors say.
#include <map>
#include <set>

#include "calibrate/fit/held_out.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

using Keys = std::vector<std::vector<std::int64_t>>;

Keys numbered(std::int64_t n) {
  Keys keys;
  for (std::int64_t i = 0; i < n; ++i) keys.push_back({i});
  return keys;
}

}  // namespace

TEST_CASE("held out: quantiles are linear between neighbours") {
  CHECK(quantile({5}, 0.9) == 5);
  CHECK(quantile({1, 2, 3, 4}, 0) == 1);
  CHECK(quantile({1, 2, 3, 4}, 1) == 4);
  CHECK(quantile({1, 2, 3, 4}, 0.5) == Approx(2.5));
  CHECK(quantile({0, 10, 20}, 0.95) == Approx(19));
  CHECK_THROWS_AS(quantile({}, 0.5), std::logic_error);
}

TEST_CASE("held out: a summary against numbers by hand") {
  std::vector<double> errors;
  for (int i = 20; i >= 0; --i) errors.push_back(0.01 * i);
  const ErrorSummary e = summarise(errors);
  CHECK(e.num_points == 21);
  CHECK(e.median == Approx(0.10));
  CHECK(e.p90 == Approx(0.18));
  CHECK(e.p95 == Approx(0.19));
  CHECK(e.max == Approx(0.20));
  CHECK(summarise({}).num_points == 0);
  CHECK(summarise({0.3}).p95 == 0.3);
}

TEST_CASE("held out: percentages have one decimal") {
  CHECK(percent_text(0.0214) == "2.1 %");
  CHECK(percent_text(0) == "0.0 %");
  CHECK(percent_text(12.5) == "1250.0 %");
}

TEST_CASE("held out: up to 40 keys each has a fold of its own") {
  for (const std::int64_t n : {1, 3, 40}) {
    const auto folds = folds_by_key(numbered(n));
    CHECK(std::set<std::size_t>(folds.begin(), folds.end()).size() == static_cast<std::size_t>(n));
    for (const std::size_t f : folds) CHECK(f < static_cast<std::size_t>(n));
  }
  CHECK(folds_by_key({}).empty());
}

TEST_CASE("held out: more keys share 40 folds of equal size, in an order of chance") {
  const auto folds = folds_by_key(numbered(400));
  std::map<std::size_t, std::vector<std::int64_t>> members;
  for (std::size_t i = 0; i < folds.size(); ++i)
    members[folds[i]].push_back(static_cast<std::int64_t>(i));
  CHECK(members.size() == kMostFolds);
  std::size_t regular = 0;
  for (const auto& [fold, of_fold] : members) {
    CHECK(of_fold.size() == 10);
    regular += of_fold[1] - of_fold[0] == 40 ? 1 : 0;
  }
  CHECK(regular < 5);  // dealt out in order every fold would be
  CHECK(folds_by_key(numbered(400)) == folds);
}

TEST_CASE("held out: equal keys go together, whatever stands between them") {
  Keys keys;
  for (std::int64_t i = 0; i < 300; ++i) keys.push_back({i % 60, i % 2});
  const auto folds = folds_by_key(keys);
  std::map<std::vector<std::int64_t>, std::size_t> of_key;
  for (std::size_t i = 0; i < keys.size(); ++i)
    CHECK(of_key.emplace(keys[i], folds[i]).first->second == folds[i]);
  // And the fold of a key does not depend on the order of the samples.
  const Keys backwards(keys.rbegin(), keys.rend());
  CHECK(folds_by_key(backwards).front() == folds.back());
}

}  // namespace moesim
