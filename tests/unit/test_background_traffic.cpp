// Traffic beside a rank's communication operations, against a fluid simulated half a tick at a
// time, and in the cases that need no simulation.
#include <algorithm>
#include <vector>

#include "model/random.hpp"
#include "sim/background_traffic.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

// One NIC, told at each tick what becomes ready and what starts. Counts in half ticks of work, so
// that two transfers which share it for a tick move by a whole unit each.
class Fluid {
 public:
  // Before anything of this tick is told.
  void begin_tick() {
    waiting_ = 0;
    for (const Tick left : left_) waiting_ += left;
  }
  void add(Tick duration) {
    left_.push_back(2 * duration);
    ends_.push_back(-1);
  }
  // What became ready at this very moment is not shared with, like what comes later.
  void start(Tick alone) {
    operation_ = 2 * alone;
    admitted_ = waiting_;
  }
  bool is_busy() const { return operation_ > 0; }
  // From `now` to now + 1.
  void run_tick(Tick now) {
    if (operation_ > 0 && admitted_ > 0) {
      --operation_;
      --admitted_;
      move(1);
    } else if (operation_ > 0) {
      operation_ -= 2;
    } else {
      move(2);
    }
    for (std::size_t i = 0; i < left_.size() && left_[i] == 0; ++i)
      if (ends_[i] < 0) ends_[i] = now + 1;
  }
  // When a transfer was complete; -1: it is not.
  Tick end(std::size_t i) const { return ends_[i]; }

 private:
  void move(Tick units) {
    for (Tick& left : left_) {
      const Tick moved = std::min(left, units);
      left -= moved;
      units -= moved;
    }
  }

  std::vector<Tick> left_, ends_;
  Tick operation_ = 0, admitted_ = 0, waiting_ = 0;
};

}  // namespace

TEST_CASE("background traffic: alone it takes its own time, in turn", "[background]") {
  BackgroundTraffic traffic;
  const auto first = traffic.add(10, 100), second = traffic.add(20, 5);
  CHECK_FALSE(traffic.complete(first, 109));
  CHECK(traffic.complete(first, 110));
  CHECK(traffic.due(second) == 115);
  const auto third = traffic.add(500, 7);
  CHECK(traffic.complete(second, 500));
  CHECK(traffic.due(third) == 507);
  CHECK(traffic.all_due() == 507);
}

TEST_CASE("background traffic: an operation and a longer queue share to its end", "[background]") {
  BackgroundTraffic traffic;
  const auto mark = traffic.add(0, 1000);
  CHECK(traffic.operation(100, 50) == 100);  // twice as long; 900 wait
  CHECK(traffic.due(mark) == 200 + 850);
  CHECK(traffic.operation(200, 850) == 1700);  // as long as the queue: both end together
  CHECK(traffic.all_due() == 1900);
}

TEST_CASE("background traffic: a shorter queue delays an operation by itself", "[background]") {
  BackgroundTraffic traffic;
  const auto mark = traffic.add(0, 30);
  CHECK(traffic.operation(10, 100) == 120);  // 20 wait
  CHECK(traffic.due(mark) == 50);            // at half rate
  CHECK(traffic.all_due() == 50);
  CHECK(traffic.operation(130, 100) == 100);
  CHECK(traffic.all_due() == 50);  // and remembered
}

TEST_CASE("background traffic: what comes during an operation waits for its end", "[background]") {
  BackgroundTraffic traffic;
  CHECK(traffic.operation(0, 100) == 100);
  const auto mark = traffic.add(40, 10);
  CHECK(traffic.due(mark) == 110);
  // At the moment of its start, in either order.
  BackgroundTraffic before, after;
  before.add(7, 10);
  CHECK(before.operation(7, 100) == 100);
  CHECK(after.operation(7, 100) == 100);
  after.add(7, 10);
  CHECK(before.all_due() == 117);
  CHECK(after.all_due() == 117);
}

TEST_CASE("background traffic: as a fluid that is simulated step by step", "[background]") {
  Random random(11);
  auto pick = [&](double n) { return static_cast<Tick>(random.uniform() * n); };
  for (int trial = 0; trial < 300; ++trial) {
    BackgroundTraffic traffic;
    Fluid fluid;
    std::vector<BackgroundTraffic::Mark> marks;
    const double load = 1 + static_cast<double>(pick(30));
    Tick ends_at = -1;  // of the operation under way, as BackgroundTraffic says
    for (Tick now = 0; now < 4000; ++now) {
      fluid.begin_tick();
      for (std::size_t i = 0; i < marks.size(); ++i)
        if (traffic.complete(marks[i], now) != (fluid.end(i) >= 0)) {
          CAPTURE(trial, now, i);
          REQUIRE(traffic.complete(marks[i], now) == (fluid.end(i) >= 0));
        }
      if (ends_at >= 0 && !fluid.is_busy()) {
        CHECK(ends_at == now);
        ends_at = -1;
      }
      if (now < 200 && random.uniform() < 0.1) {
        const Tick duration = 1 + pick(load);
        fluid.add(duration);
        marks.push_back(traffic.add(now, duration));
      }
      if (now < 200 && ends_at < 0 && random.uniform() < 0.2) {
        const Tick alone = 1 + pick(20);
        fluid.start(alone);
        ends_at = now + traffic.operation(now, alone);
      }
      fluid.run_tick(now);
    }
    for (std::size_t i = 0; i < marks.size(); ++i) REQUIRE(fluid.end(i) >= 0);
    CHECK(traffic.all_due() == (marks.empty() ? 0 : fluid.end(marks.size() - 1)));
  }
}
