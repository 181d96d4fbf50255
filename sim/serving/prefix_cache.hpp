// Prefix cache of one attention rank: blocks of prompts whose KV is kept. As vLLM's automatic
// prefix caching: a prompt finds its leading blocks, without a hole; what no request refers to
// stays until its pages are wanted, least recently used first. A request lets go of its last block
// first, and whoever refers to a block refers to all before it, so the least recently used one
// never has a cached successor: leaves go first without a tree.
//
// Blocks that leave HBM go to the first tier that has room for one, and what a tier drops goes to
// the next; a block is in one place. Writing to a tier costs nothing (it is done behind the steps);
// fetching back is the caller's to pay.
//
// Left out: generated tokens are not cached (traces do not say which later prompt contains them),
// and blocks that two requests compute at the same time are kept twice, as in vLLM.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace moesim {

class PrefixCache {
 public:
  // tier_blocks: how many blocks a tier holds, nearest first.
  explicit PrefixCache(std::vector<std::int64_t> tier_blocks);

  struct Match {
    std::int64_t blocks = 0;             // leading ones that are somewhere
    std::int64_t in_hbm = 0;             // of them
    std::int64_t unused_in_hbm = 0;      // of those, referred to by no request
    std::vector<std::int64_t> in_tiers;  // [tier]; empty when all are in HBM
  };
  // Changes nothing, uses of blocks included. Identities: equal means equal tokens and
  // predecessors.
  Match match(std::span<const std::uint32_t> identities) const;

  // A request refers to these blocks, which a match found; those in tiers are in HBM from now on.
  // Their handles are appended.
  void acquire(std::span<const std::uint32_t> identities, std::vector<std::int32_t>& handles);
  // A request computed this block in HBM. False when HBM has it from another request, whose copy
  // stays the cached one.
  bool insert(std::uint32_t identity, std::vector<std::int32_t>& handles);
  // The request refers to them no longer.
  void release(std::vector<std::int32_t>& handles);

  // Least recently used unreferenced block leaves HBM; there must be one.
  void evict();
  // Every block is forgotten; none may be referred to.
  void drop();

  std::int64_t used_blocks() const { return used_; }              // in HBM, referred to
  std::int64_t unused_blocks() const { return levels_[0].size; }  // in HBM, evictable
  void check() const;                                             // recounts (ENSURE)

 private:
  static constexpr std::int32_t kNone = -1;
  struct Block {
    std::uint32_t identity = 0;
    std::int32_t references = 0;
    std::int32_t level = 0;                     // 0: HBM, then tiers
    std::int32_t older = kNone, newer = kNone;  // in its level's list, when unreferenced
  };
  // Unreferenced blocks from the least to the most recently used.
  struct Level {
    std::int64_t capacity = 0, size = 0;  // capacity of HBM is the caller's business
    std::int32_t oldest = kNone, newest = kNone;
  };
  void append(std::int32_t block, std::int32_t level);
  void unlink(std::int32_t block);
  void demote(std::int32_t block);  // out of its level's list, to the next level with room or away
  void refer(std::int32_t block, std::vector<std::int32_t>& handles);
  std::int32_t find(std::uint32_t identity) const;

  std::vector<Block> blocks_;
  std::vector<std::int32_t> free_;
  std::vector<Level> levels_;
  std::unordered_map<std::uint32_t, std::int32_t> by_identity_;
  std::int64_t used_ = 0;
};

}  // namespace moesim
