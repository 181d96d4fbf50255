// What sharing the fabric costs a phase's transfers: factors on times that count ports alone.
//
// The step simulator costs a dispatch by its busiest port (model/collective/two_hop). On a fabric
// that does not block this is what a simulation of all its messages gives (sim/messages), unless so
// few SMs hand rows on that they are the limit; nothing else is done there. On one that can block
// (oversubscribed leaves, hashed routing, failed links) every kind of transfer is simulated once,
// message by message, with all groups of the cluster sending at the same time, and compared with
// the same messages on the same nodes under a fabric that does not block. The factor is how much
// later the last of all messages ends: groups wait for each other at the end of the step.
//
// What it leaves out: groups that are not in step with each other disturb each other less than
// this, different kinds of transfer at the same time more.
#pragma once

#include <cstdint>

#include "model/routing.hpp"
#include "model/scenario.hpp"

namespace moesim {

struct NetworkContention {
  double dispatch = 1, combine = 1;        // of expert-parallel groups
  double send = 1;                         // pipeline messages, between all stages at once
  double dense_ring = 1, expert_ring = 1;  // reduction of gradients over the replicas of each
};

// sampler: nullptr for a model without experts.
NetworkContention network_contention(const Scenario& scenario,
                                     const TrainingPhase& phase,
                                     const RoutingSampler* sampler);

}  // namespace moesim
