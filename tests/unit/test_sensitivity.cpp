// Sensitivities against closed forms, and against the intervals of a run.
#include <algorithm>
#include <cmath>

#include "model/uncertain_inputs.hpp"
#include "reports/sensitivity.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

SensitivityResult sensitivity_of_shipped(const std::string& name,
                                         const std::string& metric,
                                         const Settings& settings = {},
                                         double by = 0.1) {
  return sensitivity_of({scenario_folder() / name, settings, metric, by, 2, {}});
}

const SensitivityRow* row_of(const SensitivityResult& result, const std::string& name) {
  for (const SensitivityRow& row : result.rows)
    if (row.name == name) return &row;
  return nullptr;
}

// A run that nothing interrupts has half as many inputs.
Settings uninterrupted() { return {{"/operations", JsonNode()}}; }

bool holds(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

TEST_CASE("sensitivity: cost is proportional to the price and knows nothing of the memory's size") {
  const SensitivityResult cost =
      sensitivity_of_shipped("deepseek-v3-interrupted.jsonc", "cost_usd", uninterrupted());
  const SensitivityRow* price = row_of(cost, "/cluster/price");
  REQUIRE(price != nullptr);
  CHECK(price->elasticity.value() == Approx(1));
  CHECK(price->ends[0].metric.value() == Approx(0.9 * cost.value));
  CHECK(price->ends[1].metric.value() == Approx(1.1 * cost.value));
  CHECK(price->basis == "assumed");
  const SensitivityRow* tokens = row_of(cost, "/phases/0/tokens");
  REQUIRE(tokens != nullptr);
  CHECK(tokens->elasticity.value() == Approx(1).epsilon(1e-4));
  CHECK(holds(cost.without_effect, "/cluster/gpu/hbm"));

  const SensitivityResult step =
      sensitivity_of_shipped("deepseek-v3-interrupted.jsonc", "step_time_s", uninterrupted());
  CHECK(holds(step.without_effect, "/cluster/price"));
  CHECK(holds(step.without_effect, "/cluster/gpu/hbm"));
  CHECK(holds(step.not_moved, "/plan/tp"));
  CHECK(holds(step.lists, "/plan/layers_per_stage"));
  CHECK(std::is_sorted(
      step.rows.begin(), step.rows.end(), [](const SensitivityRow& a, const SensitivityRow& b) {
        return a.swing() > b.swing();
      }));
  // What is refused is told, and is no row.
  const auto refused =
      std::find_if(step.refused.begin(), step.refused.end(), [](const SensitivityRow& row) {
        return row.name == "/plan/dp";
      });
  REQUIRE(refused != step.refused.end());
  CHECK(!refused->ends[0].refusal.empty());
}

TEST_CASE("sensitivity: the calibration's effects in quadrature are the run's interval") {
  const SensitivityResult result =
      sensitivity_of_shipped("deepseek-v3-interrupted.jsonc", "step_time_s", uninterrupted());
  double up = 0, down = 0;
  for (const SensitivityRow& row : result.rows) {
    if (!row.is_calibration) continue;
    up += std::pow(row.highest - result.value, 2);
    down += std::pow(result.value - row.lowest, 2);
    CHECK((!row.by || *row.by > 0));
    CHECK(!row.basis.empty());
  }
  const JsonValue document =
      result_document(scenario_folder() / "deepseek-v3-interrupted.jsonc", {}, {2, false, true});
  CHECK(result.value - std::sqrt(down) ==
        Approx(document.number_at("/intervals/step_time_s/0").value()));
  CHECK(result.value + std::sqrt(up) ==
        Approx(document.number_at("/intervals/step_time_s/1").value()));
  REQUIRE(result.calibration);
  CHECK(result.calibration->low == Approx(document.number_at("/intervals/step_time_s/0").value()));
}

TEST_CASE("sensitivity: what the scenario says of its own numbers") {
  const TemporaryFolder folder;
  const auto scenario_with = [&](const std::string& uncertain) {
    std::string text = file_text(scenario_folder() / "deepseek-v3-interrupted.jsonc");
    const std::string start = "\"seed\": 1,";
    text.replace(text.find(start), start.size(), start + " \"uncertain\": " + uncertain + ",");
    for (const char* key : {"models/deep", "clusters/", "profiles/", "operations/"})
      for (std::size_t at = 0; (at = text.find("\"" + std::string(key), at)) != std::string::npos;
           ++at)
        text.insert(at + 1, std::filesystem::absolute(scenario_folder()).string() + "/");
    return folder.add_file("s.jsonc", text);
  };
  const SensitivityResult result = sensitivity_of(
      {scenario_with(R"({"/cluster/price": "20 %"})"), uninterrupted(), "cost_usd", 0.1, 2, {}});
  const SensitivityRow* price = row_of(result, "/cluster/price");
  REQUIRE(price != nullptr);
  CHECK(price->basis == "scenario");
  CHECK(price->by.value() == Approx(0.2));
  CHECK(price->highest == Approx(1.2 * result.value));

  const auto message = [&](const std::string& uncertain) {
    try {
      sensitivity_of({scenario_with(uncertain), {}, "", 0.1, 1, {}});
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message(R"({"/cluster/prize": "20 %"})").find("leads nowhere") != std::string::npos);
  CHECK(message(R"({"/cluster/name": "20 %"})").find("is not a number") != std::string::npos);
  CHECK(message(R"({"/cluster/price": "120 %"})").find("below 100") != std::string::npos);
  CHECK(message(R"({"/cluster/price": 5})").find("expected a string") != std::string::npos);
  CHECK(message(R"(["/cluster/price"])").find("expected an object") != std::string::npos);
}

TEST_CASE("sensitivity: does not depend on the number of threads") {
  const auto text = [](int num_threads) {
    return sensitivity_json(sensitivity_of({scenario_folder() / "deepseek-v3-h100-sglang.jsonc",
                                            {},
                                            "steps/2/tpot",
                                            0.1,
                                            num_threads,
                                            {}}))
        .dump();
  };
  const std::string one = text(1);
  CHECK(one == text(3));
  CHECK(one.find("\"/steps/2/requests\"") != std::string::npos);
}
