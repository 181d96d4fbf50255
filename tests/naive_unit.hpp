// The engine of one attention rank once more, slow and plain: every request is looked at in every
// step, tokens are counted one at a time, pages are numbered and lie in lists, the prefix cache is
// searched from end to end. Written from the rules in sim/serving/rank_engine.hpp, to be compared
// with the fast one. Drafts are all accepted or none is.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <set>
#include <vector>

#include "sim/serving/serving_unit.hpp"

namespace moesim {

class NaiveUnit {
 public:
  NaiveUnit(const UnitSettings& settings, std::shared_ptr<const StepClock> clock, RequestLog& log)
      : settings_(settings), engine_(settings.engine), clock_(std::move(clock)), log_(log) {
    for (int page = 0; page < settings.pages; ++page) free_pages_.insert(page);
    drafts_ = engine_.draft_tokens();
    all_accepted_ = drafts_ > 0 && engine_.acceptance[0] == 1;
    most_running_ = std::min(engine_.max_requests, engine_.max_batch_tokens / (1 + drafts_));
    if (settings.prefix_cache && settings.block_tokens > 0) {
      while (group_ * settings.block_tokens < settings.page_tokens) ++group_;
      cached_block_ = group_ * settings.block_tokens;
      block_pages_ = pages_for(cached_block_);
    }
    tier_free_.assign(settings.tiers.size(), 0);
  }

  void add(const LiveRequest& request, Tick) {
    all_.emplace_back();
    all_.back().live = request;
    all_.back().arrived = ++arrivals_;
    waiting_.push_back(&all_.back());
  }

