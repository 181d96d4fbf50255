// KV pages of one attention rank, counted. A page belongs to one request, or to a block of the
// prefix cache; cached blocks that no request refers to give theirs up when pages are short.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "model/errors.hpp"
#include "sim/serving/prefix_cache.hpp"

namespace moesim {

class KvPages {
 public:
  KvPages(std::int64_t total, std::int64_t page_tokens)
      : total_(total), page_tokens_(page_tokens) {}
  // cached_block_tokens: what the cache keeps or drops as one; it fills whole pages.
  void add_cache(PrefixCache cache, std::int64_t cached_block_tokens) {
    cache_ = std::make_unique<PrefixCache>(std::move(cache));
    pages_per_block_ = pages_for(cached_block_tokens);
  }

  std::int64_t pages_for(std::int64_t tokens) const {
    return (tokens + page_tokens_ - 1) / page_tokens_;
  }
  std::int64_t total() const { return total_; }
  std::int64_t page_tokens() const { return page_tokens_; }
  std::int64_t pages_per_block() const { return pages_per_block_; }
  std::int64_t in_use() const {
    return owned_ + (cache_ ? cache_->used_blocks() * pages_per_block_ : 0);
  }
  std::int64_t available() const { return total_ - in_use(); }  // evictable ones included

  // Pages of a request; `available` must have them.
  void take(std::int64_t pages) {
    owned_ += pages;
    make_room();
  }
  void give(std::int64_t pages) {
    owned_ -= pages;
    ENSURE(owned_ >= 0);
  }
  // After blocks were acquired from the cache, or pages taken: evicts what has to go.
  void make_room() {
    ENSURE(available() >= 0);
    if (!cache_) return;
    while (in_use() + cache_->unused_blocks() * pages_per_block_ > total_) cache_->evict();
  }
  PrefixCache* cache() { return cache_.get(); }
  const PrefixCache* cache() const { return cache_.get(); }
  std::int64_t owned() const { return owned_; }  // by requests, outside the cache

 private:
  std::int64_t total_, page_tokens_;
  std::int64_t owned_ = 0;
  std::unique_ptr<PrefixCache> cache_;
  std::int64_t pages_per_block_ = 0;
};

}  // namespace moesim
