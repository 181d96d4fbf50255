#include "reports/collective_report.hpp"

#include <algorithm>
#include <cmath>

#include "reports/format.hpp"

namespace moesim {
namespace {

std::string name_of(CollectiveAlgorithm algorithm) {
  for (const auto& [name, value] : kCollectiveAlgorithms)
    if (value == algorithm) return name;
  ENSURE(false);
  return "";
}

std::string per_second(Bandwidth b) { return digits4(b.in(GB_per_s)); }

// The closed form's error where nothing blocks, else what the fabric adds to it.
double difference_pct(const CollectiveBench& bench, const CollectiveMeasurement& m) {
  return bench.blocks.empty() ? 100 * (m.closed_form / m.alone - 1)
                              : 100 * (m.alone / m.closed_form - 1);
}

std::vector<std::string> refusal_notes(const CollectiveComparison& c) {
  std::vector<std::string> notes;
  for (const auto& [algorithm, reason] : c.refused)
    notes.push_back(algorithm + ": " + reason + ".");
  return notes;
}

std::string measured_text(const CollectiveComparison& c) {
  return format_seconds(group_time(*c.fit, c.bytes.in(B)).in(s));
}

// One group alone, as the profile's points had it.
void add_measured(const CollectiveComparison& c, std::vector<std::string>& notes) {
  if (c.fit == nullptr) return;
  const double error = std::log1p(c.fit->error.inside);
  const Seconds t = group_time(*c.fit, c.bytes.in(B));
  notes.push_back("Measured on this geometry: " + measured_text(c) + " (" +
                  format_seconds((std::exp(-error) * t).in(s)) + " to " +
                  format_seconds((std::exp(error) * t).in(s)) + "). " + c.fit->source + ".");
}

Section section_of(const CollectiveBench& bench, const CollectiveComparison& c) {
  const bool several = bench.groups.gpus.size() > 1;
  Section section{std::string(c.kind) + " of " + format_bytes(c.bytes), {}, {}, {}};
  Table table{"", {"algorithm", "rounds", "closed form", several ? "alone" : "simulated"}, {}};
  table.columns.push_back(bench.blocks.empty() ? "closed form off by" : "fabric adds");
  if (several) table.columns.insert(table.columns.end(), {"together", "slowdown"});
  table.columns.insert(table.columns.end(), {"algbw (GB/s)", "busbw (GB/s)", "busiest NIC"});
  for (const CollectiveMeasurement& m : c.measured) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row = {name_of(m.spec.algorithm),
           std::to_string(m.num_rounds),
           format_seconds(m.closed_form.in(s)),
           format_seconds(m.alone.in(s)),
           format_signed_percent(difference_pct(bench, m))};
    if (several)
      row.insert(row.end(), {format_seconds(m.together.in(s)), digits4(m.together / m.alone)});
    row.insert(row.end(),
               {per_second(algorithm_bandwidth(m)),
                per_second(bus_bandwidth(m)),
                format_bytes(m.busiest_nic)});
  }
  if (!c.measured.empty()) section.tables.push_back(std::move(table));
  section.notes = refusal_notes(c);
  add_measured(c, section.notes);
  return section;
}

// One kind over sizes: a column for each algorithm.
Section section_by_size(const std::vector<CollectiveComparison>& sizes) {
  const CollectiveComparison& first = sizes.front();
  Section section{std::string(first.kind) + " by size", {}, {}, {}};
  Table table{"", {"buffer"}, {}};
  for (const CollectiveMeasurement& m : first.measured)
    table.columns.emplace_back(name_of(m.spec.algorithm));
  table.columns.insert(table.columns.end(), {"fastest", "its busbw (GB/s)"});
  const bool measured = std::any_of(
      sizes.begin(), sizes.end(), [](const CollectiveComparison& c) { return c.fit != nullptr; });
  if (measured) table.columns.emplace_back("measured");
  for (const CollectiveComparison& c : sizes) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row.push_back(format_bytes(c.bytes));
    std::string fastest, bandwidth;
    for (const CollectiveMeasurement& m : c.measured) {
      row.push_back(format_seconds(m.together.in(s)));
      if (!c.is_fastest(m)) continue;
      fastest += (fastest.empty() ? "" : ", ") + name_of(m.spec.algorithm);
      bandwidth = per_second(bus_bandwidth(m));
    }
    row.insert(row.end(), {fastest, bandwidth});
    if (measured) row.push_back(c.fit != nullptr ? measured_text(c) : "-");
  }
  if (!first.measured.empty()) section.tables.push_back(std::move(table));
  section.notes = refusal_notes(first);
  return section;
}

std::string groups_text(const CollectiveGroups& groups) {
  const std::vector<std::int64_t>& gpus = groups.gpus.front();
  std::string text = std::to_string(groups.shape.ranks) + " GPUs, " +
                     std::to_string(groups.shape.ranks_per_node) + " a node (" +
                     std::to_string(gpus[0]) + ", " + std::to_string(gpus[1]) +
                     (gpus.size() > 2 ? " ... " + std::to_string(gpus.back()) : "") + ")";
  if (groups.gpus.size() > 1)
    text = std::to_string(groups.gpus.size()) + " groups at the same time, each of " + text +
           ", the next from " + std::to_string(groups.gpus[1].front());
  return text;
}

std::string link_text(const LinkModel& link) {
  return per_second(link.rate) + " GB/s, " + format_seconds(link.latency.in(s));
}

std::vector<std::string> warnings_of(const CollectiveBench& bench) {
  if (bench.scenario.profile.collectives) return {};
  return {
      "no size regimes in the profile: link rates and latencies only, so small messages are "
      "optimistic. Measured ones belong under \"collectives\"."};
}

