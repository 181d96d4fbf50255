// Claims: how a verdict comes out of a comparison, what is refused, and that every shipped claim
// comes out as expected.
#include <algorithm>
#include <filesystem>
#include <string>

#include "reports/claims.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

// One claim, with the rest of its row.
class ClaimFolder {
 public:
  explicit ClaimFolder(const std::string& rest) {
    std::filesystem::create_directory(folder_.path() / "published");
    folder_.add_file("input.json", R"({"count": 8, "yes": true, "deep": {"word": "sigmoid"}})");
    folder_.add_file("published/claims.json",
                     R"({"about": "a", "claims": [{"id": "x", "claim": "c", "where": "w",
                     "source": "s", "because": "b", )" +
                         rest + "}]}");
  }
  std::vector<Claim> read() const { return read_claims(folder_.path()); }
  AuditedClaim audited() const {
    FigureEvaluator evaluator(folder_.path(), 1);
    return audit(read().front(), evaluator, folder_.path());
  }
  std::string refused() const {
    return refusal([&] { audited(); });
  }

 private:
  TemporaryFolder folder_;
};

// "claimed" against 6, or otherwise against 12.
AuditedClaim against_six(const std::string& claimed, double tolerance, bool otherwise) {
  std::string rest = R"("claimed": )" + claimed + R"(, "tolerance_pct": )" +
                     std::to_string(tolerance) +
                     R"(, "expected": "true",
                     "from": {"formula": "product", "inputs": {"a": 2, "b": 3}})";
  if (otherwise)
    rest += R"(, "otherwise": [{"reading": "both", "scale": 4, "divide_by": 2,
             "from": {"formula": "product", "inputs": {"a": 2, "b": 3}}}])";
  return ClaimFolder(rest).audited();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a claim is true where it agrees literally, misleading where only otherwise",
          "[claims]") {
  CHECK(against_six("6", 0, false).verdict == ClaimVerdict::holds);
  CHECK(against_six("6.01", 0, false).verdict == ClaimVerdict::fails);
  CHECK(against_six("6.05", 1, false).verdict == ClaimVerdict::holds);
  CHECK(against_six("5.93", 1, false).verdict == ClaimVerdict::fails);
  CHECK(against_six("6", 0, true).verdict == ClaimVerdict::holds);
  CHECK(against_six("12", 0, true).verdict == ClaimVerdict::misleads);
  CHECK(against_six("12", 0, false).verdict == ClaimVerdict::fails);
  CHECK(against_six("13", 0, true).verdict == ClaimVerdict::fails);
  CHECK(against_six("13", 0, true).as_expected() == false);
}

TEST_CASE("a claimed range holds what lies in it; the error is of its nearer end", "[claims]") {
  CHECK(against_six("[5, 10]", 0, false).verdict == ClaimVerdict::holds);
  CHECK(against_six("[5, 6]", 0, false).verdict == ClaimVerdict::holds);
  const AuditedClaim below = against_six("[7.5, 10]", 0, true);
  CHECK(below.verdict == ClaimVerdict::fails);
  REQUIRE(below.error_pct);
  CHECK(*below.error_pct == Approx(25));
  REQUIRE(below.results.size() == 2);
  CHECK(below.results[0].value == Approx(6));
  CHECK(below.results[1].value == Approx(12));
  CHECK(*against_six("[1, 3]", 0, false).error_pct == Approx(-50));
  CHECK(against_six("[11, 13]", 0, true).verdict == ClaimVerdict::misleads);
}

TEST_CASE("a claim about an input is held against the file", "[claims]") {
  const auto verdict = [](const std::string& rest) {
    return ClaimFolder(rest + R"(, "expected": "true")").audited().verdict;
  };
  const std::string eight = R"("from": {"input": "input.json", "value": "/count"})";
  CHECK(verdict(R"("claimed": 8, "tolerance_pct": 0, )" + eight) == ClaimVerdict::holds);
  CHECK(verdict(R"("claimed": 2, "tolerance_pct": 0, )" + eight) == ClaimVerdict::fails);
  const std::string yes = R"("from": {"input": "input.json", "value": {"/yes": 1, "/count": 2}})";
  CHECK(verdict(R"("claimed": 17, "tolerance_pct": 0, )" + yes) == ClaimVerdict::holds);
  const std::string word = R"("from": {"input": "input.json", "value": "/deep/word"})";
  CHECK(verdict(R"("claimed": "sigmoid", )" + word) == ClaimVerdict::holds);
  CHECK(verdict(R"("claimed": "softmax", )" + word) == ClaimVerdict::fails);
}

