// Claims: numbers that people state about these models, held against what this program computes.
// One file, scenarios/published/claims.json; each row in our own words, with where such a statement
// is common and the primary source that settles it.
//
//   "claimed": 64, [5, 10] (any value from 5 to 10) or a word, with "unit" and "tolerance_pct" (how
//   far a rounded number may lie off)
//   "from": where the truth is computed, in the words of known_figures.hpp; "scale" and "divide_by"
//   bring it to the claim's unit. For a word: {"input": file, "value": pointer} of a text
//   "otherwise": other readings, each with a "reading" that says which, a "from", "scale"
//   "expected": the verdict that the comparison has to come to
// or, where nothing can be computed, "not_computed": why, and "verdict": what the source says.
//
// The verdict comes out of the comparison: true where the claim agrees with what it says literally,
// misleading where it agrees only with another reading, else false. Unverifiable is only a source's
// verdict: nobody published what would settle it.
//
// Left out: who said it (a row is about the statement), and claims about quality, which no
// simulator of cost can judge.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "reports/known_figures.hpp"
#include "reports/report.hpp"

namespace moesim {

enum class ClaimVerdict { holds, fails, misleads, unverifiable };
const char* verdict_name(ClaimVerdict verdict);  // "true", "false", "misleading", "unverifiable"

// One way to understand a claim, and where its truth comes from.
struct ClaimReading {
  std::string reading;  // empty: literally
  KnownFigure figure;   // of which only the origin and the scale are used
  double divide_by = 1;
};

struct Claim {
  std::string id, statement, where, unit, source, because;
  double low = 0, high = 0;  // the claimed number, or the ends of the claimed range
  std::string word;          // the claimed word, where it is no number
  double tolerance_pct = 0;
  std::vector<ClaimReading> readings;  // the literal one first; none where nothing can be computed
  std::string not_computed;            // why
  ClaimVerdict expected = ClaimVerdict::holds;
};

struct ReadingResult {
  double value = 0;
  std::string word;
  bool holds = false;
};

struct AuditedClaim {
  Claim claim;
  std::vector<ReadingResult> results;  // one a reading
  std::optional<double> error_pct;     // claimed against computed; of a range, its nearer end
  ClaimVerdict verdict = ClaimVerdict::holds;
  bool as_expected() const { return verdict == claim.expected; }
};

// The claims of `folder`/published/claims.json.
std::vector<Claim> read_claims(const std::filesystem::path& folder);
AuditedClaim audit(const Claim& claim,
                   FigureEvaluator& evaluator,
                   const std::filesystem::path& folder);

JsonValue claims_json(const std::vector<AuditedClaim>& claims);
Report claims_report(const std::vector<AuditedClaim>& claims);

}  // namespace moesim
