// The words of a launcher's flag table, short enough for one flag a line.
#pragma once

#include "reports/import/launch_arguments.hpp"

namespace moesim::flag_words {

inline constexpr auto kNone = FlagValue::none;
inline constexpr auto kInteger = FlagValue::integer;
inline constexpr auto kFraction = FlagValue::fraction;
inline constexpr auto kWord = FlagValue::word;
inline constexpr auto kWords = FlagValue::words;
inline constexpr auto kPlan = FlagUse::plan;
inline constexpr auto kDegree = FlagUse::degree;
inline constexpr auto kModel = FlagUse::model;
inline constexpr auto kUnexpressed = FlagUse::unexpressed;

}  // namespace moesim::flag_words
