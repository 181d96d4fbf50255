#include "sim/serving/rank_engine.hpp"

#include <algorithm>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
RankContext::RankContext(const UnitSettings& unit)
    : settings(unit),
      drafts(unit.engine.acceptance),
      random(unit.seed),
      wheel(kMostStretch, unit.num_ranks) {
  const EngineSpec& engine = settings.engine;
  ENSURE(engine.max_requests >= 1 && engine.max_batch_tokens >= 1);
  ENSURE(settings.num_ranks >= 1 && settings.pages >= 1 && settings.page_tokens >= 1);
  ENSURE(engine.preemption != Preemption::swap || !settings.tiers.empty());
  draft_tokens = settings.role == PoolRole::prefill ? 0 : engine.draft_tokens();
  most_running = std::clamp(
      engine.max_batch_tokens / (1 + draft_tokens), std::int64_t{1}, engine.max_requests);
  watermark_pages =
      static_cast<std::int64_t>(settings.watermark * static_cast<double>(settings.pages));
  whole_prompts = engine.batching != Batching::continuous || !engine.chunked_prefill;
  whole_length_pages =
      engine.batching != Batching::continuous && settings.role != PoolRole::prefill;
  if (settings.prefix_cache && settings.block_tokens > 0) {
    blocks_per_cached_block =
        (settings.page_tokens + settings.block_tokens - 1) / settings.block_tokens;
    cached_block_tokens = blocks_per_cached_block * settings.block_tokens;
  }
}

RankEngine::RankEngine(RankContext& context, std::int32_t rank)
    : shared_(context),
      rank_(rank),
      pages_(context.settings.pages, context.settings.page_tokens),
      queue_(context.settings.engine.policy),
      tier_free_(context.settings.tiers.size(), 0) {
  const UnitSettings& settings = context.settings;
  if (!settings.tiers.empty())
    swap_capacity_ = static_cast<std::int64_t>(
        settings.tiers.front().capacity /
        (static_cast<double>(settings.page_tokens) * settings.kv_per_token));
  if (context.cached_block_tokens == 0) return;
  std::vector<std::int64_t> tier_blocks;
  for (const KvTier& tier : settings.tiers)
    tier_blocks.push_back(static_cast<std::int64_t>(
        tier.capacity /
        (static_cast<double>(context.cached_block_tokens) * settings.kv_per_token)));
  pages_.add_cache(PrefixCache(std::move(tier_blocks)), context.cached_block_tokens);
}

// Requests come and go.

std::int32_t RankEngine::new_slot(const LiveRequest& request) {
  std::int32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<std::int32_t>(slots_.size());
    slots_.emplace_back();
    details_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  const Request& wanted = request.record.request;
  Slot& s = slots_[slot];
  s = Slot{};
  s.generated = request.generated;
  s.output = wanted.output_tokens;
  s.has_kv = request.kv_arrived;
  s.fresh = true;
  Details& d = details_[slot];
  d.live = request;
  d.prompt = wanted.input_tokens + request.generated;
  d.done = d.outstanding = d.next_block = 0;
  d.started = false;
  return slot;
}

void RankEngine::free_slot(std::int32_t slot) {
  slots_[slot].state = State::unused;
  free_slots_.push_back(slot);
}

std::int64_t RankEngine::sort_key(const Request& request) const {
  switch (shared_.settings.engine.policy) {
    case Policy::fcfs: return 0;
    case Policy::priority: return request.priority;
    case Policy::shortest_prompt: return request.input_tokens;
    case Policy::slo_aware: {
      const auto& deadlines = shared_.settings.first_token_deadline;
      ENSURE(request.slo_class >= 0 &&
             static_cast<std::size_t>(request.slo_class) < deadlines.size());
      return request.arrival + deadlines[request.slo_class];
    }
  }
  return 0;
}

void RankEngine::add(const LiveRequest& request) {
  quiet_ = false;
  const std::int32_t slot = new_slot(request);
  Slot& s = slots_[slot];
  if (s.has_kv) {
    ENSURE(s.generated >= 1 && s.generated < s.output);
    s.context = details_[slot].prompt - 1;
    details_[slot].done = details_[slot].prompt;
  }
  if (request.decode_rank >= 0) {
    ENSURE(request.decode_rank == rank_ && s.has_kv && reserved_ > 0);
    const std::int64_t pages = pages_.pages_for(s.context);
    s.pages = static_cast<std::int32_t>(pages);
    s.capacity = static_cast<std::int32_t>(pages * pages_.page_tokens());
    s.state = State::ready;
    --reserved_;
    reserved_pages_ -= pages;
    ready_.push_back(slot);
  } else {
    s.state = State::waiting;
    set_outstanding(slot, waiting_tokens(slot));
    queue_.push(slot, sort_key(request.record.request));
  }
}

