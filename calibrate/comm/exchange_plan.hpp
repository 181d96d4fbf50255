// Which rows go from where to where when routed tokens are dispatched and combined, for the three
// algorithms of model/traffic.hpp: as that file counts them, and here row by row, so that data can
// be sent and checked.
//
//   flat         every rank sends a token's row to each rank that holds an expert it chose
//   two_hop      first to the rank of the same rail on each node that does, which hands it on over
//                NVLink; the combine sums there what comes back and returns one row per node
//   low_latency  a message for each expert, a row for each choice
//
// Left out: the metadata exchange that tells a receiver how many rows will come (every rank routes
// all tokens itself, from the same seed), packing and unpacking of rows (the permute case) and the
// arithmetic of the combine: what is timed is the wires.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "calibrate/comm/rank_map.hpp"
#include "model/traffic.hpp"

namespace moesim::comm {

struct RowId {
  std::int32_t source = 0, token = 0;  // place, and index among its tokens
  auto operator<=>(const RowId&) const = default;
};

// One message. Rows ascend.
struct Parcel {
  int from = 0, to = 0;      // places
  std::int32_t expert = -1;  // low_latency only
  std::vector<RowId> rows;
};

// All messages of one step, ordered by sender, receiver, expert.
using Hop = std::vector<Parcel>;

struct ExchangePlan {
  ExpertAlgorithm algorithm = ExpertAlgorithm::flat;
  bool is_combine = false;
  std::vector<Hop> hops;  // one, or two
};

// tokens: [place].
ExchangePlan dispatch_plan(const std::vector<RoutedTokens>& tokens,
                           const Placement& placement,
                           ExpertAlgorithm algorithm);
// The same parcels backwards, the last hop first.
ExchangePlan combine_plan(ExchangePlan dispatch);

// Rows by the link they cross: [LinkClass].
std::vector<double> rows_by_link(const ExchangePlan& plan, const RankMap& map);
// Of the rows that the ranks receive to compute, dispatched: the most over the mean.
double receive_skew(const RowCounts& counts);

}  // namespace moesim::comm
