// The slowest of n nodes, which is the pace of a synchronous step.
//
// Nodes are slow independently, and every step draws anew. The compute time of a node is that of
// the simulated step times
//   share p, slowdown f:  f with probability p, else 1; the slowest of n: 1 + (f - 1)(1 - (1 -
//   p)^n) sigma:                exp(sigma Z) of a standard normal Z; the slowest of n: the integral
//   of
//                         exp(sigma z) n phi(z) Phi(z)^(n - 1) over z
//
// Over the thousands of steps of a run the mean is what counts, so a run's share of slow steps has
// no spread of its own.
//
// Left out: nodes that stay slow until they are found (the mean is the same, the spread between
// runs is not), GPUs of one node that differ, waits that hide a slow node (a step is taken to be
// late by all that its slowest node is), and slow links.
#pragma once

#include "model/operations.hpp"

namespace moesim {

// Mean of the largest factor over `num_nodes` nodes: 1 or more for share and slowdown; for sigma it
// grows with the number of nodes from exp(sigma^2 / 2).
double slowest_node(const Stragglers& stragglers, std::int64_t num_nodes);

}  // namespace moesim