bool RankEngine::takes_reservations() const {
  return queue_.empty() && num_requests() < shared_.most_running;
}

bool RankEngine::reserve(LiveRequest& request) {
  if (!takes_reservations()) return false;
  const std::int64_t pages =
      pages_.pages_for(request.record.request.input_tokens + request.generated - 1);
  if (!room_for(pages)) return false;
  pages_.take(pages);
  ++reserved_;
  reserved_pages_ += pages;
  request.decode_rank = rank_;
  return true;
}

void RankEngine::cancel(LiveRequest& request) {
  const std::int64_t pages =
      pages_.pages_for(request.record.request.input_tokens + request.generated - 1);
  ENSURE(reserved_ > 0 && reserved_pages_ >= pages);
  --reserved_;
  reserved_pages_ -= pages;
  pages_.give(pages);
  request.decode_rank = -1;
}

void RankEngine::release(const LiveRequest& request) {
  const std::int32_t slot = request.prefill_slot;
  ENSURE(slot >= 0 && static_cast<std::size_t>(slot) < slots_.size() &&
         slots_[slot].state == State::held &&
         details_[slot].live.record.request.id == request.record.request.id);
  free_pages(slot);
  free_slot(slot);
}

void RankEngine::enter_running(std::int32_t slot, State state) {
  slots_[slot].state = state;
  slots_[slot].place = static_cast<std::int32_t>(running_.size());
  running_.push_back(slot);
  details_[slot].order = ++admitted_;
}

void RankEngine::leave_running(std::int32_t slot) {
  const std::int32_t place = slots_[slot].place;
  running_[place] = running_.back();
  slots_[running_[place]].place = place;
  running_.pop_back();
}

// Pages.

bool RankEngine::room_for(std::int64_t pages) const {
  // A rank that holds nothing has nothing to keep pages free for.
  const std::int64_t kept = pages_.in_use() == 0 ? 0 : shared_.watermark_pages;
  return pages + kept <= pages_.available();
}

void RankEngine::take_pages(std::int32_t slot, std::int64_t pages) {
  pages_.take(pages);
  slots_[slot].pages += static_cast<std::int32_t>(pages);
  slots_[slot].capacity += static_cast<std::int32_t>(pages * pages_.page_tokens());
}

void RankEngine::free_pages(std::int32_t slot) {
  Slot& s = slots_[slot];
  pages_.give(s.pages);
  s.pages = s.capacity = 0;
  if (pages_.cache()) pages_.cache()->release(details_[slot].blocks);
}

void RankEngine::finish_request(std::int32_t slot, Tick now) {
  Slot& s = slots_[slot];
  LiveRequest& live = details_[slot].live;
  live.generated = s.generated;
  live.last_token = live.record.finished = now;
  shared_.outcome.finished.push_back(live);
  if (shared_.settings.engine.batching == Batching::static_batch &&
      shared_.settings.role != PoolRole::prefill) {
    s.state = State::padding;
    ++num_decoding_;
    ++num_padding_;
    decode_context_ += static_cast<std::int64_t>(s.context) << kFraction;
    return;
  }
  free_pages(slot);
  leave_running(slot);
  free_slot(slot);
}

void RankEngine::end_static_batch() {
  in_order_of_admission(running_);
  for (const std::int32_t slot : running_) {
    decode_context_ -= static_cast<std::int64_t>(slots_[slot].context) << kFraction;
    free_pages(slot);
    free_slot(slot);
  }
  num_decoding_ -= num_padding_;
  num_padding_ = 0;
  running_.clear();
}

// Steps.

void RankEngine::form(Tick now, RankBatch& batch) {
  batch = RankBatch{};
  quiet_ = false;
  swapped_out_ = swapped_in_ = 0;
  const bool in_batch = !running_.empty();
  const bool preempted = continue_decoding();
  std::int64_t budget =
      shared_.settings.engine.max_batch_tokens - num_decoding() * (1 + shared_.draft_tokens);
  continue_prompts(now, budget, batch);
  const bool closed = in_batch && shared_.settings.engine.batching == Batching::static_batch;
  if (!closed && (!preempted || (num_decoding_ == 0 && chunks_.empty())))
    admit_waiting(now, budget, batch);
  batch.decode_requests = num_decoding_;
  batch.decode_context = decode_context_ >> kFraction;
}

