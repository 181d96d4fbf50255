// Formulas of known figures about routing: closed forms of the popularity law, token-by-token
// draws, the figure they are compared with.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>
#include <string>
#include <vector>

#include "model/random.hpp"
#include "model/routing_record.hpp"
#include "reports/formulas.hpp"
#include "reports/known_figures.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

using Inputs = std::map<std::string, double>;

double value(const std::string& formula, const Inputs& inputs, const Scenario* scenario = nullptr) {
  return evaluate_formula(formula, FormulaInputs(inputs, "x.json: /from"), scenario);
}

// Every expert on its own rank: the hottest expert over the mean.
Inputs ranks_of_one(double experts, double cv, double layers) {
  return {{"experts", experts},
          {"top_k", 1},
          {"ranks", experts},
          {"slots_per_rank", 1},
          {"eplb", 0},
          {"cv", cv},
          {"tokens_per_rank", 1e7},
          {"layers", layers}};
}

Scenario h100_with(const std::string& nic_bandwidth) {
  return shipped_scenario("deepseek-v3-megatron-256",
                          {{"/cluster/nic_bandwidth", '"' + nic_bandwidth + '"'}});
}

double mean_over_layers(const LoadTable& table,
                        double (*of_layer)(const std::vector<double>&, std::int64_t),
                        std::int64_t ranks) {
  double sum = 0;
  for (const std::vector<double>& load : table.layers) sum += of_layer(load, ranks);
  return sum / static_cast<double>(table.layers.size());
}

// Experts in order on the ranks.
double max_over_mean(const std::vector<double>& load, std::int64_t ranks) {
  const auto experts = static_cast<std::size_t>(std::ssize(load) / ranks);
  double most = 0;
  for (auto first = load.begin(); first != load.end(); first += std::ssize(load) / ranks)
    most = std::max(most, std::accumulate(first, first + std::ssize(load) / ranks, 0.0));
  return most / static_cast<double>(experts);
}

double variation(const std::vector<double>& load, std::int64_t) {
  double squares = 0;
  for (const double l : load) squares += (l - 1) * (l - 1);
  return std::sqrt(squares / static_cast<double>(load.size()));
}

struct Figure10 {
  std::string domain, method;  // as the digitised file names them
};
Figure10 figure10(const std::string& id) {
  const std::string method = id.substr(0, 3) == "R04" ? "aux_loss" : "aux_loss_free";
  const std::string domain = id.substr(4, id.find('.', 4) - 4);
  return {domain == "wiki"     ? "wikipedia_en"
          : domain == "github" ? "github"
                               : "dm_mathematics",
          method};
}

}  // namespace

TEST_CASE("The hottest of exponential shares is a harmonic number") {
  // A Dirichlet law of concentration 1 breaks a stick at random: of E pieces the longest is H_E /
  // E.
  const double experts = 64;
  double harmonic = 0;
  for (int i = 1; i <= 64; ++i) harmonic += 1.0 / i;
  const double cv = std::sqrt((experts - 1) / (experts + 1));
  // The longest piece varies by about pi / sqrt(6), the Gumbel law's deviation.
  const double layers = 4000;
  CHECK(std::abs(value("rank_imbalance", ranks_of_one(experts, cv, layers)) - harmonic) <
        4 * std::numbers::pi / std::sqrt(6 * layers));
  // Two experts of uniform share: twice the larger, 3/2, varying by 1 / sqrt(12).
  CHECK(std::abs(value("rank_imbalance", ranks_of_one(2, std::sqrt(1.0 / 3), layers)) - 1.5) <
        4 / std::sqrt(12 * layers));
}

TEST_CASE("Equal experts and endless tokens load all ranks alike") {
  Inputs in = ranks_of_one(64, 0, 3);
  in["ranks"] = 8;
  in["slots_per_rank"] = 8;
  CHECK(value("rank_imbalance", in) == Approx(1).margin(1e-3));
  in["ranks"] = 1;
  in["slots_per_rank"] = 64;
  in["cv"] = 2;
  CHECK(value("rank_imbalance", in) == Approx(1).margin(1e-3));
}

