#include "model/routing_spec.hpp"

#include <cmath>

#include "model/json_message.hpp"

namespace moesim {
namespace {

// Beyond it the normal factors of a cluster leave next to nothing to the single expert.
constexpr double kMostCorrelation = 0.95;

std::filesystem::path folder_of(const JsonNode& node) {
  // What was written on the command line has no folder: its files are looked for in the current
  // one.
  const std::filesystem::path file = node.file ? *node.file : std::string();
  return std::filesystem::exists(file) ? file.parent_path() : std::filesystem::path();
}

std::int64_t read_max_groups(ObjectReader& reader, const ModelSpec& model) {
  if (!reader.has("max_groups")) return model.moe ? model.moe->max_groups : 1;
  if (!model.moe)
    reader.fail("max_groups", "given, but " + one_line(model.name) + " has no experts");
  const MoeSpec& moe = *model.moe;
  const std::int64_t max_groups = reader.integer("max_groups", 1, moe.num_groups);
  const std::int64_t group_size = moe.num_experts / moe.num_groups;
  if (max_groups * group_size < moe.top_k)
    reader.fail("max_groups",
                "groups x experts in each = " + std::to_string(max_groups) + " x " +
                    std::to_string(group_size) + " are fewer than the top-" +
                    std::to_string(moe.top_k) + " of a token");
  return max_groups;
}

// Clusters of one group's experts are alike, so that experts stay equally popular unless the
// popularity says otherwise.
CorrelationSpec read_correlation(ObjectReader reader, std::int64_t group_size) {
  CorrelationSpec spec;
  spec.rho = reader.number("rho", 0, kMostCorrelation);
  spec.cluster_size = reader.integer("cluster_size", 1, group_size);
  reader.finish();
  if (group_size % spec.cluster_size != 0)
    reader.fail("cluster_size",
                std::to_string(spec.cluster_size) + " does not divide the " +
                    std::to_string(group_size) + " experts of a group");
  return spec;
}

}  // namespace

RoutingSpec read_routing(const JsonNode& node, const ModelSpec& model) {
  ObjectReader reader(node);
  RoutingSpec spec;
  spec.kind = reader.choice("kind", {"balanced", "sampled"}) == "sampled" ? RoutingKind::sampled
                                                                          : RoutingKind::balanced;
  spec.max_groups = read_max_groups(reader, model);
  const std::int64_t num_experts = model.moe ? model.moe->num_experts : 1;
  const std::int64_t top_k = model.moe ? model.moe->top_k : 1;
  for (const char* key : {"correlation", "sequence_cv"})
    if (!model.moe && reader.has(key))
      reader.fail(key, "given, but " + one_line(model.name) + " has no experts");
  if (reader.has("correlation"))
    spec.correlation = read_correlation(reader.object("correlation"),
                                        num_experts / (model.moe ? model.moe->num_groups : 1));
  // A phase that overrides the kind with "balanced" keeps no popularity: every expert gets the
  // mean.
  if (spec.kind == RoutingKind::sampled || reader.has("popularity")) {
    const JsonNode& popularity = reader.required("popularity");
    spec.popularity = read_popularity(popularity, num_experts, top_k, folder_of(popularity));
  }
  // Beyond it a Dirichlet draw asks for more than one choice of an expert by every token.
  const double cv = std::sqrt(static_cast<double>(num_experts) / static_cast<double>(top_k) - 1);
  const double most_cv = std::floor(1e4 * cv) / 1e4;
  spec.sequence_cv = reader.number_or("sequence_cv", 0, most_cv, 0);
  if (spec.kind == RoutingKind::balanced) {
    spec.popularity = {};
    spec.sequence_cv = 0;
  }
  reader.finish();
  return spec;
}

void check_popularity(const JsonNode& routing,
                      const RoutingSpec& spec,
                      const MoeSpec& moe,
                      std::int64_t num_layers,
                      std::uint64_t seed) {
  for (std::int64_t layer = 0; layer < num_layers; ++layer) {
    const std::string problem =
        popularity_refusal(relative_load(spec.popularity, moe.num_experts, seed, layer), moe.top_k);
    if (!problem.empty())
      ObjectReader(routing).fail("popularity", "layer " + std::to_string(layer) + ": " + problem);
  }
}

}  // namespace moesim
