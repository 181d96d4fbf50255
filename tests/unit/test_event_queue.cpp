#include <algorithm>
#include <vector>

#include "model/random.hpp"
#include "sim/event_queue.hpp"
#include "tests/catch.hpp"

using namespace moesim;

TEST_CASE("event queue: earliest first, equal times in the order they were set", "[event_queue]") {
  EventQueue<int> queue;
  queue.at(20, 1);
  queue.at(10, 2);
  queue.at(20, 3);
  queue.at(10, 4);
  queue.at(0, 5);
  std::vector<int> order;
  std::vector<Tick> times;
  while (!queue.empty()) {
    order.push_back(queue.pop());
    times.push_back(queue.now());
  }
  CHECK(order == std::vector<int>{5, 2, 4, 1, 3});
  CHECK(times == std::vector<Tick>{0, 10, 10, 20, 20});
  CHECK(queue.num_scheduled() == 5);
}

TEST_CASE("event queue: the past is closed, the present is not", "[event_queue]") {
  EventQueue<int> queue;
  queue.at(10, 1);
  queue.at(30, 2);
  CHECK(queue.now() == 0);
  CHECK(queue.pop() == 1);
  CHECK_THROWS_AS(queue.at(9, 3), std::logic_error);
  queue.at(10, 4);  // now: after what is there already, before anything later
  queue.at(10, 5);
  CHECK(queue.pop() == 4);
  CHECK(queue.pop() == 5);
  CHECK(queue.pop() == 2);
  CHECK(queue.num_scheduled() == 4);  // the refused one does not count
  CHECK_THROWS_AS(queue.pop(), std::logic_error);
}

TEST_CASE("event queue: many events against a stable sort", "[event_queue]") {
  struct Pending {
    Tick when;
    int id;
  };
  Random random(1);
  EventQueue<int> queue;
  std::vector<Pending> pending;  // what has not been popped, in insertion order
  int next = 0;
  for (int round = 0; round < 20000; ++round) {
    if (pending.empty() || random.uniform() < 0.52) {
      const Tick when = queue.now() + static_cast<Tick>(random.uniform() * 10);
      queue.at(when, next);
      pending.push_back({when, next++});
      continue;
    }
    const auto first =
        std::min_element(pending.begin(), pending.end(), [](const Pending& a, const Pending& b) {
          return a.when < b.when;  // min_element keeps the first of equal ones
        });
    const Pending expected = *first;
    pending.erase(first);
    REQUIRE(queue.pop() == expected.id);
    REQUIRE(queue.now() == expected.when);
  }
  CHECK(queue.num_scheduled() == static_cast<std::uint64_t>(next));
}
