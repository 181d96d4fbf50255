// A range of values, as an axis of a sweep writes it:
//
//   8..64:8                       8, 16, ... 64: steps of 8
//   1..1024:x2                    1, 2, ... 1024: each twice the one before
//   1..1000:7 log                 7 values, evenly spaced in their logarithm
//   0.0..1.0:5 lin                5 values, evenly spaced
//   25 GB/s..100 GB/s:25 GB/s     the same with a unit; written once, it holds for all three
//
// Both ends are values, exactly as written; a range that misses its last one is refused, for half
// of such ranges are typing errors. Steps are added as decimals (0.1..0.5:0.1 has 0.3, not
// 0.30000000000000004). Spaced values have 6 digits, and are whole where both ends are and there is
// no unit.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace moesim {

// Nothing where the text is no range ("4", "x..y"). InputError, with `origin` as its place, where
// it is a wrong one.
std::optional<std::vector<std::string>> range_values(const std::string& text,
                                                     const std::string& origin);

}  // namespace moesim