Section reading_section(const CollectiveBench& bench, bool by_size) {
  const bool several = bench.groups.gpus.size() > 1;
  Section section{"How to read this", {}, {}, {}};
  std::vector<std::string>& notes = section.notes;
  if (bench.groups.shape.num_nodes() > 1) {
    notes.push_back(bench.blocks.empty()
                        ? "The fabric does not block: the closed form is for such a fabric."
                        : "The fabric may block (" + bench.blocks +
                              "), which the closed form leaves out.");
    if (bench.scenario.cluster.fabric.planes > 1)
      notes.emplace_back(
          "A message to another plane crosses NVLink first, which the closed form leaves out.");
    if (bench.scenario.cluster.same_leaf_latency)
      notes.emplace_back(
          "Under one leaf latency is less, which the closed form leaves out: it may be too long.");
  }
  if (by_size)
    notes.emplace_back(several ? "Times are simulated, until the last group ends."
                               : "Times are simulated.");
  else if (several)
    notes.emplace_back(
        "Together: until the last group ends. Alone: the same group when no other sends. "
        "Bandwidths are those of the last group.");
  notes.emplace_back(
      "algbw and busbw as in nccl-tests (doc/PERFORMANCE.md): buffer over time, and that times "
      "2(n-1)/n for an all-reduce, (n-1)/n for a reduce-scatter, all-gather or all-to-all, 1 for a "
      "broadcast or send.");
  return section;
}

}  // namespace

// Algorithms may come to the same messages; rounds end on whole picoseconds.
bool CollectiveComparison::is_fastest(const CollectiveMeasurement& m) const {
  return std::all_of(measured.begin(), measured.end(), [&](const CollectiveMeasurement& other) {
    return m.together <= 1.000001 * other.together;
  });
}

Report collective_report(const CollectiveBench& bench,
                         const CollectiveComparisons& kinds,
                         bool by_size) {
  Report report;
  report.title = bench.scenario.name + ": collectives";
  const auto& regimes = bench.scenario.profile.collectives;
  report.facts = {{"scenario hash", bench.scenario.hash},
                  {"cluster", bench.scenario.cluster.name},
                  {"profile", bench.scenario.profile.id},
                  {"ranks", groups_text(bench.groups)},
                  {"NVLink", link_text(bench.links.nvlink)},
                  {"NIC", link_text(bench.links.nic)}};
  if (regimes) report.facts.emplace_back("size regimes", regimes->source);
  for (const std::vector<CollectiveComparison>& sizes : kinds)
    report.sections.push_back(by_size ? section_by_size(sizes) : section_of(bench, sizes.front()));
  report.sections.push_back(reading_section(bench, by_size));
  report.warnings = warnings_of(bench);
  return report;
}

JsonValue collective_json(const CollectiveBench& bench, const CollectiveComparisons& kinds) {
  JsonValue rows = JsonValue::array(), refused = JsonValue::array(), fits = JsonValue::array();
  for (const std::vector<CollectiveComparison>& sizes : kinds) {
    for (const CollectiveComparison& c : sizes) {
      if (c.fit != nullptr)
        fits.push(JsonValue::object()
                      .set("kind", c.kind)
                      .set("buffer_bytes", c.bytes.in(B))
                      .set("time_s", group_time(*c.fit, c.bytes.in(B)).in(s))
                      .set("error_pct", 100 * c.fit->error.inside)
                      .set("source", c.fit->source));
      for (const CollectiveMeasurement& m : c.measured)
        rows.push(JsonValue::object()
                      .set("kind", c.kind)
                      .set("algorithm", name_of(m.spec.algorithm))
                      .set("buffer_bytes", c.bytes.in(B))
                      .set("num_rounds", m.num_rounds)
                      .set("closed_form_s", m.closed_form.in(s))
                      .set("alone_s", m.alone.in(s))
                      .set("closed_form_error_pct",
                           bench.blocks.empty() ? JsonValue(difference_pct(bench, m)) : JsonValue())
                      .set("together_s", m.together.in(s))
                      .set("slowdown", m.together / m.alone)
                      .set("algorithm_bandwidth_bytes_per_s", algorithm_bandwidth(m).in(B_per_s))
                      .set("bus_bandwidth_bytes_per_s", bus_bandwidth(m).in(B_per_s))
                      .set("busiest_nic_bytes", m.busiest_nic.in(B))
                      .set("is_fastest", c.is_fastest(m)));
    }
    for (const auto& [algorithm, reason] : sizes.front().refused)
      refused.push(JsonValue::object()
                       .set("kind", sizes.front().kind)
                       .set("algorithm", algorithm)
                       .set("reason", reason));
  }
  JsonValue warnings = JsonValue::array();
  for (const std::string& warning : warnings_of(bench)) warnings.push(warning);
  return JsonValue::object()
      .set("schema_version", 1)
      .set("scenario", bench.scenario.name)
      .set("scenario_hash", bench.scenario.hash)
      .set("cluster", bench.scenario.cluster.name)
      .set("profile", bench.scenario.profile.id)
      .set("num_groups", std::ssize(bench.groups.gpus))
      .set("num_gpus_per_group", bench.groups.shape.ranks)
      .set("num_gpus_per_node", bench.groups.shape.ranks_per_node)
      .set("first_gpu", bench.groups.gpus.front().front())
      .set("fabric_blocks", bench.blocks.empty() ? JsonValue() : JsonValue(bench.blocks))
      .set("has_size_regimes", bench.scenario.profile.collectives.has_value())
      .set("rows", std::move(rows))
      .set("measured", std::move(fits))
      .set("refused", std::move(refused))
      .set("warnings", std::move(warnings));
}

}  // namespace moesim
