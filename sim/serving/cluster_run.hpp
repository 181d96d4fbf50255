// The run of a simulated cluster. For cluster.cpp (the loop and the way of a request),
// cluster_changes.cpp (failures, repairs and scaling) and no others.
#pragma once

#include <deque>
#include <vector>

#include "model/random.hpp"
#include "sim/event_queue.hpp"
#include "sim/serving/cluster.hpp"
#include "sim/serving/fleet.hpp"
#include "sim/serving/kv_transfer.hpp"
#include "sim/serving/scaler.hpp"

namespace moesim {

struct ClusterEvent {
  enum class Kind : std::uint8_t {
    step_end,      // of a unit
    transfer_end,  // of a passage
    unit_up,       // started or repaired
    chance_failure,
    stated_outage,
    decision,  // of a pool's scaler
  };
  Kind kind = Kind::step_end;
  std::uint32_t subject = 0;  // unit, passage or pool
  std::uint32_t epoch = 0;    // of the unit or passage when the event was planned
};

// A request between its prefill unit, which keeps its KV, and its decode unit.
struct Passage {
  LiveRequest live;
  Tick since = 0;           // first token, or loss of the decode unit it had
  std::uint64_t order = 0;  // of arrival here
  std::uint32_t epoch = 0;
  enum class State : std::uint8_t { unused, waiting, moving } state = State::unused;
};

class ClusterRun {
 public:
  ClusterRun(const ServingSpec& spec,
             RequestSource& source,
             const std::vector<PoolModel>& models,
             RequestLog& log,
             const ServingOptions& options);
  ServingResult run();

 private:
  // The loop.
  void pass_time(Tick now);
  void handle(const ClusterEvent& event);
  void begin_steps();
  void touch(std::size_t unit);
  bool something_is_coming() const { return stepping_ + moving_ + returning_ > 0; }

  // The way of a request.
  void arrive(const Request& request);
  // Which pools can never serve it; why, when none can.
  std::optional<Outcome> find_refusals(const Request& request);
  void enter(const LiveRequest& live);
  void enter_unit(std::size_t unit, const LiveRequest& live);
  void end_step(std::size_t unit);
  void start_passage(const LiveRequest& live);
  std::span<const std::uint8_t> decode_refusals(const Passage& passage);
  bool place(std::uint32_t passage);
  bool reserve(std::uint32_t passage, std::size_t unit);
  void fill(std::size_t unit);  // with those that wait for room in decode units
  void end_transfer(std::uint32_t passage);
  void free_passage(std::uint32_t passage);
  void complete(const RequestRecord& record);
  void lose(LiveRequest live);
  void check_end();

  // Changes of units.
  void plan_changes();
  void unit_up(std::size_t unit);
  void serve_with(std::size_t unit);
  void fail(std::size_t unit);
  void lose_kv(std::size_t unit, std::vector<LiveRequest>& victims);
  void send_elsewhere(std::size_t unit);
  void lose_hopeless();  // who waits for units that are gone
  void decide(std::size_t pool);
  PoolLoad load_of(std::size_t pool);
  void adjust(std::size_t pool);  // to the units that are wanted
  void start(std::size_t unit);
  void stop_when_empty(std::size_t unit);
  void stop(std::size_t unit);

  ClusterSums sums();

  const ServingSpec& spec_;
  RequestSource& source_;
  RequestLog& log_;
  const ServingOptions& options_;
  const std::vector<PoolModel>& models_;
  const PoolRole entry_role_;
  const std::int64_t num_decode_pools_;
  Fleet fleet_;
  TransferPorts ports_;
  ServingSeries series_;
  EventQueue<ClusterEvent> events_;
  Tick now_ = 0;
  ServingResult result_;
  ClusterSums sums_;  // but for what pools count themselves
  std::vector<std::uint32_t> touched_;
  std::vector<std::uint8_t> refused_by_;  // [pool]
  std::vector<std::int64_t> uncached_;    // [unit]
  std::deque<LiveRequest> unrouted_;      // no unit is up
  std::vector<Passage> passages_;
  std::vector<std::uint32_t> free_passages_;
  std::deque<std::uint32_t> unplaced_;  // passages that wait for room, in order
  std::uint64_t passages_begun_ = 0;
  Tick transfer_latency_ = 0;
  bool some_are_gone_ = false;
  // Units inside a step, passages on the wire, units that start or are repaired.
  std::int64_t stepping_ = 0, moving_ = 0, returning_ = 0;

  struct PoolControl {
    Scaler scaler;
    std::int64_t wanted = 0;
    std::int64_t arrivals_seen = 0, prompt_tokens_seen = 0;  // at the last decision
    std::vector<ScalerDecision> decisions;
  };
  std::vector<PoolControl> control_;
  std::vector<Random> failures_;  // [unit]
};

}  // namespace moesim
