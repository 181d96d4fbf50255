// What scenarios of training and of serving share: one document, composed of the files that it names
// and of overrides, and the facts at its head.
//
// `model`, `cluster`, `profile`, `operations` (and a cluster's `gpu`) are file names relative to
// the file that names them, or objects in place; a pool of serving may have a `cluster` and a
// `profile` of its own. `override` maps JSON pointers of the composed document to new values
// ("/cluster/nic_bandwidth": "100 GB/s") and is applied before anything is checked, so an override
// passes the same checks as a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/json_reader.hpp"
#include "model/model_spec.hpp"
#include "model/profile.hpp"
#include "model/settings.hpp"

namespace moesim {

// A changed copy of the scenario, to see what a change does and why.
struct Variant {
  std::string name, because;
  Settings set;
};

struct ScenarioBase {
  std::string name, description;
  std::string hash;  // document_hash of the composed document
  ModelSpec model;
  ClusterSpec cluster;
  Profile profile;
  std::vector<std::string> assumptions;  // in the scenario's own words, printed in the report
  std::vector<Variant> variants;
  std::uint64_t seed = 1;
};

// `settings` are further overrides from the command line.
JsonNode compose_document(const std::filesystem::path& path, const Settings& settings);
// Reads the head of a composed document; all but the hash, and the variants, whose paths lead into
// what the rest of a scenario has checked by then.
void read_base(ObjectReader& reader, ScenarioBase& base);
std::vector<Variant> read_variants(ObjectReader& scenario);
// 16 hexadecimal digits of FNV-1a over the canonical text and what is part of the scenario beside
// it.
std::string document_hash(const JsonNode& document, const std::string& beside);

// Whether a file describes serving ("serving") and not training ("phases").
bool is_serving_scenario(const std::filesystem::path& path);

}  // namespace moesim
