#include "model/operations.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "model/json_message.hpp"
#include "model/model_counts.hpp"
#include "model/network/fabric_layout.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostSpares = 1'000'000;
constexpr double kMostCount = 1e12;
// A node ten times slower than the others has failed.
constexpr double kMostSlowdown = 10, kMostSigma = 1;

std::string text_of(Seconds time) {
  return number_text(std::round(1000 * time.in(s)) / 1000) + " s";
}

std::string text_of(Bytes size) { return number_text(std::round(1e3 * size.in(TB)) / 1e3) + " TB"; }

Seconds positive_seconds(ObjectReader& reader, const std::string& key) {
  const Seconds time = reader.seconds(key);
  if (!(time > Seconds()))
    reader.fail(key, "expected a time above zero, found " + in_quotes(reader.text(key)));
  return time;
}

FailureUnit read_unit(ObjectReader& reader, const ClusterSpec& cluster) {
  const std::string name =
      reader.choice("per", std::vector<std::string>(kFailureUnits.begin(), kFailureUnits.end()));
  const auto unit = static_cast<FailureUnit>(
      std::find(kFailureUnits.begin(), kFailureUnits.end(), name) - kFailureUnits.begin());
  if (units_in(cluster, unit) == 0)
    reader.fail("per", "\"" + name + "\", but the cluster has a single node and no switches");
  return unit;
}

ComponentFailures read_failures(const JsonNode& node, const ClusterSpec& cluster) {
  ObjectReader reader(node);
  ComponentFailures failures;
  failures.component = reader.text("component");
  failures.per = read_unit(reader, cluster);
  failures.source = reader.text("source");
  const bool stated = reader.has("mtbf"), observed = reader.has("observed");
  if (stated == observed)
    reader.fail(stated ? "\"mtbf\" and \"observed\" are both given; expected one of the two"
                       : "missing key \"mtbf\" or \"observed\": how often it fails");
  if (stated) {
    failures.mtbf = positive_seconds(reader, "mtbf");
  } else {
    ObjectReader seen = reader.object("observed");
    const double count = seen.number("count", 1, kMostCount);
    const double units = seen.number("units", 1, kMostCount);
    failures.mtbf = positive_seconds(seen, "time") * (units / count);
    seen.finish();
  }
  reader.finish();
  return failures;
}

Recovery read_recovery(ObjectReader reader) {
  Recovery recovery;
  recovery.detection = reader.seconds("detection");
  recovery.reschedule = reader.seconds("reschedule");
  recovery.warm_up = reader.seconds("warm_up");
  recovery.source = reader.text("source");
  reader.finish();
  return recovery;
}

Spares read_spares(ObjectReader reader) {
  Spares spares;
  spares.nodes = reader.integer("nodes", 0, kMostSpares);
  spares.swap = reader.seconds("swap");
  spares.repair = positive_seconds(reader, "repair");
  spares.source = reader.text("source");
  reader.finish();
  return spares;
}

void read_interval(ObjectReader& reader, bool can_fail, double num_steps, Checkpoints& c) {
  const JsonNode& interval = reader.required("interval");
  c.interval_place = interval.place();
  const char* expected =
      "expected a number of steps, a time such as \"30 min\" or \"optimal\", found ";
  if (interval.kind == JsonNode::Kind::integer) {
    c.kind = CheckpointInterval::steps;
    c.steps = as_integer(interval, 1, std::int64_t{1} << 40);
    if (static_cast<double>(c.steps) > num_steps)
      reader.fail("interval",
                  std::to_string(c.steps) + " steps are longer than the run of " +
                      number_text(std::round(num_steps)) + " steps");
  } else if (interval.kind != JsonNode::Kind::string) {
    reader.fail("interval", expected + interval.describe());
  } else if (interval.text == "optimal") {
    c.kind = CheckpointInterval::optimal;
    if (!can_fail)
      reader.fail("interval",
                  "\"optimal\" needs \"failures\": without them the best checkpoint is none");
  } else {
    c.kind = CheckpointInterval::time;
    try {
      c.time = parse_seconds(interval.text);
    } catch (const InputError& error) {
      reader.fail("interval", expected + in_quotes(interval.text) + " (" + error.what() + ")");
    }
    if (!(c.time > Seconds()))
      reader.fail("interval", "expected a time above zero, found " + in_quotes(interval.text));
  }
}

Checkpoints read_checkpoint(ObjectReader reader,
                            const ModelSpec& model,
                            const ClusterSpec& cluster,
                            double moment_bytes,
                            double num_steps,
                            bool can_fail) {
  Checkpoints c;
  read_interval(reader, can_fail, num_steps, c);
  const JsonNode& size = reader.required("size");
  c.size_is_derived = size.kind == JsonNode::Kind::string && size.text == "derived";
  c.size = c.size_is_derived ? checkpoint_size(model, moment_bytes) : reader.bytes("size");
  const bool per_node = reader.choice("per", {"node", "cluster"}) == "node";
  const double writers = per_node ? static_cast<double>(cluster.num_nodes) : 1;
  c.write = writers * reader.bandwidth("write_bandwidth");
  c.read = writers * reader.bandwidth("read_bandwidth");
  const bool asynchronous = reader.boolean("asynchronous");
  if (asynchronous) {
    c.copy = reader.bandwidth("copy_bandwidth");
  } else if (reader.has("copy_bandwidth")) {
    reader.fail("copy_bandwidth",
                "given, but \"asynchronous\" is false: training waits for the write");
  }
  c.source = reader.text("source");
  reader.finish();
  if (c.kind == CheckpointInterval::time && c.settling() > c.time)
    reader.fail("interval",
                "a checkpoint of " + text_of(c.size) + " at " + number_text(c.write.in(GB_per_s)) +
                    " GB/s is written in " + text_of(c.write_time()) +
                    ", longer than the interval of " + text_of(c.time) +
                    "; it must be done before the next one");
  return c;
}

