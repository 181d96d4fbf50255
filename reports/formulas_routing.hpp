// Formula of known figures about uneven experts: how unevenly they load the ranks of a group. Its
// line is in the table in formulas.cpp.
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

}  // namespace moesim
