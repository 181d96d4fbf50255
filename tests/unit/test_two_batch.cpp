// The interleaving of two halves against a simulation of two streams block by block, as the
// engines' operation lists have it, and against bounds and closed forms.
#include <algorithm>
#include <map>
#include <vector>

#include "model/random.hpp"
#include "sim/serving/two_batch.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

// A block of one half on the compute stream.
struct Block {
  double time = 0;
  int waits = -1, starts = -1;  // exchange, numbered per half
  double flight = 0;
};
using Stage = std::vector<Block>;

// The stages between the points where a half gives up its turn, layer after layer.
std::vector<Stage> stages_of(const HalfLayer& d, std::int64_t layers, TurnOrder order) {
  std::vector<Stage> stages;
  int exchange = 0;
  bool open = false;  // the last stage goes on
  for (std::int64_t i = 0; i < layers; ++i, exchange += 2) {
    const Block prepare{d.prepare}, core{d.core}, shared{d.shared},
        send{d.send, -1, exchange, d.dispatch}, experts{d.experts, exchange},
        back{d.hand_back, -1, exchange + 1, d.combine}, reduce{d.reduce, exchange + 1};
    if (order == TurnOrder::prefill) {
      if (!open) stages.emplace_back();
      stages.back().insert(stages.back().end(), {prepare, core, send});
      stages.push_back({experts, back});
      stages.push_back({shared, reduce});
      open = true;
    } else {
      for (const Stage& s :
           std::vector<Stage>{{prepare}, {core}, {send, shared}, {experts, back}, {reduce}})
        stages.push_back(s);
    }
  }
  return stages;
}

double simulated(const HalfLayer& d, std::int64_t layers, TurnOrder order) {
  const std::vector<Stage> stages = stages_of(d, layers, order);
  const std::size_t behind = order == TurnOrder::prefill ? 0 : 2;
  double now = 0, ports = 0;
  std::map<std::pair<int, int>, double> arrival;  // of (half, exchange)
  const auto run = [&](int half, const Stage& stage) {
    for (const Block& b : stage) {
      if (b.waits >= 0) now = std::max(now, arrival.at({half, b.waits}));
      now += b.time;
      if (b.starts >= 0) {
        ports = std::max(ports, now) + b.flight;
        arrival[{half, b.starts}] = ports;
      }
    }
  };
  for (std::size_t i = 0; i < stages.size() + behind; ++i) {
    if (i < stages.size()) run(0, stages[i]);
    if (i >= behind) run(1, stages[i - behind]);
  }
  return now;
}

HalfLayer drawn(Random& random) {
  HalfLayer d;
  for (double* t : {&d.prepare, &d.core, &d.send, &d.shared, &d.experts, &d.hand_back, &d.reduce})
    *t = 1e-4 * random.uniform();
  const double flights = 8e-4 * random.uniform();  // nothing to far too much
  d.dispatch = flights * random.uniform();
  d.combine = flights * random.uniform();
  return d;
}

}  // namespace

TEST_CASE("two-batch overlap: the recurrence is the interleaving", "[serving][two_batch]") {
  Random random(4);
  for (int trial = 0; trial < 400; ++trial) {
    const HalfLayer d = drawn(random);
    for (const std::int64_t layers : {1, 2, 3, 7, 58})
      for (const TurnOrder order : {TurnOrder::prefill, TurnOrder::decode}) {
        CAPTURE(trial, layers, order == TurnOrder::prefill);
        const double time = two_batch_time(d, layers, order);
        CHECK(time == Approx(simulated(d, layers, order)).epsilon(1e-9));
        const auto n = static_cast<double>(layers);
        // The compute stream is never shorter, the ports neither; serial is never longer.
        CHECK(time >= 2 * n * d.computing() * (1 - 1e-12));
        CHECK(time >= 2 * n * (d.dispatch + d.combine) * (1 - 1e-12));
        CHECK(time <= 2 * n * (d.computing() + d.dispatch + d.combine) * (1 + 1e-12));
      }
  }
}

TEST_CASE("two-batch overlap: nothing in flight costs nothing, little hides",
          "[serving][two_batch]") {
  HalfLayer d;
  d.prepare = d.core = d.shared = d.experts = 1e-4;
  for (const TurnOrder order : {TurnOrder::prefill, TurnOrder::decode}) {
    d.dispatch = d.combine = 0;
    CHECK(two_batch_time(d, 58, order) == Approx(2 * 58 * d.computing()));
    CHECK(two_batch_time(d, 0, order) == 0);
    // A flight hides behind the other half's turn; only the last halves have nothing beside them.
    d.dispatch = d.combine = 0.5e-4;
    const double exposed = two_batch_time(d, 58, order) - 2 * 58 * d.computing();
    CHECK(exposed >= 0);
    CHECK(exposed <= 2 * (d.dispatch + d.combine));
  }
}
