// Closed forms that known figures are checked against and that no simulation run prints. One line
// each in the table in formulas.cpp; the inputs are named numbers and names from the figure's file.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "model/scenario.hpp"

namespace moesim {

class FormulaInputs {
 public:
  FormulaInputs(const std::map<std::string, double>& values,
                const std::string& place,
                std::map<std::string, std::string> names = {})
      : values_(values), names_(std::move(names)), place_(place) {}
  double number(
      const std::string& name) const;  // InputError naming the figure's place when missing
  std::int64_t whole(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  const std::string& place() const { return place_; }

 private:
  const std::map<std::string, double>& values_;
  std::map<std::string, std::string> names_;
  std::string place_;
};

// `scenario`: given when the figure names one (for its cluster and profile), else nullptr.
double evaluate_formula(const std::string& name,
                        const FormulaInputs& inputs,
                        const Scenario* scenario);

}  // namespace moesim
