// Where the time of a whole run goes: useful steps, and what is lost to what. One RunTimes is one
// run, or the expectation over runs (sim/goodput); it always adds up to the wall time.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/operations.hpp"

namespace moesim {

enum class LostTo : std::uint8_t {
  detection,    // from a failure until it is found
  swap,         // bringing a spare node in
  spare_wait,   // no spare is left: until a repaired node is back
  restart,      // rescheduling, loading the checkpoint, warming up; failed attempts included
  recomputed,   // steps and pauses since the checkpoint that the run went back to
  checkpoint,   // training stopped to write or copy one
  evaluation,   // pauses
  stragglers,   // steps being slower than simulated
  maintenance,  // planned pauses
};
inline constexpr std::size_t kNumLost = static_cast<std::size_t>(LostTo::maintenance) + 1;
struct LostName {
  const char *key, *title;
};
inline constexpr std::array<LostName, kNumLost> kLostNames = {
    {{"detection_s", "finding failures"},
     {"swap_s", "swapping nodes"},
     {"spare_wait_s", "waiting for repaired nodes"},
     {"restart_s", "restarting"},
     {"recomputed_s", "steps computed again"},
     {"checkpoint_s", "checkpoint pauses"},
     {"evaluation_s", "evaluation pauses"},
     {"stragglers_s", "slow nodes"},
     {"maintenance_s", "planned maintenance"}}};

struct RunTimes {
  Seconds ideal;  // all steps as simulated, once
  std::array<Seconds, kNumLost> lost{};
  double interruptions = 0;  // by failures

  Seconds& operator[](LostTo cause) { return lost[static_cast<std::size_t>(cause)]; }
  Seconds operator[](LostTo cause) const { return lost[static_cast<std::size_t>(cause)]; }
  Seconds wall() const;
  // Steps at the pace they really had, once: what is called useful training time.
  Seconds trained() const { return ideal + (*this)[LostTo::stragglers]; }
};

struct ComponentInterruptions {
  std::string component;
  FailureUnit per = FailureUnit::gpu;
  double units = 0;
  Seconds mtbf;         // of one unit
  double expected = 0;  // interruptions of the run
};

struct CheckpointFacts {
  Bytes size;
  Seconds pause, write, load;
  double steps = 0;            // of the first phase between two checkpoints
  Seconds work;                // the same as time, pauses not counted
  double written = 0;          // over the run, steps computed again not counted
  Seconds young, daly, exact;  // work between checkpoints that costs least; 0 without failures
};

struct OperationsResult {
  RunTimes expected;
  std::vector<RunTimes> samples;  // of runs drawn by chance (sim/goodput_sampling); may be empty
  std::vector<ComponentInterruptions> components;
  Seconds mtbf;  // of the run; 0 when nothing fails
  std::optional<CheckpointFacts> checkpoint;
  double slowest_node = 1;  // compute time of the slowest node over that of a simulated one
  double gpus_paid = 0;     // spares included
  std::string refusal;      // not empty: the run would not come to an end; no times are set
};

// What people ask about a whole run, as keys of the JSON document.
struct RunNumber {
  const char* key;
  double highest;  // that makes sense
  double (*of)(const OperationsResult& result, const RunTimes& times, DollarRate price);
};
inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();
inline constexpr std::array<RunNumber, 6> kRunNumbers = {
    {{"wall_time_s",
      kUnbounded,
      [](const OperationsResult&, const RunTimes& t, DollarRate) { return t.wall().in(s); }},
     {"effective_training_time_ratio",
      1,
      [](const OperationsResult&, const RunTimes& t, DollarRate) {
        return t.trained() / t.wall();
      }},
     {"goodput",
      1,
      [](const OperationsResult&, const RunTimes& t, DollarRate) { return t.ideal / t.wall(); }},
     {"interruptions",
      kUnbounded,
      [](const OperationsResult&, const RunTimes& t, DollarRate) { return t.interruptions; }},
     {"gpu_hours_with_interruptions",
      kUnbounded,
      [](const OperationsResult& r, const RunTimes& t, DollarRate) {
        return r.gpus_paid * t.wall().in(hour);
      }},
     {"cost_with_interruptions_usd",
      kUnbounded,
      [](const OperationsResult& r, const RunTimes& t, DollarRate price) {
        return (price * (r.gpus_paid * t.wall())).in(USD);
      }}}};

}  // namespace moesim
