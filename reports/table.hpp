// A table of a report: text, ready to be printed.
#pragma once

#include <string>
#include <vector>

namespace moesim {

struct Table {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // [rows][columns]
};

}  // namespace moesim
