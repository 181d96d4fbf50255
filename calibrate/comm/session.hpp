// One rank's share of a measurement: what all benchmarks have in common. A trial is verified, timed
// and verified again:
//
//   verified  send buffers filled and receive buffers poisoned, one run, every word compared; the
//             complaint of any rank stops all
//   timed     after warm-up runs, `repeats` times: all ranks aligned by an all-reduce of 4 bytes on
//             the stream, then the run, between two moments on the stream
//   sample    the longest of all ranks; a point is the median of the samples with p10 and p90
//
// The clock of a rank starts when it leaves the all-reduce, which ranks do not do at quite the same
// moment. The first to leave waits for the others, so a sample is longer by up to that spread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/comm/bootstrap.hpp"
#include "calibrate/comm/rank_map.hpp"
#include "calibrate/comm/transport.hpp"
#include "calibrate/point.hpp"

namespace moesim::comm {

struct CommOptions {
  std::vector<std::string> only;     // benchmarks; empty: all
  std::int64_t max_bytes = 1 << 30;  // largest message, and largest buffer of a rank
  std::int64_t max_tokens = 8192;    // of a rank
  std::int64_t num_experts = 256, top_k = 8, hidden = 7168;  // DeepSeek-V3
  double zipf = 0.5;                                         // exponent of the skewed routings
  int repeats = 20, warm_ups = 3;
  std::uint64_t seed = 1;                      // of routings
  std::optional<std::chrono::seconds> budget;  // no trial begins later than this
};

// Times of the ranks that took part: the middle of each one's samples.
struct RankSpread {
  Seconds fastest, median, slowest;
};

struct Measured {
  Timing timing;
  RankSpread ranks;
  std::optional<Timing> beside;  // of what ran on the compute stream
};

struct Trial {
  std::string op;  // a case
  Shape shape;
  std::int64_t sms = 0;            // blocks that communication may use; 0: as many as it likes
  std::vector<std::string> flags;  // of the point: kept, not fitted
  JsonValue::Object note;

  bool takes_part = true;  // whether this rank has anything to do in it
  double parts = 1;        // a run is so many times what is measured
  std::function<void(std::int64_t iteration)> prepare;
  std::function<void()> run;
  std::function<void()> run_verified;  // in its place while verifying; absent: run
  std::function<std::optional<std::string>(std::int64_t iteration)> check;  // a complaint
  // Before it, where what is checked last was made of what had arrived: so that the rank to which
  // wrong data came is named, not one to which it passed them on.
  std::function<std::optional<std::string>(std::int64_t iteration)> check_first;
  std::function<void()> beside;  // work for the compute stream, started with the run; may be absent

  std::vector<std::string> cells;  // of its line in the report, before the times ...
  std::function<std::vector<std::string>(const Measured&)> more_cells;  // ... and after them
};

// Where results go: on rank 0 alone.
class Results {
 public:
  virtual ~Results() = default;
  virtual void add(const Trial& trial, const Measured& measured) = 0;
  virtual void leave_out() = 0;  // a trial that would have needed too much memory
  virtual void stop() = 0;       // the budget is spent
};

class RoutingCache;

class Session {
 public:
  // results: nullptr on all ranks but 0. routings: shared by the ranks of a process.
  Session(Bootstrap& bootstrap,
          Transport& transport,
          const RankMap& map,
          const CommOptions& options,
          RoutingCache& routings,
          Results* results);

  Transport& transport() { return transport_; }
  const RankMap& map() const { return map_; }
  const CommOptions& options() const { return options_; }
  int place() const { return place_; }
  Group& world() { return *world_; }
  RoutingCache& routings() { return routings_; }
  int rank_at(int place) const { return map_.rank_of_place(place); }
  std::string sender_text(int place) const { return "rank " + std::to_string(rank_at(place)); }

  // Verifies, times, verifies and reports; nothing once the budget is spent.
  std::optional<Measured> run(const Trial& trial);
  // Only times.
  Measured time(const Trial& trial);
  bool stopped() const { return stopped_; }
  // What would need more memory than the options allow is counted, not forgotten.
  void leave_out() {
    if (results_ != nullptr) results_->leave_out();
  }

  // 2^k x first, up to the largest message.
  std::vector<std::int64_t> sizes(std::int64_t first) const;

 private:
  bool may_begin();
  void verify(const Trial& trial, std::int64_t iteration);

  Bootstrap& bootstrap_;
  Transport& transport_;
  const RankMap& map_;
  CommOptions options_;
  RoutingCache& routings_;
  Results* results_;
  int place_;
  std::unique_ptr<Group> world_;
  std::chrono::steady_clock::time_point began_;
  bool stopped_ = false;
};

// Of unsorted samples; the quantiles are samples themselves.
Timing timing_of(std::vector<Seconds> samples);

}  // namespace moesim::comm
