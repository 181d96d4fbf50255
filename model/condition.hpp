// What must hold for a point of a sweep to exist: "/plan/pp * /plan/dp == 2048". Fields of the
// composed scenario by their paths, numbers, "texts", + - * / %, comparisons, && || !, brackets.
//
// A path ends at a blank, a bracket or one of * + % < > = ! & | , so a division by a field has a
// blank before it: "/cluster/num_nodes / /plan/ep". Quantities keep their kind: "50 GB/s" compares
// with bandwidths, adds to bandwidths, and is scaled by numbers; counts ("14.8T") are numbers.
//
// Left out: defaults. A field that neither files nor settings give is not in the document, and a
// condition on it is refused rather than guessed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

class Condition {
 public:
  // The value of a field, or nullptr where there is none.
  using FieldLookup = std::function<const JsonNode*(const std::string& pointer)>;

  // InputError with the column of what is wrong.
  explicit Condition(const std::string& text);

  const std::string& text() const { return text_; }
  const std::vector<std::string>& fields() const { return fields_; }  // pointers, as they come
  // InputError where a field is missing or values do not go together.
  bool holds(const FieldLookup& lookup) const;

  struct Term;

 private:
  std::string text_;
  std::vector<std::string> fields_;
  std::shared_ptr<const Term> root_;
};

}  // namespace moesim
