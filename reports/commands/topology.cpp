// moesim topology CLUSTER: the switches, links, cost and bisection of a cluster's network; with
// --compare the five topologies of ISCA'25, Table 3, next to the published rows.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "model/network/fabric_layout.hpp"
#include "model/network/inventory.hpp"
#include "model/network/path_classes.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/format.hpp"
#include "reports/formulas.hpp"
#include "reports/known_figures.hpp"
#include "reports/report.hpp"

namespace moesim {
namespace {

struct Options {
  std::string cluster, output_folder;
  bool compare = false;
  std::int64_t ports = 64;
};

// The simulator's own paths, at datasheet rates: a network that it would refuse is refused here.
std::vector<PathClass> paths_at_peak(const ClusterSpec& c) {
  return path_classes(Network(c, {c.gpu.nvlink_bandwidth, c.nic_bandwidth}));
}

// What a cluster's network comes to.
struct Count {
  NetworkInventory inventory;
  std::optional<FabricLayout> layout;  // of a fat tree over several nodes
  std::optional<Dollars> cost;
  std::optional<Bandwidth> bisection;  // between the two halves, one direction
  std::vector<PathClass> paths;        // of a network that is simulated
};

Count count(const ClusterSpec& c) {
  Count n;
  n.inventory = cluster_inventory(c);
  if (c.fabric.prices) n.cost = inventory_cost(n.inventory, *c.fabric.prices);
  if (c.num_nodes == 1) {
    const std::int64_t half = c.gpus_per_node / 2;
    n.bisection = static_cast<double>(half) * c.gpu.nvlink_bandwidth;
    n.paths = paths_at_peak(c);
  } else if (is_fat_tree(c.fabric.topology)) {
    n.layout = fabric_layout(c);
    n.bisection = static_cast<double>(bisection_links(*n.layout)) * c.nic_bandwidth;
    n.paths = paths_at_peak(c);
  }
  return n;
}

// Of each GPU of one half.
Bandwidth per_gpu(Bandwidth bisection, const ClusterSpec& c) {
  return bisection / static_cast<double>(std::max<std::int64_t>(1, c.num_gpus() / 2));
}

std::string bandwidth_text(Bandwidth b) {
  return b < 1 * TB_per_s ? digits4(b.in(GB_per_s)) + " GB/s" : digits4(b.in(TB_per_s)) + " TB/s";
}

Section parts_section(const ClusterSpec& c, const Count& n) {
  Section section{"Parts", {}, {}, {}};
  Table table{"", {"part", "number"}, {}};
  auto add = [&](const std::string& part, const std::string& number) {
    table.rows.push_back({part, number});
  };
  auto add_count = [&](const std::string& part, std::int64_t number) {
    add(part, std::to_string(number));
  };
  add_count("GPUs", c.num_gpus());
  add_count("NICs", c.num_gpus());
  if (n.layout) {
    add_count("leaf switches", n.layout->num_leaves());
    add_count("spine switches", n.layout->num_spines());
    add_count("core switches", n.layout->num_cores());
  }
  add_count("switches", n.inventory.switches);
  add_count("links between switches", n.inventory.links);
  add("cost", n.cost ? format_usd(n.cost->in(USD)) : "unknown");
  add("cost per GPU",
      n.cost ? format_usd(n.cost->in(USD) / static_cast<double>(c.num_gpus())) : "unknown");
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      n.cost ? "Cost is of switches and of the links between them; NICs and the cables to them are "
               "not counted (as in ISCA'25, arXiv 2505.09343, Table 3)."
             : "Cost is unknown: the cluster's fabric has no \"prices\".");
  if (n.inventory.endpoints > c.num_gpus())
    section.notes.push_back("Built for " + std::to_string(n.inventory.endpoints) +
                            " endpoints, all of which are counted.");
  return section;
}

Section bandwidth_section(const ClusterSpec& c, const Count& n) {
  Section section{"Bandwidth", {}, {}, {}};
  if (!n.bisection) {
    section.paragraphs.push_back(std::string("Not known: a ") + topology_name(c.fabric.topology) +
                                 " is counted and priced, but not simulated.");
    return section;
  }
  Table table{"", {"quantity", "value"}, {}};
  table.rows.push_back({"bisection", bandwidth_text(*n.bisection)});
  table.rows.push_back({"bisection per GPU", bandwidth_text(per_gpu(*n.bisection, c))});
  if (n.layout) {
    const FabricLayout& l = *n.layout;
    table.rows.push_back({"NIC", bandwidth_text(c.nic_bandwidth)});
    table.rows.push_back({"ports of a leaf, down and up",
                          std::to_string(l.leaf_down) + " and " + std::to_string(l.leaf_up)});
    table.rows.push_back(
        {"NICs of a full leaf",
         std::to_string(l.nodes_per_leaf) + " nodes x " + std::to_string(l.rails_per_leaf)});
    table.rows.push_back({"oversubscription between leaves",
                          l.spines_per_pod == 0 ? "none: a plane is one leaf"
                                                : digits4(l.worst_oversubscription()) + " : 1"});
  }
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      n.layout ? "Bisection: datasheet rate of the links between the worst two equal halves of the "
                 "nodes, one direction, and that for each GPU of a half. Nodes are not split, and "
                 "links that fail count as working."
               : "Bisection: NVLink of half of the GPUs, one direction.");
  if (n.layout && n.layout->spines_per_pod > 0)
    section.notes.push_back(
        "Oversubscription: NICs of a full leaf over its uplinks; below 1 the uplinks outnumber "
        "them.");
  return section;
}

