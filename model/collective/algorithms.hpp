// What the algorithms of rounds.hpp are built from, and their entries for the table in rounds.cpp.
// All of them get specs that passed the checks of collective_refusal.
#pragma once

#include <span>

#include "model/collective/rounds.hpp"

namespace moesim {

struct CollectiveMethod {
  CollectiveKind kind;
  CollectiveAlgorithm algorithm;
  Collective (*build)(const CollectiveSpec&);
  Seconds (*time)(const CollectiveSpec&, const CollectiveLinks&);
};

Collective build_ring(const CollectiveSpec& spec);
Seconds time_of_ring(const CollectiveSpec& spec, const CollectiveLinks& links);
Collective build_tree(const CollectiveSpec& spec);
Seconds time_of_tree(const CollectiveSpec& spec, const CollectiveLinks& links);
Collective build_hierarchical(const CollectiveSpec& spec);
Seconds time_of_hierarchical(const CollectiveSpec& spec, const CollectiveLinks& links);
Collective build_pairwise(const CollectiveSpec& spec);
Seconds time_of_pairwise(const CollectiveSpec& spec, const CollectiveLinks& links);
Collective build_direct(const CollectiveSpec& spec);
Seconds time_of_direct(const CollectiveSpec& spec, const CollectiveLinks& links);

// A collective without rounds yet, its buffer in `num_chunks` chunks (an all-to-all's in as many as
// it has ranks, whatever their numbers).
Collective without_rounds(const CollectiveSpec& spec, std::int64_t num_chunks);
// Of an all-to-all: what `source` has for `destination`.
Transfer part_for(const Collective& all_to_all, std::int64_t source, std::int64_t destination);
// Leaves out a round in which nobody sends.
void add_round(Collective& collective, Round round);

// A rank of a ring, and the chunks that reduce-scatter leaves there and all-gather finds there.
struct RingStop {
  std::int32_t rank = 0;
  Chunks chunks;
};
// Appends one turn of a ring: each rank sends to the next. Repeated (stops - 1) times it is a
// reduce-scatter if `round` reduces, else an all-gather. A ring of one rank sends nothing.
void append_ring(Round& round, std::span<const RingStop> stops);

// Levels of a binomial tree over so many ranks: ceil(log2(ranks)).
std::int64_t tree_depth(std::int64_t ranks);
// Appends one level of a binomial tree whose root is ranks[0]: with distance d = 2^(depth - 1 -
// level), ranks[i] and ranks[i + d] for every multiple i of 2 d. If `round` reduces the message
// goes towards the root.
void append_tree_level(Round& round,
                       std::span<const std::int32_t> ranks,
                       std::int64_t level,
                       const Chunks& chunks);

// `count` messages of this size leave a port together and arrive: latency and their bytes over the
// rate. 0 messages take no time.
Seconds port_time(const LinkModel& link, Bytes message, std::int64_t count = 1);

}  // namespace moesim