void RankEngine::finish(Tick now, RequestLog& log, RankGaps& gaps) {
  const auto late = static_cast<std::int64_t>(late_.size());
  gaps.steady += num_decoding() - late;
  shared_.counters.drafted_tokens += late * shared_.draft_tokens;
  decode_context_ += decode_growth_;
  for (const std::int32_t slot : late_)
    log.token_gaps(now, now - details_[slot].live.last_token, 1);
  late_.clear();
  StepWheel::Cell& cell = shared_.wheel.at(shared_.step, rank_);
  for (std::int32_t slot = std::exchange(cell.first, kNoSlot); slot != kNoSlot;
       slot = slots_[slot].link.next) {
    end_stretch(slot, slots_[slot].stretch.steps);
    (slots_[slot].generated == slots_[slot].output ? done_ : pending_).push_back(slot);
  }
  if (done_.size() > 1) in_order_of_admission(done_);  // the prefix cache sees who lets go last
  for (const std::int32_t slot : done_) finish_request(slot, now);
  done_.clear();
  for (const Chunk& chunk : chunks_) finish_chunk(chunk, now, log);
  chunks_.clear();
  if (num_padding_ > 0 && num_padding_ == num_running()) end_static_batch();
  swapped_out_ = swapped_in_ = 0;
  gaps.burst += std::exchange(burst_, 0);
  formed_ = false;
  quiet_ = pending_.empty() && ready_.empty() && prompts_.empty() && queue_.empty();
}

Tick RankEngine::swap_time() const {
  if (swapped_out_ + swapped_in_ == 0) return 0;
  const UnitSettings& settings = shared_.settings;
  const KvTier& tier = settings.tiers.front();
  const Bytes moved = static_cast<double>((swapped_out_ + swapped_in_) * settings.page_tokens) *
                      settings.kv_per_token;
  const double directions = (swapped_out_ > 0) + (swapped_in_ > 0);
  return to_tick(directions * tier.latency + moved / tier.bandwidth);
}

std::int64_t RankEngine::lose(std::vector<LiveRequest>& lost) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    if (s.state == State::unused || s.state == State::held || s.state == State::padding) continue;
    LiveRequest& live = details_[i].live;
    if (s.state == State::decoding) {
      const bool stepped = std::find(late_.begin(), late_.end(), i) == late_.end();
      end_stretch(static_cast<std::int32_t>(i), shared_.step - s.begin);
      if (stepped) live.last_token = shared_.last_step_end;
    } else if (s.state == State::pending && !s.fresh) {
      live.last_token = shared_.last_step_end;
    }
    live.generated = s.generated;
    live.kv_arrived = false;
    live.prefill_rank = live.prefill_slot = live.decode_rank = -1;
    lost.push_back(live);
  }
  return std::exchange(burst_, 0);
}

void RankEngine::check() const {
  std::int64_t owned = reserved_pages_, decoding = 0, context = 0, growth = 0, padding = 0,
               outstanding = 0, waiting = 0, running = 0, swapped = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& s = slots_[i];
    if (s.state == State::unused) continue;
    owned += s.pages;
    outstanding += details_[i].outstanding;
    waiting += s.state == State::waiting || s.state == State::ready;
    if (s.swapped) swapped += pages_.pages_for(s.context);
    const bool decodes = s.state == State::decoding, pads = s.state == State::padding;
    decoding += decodes || pads;
    padding += pads;
    if (decodes || s.state == State::pending || pads || s.state == State::prompt) {
      ++running;
      ENSURE(running_[s.place] == static_cast<std::int32_t>(i));
    }
    if (decodes || pads) context += static_cast<std::int64_t>(s.context) << kFraction;
    if (!decodes) continue;
    ENSURE(s.context + 1 + shared_.draft_tokens <= s.capacity &&
           s.begin + s.stretch.steps > shared_.step);
    context += s.tokens_per_step * (shared_.step - s.begin);
    growth += s.tokens_per_step;
    for_pages_due(s, [&](std::int64_t step) {
      owned += step < shared_.step || (step == shared_.step && formed_);
    });
  }
  ENSURE(owned == pages_.owned() && pages_.available() >= 0);
  ENSURE(decoding == num_decoding_ && padding == num_padding_ && context == decode_context_ &&
         growth == decode_growth_);
  ENSURE(outstanding == outstanding_ && waiting == num_waiting() && running == num_running());
  ENSURE(swapped == pages_in_swap_);
  if (pages_.cache()) pages_.cache()->check();
  if (num_requests() == 0 && std::all_of(slots_.begin(), slots_.end(), [](const Slot& s) {
        return s.state == State::unused;
      }))
    ENSURE(pages_.in_use() == 0);
}

}  // namespace moesim
