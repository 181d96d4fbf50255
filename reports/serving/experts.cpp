// Where experts are and who asks for them: tiers of memory, loads, traffic.
#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {

std::optional<Section> serving_tiers_section(const ServingReportInput& input) {
  Section section;
  section.title = "Experts in tiers";
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const auto& points = input.run.pools[i].expert_tiers;
    if (points.empty()) continue;
    Table table{"Pool " + pools[i].name,
                {"requests of a rank",
                 "experts of a layer touched",
                 "found in HBM",
                 "from the host",
                 "from the SSD",
                 "step",
                 "of that, waiting for experts"},
                {}};
    for (const ExpertTierPoint& p : points)
      table.rows.push_back(
          {std::to_string(p.requests),
           digits4(p.use.touched),
           format_percent(p.use.hit_rate()),
           digits4(p.use.from_host),
           digits4(p.use.from_ssd),
           format_seconds(p.step.in(s)),
           format_seconds(p.stall.in(s)) + " (" + format_percent(p.stall / p.step) + ")"});
    section.tables.push_back(std::move(table));
  }
  if (section.tables.empty()) return std::nullopt;
  section.paragraphs.push_back(
      "Steps of decoding requests without cached tokens: how many experts HBM has when they are "
      "needed, and how long a step waits for the others.");
  return section;
}

std::optional<Section> serving_routing_section(const ServingReportInput& input) {
  Section section;
  section.title = "Routing and network";
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < input.routing.size(); ++i)
    if (input.routing[i])
      for (Chart& chart : routing_charts(*input.routing[i], "Pool " + pools[i].name))
        section.charts.push_back(std::move(chart));
  if (section.charts.empty()) return std::nullopt;
  section.notes.push_back(
      "Of one step as large as the engine allows (prompts, or decoding in a pool that only "
      "decodes), as the law of the routing draws it; the traffic is that of the first layer with "
      "experts.");
  section.only_in_files = true;
  return section;
}

}  // namespace moesim
