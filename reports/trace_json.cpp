#include "reports/trace_report.hpp"

namespace moesim {
namespace {

JsonValue seconds_or_null(const std::optional<Seconds>& time) {
  return time ? JsonValue(time->in(s)) : JsonValue();
}

// measured_s, predicted_s, error_pct.
void set_compared(JsonValue& item, const Compared& c) {
  const auto error = c.error_pct();
  item.set("measured_s", seconds_or_null(c.measured))
      .set("predicted_s", seconds_or_null(c.predicted))
      .set("error_pct", error ? JsonValue(*error) : JsonValue());
}

void set_measured(JsonValue& item, const std::optional<KernelTimes>& times) {
  item.set("calls", times ? JsonValue(times->calls) : JsonValue())
      .set("kernels_s", times ? JsonValue(times->kernels.in(s)) : JsonValue());
}

JsonValue block_json(const ComparedBlock& block) {
  JsonValue item = JsonValue::object();
  item.set("block", block.name).set("is_transfer", block.is_transfer);
  const auto& m = block.measured;
  item.set("runs", m ? JsonValue(m->occurrences) : JsonValue())
      .set("simulated_runs", block.simulated_runs);
  set_measured(item, m ? std::optional(m->times) : std::nullopt);
  item.set("busy_s", m ? JsonValue(covered(m->busy).in(s)) : JsonValue())
      .set("predicted_kernels_s",
           block.predicted ? JsonValue(block.predicted->kernels.in(s)) : JsonValue())
      .set("unmapped_kernels_s", block.unmapped.kernels.in(s));
  set_compared(item, block.wall());
  JsonValue ops = JsonValue::array();
  for (const ComparedOp& op : block.ops) {
    JsonValue row = JsonValue::object();
    row.set("operation", op.name);
    set_measured(row, op.measured);
    row.set("predicted_calls", op.predicted ? JsonValue(op.predicted->calls) : JsonValue());
    set_compared(row, op.time());
    ops.push(std::move(row));
  }
  item.set("operations", std::move(ops));
  return item;
}

JsonValue unmapped_json(const UnmappedKernel& kernel) {
  JsonValue item = JsonValue::object(), grid;
  if (kernel.grid) {
    grid = JsonValue::array();
    for (const std::int64_t extent : *kernel.grid) grid.push(extent);
  }
  item.set("kernel", kernel.name)
      .set("grid", std::move(grid))
      .set("block", kernel.block.empty() ? JsonValue() : JsonValue(kernel.block));
  set_measured(item, kernel.times);
  return item;
}

JsonValue loads_json(const std::vector<RankLoad>& loads) {
  JsonValue list = JsonValue::array();
  for (const RankLoad& load : loads)
    list.push(JsonValue::object()
                  .set("padded_rows", load.padded_rows)
                  .set("tokens_received", load.tokens_received));
  return list;
}

}  // namespace

JsonValue trace_json(const TraceInput& input) {
  const TraceComparison& c = input.comparison;
  JsonValue pair = JsonValue::array(), blocks = JsonValue::array(), unmapped = JsonValue::array(),
            warnings = JsonValue::array();
  for (const ComparedQuantity& quantity : c.pair) {
    JsonValue item = JsonValue::object();
    item.set("quantity", quantity.key);
    set_compared(item, quantity.time);
    pair.push(std::move(item));
  }
  for (const ComparedBlock& block : c.blocks) blocks.push(block_json(block));
  for (const UnmappedKernel& kernel : c.measured.unmapped) unmapped.push(unmapped_json(kernel));
  for (const std::string& warning : input.warnings) warnings.push(warning);
  return JsonValue::object()
      .set("schema_version", 1)
      .set("trace", input.trace)
      .set("device", input.device.empty() ? JsonValue() : JsonValue(input.device))
      .set("mapping", input.mapping.empty() ? JsonValue() : JsonValue(input.mapping))
      .set("scenario", input.scenario.name)
      .set("scenario_hash", input.scenario.hash)
      .set("profile", input.scenario.profile.id)
      .set("num_kernels", c.measured.all.calls)
      .set("gpu_time_s", c.measured.all.kernels.in(s))
      .set("forward_loads", loads_json(c.forward_loads))
      .set("backward_loads", loads_json(c.backward_loads))
      .set("pair", std::move(pair))
      .set("blocks", std::move(blocks))
      .set("not_mapped", std::move(unmapped))
      .set("warnings", std::move(warnings));
}

}  // namespace moesim
