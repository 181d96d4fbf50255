// What a run takes with everything that interrupts it (model/operations): the expectation in closed
// form. sim/goodput_sampling draws whole runs of the same model.
//
// The run is a sequence of stretches from checkpoint to checkpoint, each its work and one pause.
// Failures come as a Poisson process while the run computes, pauses or restarts; the first one
// during a restart begins another. After a failure the run is down for the detection time, the swap
// of a node and any wait for one; then it restarts (R) and repeats what came after the last
// checkpoint that was settled (written, W after its pause). With L the stretch and rate 1 / M:
//
//   failures        exp((R + W) / M) (exp(L / M) - 1)                 a stretch
//   computed again  M exp(W / M) (exp(L / M) - 1) - L                 a stretch
//   restarts        M (1 - exp(-R / M))                               a failure
//
// exact for such a process: the run renews itself whenever a checkpoint settles. For W = 0 and no
// detection the sum is Daly's M exp(R / M) (exp(L / M) - 1) (FGCS 22 (3), 2006). The last
// checkpoint is waited for, so the first stretch, which has a settled start, is W longer.
//
// Spares: nodes in repair are a birth-death chain in which the run waits while one more than there
// are spares is out; the share of time is Erlang's loss formula B(spares + 1, nodes failing during
// one repair), which does not depend on how repair times are distributed. Approximate in that
// failures pause during downtimes and that a run starts with all spares at hand.
//
// Evaluation pauses are spread evenly over the steps; planned maintenance takes its share of the
// calendar and is not mixed with failures. Steps of stragglers: sim/stragglers, applied to the
// compute part of the step (all categories but communication, waiting, bubble and optimizer).
// Phases whose GPU hours are stated are added as they are.
//
// Left out: work lost by a failure that is detected late (the run hangs, it does not go on), writes
// that slow the network, failing writes, elastic runs that go on with fewer nodes.
#pragma once

#include "sim/metrics.hpp"
#include "sim/run_times.hpp"

namespace moesim {

struct Stretches {
  double count = 0;
  Seconds length;  // work and one pause
};

// The run before anything fails, and what may fail.
struct RunOutline {
  Seconds ideal, stragglers, evaluation, stated;
  Seconds pauses;  // of all checkpoints, and the wait for the last one
  std::vector<Stretches> stretches;
  Seconds settling;            // W
  double rate = 0;             // failures a second
  double node_share = 0;       // of failures that take a node
  Seconds detection, restart;  // R: the latter
  std::optional<Spares> spares;
  double maintenance_share = 0;

  Seconds work() const;  // of the stretches: what is computed, and every pause
};

RunTimes expected_times(const RunOutline& outline);

// Adds the planned share of the calendar to times that are otherwise complete.
void add_maintenance(const RunOutline& outline, RunTimes& times);

// Probability that all of `servers` are busy when `load` customers arrive per service time.
double erlang_loss(std::int64_t servers, double load);

// Steps between checkpoints that cost least, or those the scenario asks for; never fewer than an
// asynchronous write takes when they are chosen here. A step may take part of a second.
double steps_per_checkpoint(const Checkpoints& checkpoints,
                            Seconds step,
                            Seconds pause,
                            double failure_rate);

// Of a finished run with operations, all phases simulated.
RunOutline outline_of(const Scenario& scenario, const RunResult& run);

// Expectation and facts; `samples` stay empty.
OperationsResult operations_result(const Scenario& scenario, const RunResult& run);

// InputError where intervals do not suit the simulated step: longer than the run, or shorter than
// an asynchronous write.
void check_intervals(const Scenario& scenario, const RunResult& run);

}  // namespace moesim