TEST_CASE("An expert gets no more rows than there are tokens") {
  Inputs in = ranks_of_one(64, 3, 200);
  const double asked = value("rank_imbalance", in);
  in["top_k"] = 6;
  CHECK(asked > 64.0 / 6);  // what a token that chooses six can give
  CHECK(value("rank_imbalance", in) < asked);
}

TEST_CASE("The noise of finite tokens is that of tokens drawn one by one") {
  const std::int64_t experts = 64, top_k = 4, ranks = 16, tokens = 16 * 40, layers = 300;
  const std::int64_t per_rank = experts / ranks;
  Random random(5);
  double sum = 0, squares = 0;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    std::vector<double> rows(static_cast<std::size_t>(ranks), 0.0);
    for (std::int64_t t = 0; t < tokens; ++t) {
      std::vector<std::int64_t> chosen;
      while (std::ssize(chosen) < top_k) {
        const auto e = static_cast<std::int64_t>(random.uniform() * static_cast<double>(experts));
        if (std::find(chosen.begin(), chosen.end(), e) != chosen.end()) continue;
        chosen.push_back(e);
        rows[static_cast<std::size_t>(e / per_rank)] += 1;
      }
    }
    const double ratio = *std::max_element(rows.begin(), rows.end()) * static_cast<double>(ranks) /
                         static_cast<double>(tokens * top_k);
    sum += ratio;
    squares += ratio * ratio;
  }
  const double mean = sum / static_cast<double>(layers);
  const double error = std::sqrt((squares / static_cast<double>(layers) - mean * mean) /
                                 static_cast<double>(layers));
  const Inputs in = {{"experts", 64},
                     {"top_k", 4},
                     {"ranks", 16},
                     {"slots_per_rank", 4},
                     {"eplb", 0},
                     {"cv", 0},
                     {"tokens_per_rank", 40},
                     {"layers", 2000}};
  // Independent counts make the noise larger by (3/63 + 1/16) / 2, below 6 %.
  CHECK(std::abs(value("rank_imbalance", in) - mean) < 4 * error + 0.06 * (mean - 1));
  CHECK(mean > 1.1);
}

TEST_CASE("The balancer leaves the noise of sampling and little else") {
  Inputs in = {{"experts", 256},
               {"top_k", 8},
               {"ranks", 32},
               {"slots_per_rank", 9},
               {"eplb", 1},
               {"cv", 1.63},
               {"tokens_per_rank", 1e7},
               {"layers", 20}};
  const double endless = value("rank_imbalance", in);
  CHECK(endless < 1.01);
  in["tokens_per_rank"] = 128;
  const double noise = value("rank_imbalance", in) - 1;
  // The expected largest of 32 independent normal values is 2.07; a rank's 1,024 rows vary by 1/32
  // where experts are cold and by less where tokens choose a hot one only once.
  CHECK(noise > 0.6 * 2.07 / 32);
  CHECK(noise < 2.07 / 32 + (endless - 1));
}

TEST_CASE("Known rank loads are those of the digitised figure") {
  const auto folder = reference_folder();
  if (!folder) return;
  int checked = 0;
  for (const KnownFigure& f : read_known_figures(scenario_folder())) {
    if (f.id.substr(0, 3) != "R04" && f.id.substr(0, 3) != "R05") continue;
    const Figure10 row = figure10(f.id);
    const LoadTable table =
        read_load_table(*folder / "expert_load_v3_fig10.json", row.domain, row.method, 64);
    REQUIRE(table.layers.size() == 26);
    INFO(f.id);
    CHECK(f.known ==
          Approx(mean_over_layers(
                     table, max_over_mean, static_cast<std::int64_t>(f.inputs.at("ranks"))))
              .margin(0.006));  // printed to two decimals
    CHECK(f.inputs.at("cv") == Approx(mean_over_layers(table, variation, 1)).margin(0.006));
    ++checked;
  }
  CHECK(checked == 18);
}

