#include "calibrate/comm/exchange_plan.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

std::size_t idx(std::int64_t i) { return static_cast<std::size_t>(i); }

// Parcels by sender, receiver and expert; a row that comes twice is kept once.
class Packer {
 public:
  void add(int from, int to, std::int32_t expert, RowId row) {
    std::vector<RowId>& rows = parcels_[{from, to, expert}];
    if (rows.empty() || rows.back() != row) rows.push_back(row);
  }
  Hop hop() {
    Hop all;
    for (auto& [key, rows] : parcels_) {
      std::sort(rows.begin(), rows.end());
      rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
      all.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), std::move(rows)});
    }
    return all;
  }

 private:
  std::map<std::tuple<int, int, std::int32_t>, std::vector<RowId>> parcels_;
};

}  // namespace

ExchangePlan dispatch_plan(const std::vector<RoutedTokens>& tokens,
                           const Placement& placement,
                           ExpertAlgorithm algorithm) {
  const ExpertSlots slots = slots_of_experts(placement);
  const auto per_node = static_cast<int>(std::min(placement.ranks_per_node, placement.num_ranks));
  Packer first, second;
  for (std::size_t s = 0; s < tokens.size(); ++s) {
    const RoutedTokens& own = tokens[s];
    const auto source = static_cast<int>(s);
    for (std::int64_t t = 0; t < own.num_tokens; ++t)
      for (std::int64_t k = 0; k < own.top_k; ++k) {
        const std::int32_t expert = own.experts[idx(t * own.top_k + k)];
        const auto replicas = slots.of(expert);
        ENSURE(replicas.size() == 1);
        const auto to = static_cast<int>(placement.rank_of_slot(replicas.front()));
        const RowId row{source, static_cast<std::int32_t>(t)};
        if (algorithm == ExpertAlgorithm::low_latency) {
          first.add(source, to, expert, row);
        } else if (algorithm == ExpertAlgorithm::flat) {
          first.add(source, to, -1, row);
        } else {
          const int by_way_of = to / per_node * per_node + source % per_node;
          if (by_way_of != source) first.add(source, by_way_of, -1, row);
          second.add(by_way_of, to, -1, row);
        }
      }
  }
  ExchangePlan plan{algorithm, false, {first.hop()}};
  if (algorithm == ExpertAlgorithm::two_hop) plan.hops.push_back(second.hop());
  return plan;
}

ExchangePlan combine_plan(ExchangePlan dispatch) {
  ENSURE(!dispatch.is_combine);
  dispatch.is_combine = true;
  std::reverse(dispatch.hops.begin(), dispatch.hops.end());
  for (Hop& hop : dispatch.hops) {
    for (Parcel& parcel : hop) std::swap(parcel.from, parcel.to);
    std::sort(hop.begin(), hop.end(), [](const Parcel& a, const Parcel& b) {
      return std::tuple(a.from, a.to, a.expert) < std::tuple(b.from, b.to, b.expert);
    });
  }
  return dispatch;
}

std::vector<double> rows_by_link(const ExchangePlan& plan, const RankMap& map) {
  std::vector<double> rows(kNumLinkClasses, 0);
  for (const Hop& hop : plan.hops)
    for (const Parcel& parcel : hop)
      rows[static_cast<std::size_t>(map.link(parcel.from, parcel.to))] +=
          static_cast<double>(parcel.rows.size());
  return rows;
}

double receive_skew(const RowCounts& counts) {
  std::vector<double> received(idx(counts.num_ranks), 0);
  for (std::int64_t from = 0; from < counts.num_ranks; ++from)
    for (std::int64_t to = 0; to < counts.num_ranks; ++to)
      received[idx(to)] += counts.copies[counts.to_rank(from, to)];
  const double sum = std::accumulate(received.begin(), received.end(), 0.0);
  return *std::max_element(received.begin(), received.end()) /
         (sum / static_cast<double>(received.size()));
}

}  // namespace moesim::comm
