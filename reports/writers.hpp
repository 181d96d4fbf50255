// A report becomes text. Each writer shows the same sections in the same order.
#pragma once

#include <iosfwd>

#include "reports/report.hpp"

namespace moesim {

void write_markdown(const Report& report, std::ostream& out);

}  // namespace moesim