Section paths_section(const Count& n) {
  Section section{"Paths from GPU 0", {}, {}, {}};
  Table table{"", {"passes", "switches", "latency", "GPUs"}, {}};
  for (const PathClass& k : n.paths)
    table.rows.push_back({k.passes,
                          std::to_string(k.switches),
                          format_seconds(k.latency.in(s)),
                          std::to_string(k.gpus)});
  section.tables.push_back(std::move(table));
  section.notes.push_back("NVLink counts as no switch.");
  return section;
}

Report cluster_report(const ClusterSpec& c, const Count& n) {
  Report report;
  report.title = c.name;
  const FabricSpec& f = c.fabric;
  report.facts = {
      {"topology", topology_name(f.topology)},
      {"nodes",
       std::to_string(c.num_nodes) + " of " + std::to_string(c.gpus_per_node) + " " + c.gpu.name},
      {"switch ports", std::to_string(f.switch_ports)}};
  if (n.layout) {
    report.facts.emplace_back("levels", std::to_string(f.levels));
    report.facts.emplace_back("planes", std::to_string(f.planes));
    report.facts.emplace_back("rail-optimised", f.rail_optimized ? "yes" : "no");
    if (!f.failed_nics.empty() || !f.failed_uplinks.empty())
      report.facts.emplace_back("failures",
                                std::to_string(f.failed_nics.size()) + " NICs, " +
                                    std::to_string(f.failed_uplinks.size()) + " uplinks");
    report.facts.emplace_back("routing", f.routing == FabricRouting::ecmp ? "ECMP" : "adaptive");
  }
  report.sections = {parts_section(c, n), bandwidth_section(c, n)};
  if (!n.paths.empty()) report.sections.push_back(paths_section(n));
  return report;
}