TEST_CASE("a claim that nothing computes keeps its source's verdict", "[claims]") {
  const AuditedClaim a =
      ClaimFolder(R"("not_computed": "no input says", "verdict": "unverifiable")").audited();
  CHECK(a.verdict == ClaimVerdict::unverifiable);
  CHECK(a.results.empty());
  CHECK(a.as_expected());
  CHECK(contains(claims_json({a}).dump(), R"("basis": "source")"));
}

TEST_CASE("wrong claims are refused, with their place", "[claims]") {
  const std::string product = R"("from": {"formula": "product", "inputs": {"a": 2, "b": 3}})";
  const std::string rest = R"(, "tolerance_pct": 0, "expected": "true")";
  struct Case {
    std::string row, message;
  };
  const Case cases[] = {
      {product + rest, "missing key \"claimed\""},
      {R"("claimed": 6, )" + product + R"(, "expected": "true")", "missing key \"tolerance_pct\""},
      {R"("claimed": 6, "tolerance_pct": 0, )" + product, "missing key \"expected\""},
      {R"("claimed": [6, 5], )" + product + rest, "a range ends above where it starts"},
      {R"("claimed": [6], )" + product + rest, "expected two numbers"},
      {R"("claimed": "", )" + product + rest, "an empty word"},
      {R"("claimed": "six", )" + product + R"(, "expected": "true")", "text at one \"value\""},
      {R"("claimed": 6, )" + product + R"(, "tolerance_pct": 0, "expected": "unverifiable")",
       "/claims/0/expected"},
      {R"("not_computed": "no", "verdict": "maybe")", "/claims/0/verdict"},
      {R"("not_computed": "no", "verdict": "false", "claimed": 6)", "unknown key \"claimed\""},
      {R"("claimed": 6, "from": {"unpredicted": "no"})" + rest, "say why in \"not_computed\""},
      {R"("claimed": 6, "from": {})" + rest, "expected one of \"scenario\", \"model\", \"input\""},
      {R"("claimed": 6, "otherwise": [], )" + product + rest, "at least one reading"},
      {R"("claimed": 6, "from": {"input": "input.json", "value": "/nothing"})" + rest,
       "nothing at \"/nothing\" of"},
      {R"("claimed": 6, "from": {"input": "input.json", "value": "/deep"})" + rest,
       "input.json: /deep: expected a number"},
      {R"("claimed": 6, "from": {"input": "none.json", "value": "/x"})" + rest,
       "none.json: cannot be read"},
      {R"("claimed": 6, "from": {"formula": "quotient", "inputs": {"a": 1, "b": 0}})" + rest,
       "0 divides nothing"},
  };
  for (const Case& c : cases) {
    const std::string message = ClaimFolder(c.row).refused();
    INFO(c.row << "\n" << message);
    CHECK(contains(message, c.message));
    CHECK(contains(message, ".json"));
  }
  const std::string one = R"("not_computed": "no", "verdict": "false")";
  CHECK(contains(ClaimFolder(one + R"(}, {"id": "x", "claim": "c", "where": "w", "source": "s",
                                    "because": "b", )" +
                             one)
                     .refused(),
                 "a second claim \"x\""));
}

TEST_CASE("the file of claims is no file of known figures", "[claims]") {
  const ClaimFolder folder(R"("not_computed": "no", "verdict": "false")");
  CHECK(folder.read().size() == 1);
  for (const KnownFigure& figure : read_known_figures(scenario_folder()))
    CHECK_FALSE(contains(figure.file, kClaimsFile));
}

TEST_CASE("a model's value over another's", "[claims]") {
  const std::string rest = R"("claimed": 5.63, "tolerance_pct": 0.1, "expected": "true", "from":
      {"model": "models/deepseek-llm-67b.json", "value": "/kv_bytes_per_token/bf16",
       "over": {"model": "models/deepseek-v2.json"}})";
  const Claim claim = ClaimFolder(rest).read().front();
  FigureEvaluator evaluator(scenario_folder(), 1);
  const AuditedClaim a = audit(claim, evaluator, scenario_folder());
  CHECK(a.results.front().value == Approx(95.0 * 2048 / (60.0 * 576)));
  CHECK(a.verdict == ClaimVerdict::holds);
}

TEST_CASE("every shipped claim comes out as its source says", "[claims]") {
  FigureEvaluator evaluator(scenario_folder(), 2);
  std::size_t computed = 0, verdicts[4] = {};
  const std::vector<Claim> claims = read_claims(scenario_folder());
  for (const Claim& claim : claims) {
    const AuditedClaim a = audit(claim, evaluator, scenario_folder());
    INFO(claim.id << ": " << claim.statement);
    CHECK(a.as_expected());
    computed += a.results.empty() ? 0 : 1;
    ++verdicts[static_cast<std::size_t>(a.verdict)];
  }
  CHECK(claims.size() >= 38);
  CHECK(3 * computed >= 2 * claims.size());
  for (const std::size_t n : verdicts) CHECK(n > 0);
}
