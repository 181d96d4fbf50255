#include "model/field_range.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::size_t kMostValues =
    100'000;  // of an axis; far above what anybody wants to wait for
constexpr double kMostExact = 9007199254740992.0;  // 2^53: whole doubles are exact up to there
constexpr int kMostDecimals = 15;                  // as many digits as a double surely holds

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

struct Written {
  double number = 0;
  std::string text;  // of the number
  std::string unit;  // with the blank before it
};

// A number and what follows it; nothing where it does not begin with one.
std::optional<Written> written(const std::string& given) {
  const std::string text = trimmed(given);
  const std::size_t digit = text.empty() || text[0] != '-' ? 0 : 1;
  if (digit >= text.size() || text[digit] < '0' || text[digit] > '9') return std::nullopt;
  Written result;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, result.number);
  if (error != std::errc{}) return std::nullopt;
  result.text.assign(text.data(), rest);
  result.unit.assign(rest, end);
  return result;
}

bool is_whole(const Written& value) {
  return value.text.find_first_not_of("-0123456789") == std::string::npos;
}

class Range {
 public:
  Range(const Written& from, const Written& to, const std::string& text, const std::string& origin)
      : from_(from), to_(to), text_(text), origin_(origin) {}

  std::vector<std::string> steps(const Written& step) const;
  std::vector<std::string> factors(double factor) const;
  std::vector<std::string> spaced(std::size_t count, bool logarithmic) const;

  [[noreturn]] void fail(const std::string& problem) const {
    throw InputError(origin_, "in the range " + in_quotes(text_) + " " + problem);
  }

 private:
  std::string value(double number) const { return number_text(number) + from_.unit; }
  std::string last() const { return value(to_.number); }

  Written from_, to_;
  std::string text_, origin_;
};

// How many decimals the number has.
int decimals(double number) {
  double scale = 1;
  for (int k = 0; k < kMostDecimals; ++k, scale *= 10)
    if (std::abs(number) * scale < kMostExact && std::round(number * scale) / scale == number)
      return k;
  return kMostDecimals;
}

std::vector<std::string> Range::steps(const Written& step) const {
  if (step.number == 0) fail("a step of 0 leads nowhere");
  const double scale =
      std::pow(10, std::max({decimals(from_.number), decimals(to_.number), decimals(step.number)}));
  for (const double number : {from_.number, to_.number, step.number})
    if (std::abs(number) * scale >= kMostExact)
      fail("the numbers have more digits than can be added up exactly");
  const auto scaled = [&](double number) { return std::llround(number * scale); };
  const std::int64_t from = scaled(from_.number), to = scaled(to_.number), by = scaled(step.number);
  const std::int64_t steps = (to - from) / by;
  if ((to > from) != (by > 0) && to != from)
    fail("steps of " + value(step.number) + " lead away from " + last());
  if ((to - from) % by != 0)
    fail("steps of " + value(step.number) + " miss the end: the last would be " +
         value(static_cast<double>(from + steps * by) / scale) + ", expected " + last());
  if (static_cast<std::size_t>(steps) >= kMostValues)
    fail("there are more than " + std::to_string(kMostValues) + " values");
  std::vector<std::string> values;
  for (std::int64_t i = 0; i <= steps; ++i)
    values.push_back(value(static_cast<double>(from + i * by) / scale));
  return values;
}

// Without the noise of a few multiplications.
double rounded(double number, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, number);
  double result = 0;
  std::from_chars(text, text + sizeof text, result);
  return result;
}

