// Why a rank's compute stream had nothing to run: each tick of a gap goes to one category.
#pragma once

#include "sim/timeline.hpp"

namespace moesim {

struct CommRecord {  // the communication operation that ended last
  Tick previous_end = 0, arrive = 0, start = 0, end = 0;
};

struct ComputeGap {
  Tick from = 0, to = 0;  // when the stream became idle, and when it goes on
  // From here on only weights or gradients beside the chunks were missing; `to` when none were.
  Tick held_from = 0;
  bool between_steps = false;
  CommRecord last_comm;                     // what a gap inside a step waited for
  Tick message_start = 0, message_end = 0;  // of the message that came last, before a step
};

void account_gap(const ComputeGap& gap, RankTimes& times);

}  // namespace moesim
