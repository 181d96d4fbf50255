// What pools have to be beside each other.
#include "model/json_message.hpp"
#include "model/serving/read_pool.hpp"

namespace moesim {
namespace {

// Records of requests have 16 bits for a unit.
constexpr std::int64_t kMostPools = 64, kMostUnits = 32767;

std::string text(std::int64_t count) { return std::to_string(count); }

bool has_role(const ServingSpec& spec, PoolRole role) {
  return std::any_of(
      spec.pools.begin(), spec.pools.end(), [&](const PoolSpec& p) { return p.role == role; });
}

void check_roles(const ObjectReader& reader, const ServingSpec& spec) {
  const bool colocated = has_role(spec, PoolRole::colocated),
             prefill = has_role(spec, PoolRole::prefill), decode = has_role(spec, PoolRole::decode);
  if (colocated && (prefill || decode))
    reader.fail("pools",
                std::string("a colocated pool beside a ") + (prefill ? "prefill" : "decode") +
                    " pool; expected colocated ones alone, or prefill and decode");
  if (prefill && !decode)
    reader.fail("pools", "a prefill pool without a decode pool: nobody makes the second token");
  if (decode && !prefill)
    reader.fail("pools", "a decode pool without a prefill pool: nobody computes prompts");
}

// A unit smaller than a node lies in one; what of a node is too small for another one is left over.
std::int64_t units_per_node(const PoolSpec& pool) {
  return pool.cluster.gpus_per_node / pool.plan.num_gpus();
}
bool divides_node(const PoolSpec& pool) {
  return pool.plan.num_gpus() >= pool.cluster.gpus_per_node ||
         pool.cluster.gpus_per_node % pool.plan.num_gpus() == 0;
}

// GPUs that a pool has at most, scaled up, with those left over.
std::int64_t most_gpus(const PoolSpec& pool) {
  if (divides_node(pool)) return pool.scaler.max_units * pool.plan.num_gpus();
  return ceil_div(pool.scaler.max_units, units_per_node(pool)) * pool.cluster.gpus_per_node;
}

std::string arithmetic(const PoolSpec& pool) {
  return one_line(pool.name) + " " + text(pool.scaler.max_units) + " units x tp " +
         text(pool.plan.tp) + " x dp " + text(pool.plan.dp) +
         (divides_node(pool)
              ? ""
              : " (" + text(units_per_node(pool)) + " on a node of " +
                    text(pool.cluster.gpus_per_node) + ")");
}

std::string size_of(const ClusterSpec& cluster) {
  return text(cluster.num_nodes) + " nodes x " + text(cluster.gpus_per_node) +
         " GPUs = " + text(cluster.num_gpus());
}

// Pools on the scenario's cluster share it; a pool with its own has it to itself.
void check_gpus(const ObjectReader& reader,
                const JsonNode& pools,
                const ServingSpec& spec,
                const ClusterSpec& cluster) {
  std::int64_t together = 0, units = 0;
  std::string sum;
  for (std::size_t i = 0; i < spec.pools.size(); ++i) {
    const PoolSpec& pool = spec.pools[i];
    units += pool.scaler.max_units;
    if (!ObjectReader(pools.items[i]).has("cluster")) {
      together += most_gpus(pool);
      sum += (sum.empty() ? "" : " + ") + arithmetic(pool);
    } else if (most_gpus(pool) > pool.cluster.num_gpus()) {
      throw InputError(pools.items[i].place(),
                       arithmetic(pool) + " = " + text(most_gpus(pool)) +
                           " GPUs, but its cluster has " + size_of(pool.cluster));
    }
  }
  if (units > kMostUnits)
    reader.fail("pools", "expected at most " + text(kMostUnits) + " units, found " + text(units));
  if (together > cluster.num_gpus())
    reader.fail("pools",
                sum + " = " + text(together) + " GPUs, but the cluster has " + size_of(cluster));
}

}  // namespace

bool ServingSpec::has_prefill_pools() const { return has_role(*this, PoolRole::prefill); }

ServingSpec read_serving(const JsonNode& node,
                         const ModelSpec& model,
                         const ClusterSpec& cluster,
                         const Profile& profile) {
  ObjectReader reader(node);
  ServingSpec spec;
  const JsonNode& pools = reader.required("pools");
  if (pools.kind != JsonNode::Kind::array || pools.items.empty())
    reader.fail("pools",
                "expected an array of pools, found " +
                    (pools.kind == JsonNode::Kind::array ? "an empty one" : pools.describe()));
  if (std::ssize(pools.items) > kMostPools)
    reader.fail(
        "pools",
        "expected at most " + text(kMostPools) + " pools, found " + text(std::ssize(pools.items)));
  spec.router = read_named_or(reader, "router", kRouterNames, spec.router);
  spec.max_waiting = reader.integer_or("max_waiting", 0, std::int64_t{1} << 40, 0);
  reader.optional("transfer_latency");  // read once the roles are
  reader.finish();
  for (const JsonNode& item : pools.items) {
    spec.pools.push_back(read_pool(item, model, cluster, profile));
    for (std::size_t i = 0; i + 1 < spec.pools.size(); ++i)
      if (spec.pools[i].name == spec.pools.back().name)
        ObjectReader(item).fail("name", in_quotes(spec.pools[i].name) + " is there twice");
  }
  check_roles(reader, spec);
  if (spec.has_prefill_pools())
    spec.transfer_latency = reader.seconds_at_most("transfer_latency", "10 s");
  else if (reader.has("transfer_latency"))
    reader.fail("transfer_latency", "given, but colocated pools move no KV cache");
  check_gpus(reader, pools, spec, cluster);
  return spec;
}

}  // namespace moesim
