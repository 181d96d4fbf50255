// What the tokens of one layer come to: loads, visits, exchanges, and what the node limit saves.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "reports/format.hpp"
#include "reports/routing_report.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostNodesShown = 16;  // a wider matrix does not fit a terminal

std::string text(std::int64_t value) { return std::to_string(value); }
// Counts and sizes are exact where they are whole.
std::string count_text(double value) {
  return value == std::round(value) ? text(std::llround(value)) : digits4(value);
}

// One mark a value, 64 a line; a full block is the largest.
std::string marks(const std::string& unit, const std::vector<double>& loads) {
  static const char* const kMarks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::size_t kPerLine = 64;
  const double largest = *std::max_element(loads.begin(), loads.end());
  std::string chart;
  for (std::size_t i = 0; i < loads.size(); ++i) {
    if (i % kPerLine == 0) {
      std::string label = unit + " " + std::to_string(i);
      label.resize(12, ' ');
      chart += (i == 0 ? "" : "\n") + label;
    }
    chart += kMarks[static_cast<std::size_t>(std::ceil(8 * loads[i] / largest))];
  }
  return chart + "\n";
}

std::vector<std::string> spread_row(const std::string& unit, const std::vector<double>& loads) {
  const LoadSpread spread = spread_of(loads);
  return {unit,
          std::to_string(loads.size()),
          count_text(spread.mean),
          digits4(spread.max_over_mean),
          digits4(spread.min_over_mean),
          digits4(spread.cv),
          digits4(spread.max_violation())};
}

Table hottest_table(const RoutingStudy& study) {
  constexpr std::size_t kShown = 5, kGpusShown = 4;
  const std::vector<double>& loads = study.group.loads.expert;
  const double mean = spread_of(loads).mean;
  std::vector<std::size_t> order(loads.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return loads[a] > loads[b];
  });
  order.resize(std::min(order.size(), kShown));
  const ExpertSlots slots = slots_of_experts(study.placement);
  Table table{"Hottest experts", {"expert", "copies", "over mean", "popularity", "GPU"}, {}};
  for (const std::size_t e : order) {
    const auto replicas = slots.of(static_cast<std::int64_t>(e));
    std::string gpus;
    for (std::size_t i = 0; i < std::min(replicas.size(), kGpusShown); ++i)
      gpus += (i == 0 ? "" : ", ") + text(study.placement.rank_of_slot(replicas[i]));
    if (replicas.size() > kGpusShown) gpus += ", ...";
    table.rows.push_back({std::to_string(e),
                          count_text(loads[e]),
                          digits4(loads[e] / mean),
                          digits4(study.wanted[e]),
                          gpus});
  }
  return table;
}

Section load_section(const RoutingStudy& study) {
  const UnitLoads& loads = study.group.loads;
  Section section{"Load", {}, {}, {}};
  Table table{"", {"load of", "number", "mean copies", "max/mean", "min/mean", "CV", "MaxVio"}, {}};
  table.rows = {spread_row("an expert", loads.expert),
                spread_row("a GPU", loads.rank),
                spread_row("a node", loads.node)};
  section.tables = {std::move(table), hottest_table(study)};
  section.paragraphs.push_back("```\n" + marks("expert", loads.expert) + marks("GPU", loads.rank) +
                               marks("node", loads.node) + "```");
  // The variance of a binomial count.
  const auto tokens = static_cast<double>(study.num_tokens),
             chance = static_cast<double>(study.gate.top_k) /
                      static_cast<double>(study.gate.num_experts);
  section.notes = {
      "The chart has one mark an expert, GPU or node; a full block is the largest of its kind.",
      "A copy is a (token, expert) pair. MaxVio is max/mean - 1 (Wang et al., arXiv 2408.15664). "
      "Experts that are equally popular have CV " +
          digits4(std::sqrt((1 - chance) / (tokens * chance))) +
          " after so many tokens, by chance."};
  return section;
}

Section visits_section(const RoutingStudy& study) {
  const TokenVisits& visits = study.group.visits;
  Section section{"Where a token goes", {}, {}, {}};
  section.tables.push_back({"",
                            {"a token has", "mean"},
                            {{"copies", digits4(visits.copies_per_token)},
                             {"distinct GPUs", digits4(visits.ranks_per_token)},
                             {"distinct nodes", digits4(visits.nodes_per_token)}}});
  Table table{"", {"nodes visited", "share of tokens"}, {}};
  for (std::size_t n = 1; n < visits.share_by_nodes.size(); ++n)
    if (visits.share_by_nodes[n] > 0)
      table.rows.push_back({std::to_string(n), format_percent(visits.share_by_nodes[n])});
  section.tables.push_back(std::move(table));
  section.notes.push_back("The own GPU and node count where they hold one of the experts.");
  return section;
}

Table exchange_table(const std::string& title,
                     const std::array<ExchangeStudy, 3>& exchanges,
                     double num_tokens) {
  Table table{title,
              {"", "", "network", "NVLink", "network", "NVLink", "logical", "busiest", "simulated"},
              {{"", "", "rows", "rows", "bytes", "bytes", "bytes", "link", ""}}};
  for (const ExchangeStudy& e : exchanges)
    for (const bool combine : {false, true}) {
      const ExchangeTime& t = combine ? e.combine : e.dispatch;
      auto bytes = [&](double rows) { return format_bytes(rows / num_tokens * t.row); };
      table.rows.push_back({algorithm_name(e.algorithm),
                            combine ? "combine" : "dispatch",
                            digits4(e.network_rows / num_tokens),
                            digits4(e.nvlink_rows / num_tokens),
                            bytes(e.network_rows),
                            bytes(e.nvlink_rows),
                            bytes(e.logical_rows),
                            format_seconds(t.busiest_link.in(s)),
                            format_seconds(t.simulated.in(s))});
    }
  return table;
}

