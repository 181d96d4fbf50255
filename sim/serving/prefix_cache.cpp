#include "sim/serving/prefix_cache.hpp"

#include "model/errors.hpp"

namespace moesim {

PrefixCache::PrefixCache(std::vector<std::int64_t> tier_blocks) : levels_(1 + tier_blocks.size()) {
  for (std::size_t i = 0; i < tier_blocks.size(); ++i) levels_[i + 1].capacity = tier_blocks[i];
}

std::int32_t PrefixCache::find(std::uint32_t identity) const {
  const auto found = by_identity_.find(identity);
  return found == by_identity_.end() ? kNone : found->second;
}

PrefixCache::Match PrefixCache::match(std::span<const std::uint32_t> identities) const {
  Match match;
  for (const std::uint32_t identity : identities) {
    const std::int32_t index = find(identity);
    if (index == kNone) break;
    const Block& block = blocks_[index];
    ++match.blocks;
    if (block.level == 0) {
      ++match.in_hbm;
      match.unused_in_hbm += block.references == 0;
    } else {
      match.in_tiers.resize(levels_.size() - 1);
      ++match.in_tiers[block.level - 1];
    }
  }
  return match;
}

void PrefixCache::append(std::int32_t index, std::int32_t level) {
  Level& list = levels_[level];
  Block& block = blocks_[index];
  block.level = level;
  block.older = list.newest;
  block.newer = kNone;
  (list.newest == kNone ? list.oldest : blocks_[list.newest].newer) = index;
  list.newest = index;
  ++list.size;
}

void PrefixCache::unlink(std::int32_t index) {
  const Block& block = blocks_[index];
  Level& list = levels_[block.level];
  (block.older == kNone ? list.oldest : blocks_[block.older].newer) = block.newer;
  (block.newer == kNone ? list.newest : blocks_[block.newer].older) = block.older;
  --list.size;
}

void PrefixCache::demote(std::int32_t index) {
  unlink(index);
  std::size_t level = blocks_[index].level + 1;
  while (level < levels_.size() && levels_[level].capacity == 0) ++level;
  if (level == levels_.size()) {
    by_identity_.erase(blocks_[index].identity);
    free_.push_back(index);
    return;
  }
  if (levels_[level].size == levels_[level].capacity) demote(levels_[level].oldest);
  append(index, static_cast<std::int32_t>(level));
}

void PrefixCache::refer(std::int32_t index, std::vector<std::int32_t>& handles) {
  Block& block = blocks_[index];
  if (block.references++ == 0) {
    unlink(index);
    block.level = 0;
    ++used_;
  }
  handles.push_back(index);
}

void PrefixCache::acquire(std::span<const std::uint32_t> identities,
                          std::vector<std::int32_t>& handles) {
  for (const std::uint32_t identity : identities) {
    const std::int32_t index = find(identity);
    ENSURE(index != kNone);
    refer(index, handles);
  }
}

bool PrefixCache::insert(std::uint32_t identity, std::vector<std::int32_t>& handles) {
  const std::int32_t known = find(identity);
  if (known != kNone) {
    if (blocks_[known].level == 0) return false;
    refer(known, handles);  // the copy in the tier is not needed: this one is as good
    return true;
  }
  std::int32_t index = 0;
  if (free_.empty()) {
    index = static_cast<std::int32_t>(blocks_.size());
    blocks_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  blocks_[index] = {identity, 1, 0, kNone, kNone};
  by_identity_.emplace(identity, index);
  ++used_;
  handles.push_back(index);
  return true;
}

void PrefixCache::release(std::vector<std::int32_t>& handles) {
  for (; !handles.empty(); handles.pop_back()) {
    Block& block = blocks_[handles.back()];
    ENSURE(block.references > 0 && block.level == 0);
    if (--block.references > 0) continue;
    --used_;
    append(handles.back(), 0);
  }
}

void PrefixCache::evict() {
  ENSURE(levels_[0].oldest != kNone);
  demote(levels_[0].oldest);
}

void PrefixCache::drop() {
  ENSURE(used_ == 0);
  blocks_.clear();
  free_.clear();
  by_identity_.clear();
  for (Level& level : levels_) level = {level.capacity, 0, kNone, kNone};
}

void PrefixCache::check() const {
  std::vector<std::int64_t> sizes(levels_.size(), 0);
  std::int64_t used = 0;
  for (const auto& [identity, index] : by_identity_) {
    const Block& block = blocks_[index];
    ENSURE(block.identity == identity && block.references >= 0);
    if (block.references > 0) {
      ENSURE(block.level == 0);
      ++used;
    } else {
      ++sizes[block.level];
    }
  }
  ENSURE(used == used_ && by_identity_.size() + free_.size() == blocks_.size());
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    ENSURE(sizes[i] == levels_[i].size && (i == 0 || sizes[i] <= levels_[i].capacity));
    std::int64_t linked = 0;
    for (std::int32_t index = levels_[i].oldest; index != kNone; index = blocks_[index].newer) {
      ENSURE(blocks_[index].references == 0 && blocks_[index].level == static_cast<int>(i));
      ++linked;
    }
    ENSURE(linked == sizes[i]);
  }
}

}  // namespace moesim
