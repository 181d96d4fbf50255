// What `moesim collective` prints, as a report and as JSON.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "reports/report.hpp"
#include "sim/collective_study.hpp"

namespace moesim {

// As the command line and reports name them.
inline constexpr std::pair<const char*, CollectiveKind> kCollectiveKinds[] = {
    {"all_reduce", CollectiveKind::all_reduce},
    {"reduce_scatter", CollectiveKind::reduce_scatter},
    {"all_gather", CollectiveKind::all_gather},
    {"broadcast", CollectiveKind::broadcast},
    {"all_to_all", CollectiveKind::all_to_all},
    {"send", CollectiveKind::send}};
inline constexpr std::pair<const char*, CollectiveAlgorithm> kCollectiveAlgorithms[] = {
    {"ring", CollectiveAlgorithm::ring},
    {"tree", CollectiveAlgorithm::tree},
    {"hierarchical", CollectiveAlgorithm::hierarchical},
    {"pairwise", CollectiveAlgorithm::pairwise},
    {"direct", CollectiveAlgorithm::direct}};

// What all measurements have in common.
struct CollectiveBench {
  Scenario scenario;
  CollectiveGroups groups;
  CollectiveLinks links;
  Network network;
  std::string blocks;  // why the fabric may slow messages that share no NIC; empty: it does not
};

// One kind at one size; algorithms that rounds.hpp does not build for this group have a reason.
struct CollectiveComparison {
  const char* kind = "";
  Bytes bytes;
  std::vector<CollectiveMeasurement> measured;
  std::vector<std::pair<std::string, std::string>> refused;  // algorithm and reason
  const GroupFit* fit = nullptr;  // of the profile, when it was measured on this geometry and size
  bool is_fastest(const CollectiveMeasurement& m) const;
};

using CollectiveComparisons = std::vector<std::vector<CollectiveComparison>>;  // [kinds][sizes]

// by_size: a table over the sizes for each kind, else all about the first size.
Report collective_report(const CollectiveBench& bench,
                         const CollectiveComparisons& kinds,
                         bool by_size);
JsonValue collective_json(const CollectiveBench& bench, const CollectiveComparisons& kinds);

}  // namespace moesim
