// The engine of one attention rank: its queue, its batch, its KV pages.
//
// What a step does (vLLM v1): requests that run go first, a token each and their drafts; then
// prompts that were begun, in the order of their admission; then the queue, as long as its first
// request fits (nobody is passed over), within max_batch_tokens and max_requests. At the end of the
// step that computes the last of a prompt, the request has its first token.
//
// Where this differs from vLLM v1, for being predictable or cheap:
//   - a prompt's pages are all taken when it is admitted, with the watermark of vLLM v0, so prompts
//     never stop half-way for want of pages;
//   - requests that decode come before begun prompts even where long_prefill_tokens would let a
//     prompt go first, and no more run than one step can advance (max_batch_tokens / (1 + drafts));
//   - without chunked prefill a prompt longer than max_batch_tokens (after a preemption it may be)
//     is the only prompt of its step, and exceeds it.
//
// Pages. A step writes KV of a request's last token and of its drafts; a request needs a page when
// they do not fit its pages, and then, if none is free, the last admitted one is preempted (under
// `priority`: the last admitted of the least urgent), if need be itself; nobody is admitted in such
// a step unless the batch would be empty. Preempted requests return to the front of the queue:
//   recompute  all KV is dropped; prompt and generated tokens are a prompt then
//   swap       KV of decoding requests goes to the first tier, if it has room, and comes back when
//              the request is admitted; the rank's step waits for both, which come before it (vLLM
//              v0). Prompts are recomputed.
// Swapped pages and cached blocks do not compete: each may fill the tier.
// Orca and static batches take the pages of a request's whole length at admission (the paged form
// of their contiguous reservation, with a known length), so they never preempt.
//
// A static batch is formed when the last one is done: one step of whole prompts, then decoding
// until the longest is done. Those done earlier have delivered their tokens; they keep their slots,
// pages and share of the work (their context does not grow any more), but not of max_batch_tokens.
//
// A hit in a tier delays the prompt: its pages are taken, but it is computed from the first step
// that begins after the blocks came (latency, and bandwidth shared with earlier fetches). A block
// that is on its way counts as there for others.
//
// How it is cheap. A request decodes in stretches, to its end or for a few hundred tokens. When one
// begins it is known in which steps the request needs a page, and these are counted on the wheel;
// so a step takes its rank's due pages as one number, and looks at single requests only where a
// stretch ends or pages are short. The batch's context grows by a sum that is kept.
//
// Speculation: the steps of a stretch are drawn exactly (sim/serving/accepted_drafts). Within it
// the tokens are spread evenly over the steps, and those that came with others (their gap is 0) are
// reported, and output tokens counted, when it ends; a preemption draws the rest anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sim/serving/accepted_drafts.hpp"
#include "sim/serving/kv_pages.hpp"
#include "sim/serving/serving_unit.hpp"
#include "sim/serving/step_wheel.hpp"
#include "sim/serving/wait_queue.hpp"

namespace moesim {

// Tokens of a stretch at most; the wheel has a row for each.
inline constexpr std::int32_t kMostStretch = 512;

// What the ranks of a unit have in common.
struct RankContext {
  explicit RankContext(const UnitSettings& unit);
  UnitSettings settings;
  AcceptedDrafts drafts;
  Random random;
  UnitCounters counters;
  StepOutcome outcome;  // of the step in progress
  StepWheel wheel;
  std::int64_t step = 0;  // in progress, or the next one
  Tick last_step_end = 0;
  std::int64_t draft_tokens = 0;  // 0 where nothing is decoded
  std::int64_t most_running = 0;  // requests
  std::int64_t watermark_pages = 0;
  bool whole_prompts = false, whole_length_pages = false;
  std::int64_t blocks_per_cached_block = 1;  // the cache keeps or drops at least a page
  std::int64_t cached_block_tokens = 0;      // 0: no cache
};

// Token gaps that a rank saw in a step, beside those it reported itself.
struct RankGaps {
  std::int64_t steady = 0;  // requests whose last token came with the step before
  std::int64_t burst = 0;   // further tokens of the same steps: no gap
};

class RankEngine {
 public:
  RankEngine(RankContext& context, std::int32_t rank);

  void add(const LiveRequest& request);
  bool takes_reservations() const;  // a place is free, and nobody waits for it
  bool reserve(LiveRequest& request);
  void cancel(LiveRequest& request);
  void release(const LiveRequest& request);

  void form(Tick now, RankBatch& batch);
  void finish(Tick now, RequestLog& log, RankGaps& gaps);
  // The same for a step in which nothing happens but decoding and taking pages, inlined. False,
  // with nothing done, when there is more to do.
  bool form_quietly(RankBatch& batch, std::int64_t& pages_taken);
  bool finish_quietly(RankGaps& gaps);
  Tick swap_time() const;                  // of the batch formed
  std::optional<Tick> next_fetch() const;  // when the next prompt that waits for a tier has it
  // Hands over every request; the rank is of no use then. Returns the burst gaps not reported yet.
  std::int64_t lose(std::vector<LiveRequest>& lost);

