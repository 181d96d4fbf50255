// A chart as the page's script reads it (reports/web/page.js).
#pragma once

#include "model/json_writer.hpp"
#include "reports/chart.hpp"

namespace moesim {

// Numbers have nine digits, which is more than a screen has pixels and half the bytes. Spans of a
// timeline come by their start, whatever their order was.
JsonValue chart_data(const Chart& chart);

}  // namespace moesim
