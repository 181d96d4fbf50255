// Writes report.html of a made-up report with every kind of chart, 10,000 spans on a timeline among
// them, and names that try to break out of the page. sample_report FOLDER
#include <cmath>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "model/json_writer.hpp"
#include "reports/tables.hpp"
#include "reports/writers.hpp"

namespace moesim {
namespace {

const std::string kHostile =
    "</script><script>document.title='broken'</script><!-- \"><img src=x "
    "onerror=document.title='broken'> \xff {{x}} {a|b} \xe2\x80\xa8";

Section verdict_part() {
  Section section{"Verdict", {}, {}, {}};
  section.paragraphs = {
      "64 H200 serve the day for $186.9 k a month and 58.2 kW; decode memory binds.",
      "Both limits hold: time to first token 1.61 s of 2 s, `p99_tpot` 43.1 ms of "
      "50 ms."};
  section.tables.push_back({"",
                            {"quantity", "value"},
                            {{"GPUs", "64"},
                             {"cost a month", "$186.9 k (171.2 to 201.4)"},
                             {"power", "58.2 kW"},
                             {"binding constraint", "KV cache of the decode pool, 97.1 % full"},
                             {"throughput per GPU", "1,204 tokens/s (1,102 to 1,311)"},
                             {"memory of the fullest rank", "131.2 GB of 141.0 GB"}}});
  section.notes = {"In brackets: 90 % intervals from the errors of the calibration alone."};
  return section;
}

Section xy_part() {
  Section section{"Throughput against speed, and latency", {"The chosen point is marked."}, {}, {}};
  XyChart pareto{{"speed of one user", "tokens/s"}, {"throughput per GPU", "tokens/s"}, {}, {}};
  XyChart::Series tried{"tried", XyChart::Drawn::points, {}, {}};
  for (int i = 0; i < 120; ++i) {
    const double user = 10 + 1.1 * i, factor = 0.55 + 0.45 * std::abs(std::sin(1.7 * i));
    tried.points.emplace_back(user, factor * 2400 / (1 + std::pow(user / 60, 2)));
    tried.point_names.push_back("batch " + std::to_string(512 - 4 * i));
  }
  XyChart::Series best{"best", XyChart::Drawn::line, {}, {}};
  for (int i = 0; i <= 24; ++i)
    best.points.emplace_back(10 + 5.0 * i, 2400 / (1 + std::pow((10 + 5.0 * i) / 60, 2)));
  pareto.series = {tried, best};
  pareto.marks = {{"chosen: EP32, batch 128", 60, 1200}, {"asked: 20 tokens/s", 20, {}}};
  section.charts.push_back({"Throughput per GPU against speed per user",
                            "Each step from 20 to 60 tokens/s per user costs half the throughput.",
                            pareto});

  XyChart cdf{{"time to first token", "s", true}, {"share of requests", ""}, {}, {}};
  for (const double median : {0.3, 0.7}) {
    XyChart::Series series{
        median < 0.5 ? "short prompts" : kHostile, XyChart::Drawn::steps, {}, {}};
    for (int i = 0; i < 60; ++i) {
      const double share = (i + 0.5) / 60;
      series.points.emplace_back(median * std::exp(0.5 * std::log(share / (1 - share))), share);
    }
    cdf.series.push_back(series);
  }
  cdf.marks = {{"limit 2 s", 2, {}}, {"99 %", {}, 0.99}};
  section.charts.push_back({"Time to first token", "99 % of requests wait less than 2 s.", cdf});
  return section;
}

Section bars_part() {
  Section section{"Where the time goes", {}, {}, {}};
  BarChart fall{{"MFU", "%"}, "loss", {}, {{"MFU", {}}}, true, {}};
  double left = 100;
  fall.categories = {"peak"};
  fall.series[0].bars = {{0, left}};
  for (const auto& [name, loss] :
       std::vector<std::pair<std::string, double>>{{"GEMM efficiency", 28.1},
                                                   {"element-wise kernels", 14.2},
                                                   {"communication", 9.3},
                                                   {"recomputation saved", -2.4},
                                                   {"pipeline bubble", 6.1},
                                                   {kHostile, 4.0}}) {
    fall.categories.push_back(name);
    fall.series[0].bars.push_back({left, left - loss});
    left -= loss;
  }
  fall.categories.push_back("achieved");
  fall.series[0].bars.push_back({0, left});
  section.charts.push_back({"From the peak to the achieved MFU", "GEMMs lose most.", fall});

  BarChart memory{{"memory", "B"}, "pipeline rank", {}, {}, false, {{"HBM", {}, 80e9}}};
  for (const char* name : {"weights", "optimizer", "activations"})
    memory.series.push_back({name, {}});
  for (int rank = 0; rank < 16; ++rank) {
    memory.categories.push_back("pp " + std::to_string(rank));
    double at = 0;
    const double parts[] = {12e9, 8e9, 40e9 - 2e9 * rank};
    for (std::size_t i = 0; i < 3; ++i) {
      memory.series[i].bars.push_back({at, at + parts[i]});
      at += parts[i];
    }
  }
  section.charts.push_back({"Memory by pipeline rank", "The first rank is the fullest.", memory});

  BarChart tornado{
      {"change of the step", "s"}, "source", {}, {{"fast end", {}}, {"slow end", {}}}, true, {}};
  for (int i = 0; i < 8; ++i) {
    tornado.categories.push_back("source of error " + std::to_string(i + 1));
    tornado.series[0].bars.push_back({0, -0.010 / (i + 1)});
    tornado.series[1].bars.push_back({0, 0.013 / (i + 1)});
  }
  section.charts.push_back({"What the step hangs on", "FP8 GEMMs first.", tornado});
  section.tables.push_back(
      {"Wide table",
       {"row",
        "quantity",
        "unit",
        "known",
        "predicted",
        "90 % interval",
        "error",
        "role",
        "source"},
       {{"T20",
         "overlapped pair",
         "ms",
         "129.0",
         "128.8",
         "117.9 to 142.5",
         "-0.15 %",
         "`fit`",
         "a trace"},
        {kHostile, kHostile, "", "1", "2", "", "+100 %", "`held_out`", "nobody"}}});
  return section;
}

Section maps_part() {
  Section section{"Routing", {}, {}, {}};
  Heatmap loads{"expert", "layer", {}, {}, {"load against the mean", ""}, {}};
  for (int x = 0; x < 64; ++x) loads.x_categories.push_back(std::to_string(x));
  for (int y = 0; y < 26; ++y) {
    loads.y_categories.push_back("layer " + std::to_string(y + 3));
    loads.cells.emplace_back();
    for (int x = 0; x < 64; ++x)
      loads.cells.back().push_back(std::exp(0.6 * std::sin(1.3 * x * (y + 1))));
  }
  section.charts.push_back({"Expert loads", "No expert has more than 1.8 times the mean.", loads});
  Heatmap traffic{"to node", "from node", {}, {}, {"traffic", "B", true}, {}};
  for (int y = 0; y < 8; ++y) {
    traffic.x_categories.push_back("node " + std::to_string(y));
    traffic.y_categories.push_back("node " + std::to_string(y));
    traffic.cells.emplace_back();
    for (int x = 0; x < 8; ++x)
      traffic.cells.back().push_back(x == y ? 0 : 1e9 * std::pow(2, std::cos(x + 2 * y) * 3));
  }
  section.charts.push_back({"Traffic between nodes", "Nearly even.", traffic});
  return section;
}

Section timeline_part() {
  Section section{"The step", {}, {}, {}};
  TimelineChart step;
  step.kinds = {"forward", "backward", "weight gradient", "dispatch", "combine", kHostile};
  double start = 0;
  for (std::size_t lane = 0; lane < 20; ++lane) {
    step.lanes.push_back("pp " + std::to_string(lane / 2) +
                         (lane % 2 == 0 ? ", compute" : ", communication"));
    start = 0.02 * static_cast<double>(lane / 2);
    for (std::size_t i = 0; i < 500; ++i) {
      const std::size_t kind = lane % 2 == 0 ? i % 3 : 3 + i % 3;
      const double length = 0.004 + 0.002 * std::abs(std::sin(static_cast<double>(i * (lane + 1))));
      step.spans.push_back({lane, kind, start, start + length, i % 97 == 0 ? kHostile : ""});
      start += length * (i % 5 == 0 ? 1.4 : 1.02);
    }
  }
  section.charts.push_back({"Timeline of a step", "Ranks start one after the other.", step});
  return section;
}

}  // namespace

Report sample_report() {
  Report report;
  report.title = "A made-up report";
  report.facts = {{"scenario", kHostile},
                  {"scenario hash", "2ce9e6931493448c"},
                  {"profile", "h800-published (published, on H800)"},
                  {"seed", "1"}};
  report.warnings = {"41 % of the time rests on extrapolated kernels.", kHostile};
  report.sections = {verdict_part(), xy_part(), bars_part(), maps_part(), timeline_part()};
  return report;
}

}  // namespace moesim

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: sample_report FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const moesim::Report report = moesim::sample_report();
  std::ostringstream html, markdown;
  moesim::write_html(report, html);
  moesim::write_markdown(report, markdown);
  moesim::write_file(folder / "report.html", html.str());
  moesim::write_file(folder / "report.md", markdown.str());
  return 0;
}
