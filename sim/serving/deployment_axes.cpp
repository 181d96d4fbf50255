#include "sim/serving/deployment_axes.hpp"

#include <algorithm>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr const char* kPools = "/serving/pools";
constexpr const char* kOverlap = "/serving/pools/*/unit/two_batch_overlap";

JsonNode value(const std::string& text, const std::string& place) {
  return parse_json(text, place);
}

struct UnitSize {
  std::int64_t tp = 1, dp = 1, ep = 1;
  std::int64_t gpus() const { return tp * dp; }
  friend bool operator==(const UnitSize&, const UnitSize&) = default;
};

UnitSize with_experts_over_all(std::int64_t tp, std::int64_t dp) { return {tp, dp, tp * dp}; }

bool is_unit_of(const JsonNode& pool, const UnitSize& unit) {
  const JsonNode* node = pool.find("unit");
  const auto is = [&](const char* key, std::int64_t number) {
    const JsonNode* value = node != nullptr ? node->find(key) : nullptr;
    return value != nullptr && value->integer == number;
  };
  return is("tp", unit.tp) && is("dp", unit.dp) && is("ep", unit.ep);
}

// One pool's node with another role and unit.
JsonNode pool_of(JsonNode pool, PoolRole role, const UnitSize& unit, bool redundant) {
  const std::string name = kPoolRoleNames[static_cast<std::size_t>(role)];
  auto set = [&](const std::string& pointer, const std::string& text) {
    set_at(pool, pointer, value(text, kPools), name, /*may_add=*/true);
  };
  auto leave_out = [&](JsonNode& object, const char* key) {
    std::erase_if(object.members, [&](const auto& member) { return member.first == key; });
  };
  const bool is_own = is_unit_of(pool, unit);
  set("/name", "\"" + name + "\"");
  set("/role", "\"" + name + "\"");
  set("/units", "1");
  set("/unit/tp", std::to_string(unit.tp));
  set("/unit/dp", std::to_string(unit.dp));
  set("/unit/ep", std::to_string(unit.ep));
  // The normal exchange needs some where the scenario's own units exchange nothing.
  constexpr std::int64_t kDeepEpSms = 24;  // deepseek-ai/DeepEP, tests/test_intranode.py
  if (const JsonNode* sms = pool.find("unit")->find("comm_sms");
      unit.ep > 1 && role != PoolRole::decode && (sms == nullptr || sms->integer == 0))
    set("/unit/comm_sms", std::to_string(kDeepEpSms));
  leave_out(pool, "scaler");
  leave_out(pool, "failures");
  if (role == PoolRole::prefill) leave_out(pool, "speculative");
  for (auto& [key, node] : pool.members)
    if (key == "unit" && !is_own) leave_out(node, "placement");
  if (redundant)
    set("/unit/placement",
        "{\"policy\": \"eplb_global\", \"redundant_experts\": " + std::to_string(unit.gpus()) +
            "}");
  return pool;
}

std::string unit_name(const UnitSize& unit, bool experts) {
  std::string name = std::to_string(unit.gpus()) + (unit.gpus() == 1 ? " GPU" : " GPUs");
  if (unit.tp > 1) name += " tp " + std::to_string(unit.tp);
  if (experts) name += " ep " + std::to_string(unit.ep);
  return name;
}

std::string redundant_name(bool redundant) { return redundant ? ", a redundant expert a GPU" : ""; }

std::vector<UnitSize> unit_sizes(const ServingScenario& scenario) {
  const ClusterSpec& cluster = scenario.cluster;
  std::vector<UnitSize> sizes;
  const std::int64_t node = cluster.gpus_per_node;
  auto add = [&](const UnitSize& size) {
    if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
  };
  for (const PoolSpec& pool : scenario.serving.pools)
    add({pool.plan.tp, pool.plan.dp, pool.plan.ep});
  if (!scenario.model.moe) {
    for (std::int64_t tp = 1; tp <= node; tp *= 2) add({tp, 1, 1});
    return sizes;
  }
  constexpr std::int64_t kMostNodes = 4;  // DeepSeek-V3 prefills on four (report, section 3.4.1)
  const std::int64_t most =
      std::min({cluster.num_gpus(), kMostNodes * node, scenario.model.moe->num_experts});
  for (std::int64_t gpus = std::max<std::int64_t>(1, node / 2); gpus <= most; gpus *= 2)
    add(with_experts_over_all(1, gpus));
  for (std::int64_t tp = 2; tp <= node; tp *= 2) add(with_experts_over_all(tp, node / tp));
  return sizes;
}

const JsonNode& pool_node(const JsonNode& document,
                          const ServingScenario& scenario,
                          PoolRole role) {
  const JsonNode& pools = *document.find("serving")->find("pools");
  for (std::size_t i = 0; i < pools.items.size(); ++i)
    if (scenario.serving.pools[i].role == role) return pools.items[i];
  return pools.items.front();
}

