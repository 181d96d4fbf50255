// The arithmetic of timing by graphs, on a clock that is made up.
#include "calibrate/graph_timing.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

using namespace moesim;

TEST_CASE("a cold time is what the kernel adds to a flush", "[graph_timing]") {
  constexpr int kCalls = 4;
  int with = 0, without = 0;
  const auto times = cold_times(
      [&] {
        ++with;
        return kCalls * (100 * us + 7.5 * us);
      },
      [&] {
        ++without;
        return kCalls * (100 * us);
      },
      kCalls,
      11);
  REQUIRE(times.size() == 11);
  for (const Seconds t : times) CHECK(t.in(us) == Approx(7.5));
  CHECK(with == 11);
  CHECK(without == 11);
}

TEST_CASE("one flush that was held up does not make a kernel faster", "[graph_timing]") {
  int flushes = 0;
  const auto times =
      cold_times([] { return 110 * us; },
                 [&] { return flushes++ == 3 ? 400 * us : 100 * us; },
                 1,
                 10);
  for (const Seconds t : times) CHECK(t.in(us) == Approx(10));
}

TEST_CASE("noise of the flush stays out of the median", "[graph_timing]") {
  Random random(3, 5);
  const auto flush = [&] { return 4 * 85 * us * (1 + 0.01 * random.normal()); };
  std::vector<Seconds> times =
      cold_times([&] { return flush() + 4 * 3 * us; }, flush, 4, 41);
  std::nth_element(times.begin(), times.begin() + 20, times.end());
  CHECK(times[20].in(us) == Approx(3).margin(0.5));
}

TEST_CASE("a warm time is a graph's by its calls", "[graph_timing]") {
  const auto times = warm_times([] { return 60 * us; }, 20, 5);
  REQUIRE(times.size() == 5);
  for (const Seconds t : times) CHECK(t.in(us) == Approx(3));
}

TEST_CASE("a graph holds fewer of a long call", "[graph_timing]") {
  CHECK(calls_per_graph(5 * us).cold == 4);
  CHECK(calls_per_graph(5 * us).warm == 20);
  CHECK(calls_per_graph(400 * us).warm == 13);
  CHECK(calls_per_graph(400 * us).cold == 2);
  CHECK(calls_per_graph(100 * ms).cold == 1);
  CHECK(calls_per_graph(100 * ms).warm == 1);
  CHECK(calls_per_graph(Seconds()).warm == 20);
}
