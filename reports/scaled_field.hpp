// A number of a scenario's composed document that can be made larger or smaller: "50 GB/s", 0.9,
// 64, "14.8T". What inverse questions and sensitivities move.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

struct ScaledField {
  std::string pointer;
  double value = 0;
  std::string unit;       // "GB/s"; of counts such as "14.8T" the letter; empty: a bare number
  bool is_whole = false;  // a JSON integer
  bool is_count = false;  // written with a letter
  JsonNode node(double at) const;     // as the document would have it
  std::string text(double at) const;  // "51.2 GB/s"
  double possible(double at) const;   // six digits; whole where it has to be
};

// Nothing where it is no number.
std::optional<ScaledField> scaled_field(const std::string& pointer, const JsonNode& node);
// A bound of its range, as a user writes it on the command line, in the field's unit: "10GB/s".
double read_field_value(const ScaledField& field,
                        const std::string& text,
                        const std::string& place);
// The field that a text such as "10 GB/s" on the command line is a value of.
ScaledField field_from_text(const std::string& pointer,
                            const std::string& text,
                            const std::string& place);

// All numbers of a document below its members that describe the world, in its order. Left out: what
// is not an input (names, sources, variants, the seed, how requests are measured), the model, whose
// numbers make it another one, profiles, whose errors are their own sources, and items of lists of
// bare numbers (popularities, layers a stage), whose pointers go to `lists`.
std::vector<ScaledField> scaled_fields(const JsonNode& document, std::vector<std::string>& lists);

}  // namespace moesim
