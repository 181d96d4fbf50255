// The tokens whose exchange is measured: routed one by one by DeepSeek-V3's gate (sigmoid scores, a
// limit on the nodes a token visits), experts in order on the ranks. The gate has a group of
// experts for every node, so that its limit is one of nodes whatever their number.
//
// The same on every rank, from the seed: nobody has to be told who sends what.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "calibrate/comm/exchange_plan.hpp"
#include "calibrate/comm/session.hpp"

namespace moesim::comm {

struct RoutingSetting {
  std::int64_t tokens = 1;  // of a rank
  std::int64_t node_limit = 1;
  double zipf = 0;  // 0: experts are equally popular
  bool operator==(const RoutingSetting&) const = default;
};

struct RoutedExchange {
  RowCounts counts;
  ExchangePlan flat, two_hop, low_latency;  // dispatch
  double popularity_miss = 0;  // largest miss of a relative load, where the limit stands against it
};

// Refuses (InputError, by option) what cannot be routed over these ranks.
void check_routing_options(const CommOptions& options, const RankMap& map);

RoutedExchange route(const RoutingSetting& setting, const CommOptions& options, const RankMap& map);

// One routing for all ranks of a process; the last few are kept.
class RoutingCache {
 public:
  std::shared_ptr<const RoutedExchange> get(const RoutingSetting& setting,
                                            const CommOptions& options,
                                            const RankMap& map);

 private:
  std::mutex mutex_;
  std::deque<std::pair<RoutingSetting, std::shared_ptr<const RoutedExchange>>> kept_;
};

// The node limit of DeepSeek-V3 (report, section 2.1.2), or all nodes where there are fewer.
std::int64_t usual_node_limit(const RankMap& map);

}  // namespace moesim::comm
