#include "model/serving/date_time.hpp"

#include <cstdlib>

#include "model/json_message.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kSecondsPerDay = 86400;
constexpr Tick kSecond = 1'000'000'000'000;
constexpr std::int64_t kMostSeconds = 9'000'000;  // of 9.2e6 that Tick holds

// Steps over exactly `digits` digits.
class Digits {
 public:
  explicit Digits(std::string_view text) : text_(text) {}
  std::int64_t take(std::size_t count) {
    if (text_.size() < count) is_good_ = false;
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count && is_good_; ++i) {
      const char c = text_[i];
      if (c < '0' || c > '9') is_good_ = false;
      value = value * 10 + (c - '0');
    }
    if (is_good_) text_.remove_prefix(count);
    return value;
  }
  void expect(char a, char b) {
    if (text_.empty() || (text_.front() != a && text_.front() != b)) is_good_ = false;
    if (is_good_) text_.remove_prefix(1);
  }
  // Up to 12 digits behind a point, as ticks.
  Tick fraction() {
    if (text_.empty() || text_.front() != '.') return 0;
    text_.remove_prefix(1);
    Tick value = 0, unit = kSecond;
    while (unit > 1 && !text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      unit /= 10;
      value += unit * (text_.front() - '0');
      text_.remove_prefix(1);
    }
    if (unit == kSecond) is_good_ = false;
    return value;
  }
  // "Z", "+hh:mm", "-hh:mm" or nothing, then the end.
  std::int64_t offset_seconds() {
    if (text_ == "Z" || text_.empty()) return 0;
    const std::int64_t sign = text_.front() == '-' ? -1 : 1;
    expect('+', '-');
    const std::int64_t hours = take(2);
    expect(':', ':');
    const std::int64_t minutes = take(2);
    if (!text_.empty() || hours > 23 || minutes > 59) is_good_ = false;
    return sign * (hours * 3600 + minutes * 60);
  }
  bool is_good() const { return is_good_; }

 private:
  std::string_view text_;
  bool is_good_ = true;
};

bool is_leap(std::int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

std::int64_t days_of_month(std::int64_t year, std::int64_t month) {
  if (month == 2) return is_leap(year) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Days since 1970-01-01 in the proleptic Gregorian calendar: years count from March, so that the
// leap day is the last one (Hinnant, "chrono-compatible low-level date algorithms").
std::int64_t days_since_1970(std::int64_t year, std::int64_t month, std::int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = year / 400, year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

}  // namespace

DateTime date_time_of(const LineReader& reader, const std::string& field, std::string_view text) {
  Digits digits(text);
  const std::int64_t year = digits.take(4);
  digits.expect('-', '-');
  const std::int64_t month = digits.take(2);
  digits.expect('-', '-');
  const std::int64_t day = digits.take(2);
  digits.expect(' ', 'T');
  const std::int64_t hour = digits.take(2);
  digits.expect(':', ':');
  const std::int64_t minute = digits.take(2);
  digits.expect(':', ':');
  const std::int64_t second = digits.take(2);
  DateTime time;
  time.rest = digits.fraction();
  const std::int64_t offset = digits.offset_seconds();
  const bool is_date = digits.is_good() && year >= 1970 && month >= 1 && month <= 12 && day >= 1 &&
                       day <= days_of_month(year, month) && hour < 24 && minute < 60 && second < 60;
  if (!is_date) {
    reader.fail(field + ": expected a time like 2023-11-16 18:15:46.6805900, found " +
                in_quotes(std::string(text)));
  }
  time.seconds = days_since_1970(year, month, day) * kSecondsPerDay + hour * 3600 + minute * 60 +
                 second - offset;
  return time;
}

Tick ticks_between(const LineReader& reader,
                   const std::string& field,
                   const DateTime& a,
                   const DateTime& b) {
  const std::int64_t seconds = b.seconds - a.seconds;
  if (std::abs(seconds) > kMostSeconds) {
    reader.fail(field + ": is more than 104 days from the first row's");
  }
  return seconds * kSecond + b.rest - a.rest;
}

}  // namespace moesim