Evaluation read_evaluation(ObjectReader reader, double num_steps) {
  Evaluation evaluation;
  evaluation.every_steps = reader.integer("every_steps", 1, std::int64_t{1} << 40);
  if (static_cast<double>(evaluation.every_steps) > num_steps)
    reader.fail("every_steps",
                std::to_string(evaluation.every_steps) + " steps are longer than the run of " +
                    number_text(std::round(num_steps)) + " steps");
  evaluation.pause = reader.seconds("pause");
  evaluation.source = reader.text("source");
  reader.finish();
  return evaluation;
}

Stragglers read_stragglers(ObjectReader reader) {
  Stragglers stragglers;
  stragglers.source = reader.text("source");
  if (reader.has("sigma")) {
    for (const char* key : {"share", "slowdown"})
      if (reader.has(key))
        reader.fail(key, "given beside \"sigma\"; expected either sigma or share and slowdown");
    stragglers.sigma = reader.number("sigma", 0, kMostSigma);
  } else {
    stragglers.share = reader.number("share", 0, 1);
    stragglers.slowdown = reader.number("slowdown", 1, kMostSlowdown);
  }
  reader.finish();
  return stragglers;
}

Maintenance read_maintenance(ObjectReader reader) {
  Maintenance maintenance;
  maintenance.pauses_per_month = reader.number("pauses_per_month", 0, 1e6);
  maintenance.pause = reader.seconds("pause");
  maintenance.source = reader.text("source");
  reader.finish();
  if (maintenance.share_of_time() >= 1)
    reader.fail("pauses_per_month",
                number_text(maintenance.pauses_per_month) + " pauses x " +
                    number_text(maintenance.pause.in(hour)) + " h = " +
                    number_text(maintenance.pauses_per_month * maintenance.pause.in(hour)) +
                    " h, but a month has " + number_text(kMonth.in(hour)) + " h");
  return maintenance;
}

}  // namespace

double units_in(const ClusterSpec& cluster, FailureUnit unit) {
  switch (unit) {
    case FailureUnit::gpu: return static_cast<double>(cluster.num_gpus());
    case FailureUnit::node: return static_cast<double>(cluster.num_nodes);
    case FailureUnit::network_switch:
      return static_cast<double>(cluster_inventory(cluster).switches);
    case FailureUnit::cluster: break;
  }
  return 1;
}

Seconds Checkpoints::pause(std::int64_t num_gpus) const {
  return copy ? size / static_cast<double>(num_gpus) / *copy : write_time();
}

double Maintenance::share_of_time() const { return pauses_per_month * (pause / kMonth); }

Bytes checkpoint_size(const ModelSpec& model, double moment_bytes) {
  constexpr double kWeight = 2, kMasterWeight = 4;
  const ParameterCounts counts = count_parameters(model);
  return static_cast<double>(counts.total() + counts.mtp) *
         (kWeight + kMasterWeight + 2 * moment_bytes) * B;
}

Operations read_operations(const JsonNode& node,
                           const ModelSpec& model,
                           const ClusterSpec& cluster,
                           double moment_bytes,
                           double num_steps) {
  ObjectReader reader(node);
  Operations operations;
  if (const JsonNode* list = reader.optional("failures")) {
    if (list->kind != JsonNode::Kind::array || list->items.empty())
      reader.fail("failures",
                  "expected an array of at least one component, found " +
                      (list->kind == JsonNode::Kind::array ? "an empty array" : list->describe()));
    for (const JsonNode& item : list->items)
      operations.failures.push_back(read_failures(item, cluster));
  }
  const bool can_fail = !operations.failures.empty();
  for (const char* key : {"recovery", "spares"})
    if (!can_fail && reader.has(key))
      reader.fail(key, "given without \"failures\": nothing to recover from");
  for (const char* key : {"recovery", "checkpoint"})
    if (can_fail && !reader.has(key))
      reader.fail(std::string("missing key \"") + key + "\": what a failure costs depends on it");
  if (reader.has("recovery")) operations.recovery = read_recovery(reader.object("recovery"));
  if (reader.has("spares")) operations.spares = read_spares(reader.object("spares"));
  if (reader.has("checkpoint"))
    operations.checkpoint = read_checkpoint(
        reader.object("checkpoint"), model, cluster, moment_bytes, num_steps, can_fail);
  if (reader.has("evaluation"))
    operations.evaluation = read_evaluation(reader.object("evaluation"), num_steps);
  if (reader.has("stragglers"))
    operations.stragglers = read_stragglers(reader.object("stragglers"));
  if (reader.has("maintenance"))
    operations.maintenance = read_maintenance(reader.object("maintenance"));
  reader.finish();
  if (!can_fail && !operations.checkpoint && !operations.evaluation && !operations.stragglers &&
      !operations.maintenance)
    reader.fail("an empty object; leave \"operations\" out for a run without interruptions");
  return operations;
}

}  // namespace moesim