  std::int64_t num_waiting() const {
    return static_cast<std::int64_t>(queue_.size() + ready_.size());
  }
  std::int64_t num_running() const { return static_cast<std::int64_t>(running_.size()); }
  std::int64_t num_requests() const { return num_waiting() + num_running() + reserved_; }
  std::int64_t num_decoding() const { return num_decoding_ - num_padding_; }
  std::int64_t outstanding_tokens() const { return outstanding_; }
  const KvPages& pages() const { return pages_; }
  std::int64_t cached_tokens(const Request& request) const;
  void check() const;

 private:
  enum class State : std::uint8_t {
    unused,
    waiting,   // in the queue
    ready,     // its KV is here, on reserved pages
    prompt,    // running: begun, not all computed
    pending,   // running: decodes once it has the pages for its next step
    decoding,  // running: on the wheel
    padding,   // of a static batch that is not done yet
    held       // prefilled: waits to be fetched
  };
  struct Slot {  // what decoding touches: a cache line
    WheelLink link;
    std::int32_t context = 0;  // tokens in the KV cache, when the stretch began
    std::int32_t generated = 0, output = 0;
    std::int32_t capacity = 0;  // tokens that its pages hold; those of the stretch not counted
    std::int32_t pages = 0;     // its own
    AcceptedDrafts::Stretch stretch;   // of decoding
    std::int32_t tokens_per_step = 0;  // in it, in 2^-16
    std::int32_t place = 0;            // in running_
    std::int32_t stretch_pages = 0;    // that it needs after its first step
    State state = State::unused;
    bool has_kv = false;  // of all but its last token; here, or swapped
    bool swapped = false;
    bool fresh = false;      // has not decoded since it joined
    bool paid = false;       // has the pages it needs for this step; while pages are short
    std::int64_t begin = 0;  // step
  };
  static_assert(sizeof(Slot) == 64);
  struct Details {
    LiveRequest live;
    std::int64_t order = 0;  // of admission
    std::int32_t prompt = 0,
                 done = 0;         // tokens to have in the cache before the next token; of them
    std::int32_t outstanding = 0;  // tokens of it in outstanding_
    std::int32_t next_block = 0;   // first of the prompt that the cache has not been offered
    bool started = false;
    Tick fetched_at = 0;
    std::vector<std::int32_t> blocks;  // handles of the prefix cache
  };
  struct Chunk {
    std::int32_t slot, tokens;
  };
  // What a prompt takes to be admitted.
  struct Admission {
    std::int64_t cached = 0;  // tokens
    std::int64_t own_pages = 0;
    std::int64_t free_pages = 0;  // all of its pages but hits that other requests use too
    std::int64_t block_hits = 0;
    std::vector<std::int64_t> in_tiers;
  };

  std::int32_t new_slot(const LiveRequest& request);
  void free_slot(std::int32_t slot);
  std::int64_t sort_key(const Request& request) const;
  void set_outstanding(std::int32_t slot, std::int64_t tokens);
  std::int64_t waiting_tokens(std::int32_t slot) const;
  void enter_running(std::int32_t slot, State state);
  void leave_running(std::int32_t slot);
  void free_pages(std::int32_t slot);
  void take_pages(std::int32_t slot, std::int64_t pages);
  bool room_for(std::int64_t pages) const;

  // Decoding.
  template <class Visit>
  void for_pages_due(const Slot& slot, Visit&& visit) const;  // visit(step), for each page
  std::int64_t pages_due_now(const Slot& slot) const;
  void begin_stretch(std::int32_t slot);
  void end_stretch(std::int32_t slot, std::int64_t steps);
  std::int64_t missing_pages(const Slot& slot) const;
  bool continue_decoding();  // true when somebody was preempted
  bool share_scarce_pages();
  std::int32_t victim() const;
  void in_order_of_admission(std::vector<std::int32_t>& slots) const;
  void preempt(std::int32_t slot);
  void finish_request(std::int32_t slot, Tick now);
  void end_static_batch();

