#include "model/sequence_ramp.hpp"

#include <cmath>

#include "model/scenario.hpp"

namespace moesim {

std::vector<TrainingPhase> read_sequence_ramp(
    ObjectReader& phase_reader,
    std::size_t index,
    TrainingPhase& phase,
    const std::function<void(const ObjectReader&, const TrainingPhase&)>& check) {
  const JsonNode& list = phase_reader.required("seq_ramp");
  if (list.kind != JsonNode::Kind::array || list.items.empty())
    phase_reader.fail(
        "seq_ramp",
        "expected an array of at least one stretch, found " +
            (list.kind == JsonNode::Kind::array ? "an empty array" : list.describe()));
  std::vector<TrainingPhase> stretches;
  std::int64_t tokens = 0;
  std::string sum;
  std::int64_t before = 0;
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    ObjectReader reader(list.items[i]);
    TrainingPhase stretch = phase;
    stretch.ramp_of = index;
    stretch.name = phase.name + ", sequence ramp " + std::to_string(i + 1) + "/" +
                   std::to_string(list.items.size());
    stretch.seq_len = reader.integer("seq_len", 1, phase.seq_len);
    if (stretch.seq_len <= before || stretch.seq_len == phase.seq_len)
      reader.fail("seq_len",
                  std::to_string(stretch.seq_len) + " is not longer than the " +
                      std::to_string(before) + " before it and shorter than the phase's " +
                      std::to_string(phase.seq_len));
    before = stretch.seq_len;
    stretch.batch = reader.integer_or("batch", 1, std::int64_t{1} << 30, phase.batch);
    const std::int64_t stretch_tokens = reader.count("tokens");
    stretch.tokens = static_cast<double>(stretch_tokens);
    reader.finish();
    check(reader, stretch);
    const ParallelPlan& plan = stretch.plan;
    // DualPipe needs two microbatches a stage on every pipeline.
    if (stretch.batch < 2 * plan.pp * plan.dp && plan.schedule == ScheduleKind::dualpipe)
      stretch.plan.schedule = plan.fallback_schedule;
    stretch.routing.kind = RoutingKind::balanced;
    tokens += stretch_tokens;
    sum += (sum.empty() ? "" : " + ") + std::to_string(stretch_tokens);
    stretches.push_back(std::move(stretch));
  }
  if (static_cast<double>(tokens) >= phase.tokens)
    phase_reader.fail("seq_ramp",
                      sum + (stretches.size() > 1 ? " = " + std::to_string(tokens) : "") +
                          " tokens are not fewer than the phase's " +
                          std::to_string(std::llround(phase.tokens)));
  phase.tokens -= static_cast<double>(tokens);
  return stretches;
}

}  // namespace moesim
