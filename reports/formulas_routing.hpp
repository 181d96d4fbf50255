// Formulas of known figures about uneven experts: how unevenly they load the ranks of a group, and
// what that costs a prefill step. Their lines are in the table in formulas.cpp.
#pragma once

#include "reports/formulas.hpp"

namespace moesim {

// Rows of the fullest rank over the mean, averaged over `layers` independent layers. A layer draws
// the popularity of `experts` from the Dirichlet law of coefficient of variation `cv`, places them
// on `ranks` with `slots_per_rank` (`eplb` 0: contiguous, 1: DeepSeek's balancer, global, which is
// given the popularity itself) and lets `tokens_per_rank` tokens a rank choose `top_k` of them.
// Tokens choose independently of each other; replicas of an expert share its rows equally. With as
// many ranks as experts it is the hottest expert over the mean.
//
// Left out: groups and the node limit, tokens of one sequence that want the same experts, and a
// popularity that moved since the placement was made.
double rank_imbalance(const FormulaInputs& in);

// How much faster a forward MoE layer gets when its fullest rank no longer has
// `max_over_mean_before` but `max_over_mean_after` times the mean rows, on `slots_before` and
// `slots_after` slots a rank. All ranks wait for the fullest one in every layer. Two half batches
// of `tokens` a rank take turns (two-batch overlap), one computing on what `comm_sms` leaves of the
// GPU while the other communicates, so a layer takes the longer of the two.
//
// The fullest rank sits in a node whose other ranks have the mean; attention has the same tokens on
// every rank. Left out: dense layers and the head, and what inference skips of the training
// forward (quantising what the backward pass wants).
double prefill_speedup(const FormulaInputs& in, const Scenario& scenario);

}  // namespace moesim
