#include "model/popularity.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/named_file.hpp"
#include "model/random.hpp"
#include "model/routing_record.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kPopularityStream = 0x70b;

// Below it a Dirichlet draw is uniform to more digits than any load has, and its concentration
// grows past what the gamma draw can take.
constexpr double kLeastCv = 1e-6;

// The logarithm of a draw from the gamma distribution of scale 1, by Marsaglia and Tsang, "A simple
// method for generating gamma variables" (2000), sections 2 (shape of at least 1) and 6 (below).
// The logarithm, because at a small shape the draw itself is below the smallest double.
double log_gamma_draw(double shape, Random& random) {
  if (shape < 1) {
    const double boost = std::log(random.uniform()) / shape;
    return log_gamma_draw(shape + 1, random) + boost;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double log_v = 3 * std::log(root);
    if (std::log(random.uniform()) < x * x / 2 + d * (1 - std::exp(log_v) + log_v)) {
      return std::log(d) + log_v;
    }
  }
}

// Bounded Pareto: density proportional to x^-exponent on [lowest, highest], `u` uniform in (0, 1).
double power_law_draw(double exponent, double lowest, double highest, double u) {
  const double ratio = highest / lowest;
  if (std::abs(exponent - 1) < 1e-9) return std::pow(ratio, u);  // the limit of what follows
  const double power = 1 - exponent;
  return std::pow(1 + u * (std::pow(ratio, power) - 1), 1 / power);
}

void shuffle(std::vector<double>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    const auto other = static_cast<std::size_t>(random.uniform() * static_cast<double>(i));
    std::swap(values[i - 1], values[std::min(other, i - 1)]);
  }
}

// Logarithms of one independent draw of a synthetic law, up to a constant.
std::vector<double> log_draw(const PopularitySpec& spec, std::int64_t num_experts, Random random) {
  const auto experts = static_cast<double>(num_experts);
  std::vector<double> logs(static_cast<std::size_t>(num_experts), 0.0);
  if (spec.kind == PopularityKind::zipf) {
    for (std::size_t i = 0; i < logs.size(); ++i) {
      logs[i] = -spec.exponent * std::log(static_cast<double>(i + 1));
    }
    shuffle(logs, random);
  } else if (spec.kind == PopularityKind::power_law) {
    for (double& log : logs) {
      log = std::log(power_law_draw(spec.exponent, spec.lowest, spec.highest, random.uniform()));
    }
  } else if (spec.kind == PopularityKind::dirichlet && spec.cv > kLeastCv) {
    const double concentration = ((experts - 1) / (spec.cv * spec.cv) - 1) / experts;
    for (double& log : logs) log = log_gamma_draw(concentration, random);
  }
  return logs;
}

double largest_zipf_load(double exponent, std::int64_t num_experts) {
  double sum = 0;
  for (std::int64_t rank = 1; rank <= num_experts; ++rank) {
    sum += std::pow(static_cast<double>(rank), -exponent);
  }
  return static_cast<double>(num_experts) / sum;
}

std::string at_most(std::int64_t num_experts, std::int64_t top_k) {
  return "a token chooses an expert at most once, so at most num_experts / top_k = " +
         number_text(static_cast<double>(num_experts) / static_cast<double>(top_k));
}

// Four digits: enough to see by how much a bound is missed.
std::string rounded(double value) {
  const double scale = std::pow(10, 3 - std::floor(std::log10(value)));
  return number_text(std::round(value * scale) / scale);
}

void read_table(ObjectReader& reader,
                std::int64_t num_experts,
                std::int64_t top_k,
                const std::filesystem::path& folder,
                PopularitySpec& spec) {
  reader.text("file");
  const std::string domain = reader.text_or("domain", ""), method = reader.text_or("method", "");
  try {
    spec.table = std::make_shared<const LoadTable>(read_load_table(
        named_file(*reader.node().find("file"), folder), domain, method, num_experts));
  } catch (const InputError& error) {
    reader.fail("file", error.what());
  }
  for (std::size_t row = 0; row < spec.table->layers.size(); ++row) {
    const std::string refusal = popularity_refusal(spec.table->layers[row], top_k);
    if (!refusal.empty()) reader.fail("file", "row " + std::to_string(row) + ": " + refusal);
  }
}

}  // namespace

