// Transfers of one rank that travel beside everything else: buckets of gradients, weights of the
// next layers.
//
// Each transfer has a duration alone and joins a first-in, first-out queue when it is ready. While
// no communication operation of the rank is under way the queue has the NIC to itself. An operation
// and the queue share it equally: with R of the queue's work waiting when an operation of duration
// d starts, the operation takes d + min(R, d), in the first 2 min(R, d) of which the queue moves at
// half its rate. What becomes ready while an operation is under way, or just as it starts, waits
// for its end: a rule that does not depend on the order in which two things at one moment are told.
//
// Left out: the other ends of a transfer. It starts when this rank is ready, as if its peers were
// too; that all ranks are there is checked once, at the end of the step (sim/optimizer_step).
#pragma once

#include "model/errors.hpp"
#include "model/units.hpp"

namespace moesim {

class BackgroundTraffic {
 public:
  // Work done in all, in ticks of the queue alone, when a transfer is complete.
  enum class Mark : Tick {};

  // A transfer becomes ready.
  Mark add(Tick now, Tick duration);
  // How long a communication operation takes that starts now and takes `alone` without the queue.
  Tick operation(Tick now, Tick alone);
  // When the transfer is complete if no further operation starts before; of one that is known to be
  // complete, some moment that has passed.
  Tick due(Mark mark) const;
  bool complete(Mark mark, Tick now) const { return due(mark) <= now; }
  // When all that was ever queued is complete, on the same condition.
  Tick all_due() const { return done_ == total_ ? emptied_ : due(Mark{total_}); }

 private:
  void settle(Tick now);  // no operation is under way

  Tick total_ = 0;                 // work ever queued
  Tick done_ = 0;                  // of it, at the start of the last operation or at the last look
  Tick since_ = 0;                 // when that was
  Tick shared_ = 0;                // work that the operation under way lets through
  Tick free_ = 0;                  // when that operation ends
  Tick emptied_ = 0;               // when the queue last became empty
  Tick fresh_ = 0, fresh_at_ = 0;  // work that became ready last, and when
};

}  // namespace moesim
