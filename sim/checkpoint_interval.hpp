// How much work to do between two checkpoints when failures come at a constant rate.
//
// `pause`: training stops for it at every checkpoint; `mtbf`: mean time between failures of the
// run. The time from one checkpoint to the next takes, failures included and per second of work,
// proportionally to (exp((work + pause) / mtbf) - 1) / work, whatever detection and restart take
// (sim/goodput).
//
// Left out: steps, which make the interval a whole number of them, and an asynchronous write, which
// bounds it from below: sim/goodput sees to both.
#pragma once

#include "model/units.hpp"

namespace moesim {

// sqrt(2 pause mtbf): J. W. Young, "A first order approximation to the optimum checkpoint
// interval", CACM 17 (9), 1974.
Seconds young_interval(Seconds pause, Seconds mtbf);

// J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS
// 22 (3), 2006: Young's with two further terms, less the pause; mtbf where the pause is more than
// twice that.
Seconds daly_interval(Seconds pause, Seconds mtbf);

// The minimum itself: u = work / mtbf solves u = 1 - exp(-(u + pause / mtbf)).
Seconds best_interval(Seconds pause, Seconds mtbf);

}  // namespace moesim