PopularitySpec read_popularity(const JsonNode& node,
                               std::int64_t num_experts,
                               std::int64_t top_k,
                               const std::filesystem::path& folder) {
  ENSURE(top_k >= 1 && num_experts >= top_k);
  constexpr double kLargestExponent = 100;  // steeper than any law that passes the check of loads
  constexpr double kLargestDrift = 1e12;    // steps
  const double highest_load = static_cast<double>(num_experts) / static_cast<double>(top_k);
  ObjectReader reader(node);
  const std::string kind =
      reader.choice("kind", {"uniform", "zipf", "power_law", "dirichlet", "table"});
  PopularitySpec spec;
  if (kind == "zipf") {
    spec.kind = PopularityKind::zipf;
    spec.exponent = reader.number("exponent", 0, kLargestExponent);
    const double load = largest_zipf_load(spec.exponent, num_experts);
    if (load > highest_load) {
      reader.fail("exponent",
                  "gives the most popular expert a relative load of " + rounded(load) + "; " +
                      at_most(num_experts, top_k));
    }
  } else if (kind == "power_law") {
    spec.kind = PopularityKind::power_law;
    spec.exponent = reader.number("exponent", 0, kLargestExponent);
    spec.lowest = reader.number("lowest", 1e-9, 1e9);
    spec.highest = reader.number("highest", spec.lowest, 1e9);
  } else if (kind == "dirichlet") {
    spec.kind = PopularityKind::dirichlet;
    // The largest of any possible loads: top_k experts get everything.
    spec.cv = reader.number("cv", 0, std::sqrt(highest_load - 1));
  } else if (kind == "table") {
    spec.kind = PopularityKind::table;
    read_table(reader, num_experts, top_k, folder, spec);
  }
  if (kind != "uniform" && kind != "table") {
    spec.drift_time = reader.number_or("drift_time", 0, kLargestDrift, 0);
  }
  reader.finish();
  return spec;
}

std::vector<double> relative_load(const PopularitySpec& spec,
                                  std::int64_t num_experts,
                                  std::uint64_t seed,
                                  std::int64_t layer,
                                  double step) {
  ENSURE(num_experts >= 1 && layer >= 0 && step >= 0);
  if (spec.kind == PopularityKind::table) {
    ENSURE(spec.table && !spec.table->layers.empty());
    const auto row = static_cast<std::size_t>(layer) % spec.table->layers.size();
    ENSURE(std::ssize(spec.table->layers[row]) == num_experts);
    return spec.table->layers[row];
  }
  const double drifts = spec.drift_time > 0 ? step / spec.drift_time : 0;
  const double whole = std::floor(drifts), fraction = drifts - whole;
  const auto draw = [&](double number) {
    return log_draw(spec,
                    num_experts,
                    Random(seed, kPopularityStream, layer, static_cast<std::uint64_t>(number)));
  };
  std::vector<double> loads = draw(whole);
  if (fraction > 0) {
    const std::vector<double> next = draw(whole + 1);
    const double angle = std::numbers::pi / 2 * fraction;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      loads[e] = std::cos(angle) * loads[e] + std::sin(angle) * next[e];
    }
  }
  const double largest = *std::max_element(loads.begin(), loads.end());
  for (double& load : loads) load = std::exp(load - largest);
  const double mean =
      std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(num_experts);
  for (double& load : loads) load /= mean;
  return loads;
}

std::string popularity_refusal(const std::vector<double>& relative_load, std::int64_t top_k) {
  ENSURE(top_k >= 1 && std::ssize(relative_load) >= top_k);
  const auto largest = std::max_element(relative_load.begin(), relative_load.end());
  const std::int64_t num_experts = std::ssize(relative_load);
  // Loads that reach the bound exactly may exceed it by rounding.
  const double bound = static_cast<double>(num_experts) / static_cast<double>(top_k);
  if (*largest <= bound * (1 + 1e-9)) return "";
  return "expert " + std::to_string(largest - relative_load.begin()) + " has a relative load of " +
         rounded(*largest) + "; " + at_most(num_experts, top_k);
}

}  // namespace moesim
