// A step time that no simulation of the phase goes below, without simulating it: what a search
// needs to leave a plan out with a reason.
//
// Routing is balanced and a stage's ranks are alike, so one stands for all of them. What is relaxed
// is what travels beside the chunks (gradients and weights are taken to cost the streams nothing)
// and what sharing a blocking fabric adds (factors of at least 1 are taken as 1: finding them is a
// simulation itself).
//
// Proof. In the simulation every operation starts when the last of a fixed set of others has ended
// (the one before it on its stream, those of the other stream it counts, a message) and takes at
// least its time alone; traffic beside it makes it later or longer, never earlier. Times are thus
// sums and maxima of durations, which do not fall when a wait or a longer duration is added; this
// computes the same sums and maxima without the additions. Two facts make it cheap:
//   - the first compute operation of a step counts all communication of the steps before it, and
//     every communication operation counts its own step's first compute operation. So a step starts
//     with both streams empty, and its program's times after that are the same whenever it starts:
//     they are computed once for each program;
//   - what passes between ranks are whole messages at known times after a step's start. So the
//     pipeline is a longest path over steps, not over operations: a hundredth of the events.
// Where nothing travels beside the chunks and the fabric does not block, the bound is the step
// itself (tests/unit/test_step_bound.cpp).
#pragma once

#include "model/scenario.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {

// What step_bound looks up: costs of one microbatch. Plans that differ in nothing but schedule,
// virtual stages and whether chunks share the GPU have the same ones, where weights_follow() of
// their schedules is the same.
StageCosts costs_for_bound(const Scenario& scenario,
                           const TrainingPhase& phase,
                           const CostModel& model,
                           const RoutingSampler* sampler = nullptr);

// Optimizer included. The phase's ranks are identical and its schedule can run it; `costs` are
// costs_for_bound of it, or of a plan that has the same ones.
Tick step_bound(const Scenario& scenario,
                const TrainingPhase& phase,
                const CostModel& model,
                const StageCosts& costs);

}  // namespace moesim
