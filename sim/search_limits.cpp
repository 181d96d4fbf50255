#include "sim/search_limits.hpp"

#include <algorithm>
#include <array>

#include "model/json_message.hpp"
#include "model/json_reader.hpp"

namespace moesim {
namespace {

constexpr std::array<const char*, 7> kNames = {
    "gpus", "usd_per_hour", "memory", "step", "days", "gpu_hours", "usd"};

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

double number_of(const std::string& text) {
  std::size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (text.empty() || used != text.size() || !(value > 0) || value > 1e300)
    throw InputError("", "expected a number above 0, found " + in_quotes(text));
  return value;
}

double value_of(LimitedQuantity quantity, const std::string& text) {
  if (quantity == LimitedQuantity::memory) return parse_bytes(text).in(B);
  if (quantity == LimitedQuantity::step) return parse_seconds(text).in(s);
  return number_of(text);
}

std::string names_of(const std::vector<LimitedQuantity>& known) {
  std::string names;
  for (const LimitedQuantity quantity : known)
    names += (names.empty() ? "" : ", ") + std::string(limited_quantity_name(quantity));
  return names;
}

SearchLimit parse_limit(const std::string& text,
                        const std::vector<LimitedQuantity>& known,
                        const std::string& place) {
  const std::size_t sign = text.find('<');
  if (sign == std::string::npos)
    throw InputError(
        place,
        "expected quantity<value or quantity<=value, such as gpus<=1024, found " + in_quotes(text));
  SearchLimit limit;
  limit.text = text;
  limit.is_strict = text.compare(sign, 2, "<=") != 0;
  const std::string name = trimmed(text.substr(0, sign));
  const auto found = std::find_if(known.begin(), known.end(), [&](LimitedQuantity quantity) {
    return limited_quantity_name(quantity) == name;
  });
  if (found == known.end())
    throw InputError(place,
                     "unknown quantity " + in_quotes(name) + "; known here: " + names_of(known));
  limit.quantity = *found;
  try {
    limit.limit = value_of(*found, trimmed(text.substr(sign + (limit.is_strict ? 1 : 2))));
  } catch (const InputError& error) {
    std::string problem = error.what();
    if (problem.rfind(": ", 0) == 0) problem.erase(0, 2);
    throw InputError(place, "in " + in_quotes(text) + ": " + problem);
  }
  return limit;
}

}  // namespace

const char* limited_quantity_name(LimitedQuantity quantity) {
  return kNames[static_cast<std::size_t>(quantity)];
}

std::vector<SearchLimit> parse_limits(const std::string& text,
                                      const std::vector<LimitedQuantity>& known,
                                      const std::string& place) {
  std::vector<SearchLimit> limits;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    limits.push_back(parse_limit(trimmed(text.substr(begin, end - begin)), known, place));
    begin = end + 1;
  }
  return limits;
}

}  // namespace moesim
