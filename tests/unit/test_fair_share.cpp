// Max-min rates against hand-solved cases, the definition itself, and a brute force.
#include <algorithm>
#include <numeric>

#include "model/random.hpp"
#include "sim/fair_share.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

using Paths = std::vector<std::vector<std::uint32_t>>;

// Raises all rates in small equal steps and stops a flow when one of its links is full: the
// definition of progressive filling, to within the step.
std::vector<double> brute_force(const std::vector<double>& capacities,
                                const Paths& paths,
                                double step) {
  std::vector<double> rates(paths.size(), 0), used(capacities.size(), 0);
  std::vector<bool> stopped(paths.size(), false);
  while (std::ranges::count(stopped, false) > 0)
    for (std::size_t f = 0; f < paths.size(); ++f) {
      if (stopped[f]) continue;
      for (const std::uint32_t l : paths[f])
        if (used[l] + step > capacities[l]) stopped[f] = true;
      if (stopped[f]) continue;
      rates[f] += step;
      for (const std::uint32_t l : paths[f]) used[l] += step;
    }
  return rates;
}

struct RandomCase {
  std::vector<double> capacities;
  Paths paths;
};
RandomCase random_case(Random& random, std::size_t num_links, std::size_t num_flows) {
  RandomCase c;
  auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random.uniform() * static_cast<double>(n));
  };
  for (std::size_t l = 0; l < num_links; ++l) c.capacities.push_back(1 + 9 * random.uniform());
  for (std::size_t f = 0; f < num_flows; ++f) {
    std::vector<std::uint32_t> path(num_links);
    std::iota(path.begin(), path.end(), 0U);
    for (std::size_t i = 0; i < num_links; ++i) std::swap(path[i], path[below(num_links)]);
    path.resize(1 + below(num_links));
    c.paths.push_back(path);
  }
  return c;
}

TEST_CASE("fair_share: one flow gets the smallest of its links") {
  CHECK(fair_share(std::vector<double>{10, 4, 7}, {{0, 1, 2}}) == std::vector<double>{4});
}

TEST_CASE("fair_share: flows of one link share it equally") {
  CHECK(fair_share(std::vector<double>{12}, {{0}, {0}, {0}}) == std::vector<double>{4, 4, 4});
}

TEST_CASE("fair_share: what a flow cannot use goes to the others") {
  // Flow 0 is held to 2 by link 1; flows 1 and 2 share the other 8 of link 0.
  CHECK(fair_share(std::vector<double>{10, 2}, {{0, 1}, {0}, {0}}) == std::vector<double>{2, 4, 4});
}

TEST_CASE("fair_share: the parking lot of Bertsekas and Gallager") {
  // One long flow over three links of 1, one short flow on each; a second one on the last: it is
  // the bottleneck of the long flow at 1/3, which leaves 2/3 on the others.
  const auto rates = fair_share(std::vector<double>{1, 1, 1}, {{0, 1, 2}, {0}, {1}, {2}, {2}});
  CHECK(rates[0] == Approx(1.0 / 3));
  CHECK(rates[1] == Approx(2.0 / 3));
  CHECK(rates[2] == Approx(2.0 / 3));
  CHECK(rates[3] == Approx(1.0 / 3));
  CHECK(rates[4] == Approx(1.0 / 3));
}

TEST_CASE("fair_share: equal routes are one with a count") {
  const auto rates = fair_share(std::vector<double>{9, 100}, {{0, 1}, {0, 1}, {1}, {0, 1}});
  CHECK(rates == std::vector<double>{3, 3, 91, 3});
}

TEST_CASE("fair_share: agrees with filling in small steps on three links") {
  Random random(7);
  for (int i = 0; i < 40; ++i) {
    const RandomCase c = random_case(random, 3, 5);
    const auto rates = fair_share(c.capacities, c.paths);
    const double step = 1e-3;
    const auto expected = brute_force(c.capacities, c.paths, step);
    for (std::size_t f = 0; f < rates.size(); ++f)
      CHECK(rates[f] == Approx(expected[f]).margin(5 * step));
  }
}

TEST_CASE("fair_share: every flow has a full link on which nobody has more") {
  Random random(11);
  for (int i = 0; i < 50; ++i) {
    const RandomCase c = random_case(random, 12, 60);
    const auto rates = fair_share(c.capacities, c.paths);
    std::vector<double> used(c.capacities.size(), 0), most(c.capacities.size(), 0);
    for (std::size_t f = 0; f < rates.size(); ++f)
      for (const std::uint32_t l : c.paths[f]) {
        used[l] += rates[f];
        most[l] = std::max(most[l], rates[f]);
      }
    for (std::size_t l = 0; l < used.size(); ++l) CHECK(used[l] <= c.capacities[l] * (1 + 1e-9));
    for (std::size_t f = 0; f < rates.size(); ++f)
      CHECK(std::ranges::any_of(c.paths[f], [&](std::uint32_t l) {
        return used[l] >= c.capacities[l] * (1 - 1e-9) && rates[f] >= most[l] * (1 - 1e-9);
      }));
  }
}

TEST_CASE("fair_share: rates scale with the capacities") {
  Random random(13);
  RandomCase c = random_case(random, 6, 20);
  const auto rates = fair_share(c.capacities, c.paths);
  for (double& v : c.capacities) v *= 4;
  const auto scaled = fair_share(c.capacities, c.paths);
  for (std::size_t f = 0; f < rates.size(); ++f) CHECK(scaled[f] == 4 * rates[f]);
}

TEST_CASE("SharedLinks: parts that share no link are found apart") {
  const std::vector<double> capacities(5, 1.0);
  SharedLinks links(capacities);
  const std::uint32_t a = links.route(std::vector<std::uint32_t>{0, 1}),
                      b = links.route(std::vector<std::uint32_t>{1, 2}),
                      c = links.route(std::vector<std::uint32_t>{3});
  for (const std::uint32_t r : {a, b, c}) links.add_flow(r);
  CHECK(links.route(std::vector<std::uint32_t>{1, 2}) == b);
  links.begin_search();
  const SharedLinks::Part first = links.find_part(b);
  CHECK(first.routes == std::vector<std::uint32_t>{b, a});
  CHECK(links.find_part(a).routes.empty());
  CHECK(links.find_part(c).routes == std::vector<std::uint32_t>{c});

  links.remove_flow(a);  // now b stands alone
  links.begin_search();
  CHECK(links.find_part(b).routes == std::vector<std::uint32_t>{b});
  CHECK(links.a_route_on(0) == std::nullopt);
  CHECK(links.a_route_on(1) == b);
}

TEST_CASE("SharedLinks: rates follow flows that come and go") {
  Random random(17);
  const RandomCase c = random_case(random, 8, 40);
  SharedLinks links(c.capacities);
  std::vector<std::uint32_t> all(c.capacities.size());
  std::iota(all.begin(), all.end(), 0U);
  std::vector<std::vector<std::uint32_t>> present;
  for (const auto& path : c.paths) links.add_flow(links.route(path));
  for (std::size_t f = 0; f < c.paths.size(); f += 2) links.remove_flow(links.route(c.paths[f]));
  for (std::size_t f = 1; f < c.paths.size(); f += 2) present.push_back(c.paths[f]);
  links.solve(all);
  const auto expected = fair_share(c.capacities, present);
  for (std::size_t f = 0; f < present.size(); ++f)
    CHECK(links.rate(links.route(present[f])) == Approx(expected[f]).epsilon(1e-12));
}

}  // namespace
}  // namespace moesim