  std::optional<Tick> start_step(Tick now) {
    RankBatch batch;
    outcome_ = {};
    swapped_out_ = swapped_in_ = 0;
    const bool in_batch = !running_.empty();
    bool preempted = false;
    for (One* one : std::vector<One*>(running_)) {
      while (running(one) && one->decoding && !one->padding &&
             held(*one) < pages_of(*one, one->kv + 1 + drafts_)) {
        if (take_pages(*one, pages_of(*one, one->kv + 1 + drafts_) - held(*one))) continue;
        preempt(victim());
        preempted = true;
      }
    }
    std::int64_t budget = engine_.max_batch_tokens;
    for (One* one : running_) budget -= one->decoding && !one->padding ? 1 + drafts_ : 0;
    for (One* one : running_)
      if (!one->decoding && one->fetched <= now)
        compute(*one, chunk_of(*one, budget, batch), now, budget, batch);
    bool any_decoding = false;
    for (One* one : running_) any_decoding = any_decoding || one->decoding;
    const bool closed = in_batch && engine_.batching == Batching::static_batch;
    if (!closed && (!preempted || (!any_decoding && batch.prefill_tokens == 0)))
      while (!waiting_.empty() && budget > 0 &&
             static_cast<std::int64_t>(running_.size()) < most_running_)
        if (!admit(now, budget, batch)) break;
    for (One* one : running_)
      if (one->decoding) {
        ++batch.decode_requests;
        batch.decode_context += one->kv;
      }
    empty_ = batch.empty();
    Tick moving = 0;
    if (swapped_out_ + swapped_in_ > 0) {
      const KvTier& tier = settings_.tiers[0];
      moving = to_tick(static_cast<double>((swapped_out_ > 0) + (swapped_in_ > 0)) * tier.latency +
                       static_cast<double>((swapped_out_ + swapped_in_) * settings_.page_tokens) *
                           settings_.kv_per_token / tier.bandwidth);
    }
    if (!empty_) return now + clock_->step_time(std::span(&batch, 1)) + moving;
    if (!outcome_.finished.empty()) return now;
    std::optional<Tick> fetched;
    for (const One* one : running_)
      if (!fetched || one->fetched < *fetched) fetched = one->fetched;
    if (!fetched) return std::nullopt;
    return std::min(*fetched, now + 1'000'000'000);
  }

  StepOutcome finish_step(Tick now) {
    // First those that decoded, then prompts.
    std::vector<One*> in_order = running_;
    std::stable_partition(in_order.begin(), in_order.end(), [](One* one) { return one->decoding; });
    for (One* one : in_order) {
      Request& request = one->live.record.request;
      if (one->padding) continue;
      if (one->decoding) {
        for (std::int64_t i = 0; i <= (all_accepted_ ? drafts_ : 0); ++i) {
          if (one->live.generated == request.output_tokens) break;
          ++one->kv;
          ++one->live.generated;
          log_.token_gaps(now, i == 0 ? now - one->live.last_token : 0, 1);
        }
        one->live.last_token = now;
      } else if (one->chunk > 0) {
        one->kv += one->chunk;
        one->chunk = 0;
        if (one->kv < one->target) continue;
        one->decoding = true;
        if (one->live.generated++ == 0)
          one->live.record.first_token = now;
        else
          log_.token_gaps(now, now - one->live.last_token, 1);
        one->live.last_token = now;
      }
      if (!one->decoding || one->live.generated < request.output_tokens) continue;
      one->live.record.finished = now;
      outcome_.finished.push_back(one->live);
      if (engine_.batching == Batching::static_batch) {
        one->padding = true;
      } else {
        drop_pages(*one);
        running_.erase(std::find(running_.begin(), running_.end(), one));
      }
    }
    if (std::all_of(running_.begin(), running_.end(), [](One* one) { return one->padding; })) {
      for (One* one : running_) drop_pages(*one);
      running_.clear();
    }
    return outcome_;
  }

  std::int64_t num_preemptions = 0, num_swapped = 0, num_tier_hits = 0, num_evictions = 0;

 private:
  struct One {
    LiveRequest live;
    std::int64_t arrived = 0, kv = 0, target = 0, chunk = 0, blocks_at_front = 0, offered = 0;
    bool decoding = false, padding = false, started = false, swapped = false, was_preempted = false;
    Tick fetched = 0;
    std::vector<int> pages;
    std::vector<std::uint32_t> blocks;
  };
  struct Block {
    std::uint32_t identity = 0;
    std::size_t level = 0;
    std::set<const One*> users;
    std::int64_t used = 0;  // when last, by a counter
    std::vector<int> pages;
  };

  std::int64_t pages_for(std::int64_t tokens) const {
    std::int64_t pages = 0;
    while (pages * settings_.page_tokens < tokens) ++pages;
    return pages;
  }
  std::int64_t held(const One& one) const {
    return static_cast<std::int64_t>(one.pages.size() + one.blocks.size() * block_pages_);
  }
  std::int64_t pages_of(const One& one, std::int64_t tokens) const {
    return one.blocks_at_front * block_pages_ +
           pages_for(tokens - one.blocks_at_front * cached_block_);
  }
  bool running(One* one) const {
    return std::find(running_.begin(), running_.end(), one) != running_.end();
  }
  Block* find(std::uint32_t identity) {
    for (Block& block : cache_)
      if (block.identity == identity) return &block;
    return nullptr;
  }
  Block* oldest(std::size_t level) {
    Block* found = nullptr;
    for (Block& block : cache_)
      if (block.level == level && block.users.empty() && (!found || block.used < found->used))
        found = &block;
    return found;
  }
  void demote(Block* block) {
    ++num_evictions;
    free_pages_.insert(block->pages.begin(), block->pages.end());
    block->pages.clear();
    const auto capacity = [&](std::size_t level) {
      return static_cast<std::int64_t>(
          settings_.tiers[level - 1].capacity /
          (static_cast<double>(cached_block_) * settings_.kv_per_token));
    };
    std::size_t level = block->level + 1;
    while (level <= settings_.tiers.size() && capacity(level) == 0) ++level;
    if (level > settings_.tiers.size()) {
      cache_.remove_if([&](const Block& other) { return &other == block; });
      return;
    }
    std::int64_t there = 0;
    for (const Block& other : cache_) there += other.level == level;
    block->level = 0;
    if (there == capacity(level)) demote(oldest(level));
    block->level = level;
    block->used = ++uses_;
  }
  std::int64_t evictable_pages() const {
    std::int64_t pages = 0;
    for (const Block& block : cache_)
      if (block.users.empty()) pages += static_cast<std::int64_t>(block.pages.size());
    return pages;
  }
  std::vector<int> pop_pages(std::int64_t count) {
    while (static_cast<std::int64_t>(free_pages_.size()) < count) demote(oldest(0));
    std::vector<int> pages;
    for (; count > 0; --count) pages.push_back(free_pages_.extract(free_pages_.begin()).value());
    return pages;
  }
  bool take_pages(One& one, std::int64_t count) {
    if (static_cast<std::int64_t>(free_pages_.size()) + evictable_pages() < count) return false;
    for (const int page : pop_pages(count)) one.pages.push_back(page);
    return true;
  }
  void drop_pages(One& one) {
    free_pages_.insert(one.pages.begin(), one.pages.end());
    one.pages.clear();
    for (; !one.blocks.empty(); one.blocks.pop_back()) {
      Block* block = find(one.blocks.back());
      block->users.erase(&one);
      if (block->users.empty()) block->used = ++uses_;
    }
    one.blocks_at_front = 0;
  }

  One* victim() {  // running_ is in order of admission
    One* found = running_.front();
    for (One* one : running_)
      if (engine_.policy != Policy::priority ||
          one->live.record.request.priority >= found->live.record.request.priority)
        found = one;
    return found;
  }
  void preempt(One* one) {
    ++num_preemptions;
    ++one->live.record.preemptions;
    running_.erase(std::find(running_.begin(), running_.end(), one));
    drop_pages(*one);
    std::int64_t in_swap = 0;
    for (const One* other : waiting_) in_swap += other->swapped ? pages_for(other->kv) : 0;
    const std::int64_t room =
        settings_.tiers.empty()
            ? 0
            : static_cast<std::int64_t>(
                  settings_.tiers[0].capacity /
                  (static_cast<double>(settings_.page_tokens) * settings_.kv_per_token));
    if (one->decoding && engine_.preemption == Preemption::swap &&
        in_swap + pages_for(one->kv) <= room) {
      ++num_swapped;
      one->swapped = true;
      swapped_out_ += pages_for(one->kv);
    } else {
      one->kv = 0;
      one->decoding = false;
    }
    one->was_preempted = true;
    if (engine_.policy == Policy::priority) one->arrived = ++arrivals_;
    waiting_.insert(waiting_.begin(), one);
  }

  std::vector<One*>::iterator next_waiting() {
    const auto first_of_line = [&](const One* a, const One* b) {
      const Request &x = a->live.record.request, &y = b->live.record.request;
      switch (engine_.policy) {
        case Policy::fcfs: break;
        case Policy::priority:
          if (x.priority != y.priority) return x.priority < y.priority;
          break;
        case Policy::shortest_prompt:
          if (x.input_tokens != y.input_tokens) return x.input_tokens < y.input_tokens;
          break;
        case Policy::slo_aware: {
          const Tick dx = x.arrival + settings_.first_token_deadline[x.slo_class];
          const Tick dy = y.arrival + settings_.first_token_deadline[y.slo_class];
          if (dx != dy) return dx < dy;
          break;
        }
      }
      return a->arrived < b->arrived;
    };
    if (engine_.policy != Policy::priority && waiting_.front()->was_preempted)
      return waiting_.begin();
    return std::min_element(waiting_.begin(), waiting_.end(), first_of_line);
  }
  std::int64_t chunk_of(const One& one, std::int64_t budget, const RankBatch& batch) const {
    return chunk_of(one.target - one.kv, budget, batch);
  }
  std::int64_t chunk_of(std::int64_t rest, std::int64_t budget, const RankBatch& batch) const {
    if (engine_.batching == Batching::continuous && engine_.chunked_prefill) {
      std::int64_t chunk = 0;
      while (chunk < rest && chunk < budget &&
             (engine_.long_prefill_tokens == 0 || chunk < engine_.long_prefill_tokens))
        ++chunk;
      return chunk;
    }
    if (rest <= budget) return rest;
    return rest > engine_.max_batch_tokens && batch.prefill_requests == 0 ? rest : 0;
  }
  void compute(One& one, std::int64_t chunk, Tick now, std::int64_t& budget, RankBatch& batch) {
    if (chunk == 0) return;
    one.chunk = chunk;
    budget -= chunk;
    ++batch.prefill_requests;
    batch.prefill_tokens += chunk;
    batch.prefill_context += one.kv + chunk;
    batch.prefill_pairs += static_cast<double>(chunk) * static_cast<double>(one.kv) +
                           static_cast<double>(chunk) * static_cast<double>(chunk) / 2;
    if (!one.started) one.live.record.scheduled = now;
    one.started = true;
    const Request& request = one.live.record.request;
    for (; one.offered < one.blocks_at_front && (one.offered + 1) * cached_block_ <= one.kv + chunk;
         ++one.offered) {
      const std::uint32_t identity = request.blocks[(one.offered + 1) * group_ - 1];
      Block* known = find(identity);
      if (known && known->level == 0) continue;
      if (!known) {
        cache_.push_back({identity, 0, {}, 0, {}});
        known = &cache_.back();
      }
      known->level = 0;
      for (std::int64_t i = 0; i < block_pages_; ++i) {
        known->pages.push_back(one.pages.back());
        one.pages.pop_back();
      }
      known->users.insert(&one);
      one.blocks.push_back(identity);
    }
  }
  bool room(std::int64_t pages) const {
    std::int64_t used =
        settings_.pages - static_cast<std::int64_t>(free_pages_.size()) - evictable_pages();
    const auto kept =
        used == 0
            ? 0
            : static_cast<std::int64_t>(settings_.watermark * static_cast<double>(settings_.pages));
    return used + pages + kept <= settings_.pages;
  }
  void refuse(std::vector<One*>::iterator place, Tick now) {
    One* one = *place;
    waiting_.erase(place);
    one->live.record.outcome = Outcome::rejected_memory;
    one->live.record.finished = now;
    outcome_.finished.push_back(one->live);
  }
  bool admit(Tick now, std::int64_t& budget, RankBatch& batch) {
    const auto place = next_waiting();
    One& one = **place;
    const Request& request = one.live.record.request;
    if (one.swapped) {
      const std::int64_t pages = pages_for(one.kv + 1 + drafts_);
      if (budget < 1 + drafts_) return false;
      if (pages > settings_.pages) return refuse(place, now), true;
      if (!room(pages)) return false;
      waiting_.erase(place);
      one.swapped = false;
      swapped_in_ += pages_for(one.kv);
      take_pages(one, pages);
      running_.push_back(&one);
      budget -= 1 + drafts_;
      return true;
    }
    const std::int64_t prompt = request.input_tokens + one.live.generated;
    std::int64_t tokens = prompt;
    if (engine_.batching != Batching::continuous && request.output_tokens > 1)
      tokens = request.input_tokens + request.output_tokens - 1 + drafts_;
    std::int64_t blocks = 0, cached = 0;
    std::vector<Block*> hits;
    if (cached_block_ > 0) {
      while ((blocks + 1) * cached_block_ <= request.input_tokens &&
             (blocks + 1) * group_ <= static_cast<std::int64_t>(request.blocks.size()))
        ++blocks;
      for (std::int64_t i = 0; i < blocks && (i + 1) * cached_block_ < prompt; ++i) {
        Block* block = find(request.blocks[(i + 1) * group_ - 1]);
        if (!block) break;
        hits.push_back(block);
      }
      cached = static_cast<std::int64_t>(hits.size()) * cached_block_;
    }
    if (request.blocks.empty())
      cached = std::min<std::int64_t>(request.stated_cached_tokens, prompt - 1);
    const std::int64_t all = blocks * block_pages_ + pages_for(tokens - blocks * cached_block_);
    if (all > settings_.pages) return refuse(place, now), true;
    std::vector<std::int64_t> in_tiers(settings_.tiers.size(), 0);
    std::int64_t shared = 0;  // pages that others use already
    bool fetch = false;
    for (const Block* hit : hits) {
      if (!hit->users.empty()) shared += block_pages_;
      if (hit->level == 0) continue;
      fetch = true;
      ++num_tier_hits;
      ++in_tiers[hit->level - 1];
    }
    const std::int64_t chunk = fetch ? 0 : chunk_of(prompt - cached, budget, batch);
    if (!fetch && chunk == 0) return false;
    if (!room(all - shared)) return false;
    waiting_.erase(place);
    running_.push_back(&one);
    one.blocks_at_front = blocks;
    one.offered = static_cast<std::int64_t>(hits.size());
    for (Block* hit : hits) {
      hit->users.insert(&one);
      one.blocks.push_back(hit->identity);
    }
    for (Block* hit : hits) hit->level = 0;  // tiers have room for what must give way to them
    for (Block* hit : hits)
      if (hit->pages.empty()) hit->pages = pop_pages(block_pages_);
    take_pages(one, all - static_cast<std::int64_t>(hits.size()) * block_pages_);
    one.target = prompt;
    one.kv = cached;
    one.decoding = false;
    one.fetched = now;
    if (!one.started) one.live.record.cached_tokens = static_cast<std::int32_t>(cached);
    for (std::size_t i = 0; i < in_tiers.size(); ++i) {
      if (in_tiers[i] == 0) continue;
      const KvTier& tier = settings_.tiers[i];
      tier_free_[i] =
          std::max(tier_free_[i], now) + to_tick(static_cast<double>(in_tiers[i] * cached_block_) *
                                                 settings_.kv_per_token / tier.bandwidth);
      one.fetched = std::max(one.fetched, tier_free_[i] + to_tick(tier.latency));
    }
    if (!fetch) compute(one, chunk, now, budget, batch);
    return true;
  }

  UnitSettings settings_;
  EngineSpec engine_;
  std::shared_ptr<const StepClock> clock_;
  RequestLog& log_;
  std::int64_t drafts_ = 0, most_running_ = 0, group_ = 1, cached_block_ = 0, block_pages_ = 0;
  bool all_accepted_ = false, empty_ = false;
  std::list<One> all_;
  std::vector<One*> waiting_, running_;
  std::set<int> free_pages_;
  std::list<Block> cache_;
  std::int64_t arrivals_ = 0, uses_ = 0, swapped_out_ = 0, swapped_in_ = 0;
  std::vector<Tick> tier_free_;
  StepOutcome outcome_;
};

}  // namespace moesim
