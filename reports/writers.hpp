// A report becomes text. Each writer shows the same sections in the same order. Tables as files for
// other programs: reports/tables.hpp.
#pragma once

#include <iosfwd>

#include "reports/report.hpp"

namespace moesim {

void write_markdown(const Report& report, std::ostream& out);
// One file that needs no other: reports/html/page.cpp.
void write_html(const Report& report, std::ostream& out);

}  // namespace moesim
