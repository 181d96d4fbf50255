// Dispatch and combine of tokens that a gate routed: who sends how much to whom is as uneven as it
// is in a model. Rows carry hidden FP8 elements with a scale per 128 (dispatch) or BF16 (combine).
//
// Points: routings with equally popular experts and DeepSeek-V3's node limit. All others are kept
// beside them with a flag, because the shape of a point does not tell them apart: they show what a
// fit is worth on skewed routings.
#include "calibrate/comm/expert_exchange.hpp"

#include <algorithm>
#include <array>

#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/exchange_run.hpp"
#include "calibrate/comm/expert_routing.hpp"

namespace moesim::comm {
namespace {

struct Algorithm {
  const char* suffix;  // of the case
  ExchangePlan RoutedExchange::*dispatch;
};
// On one node the two hops are one: no row goes over the network.
constexpr std::array kAlgorithms = {Algorithm{"", &RoutedExchange::two_hop},
                                    Algorithm{"_flat", &RoutedExchange::flat},
                                    Algorithm{"_low_latency", &RoutedExchange::low_latency}};

struct Routing {
  std::string name, flag;
  std::int64_t node_limit;
  double zipf;
};

std::vector<Routing> routings(const Session& session) {
  const std::int64_t usual = usual_node_limit(session.map());
  std::vector<Routing> all;
  for (std::int64_t limit = usual; limit >= 1; --limit) {
    const std::string name = "node_limit_" + std::to_string(limit);
    all.push_back({name, limit == usual ? "" : name, limit, 0});
  }
  if (session.options().zipf > 0) {
    const std::string name = "zipf_" + digits(session.options().zipf);
    all.push_back({name, name, usual, session.options().zipf});
  }
  return all;
}

}  // namespace

std::size_t row_words(const CommOptions& options, bool is_combine) {
  const auto hidden = static_cast<std::size_t>(options.hidden);
  constexpr std::size_t kElementsPerScale = 128, kScaleBytes = 4;  // V3, section 3.3.2
  return (is_combine ? 2 * hidden : hidden + hidden / kElementsPerScale * kScaleBytes) / kWordBytes;
}

Shape exchange_shape(const Session& session, std::int64_t tokens) {
  return {session.map().world(),
          session.map().ranks_per_node(),
          tokens,
          session.options().hidden,
          session.options().top_k};
}

namespace {

// What a rank moves over each class of link, on average over the ranks.
std::vector<double> bytes_by_link(const ExchangePlan& plan, const RankMap& map, std::size_t words) {
  std::vector<double> bytes = rows_by_link(plan, map);
  for (double& b : bytes) b *= static_cast<double>(words * kWordBytes) / map.world();
  return bytes;
}

JsonValue::Object exchange_note(const Routing& routing,
                                const std::vector<double>& bytes,
                                const RoutedExchange& routed) {
  JsonValue::Object note = {{"routing", routing.name}};
  for (int link = 0; link < kNumLinkClasses; ++link)
    note.emplace_back(
        std::string(link_class_name(static_cast<LinkClass>(link))) + "_per_rank_bytes",
        bytes[static_cast<std::size_t>(link)]);
  note.emplace_back("max_over_mean_rows_received", receive_skew(routed.counts));
  if (routing.zipf > 0) note.emplace_back("popularity_miss", routed.popularity_miss);
  return note;
}

void measure_one(Session& session,
                 const Routing& routing,
                 std::int64_t tokens,
                 const RoutedExchange& routed,
                 const ExchangePlan& plan,
                 const std::string& op) {
  const std::size_t words = row_words(session.options(), plan.is_combine);
  ExchangeRun exchange(session, session.world(), plan, words);
  const std::vector<double> bytes = bytes_by_link(plan, session.map(), words);
  Trial trial;
  trial.op = op;
  trial.shape = exchange_shape(session, tokens);
  if (!routing.flag.empty()) trial.flags = {routing.flag};
  trial.note = exchange_note(routing, bytes, routed);
  trial.prepare = [&](std::int64_t i) { exchange.prepare(i); };
  trial.run = [&] { exchange.run(); };
  trial.run_verified = [&] { exchange.run_verified(); };
  trial.check_first = [&](std::int64_t /*i*/) { return exchange.first_complaint(); };
  trial.check = [&](std::int64_t i) { return exchange.check(i); };
  trial.cells = {op, routing.name, std::to_string(tokens)};
  for (const double b : bytes) trial.cells.push_back(digits(b));
  trial.cells.push_back(digits(receive_skew(routed.counts)));
  trial.more_cells = [&](const Measured& m) {
    std::vector<std::string> cells;
    for (const double b : bytes)
      cells.push_back(b > 0 ? digits((b * B / m.timing.median).in(GB_per_s)) : "");
    return cells;
  };
  session.run(trial);
}

}  // namespace

bool fits(const Session& session, const ExchangePlan& plan) {
  const std::size_t words = ExchangeRun::most_words(
      plan, session.map().world(), row_words(session.options(), plan.is_combine));
  return words * kWordBytes <= static_cast<std::size_t>(session.options().max_bytes);
}

void measure_expert_exchange(Session& session) {
  check_routing_options(session.options(), session.map());
  const bool one_node = session.map().num_nodes() == 1;
  for (const Routing& routing : routings(session))
    for (std::int64_t tokens = 1; tokens <= session.options().max_tokens; tokens *= 2) {
      const auto routed = session.routings().get(
          {tokens, routing.node_limit, routing.zipf}, session.options(), session.map());
      for (const Algorithm& algorithm : kAlgorithms) {
        if (one_node && algorithm.dispatch == &RoutedExchange::flat) continue;
        const ExchangePlan& dispatch = (*routed).*algorithm.dispatch;
        const ExchangePlan combine = combine_plan(dispatch);
        for (const ExchangePlan* plan : {&dispatch, &combine}) {
          if (!fits(session, *plan)) {
            session.leave_out();
            continue;
          }
          const std::string op =
              (plan->is_combine ? "combine" : "dispatch") + std::string(algorithm.suffix);
          measure_one(session, routing, tokens, *routed, *plan, op);
          if (session.stopped()) return;
        }
      }
    }
}

}  // namespace moesim::comm
