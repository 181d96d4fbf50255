// Dispatch while the GPU computes, by the blocks (SMs) that communication may use: what dispatch
// loses and what compute loses. The compute is the transport's stand-in for a kernel: copies within
// the GPU's memory, until there are kernels of our own to run.
//
// Points: dispatch alone with a limit of blocks (`sms`), and beside compute (flagged, with the
// times of the compute in its note).
#include <algorithm>
#include <array>
#include <cmath>

#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/exchange_run.hpp"
#include "calibrate/comm/expert_exchange.hpp"
#include "calibrate/comm/expert_routing.hpp"

namespace moesim::comm {
namespace {

constexpr std::array<std::int64_t, 5> kBlocks = {2, 4, 8, 16, 24};
constexpr std::int64_t kMostTokens = 4096;  // DeepEP's benchmark of its normal kernels
constexpr Bytes kPiece = 64 * MiB;          // of compute
constexpr double kLonger = 2;               // compute outlasts dispatch alone by about this

// The most tokens, a power of 2, whose dispatch fits.
std::int64_t tokens_that_fit(Session& session) {
  std::int64_t tokens = 1;
  while (2 * tokens <= std::min(kMostTokens, session.options().max_tokens)) tokens *= 2;
  for (; tokens > 1; tokens /= 2) {
    const auto routed = session.routings().get(
        {tokens, usual_node_limit(session.map()), 0}, session.options(), session.map());
    if (fits(session, routed->two_hop)) break;
  }
  return tokens;
}

Seconds compute_alone(Session& session, double pieces) {
  Trial trial;
  trial.op = "dispatch";
  trial.run = [] {};
  trial.beside = [&] { session.transport().compute(pieces * kPiece); };
  return session.time(trial).beside->median;
}

void measure_blocks(Session& session,
                    std::int64_t blocks,
                    std::int64_t tokens,
                    const ExchangePlan& plan) {
  const auto group = session.transport().open(session.map().all(), static_cast<int>(blocks));
  ExchangeRun exchange(session, *group, plan, row_words(session.options(), false));
  Trial trial;
  trial.op = "dispatch";
  trial.shape = exchange_shape(session, tokens);
  trial.sms = blocks;
  trial.flags = {"limited_blocks"};
  trial.prepare = [&](std::int64_t i) { exchange.prepare(i); };
  trial.run = [&] { exchange.run(); };
  trial.run_verified = [&] { exchange.run_verified(); };
  trial.check_first = [&](std::int64_t /*i*/) { return exchange.first_complaint(); };
  trial.check = [&](std::int64_t i) { return exchange.check(i); };
  trial.cells = {"dispatch", std::to_string(blocks), std::to_string(tokens)};
  trial.more_cells = [](const Measured& m) {
    return std::vector<std::string>{digits(m.timing.median.in(us)), "", ""};
  };
  const auto alone = session.run(trial);
  if (!alone) return;

  const Seconds piece = compute_alone(session, 1);
  const double pieces = std::ceil(kLonger * (alone->timing.median / piece));
  const Seconds compute = compute_alone(session, pieces);
  trial.flags = {"beside_compute"};
  trial.beside = [&] { session.transport().compute(pieces * kPiece); };
  trial.note = {{"compute", session.transport().compute_description()},
                {"alone_us", alone->timing.median.in(us)},
                {"compute_alone_us", compute.in(us)}};
  trial.cells[0] = "dispatch beside compute";
  trial.more_cells = [&](const Measured& m) {
    return std::vector{digits(alone->timing.median.in(us)),
                       digits(m.beside->median.in(us)),
                       digits(compute.in(us))};
  };
  session.run(trial);
}

}  // namespace

void measure_overlap(Session& session) {
  check_routing_options(session.options(), session.map());
  const std::int64_t tokens = tokens_that_fit(session);
  const auto routed = session.routings().get(
      {tokens, usual_node_limit(session.map()), 0}, session.options(), session.map());
  for (const std::int64_t blocks : kBlocks) {
    measure_blocks(session, blocks, tokens, routed->two_hop);
    if (session.stopped()) return;
  }
}

}  // namespace moesim::comm
