// The parts of a serving description, each read and checked beside what it depends on. For
// read_serving.cpp and no others.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "model/json_reader.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

// One of `names`, which are in the order of the enumerators; `fallback` where the key is left out.
template <class Enum, std::size_t N>
Enum read_named_or(ObjectReader& reader,
                   const std::string& key,
                   const std::array<const char*, N>& names,
                   Enum fallback) {
  if (!reader.has(key)) return fallback;
  const std::string name = reader.choice(key, {names.begin(), names.end()});
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}
template <class Enum, std::size_t N>
Enum read_named(ObjectReader& reader,
                const std::string& key,
                const std::array<const char*, N>& names) {
  reader.required(key);
  return read_named_or(reader, key, names, Enum{});
}

// Its cluster and profile are those given where it has none of its own.
PoolSpec read_pool(const JsonNode& node,
                   const ModelSpec& model,
                   const ClusterSpec& cluster,
                   const Profile& profile);

// "unit": degrees that multiply out, parts of the model that divide, SMs and precisions that the
// GPU has.
UnitPlan read_unit_plan(const JsonNode& node,
                        PoolRole role,
                        const ModelSpec& model,
                        const ClusterSpec& cluster);

// "engine", with "speculative" already read into `acceptance`.
EngineSpec read_engine(const JsonNode& node, PoolRole role, std::vector<double> acceptance);

// "kv", checked against what the engine asks of it.
KvSpec read_kv(const JsonNode& node, const EngineSpec& engine);

}  // namespace moesim