FieldAxis layout_axis(const ServingScenario& scenario, const JsonNode& document) {
  FieldAxis axis{"layout", {}};
  const bool experts = scenario.model.moe.has_value();
  const bool unequal = experts && scenario.routing.kind == RoutingKind::sampled &&
                       scenario.routing.popularity.kind != PopularityKind::uniform;
  const std::vector<UnitSize> sizes = unit_sizes(scenario);
  auto add = [&](const std::string& name, std::vector<JsonNode> pools) {
    JsonNode list = value("[]", kPools);
    list.items = std::move(pools);
    const bool apart = list.items.size() > 1;
    const JsonNode* latency = document.find("serving")->find("transfer_latency");
    const std::string given = latency != nullptr
                                  ? canonical_text(*latency)
                                  : "\"" + std::string(kAssumedTransferLatency) + "\"";
    // Written and read again, so that places in messages are those of a file with these pools.
    axis.alternatives.push_back({name,
                                 {{kPools, value(canonical_text(list), kPools)},
                                  {"/serving/transfer_latency",
                                   value(apart ? given : "null", "/serving/transfer_latency")}}});
  };
  for (const bool redundant : {false, true}) {
    if (redundant && !unequal) continue;
    for (const UnitSize& unit : sizes)
      add("colocated, units of " + unit_name(unit, experts) + redundant_name(redundant),
          {pool_of(pool_node(document, scenario, PoolRole::colocated),
                   PoolRole::colocated,
                   unit,
                   redundant)});
    for (const UnitSize& prefill : sizes)
      for (const UnitSize& decode : sizes) {
        // Attention split over tensor-parallel ranks on one side only is left to --vary.
        if ((prefill.tp > 1) != (decode.tp > 1) && experts) continue;
        if (prefill.tp > 1 && prefill.tp != decode.tp) continue;
        if (prefill.gpus() + decode.gpus() > scenario.cluster.num_gpus()) continue;
        add("prefill " + unit_name(prefill, experts) + ", decode " + unit_name(decode, experts) +
                redundant_name(redundant),
            {pool_of(pool_node(document, scenario, PoolRole::prefill),
                     PoolRole::prefill,
                     prefill,
                     redundant),
             pool_of(pool_node(document, scenario, PoolRole::decode),
                     PoolRole::decode,
                     decode,
                     redundant)});
      }
  }
  return axis;
}

// Half, the same and twice, in the pools of these roles.
FieldAxis around(const std::string& key, std::int64_t own, const std::vector<PoolRole>& roles) {
  FieldAxis axis{key, {}};
  for (const std::int64_t n : {own / 2, own, 2 * own}) {
    if (n == 0) continue;
    FieldAxis::Alternative alternative{key + " " + std::to_string(n), {}};
    for (const PoolRole role : roles) {
      const std::string pointer = std::string(kPools) + "/" +
                                  kPoolRoleNames[static_cast<std::size_t>(role)] + "/engine/" + key;
      alternative.set.emplace_back(pointer, value(std::to_string(n), pointer));
    }
    axis.alternatives.push_back(std::move(alternative));
  }
  return axis;
}

}  // namespace

std::vector<FieldAxis> serving_axes(const ServingScenario& scenario, const JsonNode& document) {
  const std::vector<PoolSpec>& pools = scenario.serving.pools;
  const auto of_role = [&](PoolRole role) -> const PoolSpec& {
    const auto found = std::find_if(
        pools.begin(), pools.end(), [&](const PoolSpec& pool) { return pool.role == role; });
    return found == pools.end() ? pools.front() : *found;
  };
  std::vector<FieldAxis> axes = {layout_axis(scenario, document)};
  axes.push_back(around("max_batch_tokens",
                        of_role(PoolRole::prefill).engine.max_batch_tokens,
                        {PoolRole::prefill, PoolRole::colocated}));
  axes.push_back(around("max_requests",
                        of_role(PoolRole::decode).engine.max_requests,
                        {PoolRole::decode, PoolRole::colocated}));
  if (scenario.model.moe)
    axes.push_back({"two_batch_overlap",
                    {{"one batch", {{kOverlap, value("false", kOverlap)}}},
                     {"two-batch overlap", {{kOverlap, value("true", kOverlap)}}}}});
  return axes;
}

Settings with_pools_written_out(const Settings& settings, const JsonNode& document) {
  std::vector<std::string> roles;  // of the pools as they are so far
  const auto look_at = [&](const JsonNode* pools) {
    roles.clear();
    if (pools == nullptr) return;
    for (const JsonNode& pool : pools->items) {
      const JsonNode* role = pool.find("role");
      roles.push_back(role != nullptr ? role->text : "");
    }
  };
  if (const JsonNode* serving = document.find("serving")) look_at(serving->find("pools"));
  Settings all;
  const std::string prefix = std::string(kPools) + "/";
  for (const auto& [pointer, node] : settings) {
    if (pointer == kPools) look_at(&node);
    const std::size_t end = pointer.find('/', prefix.size());
    const std::string which = pointer.rfind(prefix, 0) == 0 && end != std::string::npos
                                  ? pointer.substr(prefix.size(), end - prefix.size())
                                  : "";
    const bool is_role =
        std::find(kPoolRoleNames.begin(), kPoolRoleNames.end(), which) != kPoolRoleNames.end();
    if (which != "*" && !is_role) {
      all.emplace_back(pointer, node);
      continue;
    }
    for (std::size_t i = 0; i < roles.size(); ++i)
      if (which == "*" || roles[i] == which)
        all.emplace_back(prefix + std::to_string(i) + pointer.substr(end), node);
  }
  return all;
}

}  // namespace moesim
