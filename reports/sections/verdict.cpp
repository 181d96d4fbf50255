// The answer before the reasons: what it takes, what it gives, what holds it back.
#include "reports/verdict.hpp"

#include <algorithm>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

std::string number_with_interval(const ReportInput& input,
                                 std::string (*format)(double),
                                 const std::function<double(const RunResult&)>& number) {
  const double value = number(input.run);
  return input.uncertainty
             ? with_interval(value, interval_of(input.run, *input.uncertainty, number), format)
             : format(value);
}

std::string memory_text(const PhaseResult& r, Bytes hbm) {
  const RankMemory& fullest = *std::max_element(
      r.memory.begin(), r.memory.end(), [](const RankMemory& a, const RankMemory& b) {
        return a.total() < b.total();
      });
  return "memory: in phase " + r.phase.name + " pipeline rank " + std::to_string(fullest.pp_rank) +
         " needs " + format_bytes(fullest.total()) + " of " + format_bytes(hbm);
}

// The lines that are losses: all but the first, which is the work itself, and gains.
std::size_t largest_loss(const std::vector<WaterfallLine>& lines) {
  std::size_t largest = 1;
  for (std::size_t i = 2; i < lines.size(); ++i)
    if (lines[i].seconds > lines[largest].seconds) largest = i;
  return largest;
}

std::string loss_text(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  const std::size_t loss = largest_loss(main.waterfall);
  const auto seconds = [loss](const RunResult& r) {
    return r.phases.front().waterfall[loss].seconds;
  };
  std::string text = "time: the largest loss against the GPUs' peak is \"" +
                     main.waterfall[loss].name + "\", " +
                     number_with_interval(input, format_seconds, seconds) + " of the " +
                     format_seconds(main.step_time.in(s)) + " step";
  if (!input.uncertainty) return text;
  std::size_t same = 0, ends = 0;
  for (const auto& both : input.uncertainty->ends)
    for (const RunResult& end : both) {
      ++ends;
      same += largest_loss(end.phases.front().waterfall) == loss ? 1 : 0;
    }
  return text + "; it stays the largest at " + std::to_string(same) + " of the " +
         std::to_string(ends) + " ends of the calibration's intervals";
}

std::string category_text(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  const auto largest = static_cast<std::size_t>(
      std::max_element(main.category_s.begin(), main.category_s.end()) - main.category_s.begin());
  const auto seconds = [largest](const RunResult& r) {
    return r.phases.front().category_s[largest];
  };
  return "time: most goes to \"" + std::string(kCategoryNames[largest].title) + "\", " +
         number_with_interval(input, format_seconds, seconds) + " of " +
         format_seconds(main.step_time.in(s));
}

std::string binding_text(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  for (const PhaseResult& r : input.run.phases)
    if (!r.fits) return memory_text(r, input.scenario.cluster.gpu.hbm);
  return main.waterfall.empty() ? category_text(input) : loss_text(input);
}

double dollars_per_million_tokens(const Scenario& scenario, const RunResult& run) {
  const ClusterSpec& cluster = scenario.cluster;
  return cluster.price.in(USD_per_hour) / 3600 * static_cast<double>(cluster.num_gpus()) * 1e6 /
         run.phases.front().tokens_per_s;
}

}  // namespace

std::optional<Section> verdict_section(const ReportInput& input) {
  const Scenario& sc = input.scenario;
  const PhaseResult& main = input.run.phases.front();
  Section section;
  section.title = "Verdict";
  std::string refused;
  for (const PhaseResult& r : input.run.phases)
    if (refused.empty()) refused = r.refusal;
  if (!refused.empty()) {
    section.paragraphs.push_back("The plan cannot run: " + refused + ".");
    if (!main.refusal.empty()) return section;
  }
  Table table{"", {"question", "answer"}, {}};
  const double spares =
      sc.operations && sc.operations->spares
          ? static_cast<double>(sc.operations->spares->nodes * sc.cluster.gpus_per_node)
          : 0;
  const double gpus = static_cast<double>(sc.cluster.num_gpus()) + spares;
  add_machine_rows({{&sc.cluster, gpus, gpus}}, table);
  if (spares > 0) table.rows.front().back() += ", " + digits4(spares) + " of them in spare nodes";
  const bool pair = main.phase.plan.schedule == ScheduleKind::overlapped_pair;
  if (!pair) {
    table.rows.push_back({"rate",
                          format_count(main.tokens_per_s) + " tokens/s, " +
                              digits4(main.tokens_per_s_per_gpu) + " of them on each GPU"});
    table.rows.push_back({"cost of a million tokens",
                          number_with_interval(input, format_usd, [&](const RunResult& r) {
                            return dollars_per_million_tokens(sc, r);
                          })});
    const auto days = [&](const RunResult& r) {
      return r.gpu_hours / static_cast<double>(sc.cluster.num_gpus()) / 24;
    };
    table.rows.push_back(
        {"days, all phases without interruptions", number_with_interval(input, digits4, days)});
  }
  table.rows.push_back({"what binds", binding_text(input)});
  section.tables.push_back(std::move(table));
  if (input.uncertainty)
    section.notes.push_back(
        "In brackets: 90 % intervals from the errors of the calibration alone (How sure).");
  return section;
}

}  // namespace moesim