std::vector<std::string> Range::factors(double factor) const {
  if (!(factor > 0) || factor == 1) fail("expected a factor above 0 that is not 1");
  if (from_.number * to_.number <= 0) fail("a factor leads from zero or a sign to no other");
  std::vector<std::string> values;
  const double lowest = std::min(std::abs(from_.number), std::abs(to_.number)),
               highest = std::max(std::abs(from_.number), std::abs(to_.number));
  if (from_.number != to_.number && (std::abs(to_.number) > std::abs(from_.number)) != (factor > 1))
    fail("a factor of " + number_text(factor) + " leads away from " + last());
  constexpr double kNoise = 1e-9;  // of a thousand multiplications, with much to spare
  double number = from_.number;
  while (std::abs(number) >= lowest * (1 - kNoise) && std::abs(number) <= highest * (1 + kNoise)) {
    if (values.size() == kMostValues)
      fail("there are more than " + std::to_string(kMostValues) + " values");
    if (std::abs(number - to_.number) <= kNoise * std::abs(to_.number)) {
      values.push_back(last());
      return values;
    }
    values.push_back(value(rounded(number, kMostDecimals)));
    number *= factor;
  }
  fail("a factor of " + number_text(factor) + " misses the end: the last would be " +
       values.back() + ", expected " + last());
}

std::vector<std::string> Range::spaced(std::size_t count, bool logarithmic) const {
  if (count < 2 || count > kMostValues)
    fail("expected from 2 to " + std::to_string(kMostValues) + " values");
  if (logarithmic && !(from_.number > 0 && to_.number > 0))
    fail("the ends have no logarithm; expected numbers above 0");
  constexpr int kDigits = 6;
  const bool whole = is_whole(from_) && is_whole(to_) && from_.unit.empty();
  std::vector<std::string> values;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count - 1);
    double number = logarithmic ? from_.number * std::pow(to_.number / from_.number, share)
                                : from_.number + share * (to_.number - from_.number);
    number = i == 0           ? from_.number
             : i + 1 == count ? to_.number
             : whole          ? std::round(number)
                              : rounded(number, kDigits);
    values.push_back(value(number));
    if (i > 0 && values[i] == values[i - 1])
      fail("the value " + values[i] + " would come twice" +
           (whole ? "; ends with a decimal point (1.0) give values that are not whole" : ""));
  }
  return values;
}

// The unit of all three where it was written for some.
void share_units(Written& from, Written& to, Written* step, const Range& range) {
  std::string unit;
  for (Written* part : {&from, &to, step})
    if (part != nullptr && !part->unit.empty()) {
      if (!unit.empty() && trimmed(unit) != trimmed(part->unit))
        range.fail("the units " + in_quotes(trimmed(unit)) + " and " +
                   in_quotes(trimmed(part->unit)) + " differ");
      if (unit.empty()) unit = part->unit;
    }
  from.unit = to.unit = unit;
}

}  // namespace

std::optional<std::vector<std::string>> range_values(const std::string& text,
                                                     const std::string& origin) {
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) return std::nullopt;
  std::optional<Written> from = written(text.substr(0, dots));
  if (!from) return std::nullopt;  // a path such as ../x.json
  const std::string rest = text.substr(dots + 2);
  const std::size_t colon = rest.find(':');
  std::optional<Written> to = written(rest.substr(0, colon));
  const Range unread(*from, to.value_or(Written{}), text, origin);
  if (!to) unread.fail("expected a number on either side of \"..\"");
  if (colon == std::string::npos)
    unread.fail("the step is missing; expected one such as :8, :x2, :7 log or :5 lin");
  const std::string by = trimmed(rest.substr(colon + 1));
  if (by.size() > 1 && by[0] == 'x') {
    const std::optional<Written> factor = written(by.substr(1));
    if (!factor || !factor->unit.empty()) unread.fail("expected a factor such as x2");
    share_units(*from, *to, nullptr, unread);
    return Range(*from, *to, text, origin).factors(factor->number);
  }
  std::optional<Written> step = written(by);
  if (!step) unread.fail("expected a step such as :8, :x2, :7 log or :5 lin");
  const std::string word = trimmed(step->unit);
  if (word == "log" || word == "lin") {
    if (!is_whole(*step) || step->number < 0 || step->number > kMostExact)
      unread.fail("expected a count before " + in_quotes(word));
    share_units(*from, *to, nullptr, unread);
    return Range(*from, *to, text, origin)
        .spaced(static_cast<std::size_t>(step->number), word == "log");
  }
  share_units(*from, *to, &*step, unread);
  return Range(*from, *to, text, origin).steps(*step);
}

}  // namespace moesim
