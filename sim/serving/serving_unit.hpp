// One unit of a pool: the engine of its attention ranks. Every rank has its queue, its batch and
// its KV pages (sim/serving/rank_engine); all ranks step together (experts lie over all of them),
// so a step is one event of the simulation. Between its steps the unit knows nothing of the cluster
// around it.
//
// A rank is chosen when a request arrives and kept: in a prefill unit the one with the fewest
// prompt tokens to compute, elsewhere the one with the fewest requests; with blocks and a prefix
// cache the one on which the fewest prompt tokens are left before the request's first token. Ties:
// the lowest rank.
//
// A step lasts what the StepClock says, plus EngineSpec::step_overhead, plus the slowest rank's
// swapping. Tokens are seen at its end. A unit whose requests all wait for cached prefixes from a
// tier takes empty steps of at most a millisecond, to see what arrives meanwhile.
//
// Sources: vLLM v1's scheduler, Sarathi-Serve (Agrawal et al. 2024) for chunked prefill, Orca (Yu
// et al. 2022) and static batches as baselines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/serving/serving_spec.hpp"
#include "sim/serving/request_log.hpp"
#include "sim/serving/step_time.hpp"

namespace moesim {

// A request on its way through the cluster. Whoever carries it between units changes `kv_arrived`
// and the units in its record, and leaves the rest as it is.
struct LiveRequest {
  RequestRecord record;
  Tick last_token = 0;         // when the last of `generated` was made
  std::int32_t generated = 0;  // output tokens that exist
  std::int32_t covered = 0;    // prompt tokens that were computed or found cached, ever
  bool kv_arrived = false;     // KV of all but its last token was computed elsewhere and is here
  std::int32_t prefill_rank = -1, prefill_slot = -1;  // of prefill_unit: holds the pages until they
                                                      // are fetched
  std::int32_t decode_rank = -1;                      // of decode_unit: where pages are reserved
};

struct UnitSettings {
  EngineSpec engine;
  PoolRole role = PoolRole::colocated;
  std::int64_t num_ranks = 1;  // attention ranks: dp
  std::int64_t pages = 0;      // of a rank
  std::int64_t page_tokens = 64;
  double watermark = 0.01;
  bool prefix_cache = false;
  std::int64_t block_tokens = 0;  // of Request::blocks
  std::vector<KvTier> tiers;
  Bytes kv_per_token;      // of an attention rank, for swapping and tiers
  std::uint64_t seed = 1;  // of accepted drafts
  // slo_aware: by when a class wants its first token, after arrival. [class]
  std::vector<Tick> first_token_deadline;
};

struct UnitCounters {
  std::int64_t steps = 0, preemptions = 0, swapped_pages = 0;
  std::int64_t prompt_tokens = 0;      // computed, recomputation included
  std::int64_t recomputed_tokens = 0;  // of those, for a second time
  std::int64_t cached_tokens = 0;      // found instead of computed
  std::int64_t output_tokens = 0;      // counted when a stretch of decoding ends, up to 512 late
  std::int64_t drafted_tokens = 0, accepted_tokens = 0;
  Tick busy = 0;                                // inside steps
  double kv_page_ticks = 0;                     // pages in use x time, summed over ranks
  double running_ticks = 0, waiting_ticks = 0;  // requests x time
  std::int64_t most_pages = 0;                  // in use at once on one rank
};

// What came out of a step. The records are complete but for the units' numbers; the cluster logs
// them (the unit logs token gaps only).
struct StepOutcome {
  std::vector<LiveRequest> prefilled;  // role prefill: first token made, KV waits to be fetched
  std::vector<LiveRequest> finished;   // served, or refused when their turn came
};

class ServingUnit {
 public:
  ServingUnit(const UnitSettings& settings,
              std::shared_ptr<const StepClock> clock,
              RequestLog& log);
  ~ServingUnit();
  ServingUnit(ServingUnit&&) noexcept;

  // A request joins the queue of the rank that suits it best. Refused (nothing happens, the reason
  // is returned) when it can never fit: longer than the context limit, or than a rank's pages.
  std::optional<Outcome> refusal(const Request& request) const;
  void add(const LiveRequest& request, Tick now);

  // Forms the next batch and returns when its step ends; nothing when there is nothing to do. A
  // unit steps one batch at a time: call it after each finish_step, and when the unit is not
  // stepping and a request was added or released or a reservation cancelled.
  std::optional<Tick> start_step(Tick now);
  const StepOutcome& finish_step(Tick now);  // valid until the next start_step
  bool stepping() const;

  // Decode role: pages and a place in a batch for a request whose KV is about to be fetched; false
  // when no rank has them now, or only one where requests wait (they were preempted, and go
  // first). The reservation becomes the request's when it is added.
  bool reserve(LiveRequest& request, Tick now);
  void cancel(LiveRequest& request, Tick now);  // it will not come
  // Prefill role: its KV was fetched; the pages are free (or stay as cached prefix).
  void release(const LiveRequest& request, Tick now);

  // The unit is lost: its requests, those running included, with nothing of their KV left. KV that
  // was waiting to be fetched and reservations are lost too: neither release nor cancel them.
  std::vector<LiveRequest> fail(Tick now);

  // For routers and scalers.
  std::int64_t num_waiting() const;
  std::int64_t num_running() const;
  std::int64_t outstanding_tokens() const;  // prompt tokens not computed yet
  std::int64_t pages_in_use() const;        // all ranks
  std::int64_t pages() const;
  std::int64_t cached_prefix_tokens(
      const Request& request) const;  // best rank's match, HBM or tier
  bool idle() const { return num_waiting() + num_running() == 0 && !stepping(); }
  // Time integrals in it are up to the last call that had a time.
  const UnitCounters& counters() const;
  // Recounts everything the slow way (ENSURE): for tests, and each 4096 steps of debug builds.
  void check() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moesim