JsonValue cluster_json(const ClusterSpec& c, const Count& n) {
  const auto gpus = static_cast<double>(c.num_gpus());
  JsonValue doc = JsonValue::object();
  doc.set("schema_version", 1).set("cluster", c.name);
  doc.set("topology", topology_name(c.fabric.topology));
  doc.set("num_gpus", c.num_gpus()).set("num_nics", c.num_gpus());
  doc.set("num_switches", n.inventory.switches).set("num_switch_links", n.inventory.links);
  doc.set("num_endpoints", n.inventory.endpoints);
  if (n.layout) {
    const FabricLayout& l = *n.layout;
    doc.set("num_leaf_switches", l.num_leaves()).set("num_spine_switches", l.num_spines());
    doc.set("num_core_switches", l.num_cores());
    doc.set("leaf_ports_down", l.leaf_down).set("leaf_ports_up", l.leaf_up);
    doc.set("nodes_per_leaf", l.nodes_per_leaf).set("gpus_of_a_node_per_leaf", l.rails_per_leaf);
    doc.set("leaf_oversubscription",
            l.spines_per_pod == 0 ? JsonValue() : JsonValue(l.worst_oversubscription()));
  }
  doc.set("cost_usd", n.cost ? JsonValue(n.cost->in(USD)) : JsonValue());
  doc.set("cost_per_gpu_usd", n.cost ? JsonValue(n.cost->in(USD) / gpus) : JsonValue());
  doc.set("bisection_bytes_per_s", n.bisection ? JsonValue(n.bisection->in(B_per_s)) : JsonValue());
  doc.set("bisection_per_gpu_bytes_per_s",
          n.bisection ? JsonValue(per_gpu(*n.bisection, c).in(B_per_s)) : JsonValue());
  JsonValue paths = JsonValue::array();
  for (const PathClass& k : n.paths)
    paths.push(JsonValue::object()
                   .set("passes", k.passes)
                   .set("num_switches", k.switches)
                   .set("latency_s", k.latency.in(s))
                   .set("num_gpus", k.gpus));
  doc.set("paths_from_gpu_0", std::move(paths));
  return doc;
}

// A row of Table 3: ours, and what was published for 64 ports.
struct ComparedRow {
  std::string key, name;
  NetworkInventory inventory;
  double cost_usd = 0;
  // "endpoints", "switches", "links", "cost" (USD); empty unless published for these ports
  std::map<std::string, double> known;
};

std::vector<ComparedRow> compared_rows(std::int64_t ports) {
  const SlimFlyShape slim = largest_slim_fly(ports);
  const DragonflyShape fly = largest_dragonfly(ports);
  constexpr std::int64_t kPlanes = 8;  // as the table counts
  std::vector<ComparedRow> rows = {
      {"FT2", "two-level fat tree", two_level_fat_tree(ports), 0, {}},
      {"MPFT", "fat tree of 8 planes", multi_plane_fat_tree(ports, kPlanes), 0, {}},
      {"FT3", "three-level fat tree", three_level_fat_tree(ports), 0, {}},
      {"SF", "Slim Fly", slim_fly(slim.q, slim.endpoints_per_switch), 0, {}},
      {"DF", "dragonfly", dragonfly(fly.p, fly.a, fly.h, fly.groups), 0, {}}};
  // The published rows and the two prices behind their costs are known figures.
  const std::string id = "$06.";
  std::map<std::string, KnownFigure> known;
  for (KnownFigure& f : read_known_figures(scenario_folder("")))
    if (f.id.rfind(id, 0) == 0) known.emplace(f.id.substr(id.size()), std::move(f));
  const auto priced = known.find("FT2.cost");
  if (priced == known.end())
    throw InputError(scenario_folder(""), "no known figure \"$06.FT2.cost\" to take prices from");
  const FormulaInputs inputs(priced->second.inputs, priced->second.file);
  const NetworkPrices prices = {inputs.number("usd_per_switch") * USD,
                                inputs.number("usd_per_link") * USD};
  for (ComparedRow& row : rows) {
    row.cost_usd = inventory_cost(row.inventory, prices).in(USD);
    if (ports != 64) continue;
    for (const char* quantity : {"endpoints", "switches", "links", "cost"}) {
      const auto it = known.find(row.key + "." + quantity);
      if (it == known.end())
        throw InputError(scenario_folder(""),
                         "no known figure \"" + id + row.key + "." + quantity + "\"");
      row.known[quantity] = it->second.known / it->second.scale;
    }
  }
  return rows;
}

