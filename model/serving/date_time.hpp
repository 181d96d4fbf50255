// Dates of request traces: "2023-11-16 18:15:46.6805900", "2024-05-10 00:00:00.009930+00:00".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/line_reader.hpp"
#include "model/units.hpp"

namespace moesim {

struct DateTime {
  std::int64_t seconds = 0;  // since 1970, UTC
  Tick rest = 0;             // below a second
};

// Refuses what is no date between 1970 and 9999; up to 12 digits of a second are read exactly.
DateTime date_time_of(const LineReader& reader, const std::string& field, std::string_view text);
// Negative when `b` is before `a`; refuses more than 104 days.
Tick ticks_between(const LineReader& reader,
                   const std::string& field,
                   const DateTime& a,
                   const DateTime& b);

}  // namespace moesim