  // Prompts.
  std::vector<std::uint32_t> cached_identities(const Request& request, std::int64_t blocks) const;
  // Blocks, as the cache keeps them, that the first `tokens` of a request's input fill.
  std::int64_t full_blocks(const Request& request, std::int64_t tokens) const;
  std::int64_t pages_to_admit(std::int32_t slot) const;
  Admission admission(std::int32_t slot, std::int64_t pages) const;
  std::int64_t chunk_of(std::int64_t uncomputed, std::int64_t budget) const;
  void continue_prompts(Tick now, std::int64_t& budget, RankBatch& batch);
  void admit_waiting(Tick now, std::int64_t& budget, RankBatch& batch);
  bool admit_with_kv(std::int32_t slot, Tick now, std::int64_t& budget);
  bool admit_prompt(std::int32_t slot, Tick now, std::int64_t& budget, RankBatch& batch);
  void refuse(std::int32_t slot, Tick now);
  void start_fetch(std::int32_t slot, Tick now, const std::vector<std::int64_t>& in_tiers);
  void schedule_chunk(std::int32_t slot, std::int64_t tokens, Tick now, RankBatch& batch);
  void finish_chunk(const Chunk& chunk, Tick now, RequestLog& log);

  RankContext& shared_;
  std::int32_t rank_;
  bool quiet_ = true;    // nothing but decoding in the batch, nobody waits
  bool formed_ = false;  // the step in progress has its pages
  std::int64_t num_decoding_ = 0, num_padding_ = 0;  // padding included in the former
  std::int64_t decode_context_ = 0;                  // of them, in 2^-16 tokens
  std::int64_t decode_growth_ = 0;                   // of it, a step
  KvPages pages_;
  std::vector<Slot> slots_;
  std::vector<Details> details_;  // [slot]
  std::vector<std::int32_t> free_slots_;
  WaitQueue queue_;
  std::vector<std::int32_t> ready_;    // join in the next step
  std::int64_t reserved_ = 0;          // requests
  std::int64_t reserved_pages_ = 0;    // of them; taken from pages_
  std::vector<std::int32_t> running_;  // in no order
  std::vector<std::int32_t> pending_;
  std::vector<std::int32_t> prompts_;  // in order of admission
  std::vector<std::int32_t> late_;     // whose gap in this step is their own
  std::vector<std::int32_t> done_;     // in the step that ends
  std::vector<Chunk> chunks_;          // of this step
  std::int64_t admitted_ = 0;
  std::int64_t outstanding_ = 0;
  std::int64_t burst_ = 0;                         // since the last finish
  std::int64_t swapped_out_ = 0, swapped_in_ = 0;  // pages, this step
  std::int64_t pages_in_swap_ = 0, swap_capacity_ = 0;
  std::vector<Tick> tier_free_;         // when its earlier fetches are done
  static constexpr int kFraction = 16;  // bits after the point of decode_context_
};

inline bool RankEngine::form_quietly(RankBatch& batch, std::int64_t& pages_taken) {
  if (!quiet_) return false;
  StepWheel::Cell& cell = shared_.wheel.at(shared_.step, rank_);
  if (cell.first != kNoSlot) {
    // Its slot is not in the cache of the CPU any more, and finish() wants it: worth a fifth of a
    // large unit's time.
    __builtin_prefetch(&slots_[cell.first]);
    const char* const details = reinterpret_cast<const char*>(&details_[cell.first]);
    for (std::size_t line = 0; line < sizeof(Details); line += 64)
      __builtin_prefetch(details + line);
  }
  const std::int32_t due = cell.pages_due;
  if (due > 0) {
    if (due > pages_.available()) return false;
    pages_.take(due);
    cell.pages_due = 0;
    pages_taken += due;
    shared_.counters.most_pages = std::max(shared_.counters.most_pages, pages_.in_use());
  }
  formed_ = true;
  if (batch.prefill_requests > 0) batch = RankBatch{};
  batch.decode_requests = num_decoding_;
  batch.decode_context = decode_context_ >> kFraction;
  return true;
}

inline bool RankEngine::finish_quietly(RankGaps& gaps) {
  if (!quiet_ || shared_.wheel.at(shared_.step, rank_).first != kNoSlot) return false;
  formed_ = false;
  decode_context_ += decode_growth_;
  gaps.steady += num_decoding();
  return true;
}

// Before step `begin + i` the cache has `context + tokens_per_step * i` tokens, rounded down.
template <class Visit>
void RankEngine::for_pages_due(const Slot& s, Visit&& visit) const {
  std::int64_t grown = s.capacity - shared_.draft_tokens - s.context;  // when the next is needed
  const std::int64_t page = pages_.page_tokens();
  if (s.stretch.tokens == s.stretch.steps) {
    for (; grown < s.stretch.steps; grown += page) visit(s.begin + grown);
    return;
  }
  const auto a_step = static_cast<std::uint32_t>(s.tokens_per_step);
  for (; grown < s.stretch.tokens; grown += page) {  // so small that 32 bits hold it
    const std::int64_t steps =
        ((static_cast<std::uint32_t>(grown) << kFraction) + a_step - 1) / a_step;
    if (steps >= s.stretch.steps) return;
    visit(s.begin + steps);
  }
}

}  // namespace moesim
