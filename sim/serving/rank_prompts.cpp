// The half of RankEngine that admits requests and computes prompts.
#include <algorithm>

#include "model/errors.hpp"
#include "sim/serving/rank_engine.hpp"

namespace moesim {
namespace {

// Of a prompt, by its own or by a stated hit rate: the last token is always computed, its logits
// are wanted.
std::int64_t stated_hit(const Request& request, std::int64_t prompt) {
  return std::min<std::int64_t>(request.stated_cached_tokens, prompt - 1);
}

}  // namespace

void RankEngine::set_outstanding(std::int32_t slot, std::int64_t tokens) {
  outstanding_ += tokens - details_[slot].outstanding;
  details_[slot].outstanding = static_cast<std::int32_t>(tokens);
}

std::int64_t RankEngine::waiting_tokens(std::int32_t slot) const {
  if (slots_[slot].has_kv) return 0;
  const Details& d = details_[slot];
  const Request& request = d.live.record.request;
  return d.prompt - (request.blocks.empty() ? stated_hit(request, d.prompt) : 0);
}

// The last of each group of blocks that the cache keeps as one stands for the group: its identity
// includes its predecessors.
std::vector<std::uint32_t> RankEngine::cached_identities(const Request& request,
                                                         std::int64_t blocks) const {
  std::vector<std::uint32_t> identities(blocks);
  for (std::int64_t i = 0; i < blocks; ++i)
    identities[i] = request.blocks[(i + 1) * shared_.blocks_per_cached_block - 1];
  return identities;
}

std::int64_t RankEngine::full_blocks(const Request& request, std::int64_t tokens) const {
  if (shared_.cached_block_tokens == 0) return 0;
  const std::int64_t named =
      static_cast<std::int64_t>(request.blocks.size()) / shared_.blocks_per_cached_block;
  return std::min(
      named, std::min<std::int64_t>(tokens, request.input_tokens) / shared_.cached_block_tokens);
}

std::int64_t RankEngine::cached_tokens(const Request& request) const {
  if (request.blocks.empty()) return stated_hit(request, request.input_tokens);
  const std::int64_t most = full_blocks(request, request.input_tokens - 1);
  if (most == 0) return 0;
  return pages_.cache()->match(cached_identities(request, most)).blocks *
         shared_.cached_block_tokens;
}

// With nothing found in the cache. A request with whole_length_pages takes those of its decoding
// too.
std::int64_t RankEngine::pages_to_admit(std::int32_t slot) const {
  const Slot& s = slots_[slot];
  const Details& d = details_[slot];
  const Request& request = d.live.record.request;
  std::int64_t tokens = d.prompt;
  if (shared_.whole_length_pages && s.output > s.generated + 1)
    tokens = request.input_tokens + s.output - 1 + shared_.draft_tokens;
  const std::int64_t blocks = full_blocks(request, d.prompt);
  return blocks * pages_.pages_per_block() +
         pages_.pages_for(tokens - blocks * shared_.cached_block_tokens);
}

RankEngine::Admission RankEngine::admission(std::int32_t slot, std::int64_t pages) const {
  const Details& d = details_[slot];
  const Request& request = d.live.record.request;
  const std::int64_t most_hits = full_blocks(request, d.prompt - 1);
  PrefixCache::Match match;
  if (most_hits > 0) match = pages_.cache()->match(cached_identities(request, most_hits));
  const std::int64_t per_block = pages_.pages_per_block();
  Admission a;
  a.cached = request.blocks.empty() ? stated_hit(request, d.prompt)
                                    : match.blocks * shared_.cached_block_tokens;
  a.own_pages = pages - match.blocks * per_block;
  a.free_pages = pages - (match.in_hbm - match.unused_in_hbm) * per_block;
  a.block_hits = match.blocks;
  a.in_tiers = std::move(match.in_tiers);
  return a;
}

// Tokens of a prompt that this step may compute; 0: none of it.
std::int64_t RankEngine::chunk_of(std::int64_t uncomputed, std::int64_t budget) const {
  const EngineSpec& engine = shared_.settings.engine;
  if (shared_.whole_prompts) {
    const bool alone = uncomputed > engine.max_batch_tokens && chunks_.empty();
    return uncomputed <= budget || alone ? uncomputed : 0;
  }
  std::int64_t chunk = std::min(uncomputed, std::max<std::int64_t>(budget, 0));
  if (engine.long_prefill_tokens > 0) chunk = std::min(chunk, engine.long_prefill_tokens);
  return chunk;
}

void RankEngine::continue_prompts(Tick now, std::int64_t& budget, RankBatch& batch) {
  for (const std::int32_t slot : prompts_) {
    const Details& d = details_[slot];
    if (d.fetched_at > now) continue;
    const std::int64_t chunk = chunk_of(d.prompt - d.done, budget);
    if (chunk == 0) continue;
    schedule_chunk(slot, chunk, now, batch);
    budget -= chunk;
  }
}

void RankEngine::admit_waiting(Tick now, std::int64_t& budget, RankBatch& batch) {
  while (!queue_.empty() && budget > 0 && num_running() + reserved_ < shared_.most_running) {
    const std::int32_t slot = queue_.front();
    if (!(slots_[slot].has_kv ? admit_with_kv(slot, now, budget)
                              : admit_prompt(slot, now, budget, batch)))
      return;
  }
}

bool RankEngine::admit_with_kv(std::int32_t slot, Tick now, std::int64_t& budget) {
  Slot& s = slots_[slot];
  const std::int64_t tokens_in_step = 1 + shared_.draft_tokens;
  if (budget < tokens_in_step) return false;
  std::int64_t tokens = s.context + tokens_in_step;
  if (shared_.whole_length_pages)
    tokens =
        std::max<std::int64_t>(tokens, s.context + s.output - s.generated + shared_.draft_tokens);
  const std::int64_t pages = pages_.pages_for(tokens);
  if (pages > pages_.total()) {
    refuse(slot, now);
    return true;
  }
  if (!room_for(pages)) return false;
  queue_.pop();
  if (s.swapped) {
    const std::int64_t kv_pages = pages_.pages_for(s.context);
    pages_in_swap_ -= kv_pages;
    swapped_in_ += kv_pages;
    s.swapped = false;
  }
  take_pages(slot, pages);
  enter_running(slot, State::pending);
  begin_stretch(slot);
  budget -= tokens_in_step;
  return true;
}

bool RankEngine::admit_prompt(std::int32_t slot, Tick now, std::int64_t& budget, RankBatch& batch) {
  Slot& s = slots_[slot];
  Details& d = details_[slot];
  const std::int64_t pages = pages_to_admit(slot);
  if (pages > pages_.total()) {
    refuse(slot, now);
    return true;
  }
  if (!room_for(1)) return false;  // before the cache is searched once more
  const Admission a = admission(slot, pages);
  const bool wait_for_tier = !a.in_tiers.empty();
  const std::int64_t chunk = wait_for_tier ? 0 : chunk_of(d.prompt - a.cached, budget);
  if (!wait_for_tier && chunk == 0) return false;
  if (!room_for(a.free_pages)) return false;

  queue_.pop();
  if (a.block_hits > 0) {
    pages_.cache()->acquire(cached_identities(d.live.record.request, a.block_hits), d.blocks);
    pages_.make_room();
    s.capacity += static_cast<std::int32_t>(a.block_hits * shared_.cached_block_tokens);
  }
  pages_.take(a.own_pages);
  s.pages = static_cast<std::int32_t>(a.own_pages);
  const std::int64_t own_blocks = full_blocks(d.live.record.request, d.prompt) - a.block_hits;
  s.capacity += static_cast<std::int32_t>(own_blocks * shared_.cached_block_tokens +
                                          (a.own_pages - own_blocks * pages_.pages_per_block()) *
                                              pages_.page_tokens());

  d.done = static_cast<std::int32_t>(a.cached);
  d.next_block = static_cast<std::int32_t>(a.block_hits);
  d.fetched_at = now;
  set_outstanding(slot, d.prompt - d.done);
  if (!d.started) d.live.record.cached_tokens = d.done;
  const std::int32_t covered = std::min(d.done, d.live.record.request.input_tokens);
  if (covered > d.live.covered) {
    shared_.counters.cached_tokens += covered - d.live.covered;
    d.live.covered = covered;
  }
  enter_running(slot, State::prompt);
  prompts_.push_back(slot);
  if (wait_for_tier) {
    start_fetch(slot, now, a.in_tiers);
  } else {
    schedule_chunk(slot, chunk, now, batch);
    budget -= chunk;
  }
  return true;
}

void RankEngine::refuse(std::int32_t slot, Tick now) {
  queue_.pop();
  set_outstanding(slot, 0);
  Slot& s = slots_[slot];
  if (s.swapped) pages_in_swap_ -= pages_.pages_for(s.context);
  LiveRequest& live = details_[slot].live;
  live.generated = s.generated;
  live.record.outcome = Outcome::rejected_memory;
  live.record.finished = now;
  shared_.outcome.finished.push_back(live);
  free_slot(slot);
}

void RankEngine::start_fetch(std::int32_t slot,
                             Tick now,
                             const std::vector<std::int64_t>& in_tiers) {
  const UnitSettings& settings = shared_.settings;
  for (std::size_t i = 0; i < in_tiers.size(); ++i) {
    if (in_tiers[i] == 0) continue;
    const KvTier& tier = settings.tiers[i];
    const Bytes moved =
        static_cast<double>(in_tiers[i] * shared_.cached_block_tokens) * settings.kv_per_token;
    tier_free_[i] = std::max(tier_free_[i], now) + to_tick(moved / tier.bandwidth);
    Details& d = details_[slot];
    d.fetched_at = std::max(d.fetched_at, tier_free_[i] + to_tick(tier.latency));
  }
}

std::optional<Tick> RankEngine::next_fetch() const {
  std::optional<Tick> next;
  for (const std::int32_t slot : prompts_)
    if (!next || details_[slot].fetched_at < *next) next = details_[slot].fetched_at;
  return next;
}

void RankEngine::schedule_chunk(std::int32_t slot,
                                std::int64_t tokens,
                                Tick now,
                                RankBatch& batch) {
  Slot& s = slots_[slot];
  Details& d = details_[slot];
  const auto chunk = static_cast<double>(tokens), prefix = static_cast<double>(d.done);
  ++batch.prefill_requests;
  batch.prefill_tokens += tokens;
  batch.prefill_context += d.done + tokens;
  batch.prefill_pairs += chunk * prefix + chunk * chunk / 2;
  chunks_.push_back({slot, static_cast<std::int32_t>(tokens)});
  if (!d.started && d.live.generated == 0) d.live.record.scheduled = now;
  d.started = true;
  // As in vLLM, blocks are hits from the step on that computes them.
  const Request& request = d.live.record.request;
  const std::int64_t full = full_blocks(request, d.done + tokens);
  for (; d.next_block < full; ++d.next_block) {
    const std::uint32_t identity =
        request.blocks[(d.next_block + 1) * shared_.blocks_per_cached_block - 1];
    if (!pages_.cache()->insert(identity, d.blocks)) continue;
    pages_.give(pages_.pages_per_block());
    s.pages -= static_cast<std::int32_t>(pages_.pages_per_block());
  }
}

void RankEngine::finish_chunk(const Chunk& chunk, Tick now, RequestLog& log) {
  Slot& s = slots_[chunk.slot];
  Details& d = details_[chunk.slot];
  LiveRequest& live = d.live;
  const std::int32_t end = d.done + chunk.tokens;
  const std::int32_t covered = std::min(end, live.record.request.input_tokens);
  const std::int32_t first_time = std::max(0, covered - std::max(d.done, live.covered));
  shared_.counters.prompt_tokens += chunk.tokens;
  shared_.counters.recomputed_tokens += chunk.tokens - first_time;
  live.covered = std::max(live.covered, covered);
  d.done = end;
  set_outstanding(chunk.slot, d.prompt - d.done);
  if (d.done < d.prompt) return;

  prompts_.erase(std::find(prompts_.begin(), prompts_.end(), chunk.slot));
  s.context = d.prompt;
  s.has_kv = true;
  ++shared_.counters.output_tokens;
  if (s.generated++ == 0)
    live.record.first_token = now;
  else
    log.token_gaps(now, now - live.last_token, 1);
  live.last_token = now;
  if (s.generated == s.output) {
    finish_request(chunk.slot, now);
  } else if (shared_.settings.role == PoolRole::prefill) {
    live.generated = s.generated;
    live.prefill_rank = rank_;
    live.prefill_slot = chunk.slot;
    shared_.outcome.prefilled.push_back(live);
    leave_running(chunk.slot);
    s.state = State::held;
  } else {
    s.state = State::pending;
    pending_.push_back(chunk.slot);
  }
}

}  // namespace moesim
