#include "model/serving/read_pool.hpp"

#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostUnits = 1'000'000;

std::string text(std::int64_t count) { return std::to_string(count); }

Seconds positive_seconds(ObjectReader& reader, const std::string& key) {
  const Seconds time = reader.seconds(key);
  if (!(time > Seconds()))
    reader.fail(key, "expected a time above zero, found " + in_quotes(reader.text(key)));
  return time;
}

std::vector<double> read_acceptance(const JsonNode& node, PoolRole role, const ModelSpec& model) {
  ObjectReader reader(node);
  if (role == PoolRole::prefill)
    reader.fail("given, but a prefill pool makes only first tokens and drafts none");
  if (model.num_mtp_modules == 0)
    reader.fail("given, but " + one_line(model.name) +
                " has no multi-token prediction module to make drafts");
  const JsonNode& list = reader.required("acceptance");
  reader.finish();
  if (list.kind != JsonNode::Kind::array || list.items.empty())
    reader.fail("acceptance",
                "expected an array of one acceptance rate a draft, found " +
                    (list.kind == JsonNode::Kind::array ? "an empty one" : list.describe()));
  std::vector<double> acceptance;
  for (const JsonNode& item : list.items) acceptance.push_back(as_number(item, 0, 1));
  return acceptance;
}

std::vector<ScalerSpec::Change> read_schedule(const JsonNode& list, const ScalerSpec& scaler) {
  if (list.kind != JsonNode::Kind::array || list.items.empty())
    throw InputError(list.place(),
                     "expected an array of changes, found " +
                         (list.kind == JsonNode::Kind::array ? "an empty one" : list.describe()));
  std::vector<ScalerSpec::Change> schedule;
  for (const JsonNode& item : list.items) {
    ObjectReader reader(item);
    ScalerSpec::Change change;
    change.at = reader.seconds("at");
    change.units = reader.integer("units", scaler.min_units, scaler.max_units);
    reader.finish();
    if (!schedule.empty() && !(change.at > schedule.back().at))
      reader.fail("at",
                  "expected changes in order of time, found " + in_quotes(reader.text("at")) +
                      " after " + number_text(schedule.back().at.in(s)) + " s");
    schedule.push_back(change);
  }
  return schedule;
}

ScalerSpec read_scaler(const JsonNode* node, const ObjectReader& pool, std::int64_t units) {
  ScalerSpec scaler;
  scaler.min_units = scaler.max_units = units;
  if (node == nullptr) return scaler;
  ObjectReader reader(*node);
  scaler.kind = read_named<ScalerKind>(reader, "kind", kScalerNames);
  if (scaler.kind != ScalerKind::none) {
    scaler.min_units = reader.integer("min_units", 1, kMostUnits);
    scaler.max_units = reader.integer("max_units", 1, kMostUnits);
    scaler.start_up = reader.seconds("start_up");
    if (scaler.max_units < scaler.min_units)
      reader.fail("max_units",
                  text(scaler.max_units) + " is below min_units " + text(scaler.min_units));
    if (scaler.kind == ScalerKind::scheduled) {
      scaler.schedule = read_schedule(reader.required("schedule"), scaler);
    } else {
      scaler.interval = positive_seconds(reader, "interval");
      scaler.target = reader.number_or("target", 0.01, 1, scaler.target);
    }
    if (scaler.kind == ScalerKind::predictive) scaler.horizon = positive_seconds(reader, "horizon");
  }
  reader.finish();
  if (units < scaler.min_units || units > scaler.max_units)
    pool.fail("units",
              "starts with " + text(units) + ", but its scaler keeps " + text(scaler.min_units) +
                  " to " + text(scaler.max_units));
  return scaler;
}

