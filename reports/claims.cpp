#include "reports/claims.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr std::array<ClaimVerdict, 4> kVerdicts = {
    ClaimVerdict::holds, ClaimVerdict::fails, ClaimVerdict::misleads, ClaimVerdict::unverifiable};

// `computed`: of a comparison, which cannot come out unverifiable.
ClaimVerdict read_verdict(ObjectReader& reader, const std::string& key, bool computed) {
  std::vector<std::string> names;
  for (const ClaimVerdict verdict : kVerdicts)
    if (!computed || verdict != ClaimVerdict::unverifiable)
      names.emplace_back(verdict_name(verdict));
  const std::string name = reader.choice(key, names);
  return kVerdicts[static_cast<std::size_t>(std::find(names.begin(), names.end(), name) -
                                            names.begin())];
}

ClaimReading read_reading(ObjectReader& reader, const Claim& claim) {
  ClaimReading r;
  read_origin(reader, r.figure);
  r.figure.file = reader.node().place();
  r.figure.scale = reader.number_or("scale", -1e300, 1e300, 1);
  r.divide_by = reader.number_or("divide_by", 1e-300, 1e300, 1);
  // Claims are audited without intervals of the profile.
  r.figure.role = FigureRole::definition;
  if (!r.figure.unpredicted.empty())
    reader.fail("from", "nothing is computed: say why in \"not_computed\"");
  if (!claim.word.empty() && (r.figure.input.empty() || r.figure.terms.size() != 1))
    reader.fail("from", "a word is compared with the text at one \"value\" of an \"input\"");
  return r;
}

void read_claimed(ObjectReader& reader, Claim& claim) {
  const JsonNode& node = reader.required("claimed");
  if (node.kind == JsonNode::Kind::string) {
    claim.word = node.text;
    if (claim.word.empty()) reader.fail("claimed", "an empty word claims nothing");
    return;
  }
  if (node.kind == JsonNode::Kind::array) {
    if (node.items.size() != 2) reader.fail("claimed", "expected two numbers, a range");
    claim.low = as_number(node.items[0], -1e300, 1e300);
    claim.high = as_number(node.items[1], -1e300, 1e300);
    if (!(claim.low < claim.high)) reader.fail("claimed", "a range ends above where it starts");
  } else {
    claim.low = claim.high = as_number(node, -1e300, 1e300);
  }
  claim.unit = reader.text_or("unit", "");
  claim.tolerance_pct = reader.number("tolerance_pct", 0, 100);
}

Claim read_claim(const JsonNode& node) {
  ObjectReader reader(node);
  Claim c;
  c.id = reader.text("id");
  c.statement = reader.text("claim");
  c.where = reader.text("where");
  c.source = reader.text("source");
  c.because = reader.text("because");
  if (reader.has("not_computed")) {
    c.not_computed = reader.text("not_computed");
    c.expected = read_verdict(reader, "verdict", false);
  } else {
    read_claimed(reader, c);
    c.readings.push_back(read_reading(reader, c));
    if (const JsonNode* list = reader.optional("otherwise")) {
      if (list->kind != JsonNode::Kind::array || list->items.empty())
        reader.fail("otherwise", "expected an array of at least one reading");
      for (const JsonNode& item : list->items) {
        ObjectReader other(item);
        const std::string name = other.text("reading");
        c.readings.push_back(read_reading(other, c));
        c.readings.back().reading = name;
        other.finish();
      }
    }
    c.expected = read_verdict(reader, "expected", true);
  }
  reader.finish();
  return c;
}

bool agrees(const Claim& claim, const ReadingResult& result) {
  if (!claim.word.empty()) return result.word == claim.word;
  const double slack = std::abs(result.value) * claim.tolerance_pct / 100;
  return result.value >= claim.low - slack && result.value <= claim.high + slack;
}

}  // namespace

const char* verdict_name(ClaimVerdict verdict) {
  switch (verdict) {
    case ClaimVerdict::holds: return "true";
    case ClaimVerdict::fails: return "false";
    case ClaimVerdict::misleads: return "misleading";
    case ClaimVerdict::unverifiable: return "unverifiable";
  }
  ENSURE(!"every verdict is handled");
}

std::vector<Claim> read_claims(const fs::path& folder) {
  const JsonNode node = read_json_file(folder / "published" / kClaimsFile);
  ObjectReader reader(node);
  reader.text("about");
  const JsonNode& list = reader.required("claims");
  if (list.kind != JsonNode::Kind::array || list.items.empty())
    reader.fail("claims", "expected an array of at least one claim");
  reader.finish();
  std::vector<Claim> claims;
  std::set<std::string> ids;
  for (const JsonNode& item : list.items) {
    claims.push_back(read_claim(item));
    if (!ids.insert(claims.back().id).second)
      throw InputError(item.place(), "a second claim " + in_quotes(claims.back().id));
  }
  return claims;
}

AuditedClaim audit(const Claim& claim, FigureEvaluator& evaluator, const fs::path& folder) {
  AuditedClaim audited{claim, {}, std::nullopt, claim.expected};
  if (claim.readings.empty()) return audited;
  bool otherwise = false;
  for (const ClaimReading& reading : claim.readings) {
    ReadingResult result;
    if (claim.word.empty()) {
      result.value = *evaluator.evaluate(reading.figure).predicted / reading.divide_by;
    } else {
      const KnownFigure& f = reading.figure;
      result.word = as_text(input_value(folder / f.input, f.terms.front().first, f.file));
    }
    result.holds = agrees(claim, result);
    otherwise = otherwise || (result.holds && !audited.results.empty());
    audited.results.push_back(result);
  }
  const ReadingResult& literal = audited.results.front();
  audited.verdict = literal.holds ? ClaimVerdict::holds
                    : otherwise   ? ClaimVerdict::misleads
                                  : ClaimVerdict::fails;
  if (claim.word.empty() && literal.value != 0) {
    const double nearest = std::clamp(literal.value, claim.low, claim.high);
    audited.error_pct = 100 * (nearest / literal.value - 1);
  }
  return audited;
}

}  // namespace moesim