std::string limit_text(const RoutingRun& run) {
  return "at most " + text(run.phase.routing.max_groups) + " of " +
         text(run.scenario.model.moe->num_groups) + " groups";
}

Section exchange_section(const RoutingRun& run) {
  const RoutingStudy& study = *run.study;
  const auto num_tokens = static_cast<double>(study.num_tokens);
  const ExchangeTime& dispatch = study.exchange[0].dispatch;
  Section section{"Dispatch and combine", {}, {}, {}};
  section.tables.push_back(exchange_table(
      study.unlimited ? "With the node limit (" + limit_text(run) + ")" : "There is no node limit",
      study.exchange,
      num_tokens));
  if (study.unlimited)
    section.tables.push_back(
        exchange_table("Without the node limit", *study.unlimited, num_tokens));
  section.notes = {
      "Rows and bytes are a token's, on the wire. Logical bytes are what DeepEP's benchmarks "
      "divide by time: rows for the own node (two-hop) or GPU count too. A row has " +
          count_text(dispatch.row.in(B)) + " B in dispatch and " +
          count_text(study.exchange[0].combine.row.in(B)) + " B in combine.",
      "Flat: one row for every GPU. Two-hop: one for every node, handed on over NVLink. "
      "Low-latency: one for every expert.",
      "Busiest link: how long the fullest link, or a GPU's copying SMs, take alone. Simulated: "
      "all rows on the scenario's cluster, nothing else on it, without launch overheads."};
  return section;
}

Section saving_section(const RoutingRun& run) {
  const RoutingStudy& study = *run.study;
  const auto num_tokens = static_cast<double>(study.num_tokens);
  Section section{"What the node limit saves", {}, {}, {}};
  Table table{"", {"", "", "network bytes", "change", "simulated", "change"}, {}};
  auto add = [&](const std::string& name, const ExchangeStudy& without, const ExchangeStudy& with) {
    for (const bool combine : {false, true}) {
      const ExchangeTime &before = combine ? without.combine : without.dispatch,
                         &after = combine ? with.combine : with.dispatch;
      auto bytes = [&](const ExchangeStudy& e) {
        return format_bytes(e.network_rows / num_tokens * after.row);
      };
      // A group on one node has no network, one of a single GPU nothing at all.
      auto change = [](double from, double to) {
        return from > 0 ? format_signed_percent(100 * (to / from - 1)) : "-";
      };
      table.rows.push_back(
          {name,
           combine ? "combine" : "dispatch",
           bytes(without) + " -> " + bytes(with),
           change(without.network_rows, with.network_rows),
           format_seconds(before.simulated.in(s)) + " -> " + format_seconds(after.simulated.in(s)),
           change(before.simulated.in(s), after.simulated.in(s))});
    }
  };
  for (std::size_t a = 0; a < study.exchange.size(); ++a)
    add(algorithm_name(study.exchange[a].algorithm), (*study.unlimited)[a], study.exchange[a]);
  add("flat -> two-hop", (*study.unlimited)[0], study.exchange[1]);
  section.tables.push_back(std::move(table));
  section.notes.push_back("From routing without a limit to " + limit_text(run) +
                          ", bytes of a token. The last rows also change the algorithm: the "
                          "limit saves bytes only where a node gets one copy of a token.");
  return section;
}

std::optional<Section> matrix_section(const RoutingStudy& study) {
  const std::int64_t num_nodes = study.placement.num_nodes();
  if (num_nodes == 1 || num_nodes > kMostNodesShown) return std::nullopt;
  const std::vector<double> rows = rows_between_nodes(study.group.rows);
  Section section{"Rows from node to node", {}, {}, {}};
  Table table{"", {"from \\ to"}, {}};
  for (std::int64_t n = 0; n < num_nodes; ++n) table.columns.push_back(text(n));
  for (std::int64_t from = 0; from < num_nodes; ++from) {
    table.rows.push_back({text(from)});
    for (std::int64_t to = 0; to < num_nodes; ++to)
      table.rows.back().push_back(
          text(std::llround(rows[static_cast<std::size_t>(from * num_nodes + to)])));
  }
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      "Distinct tokens, one row each: what two-hop sends. Those for the own node stay.");
  return section;
}

}  // namespace

const char* algorithm_name(ExpertAlgorithm algorithm) {
  switch (algorithm) {
    case ExpertAlgorithm::flat: return "flat";
    case ExpertAlgorithm::two_hop: return "two-hop";
    case ExpertAlgorithm::low_latency: return "low-latency";
  }
  throw std::logic_error("algorithm without a name");
}

std::vector<Section> study_sections(const RoutingRun& run) {
  const RoutingStudy& study = *run.study;
  std::vector<Section> sections = {
      load_section(study), visits_section(study), exchange_section(run)};
  if (study.unlimited) sections.push_back(saving_section(run));
  if (auto matrix = matrix_section(study)) sections.push_back(std::move(*matrix));
  return sections;
}

}  // namespace moesim
