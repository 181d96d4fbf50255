// How popular experts are: the load an expert gets over the load it would get in perfect balance,
// which has mean 1 over the experts of a layer. Inputs or assumptions, never predictions.
//
//   uniform     every expert 1
//   zipf        proportional to rank^-exponent (Zipf's law)
//   power_law   drawn from a power law of the given exponent between `lowest` and `highest`
//               (inverse transform of the bounded Pareto law), then scaled to mean 1
//   dirichlet   a draw from the symmetric Dirichlet distribution whose coefficient of variation is
//               `cv` (concentration a with cv^2 = (E - 1) / (E a + 1))
//   table       recorded loads, one row a layer (model/routing_record.hpp)
//
// The ranking of a synthetic law is another permutation in every layer, from the seed: expert 0 is
// not always the hottest.
//
// An expert cannot be chosen more than once by a token, so a relative load is at most
// num_experts / top_k; a law that asks for more is refused, not clipped. What Zipf's law and a
// table ask for is known when they are read; whether a draw asks for more, only
// popularity_refusal() sees.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

enum class PopularityKind { uniform, zipf, power_law, dirichlet, table };

// Relative loads by layer: [num_layers][num_experts], every row of mean 1.
struct LoadTable {
  std::vector<std::vector<double>> layers;
};

struct PopularitySpec {
  PopularityKind kind = PopularityKind::uniform;
  double exponent = 0;                          // zipf, power_law
  double lowest = 0, highest = 0;               // power_law; only their ratio matters
  double cv = 0;                                // dirichlet
  std::shared_ptr<const LoadTable> table = {};  // layer i of the model is row i modulo the rows
  // Drift of zipf, power_law and dirichlet, in steps; 0: none. At every multiple of the drift time
  // the popularity is another, independent draw of the law; a fraction f of the way from one to the
  // next their logarithms are mixed as cos(pi f / 2) and sin(pi f / 2), which keeps the variance of
  // the logarithms (the law itself holds at the multiples only).
  double drift_time = 0;

  bool operator==(const PopularitySpec&) const = default;
};

// Reads {"kind": "zipf", "exponent": 0.5, ...}. Zipf, power_law and dirichlet may have
// "drift_time". A table is {"kind": "table", "file": ..., "domain": ..., "method": ...}, the last
// two optional; a relative file is looked for in `folder`.
PopularitySpec read_popularity(const JsonNode& node,
                               std::int64_t num_experts,
                               std::int64_t top_k,
                               const std::filesystem::path& folder = {});

// Relative loads of one layer, mean 1: [num_experts]. `step`: how far the popularity has drifted,
// at least 0.
std::vector<double> relative_load(const PopularitySpec& spec,
                                  std::int64_t num_experts,
                                  std::uint64_t seed,
                                  std::int64_t layer,
                                  double step = 0);

// Why no routing can give these relative loads, or nothing: for whoever draws them, and knows what
// part of the user's input asked for them.
std::string popularity_refusal(const std::vector<double>& relative_load, std::int64_t top_k);

}  // namespace moesim