TEST_CASE("Zipf's law of the same variation is further from the aux-loss-free figure") {
  // The hottest expert of Zipf's law: E over the sum of rank^-a, with a from the variation.
  const auto hottest = [](double cv) {
    double low = 0, high = 3, load = 0;
    for (int step = 0; step < 50; ++step) {
      const double a = (low + high) / 2;
      double sum = 0, squares = 0;
      for (int rank = 1; rank <= 64; ++rank) {
        sum += std::pow(rank, -a);
        squares += std::pow(rank, -2 * a);
      }
      load = 64 / sum;
      (std::sqrt(64 * squares / (sum * sum) - 1) < cv ? low : high) = a;
    }
    return load;
  };
  FigureEvaluator evaluator(scenario_folder(), 1);
  for (const KnownFigure& f : read_known_figures(scenario_folder())) {
    if (f.id.substr(0, 3) != "R05" || f.inputs.at("ranks") != 64) continue;
    INFO(f.id);
    const double zipf_error_pct = 100 * (hottest(f.inputs.at("cv")) / f.known - 1);
    CHECK(zipf_error_pct > 35);
    CHECK(std::abs(*evaluator.evaluate(f).error_pct) < 6);
  }
  // As the notes of R04 and R05 state them.
  CHECK(hottest(0.449) == Approx(3.16).margin(0.01));
  CHECK(hottest(0.374) == Approx(2.73).margin(0.01));
  CHECK(hottest(0.380) == Approx(2.77).margin(0.01));
  CHECK(hottest(0.91) == Approx(6.10).margin(0.01));
  CHECK(hottest(1.53) == Approx(10.6).margin(0.05));
  CHECK(hottest(1.68) == Approx(11.7).margin(0.05));
}

TEST_CASE("The analytic decode limits come out to the printed digit") {
  Inputs in = {{"tokens", 32},
               {"copies", 9},
               {"hidden", 7000},
               {"dispatch_bytes", 1},
               {"combine_bytes", 2},
               {"bandwidth_gb_per_s", 50},
               {"layers", 61}};
  CHECK(value("decode_exchange", in) == Approx(120.96e-6).epsilon(1e-12));
  CHECK(value("decode_limit", in) == Approx(2 * 61 * 120.96e-6).epsilon(1e-12));
  CHECK(std::round(value("decode_limit", in) * 1e5) == 1476);
  CHECK(std::floor(value("decode_limit_rate", in)) == 67);
  in["bandwidth_gb_per_s"] = 900;
  CHECK(std::round(value("decode_limit", in) * 1e5) == 82);
}

TEST_CASE("Formulas of routing refuse what makes no sense") {
  const auto imbalance = [](const std::string& name, double number) {
    Inputs in = ranks_of_one(64, 1, 2);
    in[name] = number;
    return refusal([&] { value("rank_imbalance", in); });
  };
  CHECK(imbalance("cv", 8) ==
        "x.json: /from: input \"cv\": expected 0 to 7.937253933193772, found 8");
  CHECK(imbalance("layers", 0) == "x.json: /from: input \"layers\": expected 1 to 1e+05, found 0");
  CHECK(imbalance("ranks", 2.5) == "x.json: /from: input \"ranks\": expected a whole number");
  CHECK(imbalance("slots_per_rank", 2) ==
        "x.json: /from: 64 redundant experts: only the eplb policies place redundant experts");
  CHECK(imbalance("eplb", 2) == "x.json: /from: input \"eplb\": expected 0 to 1, found 2");
  CHECK(refusal([] { value("rank_imbalance", {}); }) == "x.json: /from: missing input \"experts\"");

  const Scenario h100 = h100_with("50 GB/s");
  CHECK(refusal([] { value("link_latency", {{"link", 0}}); }) ==
        "x.json: /from: this formula needs a \"scenario\" for its cluster and profile");
  CHECK(refusal([&] {
          value("link_latency", {{"link", 3}}, &h100);
        }) == "x.json: /from: link: expected 0 (NVLink), 1 (one leaf) or 2 (across leaves)");
}
