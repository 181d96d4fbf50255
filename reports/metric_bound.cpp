// Bounds on metrics from text: reports/metric.hpp says how they are written.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "model/json_message.hpp"
#include "reports/metric.hpp"

namespace moesim {
namespace {

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

struct Amount {
  double number = 0;
  std::string unit;
};

Amount amount(const std::string& text, const std::string& place, const std::string& expected) {
  Amount result;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, result.number);
  if (error != std::errc() || !std::isfinite(result.number) ||
      std::isalpha(static_cast<unsigned char>(text[text[0] == '-' ? 1 : 0])) != 0)
    throw InputError(place, "expected " + expected + ", found " + in_quotes(text));
  result.unit = trimmed(std::string(rest, end));
  return result;
}

double power_of(const std::string& letter, const std::string& place) {
  if (letter.empty()) return 1;
  if (letter == "K") return 1e3;
  if (letter == "M") return 1e6;
  if (letter == "B") return 1e9;
  if (letter == "T") return 1e12;
  throw InputError(place, "unknown unit " + in_quotes(letter) + "; known: K, M, B, T");
}

double dollars_of(std::string text, const std::string& place) {
  const bool has_sign = text[0] == '$';
  if (has_sign) text = trimmed(text.substr(1));
  if (text.empty()) throw InputError(place, "expected dollars, like 5.2M USD, found none");
  Amount found = amount(text, place, "dollars, like 5.2M USD");
  if (found.unit.size() >= 3 && found.unit.substr(found.unit.size() - 3) == "USD")
    found.unit = trimmed(found.unit.substr(0, found.unit.size() - 3));
  else if (!has_sign)
    throw InputError(place,
                     "expected dollars with their unit, like 5.2M USD, found " + in_quotes(text));
  return found.number * power_of(found.unit, place);
}

double limit_of(const std::string& text, MetricUnit unit, bool is_ms, const std::string& place) {
  switch (unit) {
    case MetricUnit::seconds:
    case MetricUnit::bytes: {
      const bool is_time = unit == MetricUnit::seconds;
      const std::string expected =
          is_time ? "a time with its unit, like 2s or 50ms" : "bytes with their unit, like 70GB";
      const Amount found = amount(text, place, expected);
      if (is_ms && found.unit.empty()) return found.number / 1000;
      const std::string spaced = number_text(found.number) + " " + found.unit;
      try {
        return is_time ? parse_seconds(spaced).in(s) : parse_bytes(spaced).in(B);
      } catch (const InputError& error) {
        throw InputError(place, "expected " + expected + ": " + error.what());
      }
    }
    case MetricUnit::dollars: return dollars_of(text, place);
    case MetricUnit::share: {
      const Amount found = amount(text, place, "a share, like 0.95 or 95%");
      if (found.unit == "%") return found.number / 100;
      if (!found.unit.empty() || found.number > 1)
        throw InputError(place,
                         "expected a share of 0 to 1 or a percentage, found " + in_quotes(text));
      return found.number;
    }
    case MetricUnit::joules:
    case MetricUnit::plain: break;
  }
  const Amount found = amount(text, place, "a number");
  return found.number * power_of(found.unit, place);
}

MetricBound parse_one(const std::string& text, const JsonNode& result, const std::string& place) {
  const std::size_t at = text.find_first_of("<>=");
  const std::string here = place + " " + in_quotes(text);
  if (at == std::string::npos || text[at] == '=')
    throw InputError(here, "expected a bound with <, <=, > or >=, like p99_ttft<2s");
  MetricBound bound;
  bound.text = text;
  bound.is_upper = text[at] == '<';
  bound.is_strict = at + 1 >= text.size() || text[at + 1] != '=';
  const std::string name = trimmed(text.substr(0, at)),
                    value = trimmed(text.substr(at + (bound.is_strict ? 1 : 2)));
  if (name.empty()) throw InputError(here, "expected a metric before the sign");
  if (value.empty()) throw InputError(here, "expected a value after the sign");
  bound.metric = find_metric(result, name, here);
  const MetricUnit unit = unit_of_metric(bound.metric.name);
  const bool is_ms = name.size() > 3 && name.substr(name.size() - 3) == "_ms";
  if (is_ms && unit != MetricUnit::seconds) throw InputError(here, "is not a time");
  bound.limit = limit_of(value, unit, is_ms, here);
  return bound;
}

}  // namespace

std::vector<MetricBound> parse_bounds(const std::string& text,
                                      const JsonNode& result,
                                      const std::string& place) {
  std::vector<MetricBound> bounds;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string one = trimmed(text.substr(at, end - at));
    if (one.empty()) throw InputError(place, "expected a bound like p99_ttft<2s, found none");
    bounds.push_back(parse_one(one, result, place));
    at = end + 1;
  }
  return bounds;
}

}  // namespace moesim