UnitFailures read_unit_failures(const JsonNode& node, std::int64_t max_units) {
  ObjectReader reader(node);
  UnitFailures failures;
  if (!reader.has("mean_between") && !reader.has("stated"))
    reader.fail("missing key \"mean_between\" or \"stated\": when units fail");
  if (reader.has("mean_between")) failures.mean_between = positive_seconds(reader, "mean_between");
  // By chance all units fail in the end: without repair none would be left.
  if (reader.has("repair") || reader.has("mean_between"))
    failures.repair = positive_seconds(reader, "repair");
  if (const JsonNode* stated = reader.optional("stated")) {
    if (stated->kind != JsonNode::Kind::array)
      reader.fail("stated", "expected an array of outages, found " + stated->describe());
    for (const JsonNode& item : stated->items) {
      ObjectReader outage(item);
      failures.stated.push_back({outage.seconds("at"), outage.integer("unit", 0, max_units - 1)});
      outage.finish();
    }
  }
  reader.finish();
  return failures;
}

ExpertTiers read_expert_tiers(const JsonNode& node,
                              const ModelSpec& model,
                              const ClusterSpec& cluster) {
  ObjectReader reader(node);
  if (!model.moe) reader.fail("given, but " + one_line(model.name) + " has no experts");
  ExpertTiers tiers;
  tiers.hbm = reader.bytes("hbm");
  if (tiers.hbm > cluster.gpu.hbm)
    reader.fail("hbm",
                in_quotes(reader.text("hbm")) + " for experts, but the " +
                    one_line(cluster.gpu.name) + " has " + number_text(cluster.gpu.hbm.in(GiB)) +
                    " GiB");
  if (reader.has("eviction")) tiers.frequency = reader.choice("eviction", {"lru", "lfu"}) == "lfu";
  tiers.host = reader.bytes("host");
  tiers.host_bandwidth = reader.bandwidth_at_least("host_bandwidth", "1 MB/s");
  tiers.ssd_bandwidth = reader.bandwidth_at_least("ssd_bandwidth", "1 MB/s");
  tiers.preload_accuracy = reader.number_or("preload_accuracy", 0, 1, 0);
  reader.finish();
  return tiers;
}

}  // namespace

PoolSpec read_pool(const JsonNode& node,
                   const ModelSpec& model,
                   const ClusterSpec& cluster,
                   const Profile& profile) {
  ObjectReader reader(node);
  PoolSpec pool;
  pool.name = reader.text("name");
  if (pool.name.empty()) reader.fail("name", "expected a name, found \"\"");
  pool.role = read_named<PoolRole>(reader, "role", kPoolRoleNames);
  pool.units = reader.integer("units", 1, kMostUnits);
  const JsonNode* own_cluster = reader.optional("cluster");
  const JsonNode* own_profile = reader.optional("profile");
  const JsonNode& unit = reader.required("unit");
  const JsonNode& engine = reader.required("engine");
  const JsonNode* speculative = reader.optional("speculative");
  const JsonNode& kv = reader.required("kv");
  const JsonNode* scaler = reader.optional("scaler");
  const JsonNode* failures = reader.optional("failures");
  const JsonNode* tiers = reader.optional("expert_tiers");
  reader.finish();
  pool.cluster = own_cluster != nullptr ? read_cluster_spec(*own_cluster) : cluster;
  pool.profile = own_profile != nullptr ? read_profile(*own_profile) : profile;
  pool.plan = read_unit_plan(unit, pool.role, model, pool.cluster);
  pool.engine = read_engine(engine,
                            pool.role,
                            speculative != nullptr ? read_acceptance(*speculative, pool.role, model)
                                                   : std::vector<double>());
  pool.kv = read_kv(kv, pool.engine);
  pool.scaler = read_scaler(scaler, reader, pool.units);
  if (failures != nullptr) pool.failures = read_unit_failures(*failures, pool.scaler.max_units);
  if (tiers != nullptr) pool.expert_tiers = read_expert_tiers(*tiers, model, pool.cluster);
  return pool;
}

}  // namespace moesim
