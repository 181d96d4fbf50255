// The audit as a report and as a document.
#include <algorithm>
#include <cmath>

#include "reports/claims.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

std::string number(double value) {
  return value == std::round(value) && std::abs(value) < 1e9 ? std::to_string(std::llround(value))
                                                             : digits4(value);
}

// As exactly as it was written, but for a decimal point that says nothing.
std::string exact(double value) {
  std::string text = JsonValue(value).dump_line();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string with_unit(const std::string& text, const Claim& claim) {
  return claim.unit.empty() ? text : text + " " + claim.unit;
}

std::string claimed_text(const Claim& claim) {
  if (claim.readings.empty()) return "";
  if (!claim.word.empty()) return claim.word;
  const std::string low = number(claim.low);
  return with_unit(claim.low == claim.high ? low : low + " to " + number(claim.high), claim);
}

std::string computed_text(const Claim& claim, const ReadingResult& result) {
  return claim.word.empty() ? with_unit(number(result.value), claim) : result.word;
}

std::string pointers(const KnownFigure& f) {
  std::string text;
  for (const auto& [pointer, weight] : f.terms)
    text += (text.empty() ? "" : " + ") + (weight == 1 ? "" : number(weight) + " x ") + pointer;
  return text;
}

// Where the truth of a reading is computed, for a reader who wants to do it again.
std::string origin_text(const ClaimReading& reading) {
  const KnownFigure& f = reading.figure;
  std::string text;
  if (!f.formula.empty()) {
    for (const auto& [name, value] : f.inputs)
      text += (text.empty() ? "" : ", ") + name + " = " + exact(value);
    text = "formula " + f.formula + "(" + text + ")";
  } else if (!f.input.empty()) {
    text = f.input + " " + pointers(f);
  } else if (!f.model.empty()) {
    text = "moesim model " + f.model + " " + pointers(f);
    if (!f.over_model.empty()) text += " over that of " + f.over_model;
  } else {
    text = "moesim run " + f.scenario + " " + pointers(f);
  }
  if (f.scale != 1) text += " x " + exact(f.scale);
  if (reading.divide_by != 1) text += " / " + exact(reading.divide_by);
  return text;
}

JsonValue computed_json(const Claim& claim, const ReadingResult& result) {
  return claim.word.empty() ? JsonValue(result.value) : JsonValue(result.word);
}

std::string counts_of(const std::vector<AuditedClaim>& claims) {
  const auto count = [&](auto which) {
    return std::to_string(std::count_if(claims.begin(), claims.end(), which));
  };
  std::string text = std::to_string(claims.size()) + " claims";
  for (const ClaimVerdict verdict : {ClaimVerdict::holds,
                                     ClaimVerdict::misleads,
                                     ClaimVerdict::fails,
                                     ClaimVerdict::unverifiable})
    text += std::string(verdict == ClaimVerdict::holds ? ": " : ", ") +
            count([&](const AuditedClaim& a) { return a.verdict == verdict; }) + " " +
            verdict_name(verdict);
  text += "; " + count([](const AuditedClaim& a) { return !a.results.empty(); }) +
          " computed here, the others by their source; " +
          count([](const AuditedClaim& a) { return !a.as_expected(); }) +
          " with another verdict than expected.";
  return text;
}

}  // namespace

JsonValue claims_json(const std::vector<AuditedClaim>& claims) {
  JsonValue list = JsonValue::array();
  for (const AuditedClaim& a : claims) {
    const Claim& c = a.claim;
    JsonValue item = JsonValue::object();
    item.set("id", c.id).set("claim", c.statement).set("where", c.where);
    JsonValue claimed;
    if (!a.results.empty())
      claimed = !c.word.empty()   ? JsonValue(c.word)
                : c.low == c.high ? JsonValue(c.low)
                                  : JsonValue::array().push(c.low).push(c.high);
    item.set("claimed", std::move(claimed)).set("unit", c.unit);
    item.set("computed", a.results.empty() ? JsonValue() : computed_json(c, a.results.front()));
    item.set("error_pct", a.error_pct ? JsonValue(*a.error_pct) : JsonValue());
    item.set("verdict", verdict_name(a.verdict)).set("expected", verdict_name(c.expected));
    item.set("basis", a.results.empty() ? "source" : "computed");
    JsonValue readings = JsonValue::array();
    for (std::size_t i = 0; i < a.results.size(); ++i)
      readings.push(JsonValue::object()
                        .set("reading", i == 0 ? "as stated" : c.readings[i].reading)
                        .set("from", origin_text(c.readings[i]))
                        .set("computed", computed_json(c, a.results[i]))
                        .set("holds", a.results[i].holds));
    item.set("readings", std::move(readings));
    item.set("source", c.source).set("because", c.because).set("not_computed", c.not_computed);
    list.push(std::move(item));
  }
  return JsonValue::object().set("schema_version", 1).set("claims", std::move(list));
}

Report claims_report(const std::vector<AuditedClaim>& claims) {
  Report report;
  report.title = "What is said of these models, audited";
  Table computed{"", {"claim", "said", "claimed", "computed", "error", "verdict"}, {}};
  Table stated{"", {"claim", "said", "verdict by its source", "why it is not computed"}, {}};
  Section reasons{"Why", {}, {}, {}};
  for (const AuditedClaim& a : claims) {
    const Claim& c = a.claim;
    std::string verdict = verdict_name(a.verdict);
    if (!a.as_expected()) verdict += std::string(" (expected ") + verdict_name(c.expected) + ")";
    std::string how;
    if (a.results.empty()) {
      stated.rows.push_back({c.id, c.statement, verdict, c.not_computed});
    } else {
      computed.rows.push_back({c.id,
                               c.statement,
                               claimed_text(c),
                               computed_text(c, a.results.front()),
                               a.error_pct ? format_signed_percent(*a.error_pct) : "",
                               verdict});
      how = " Computed as " + origin_text(c.readings.front()) + ".";
      for (std::size_t i = 1; i < a.results.size(); ++i)
        how += " Read as \"" + c.readings[i].reading +
               "\": " + (c.word.empty() ? number(a.results[i].value) : a.results[i].word) + ", " +
               origin_text(c.readings[i]) + ".";
    }
    reasons.notes.push_back(c.id + ": " + c.because + "." + how + " Said in " + c.where +
                            "; settled by " + c.source + ".");
  }
  Section first{"Computed", {}, {computed}, {}};
  first.paragraphs = {
      counts_of(claims),
      "`true`: agrees with what is computed, within what rounding explains. `misleading`: agrees "
      "only with another reading, named below. `false`: with none. The error is the claim's "
      "against the computed value; of a range, its nearer end's."};
  Section second{"Not computed", {}, {stated}, {}};
  report.sections = {std::move(first)};
  if (!stated.rows.empty()) report.sections.push_back(std::move(second));
  report.sections.push_back(std::move(reasons));
  return report;
}

}  // namespace moesim