double cost_per_endpoint(const ComparedRow& row) {
  return row.cost_usd / static_cast<double>(row.inventory.endpoints);
}
Report compare_report(const std::vector<ComparedRow>& rows, std::int64_t ports) {
  Report report;
  report.title = "Topologies of " + std::to_string(ports) + "-port switches";
  Section section{"Largest networks", {}, {}, {}};
  Table table{"", {"topology", "", "endpoints", "switches", "links", "cost", "per endpoint"}, {}};
  for (const ComparedRow& row : rows) {
    table.rows.push_back({row.key,
                          row.name,
                          std::to_string(row.inventory.endpoints),
                          std::to_string(row.inventory.switches),
                          std::to_string(row.inventory.links),
                          format_usd(row.cost_usd),
                          format_usd(cost_per_endpoint(row))});
    if (row.known.empty()) continue;
    auto whole = [&](const char* quantity) {
      return std::to_string(static_cast<std::int64_t>(row.known.at(quantity)));
    };
    table.rows.push_back({"",
                          "published",
                          whole("endpoints"),
                          whole("switches"),
                          whole("links"),
                          format_usd(row.known.at("cost")),
                          format_usd(row.known.at("cost") / row.known.at("endpoints"))});
  }
  section.tables.push_back(std::move(table));
  if (!rows.front().known.empty())
    section.notes.push_back(
        "Published: \"Insights into DeepSeek-V3\", ISCA'25 (arXiv 2505.09343), Table 3; cost per "
        "endpoint is its cost over its endpoints.");
  section.notes.push_back(
      "The paper does not print prices of its parts. A switch and a link are priced so that its "
      "FT2 "
      "and FT3 of 64-port switches cost what is published; all other costs follow from counts.");
  section.notes.push_back(
      "Links are between switches; NICs and the cables to them are not counted.");
  section.notes.push_back(
      "The Slim Fly is the largest by port arithmetic. Such a graph is known for a prime power q "
      "only, and q = 28, which the paper counts for 64 ports, is none.");
  report.sections.push_back(std::move(section));
  return report;
}

JsonValue compare_json(const std::vector<ComparedRow>& rows, std::int64_t ports) {
  JsonValue list = JsonValue::array();
  for (const ComparedRow& row : rows) {
    JsonValue item = JsonValue::object();
    item.set("topology", row.key)
        .set("endpoints", row.inventory.endpoints)
        .set("switches", row.inventory.switches)
        .set("links", row.inventory.links)
        .set("cost_usd", row.cost_usd)
        .set("cost_per_endpoint_usd", cost_per_endpoint(row));
    JsonValue published;  // null for other ports than the paper's
    if (!row.known.empty())
      published = JsonValue::object()
                      .set("endpoints", row.known.at("endpoints"))
                      .set("switches", row.known.at("switches"))
                      .set("links", row.known.at("links"))
                      .set("cost_usd", row.known.at("cost"));
    list.push(std::move(item.set("published", std::move(published))));
  }
  return JsonValue::object()
      .set("schema_version", 1)
      .set("switch_ports", ports)
      .set("rows", std::move(list));
}

}  // namespace

void add_topology_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "topology", "Switches, links, cost, bisection and paths of a cluster's network");
  command->footer(
      "Examples: moesim topology scenarios/clusters/h800-2048.jsonc\n"
      "          moesim topology --compare --ports 64");
  CLI::Option* cluster = command->add_option("cluster", options->cluster, "A cluster's file");
  CLI::Option* compare = command->add_flag(
      "--compare", options->compare, "The five topologies of ISCA'25, Table 3, side by side");
  cluster->excludes(compare);
  // Fewer ports than 8 leave no room for the smallest dragonfly and Slim Fly.
  command->add_option("--ports", options->ports, "Ports of a switch, for --compare")
      ->check(CLI::Range(std::int64_t{8}, std::int64_t{1024}))
      ->needs(compare);
  add_output_option(*command, options->output_folder);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] {
      if (options->compare) {
        const auto rows = compared_rows(options->ports);
        deliver(compare_report(rows, options->ports),
                compare_json(rows, options->ports),
                options->output_folder,
                context);
        return kDone;
      }
      if (options->cluster.empty())
        throw InputError("topology", "expected a cluster's file, or --compare");
      const ClusterSpec c = read_cluster_file(options->cluster);
      const Count n = count(c);
      deliver(cluster_report(c, n), cluster_json(c, n), options->output_folder, context);
      return kDone;
    };
  });
}

}  // namespace moesim
