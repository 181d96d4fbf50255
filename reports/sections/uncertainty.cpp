#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

std::string unit_of(const std::string& text) {
  const std::size_t last_digit = text.find_last_of("0123456789");
  return text.substr(last_digit + 1);
}

std::string signed_seconds(Seconds t) {
  if (t == Seconds()) return "0";
  return (t < Seconds() ? "-" : "+") + format_seconds(std::abs(t.in(s)));
}

}  // namespace

Chart tornado_chart(const std::string& quantity,
                    const std::string& unit,
                    double base,
                    const std::vector<TornadoBar>& bars) {
  BarChart chart;
  chart.value = {quantity, unit, false};
  chart.category_name = "source of error";
  chart.sideways = true;
  BarChart::Series fast{"fast end of its 90 % interval", {}},
      slow{"slow end of its 90 % interval", {}};
  for (const TornadoBar& bar : bars) {
    chart.categories.push_back(bar.source);
    fast.bars.push_back({base, bar.fast});
    slow.bars.push_back({base, bar.slow});
  }
  chart.series = {std::move(fast), std::move(slow)};
  chart.marks.push_back({"as predicted", {}, base});
  return {"What moves the " + quantity,
          bars.empty() ? "Nothing does."
                       : "\"" + bars.front().source + "\" moves it most: from " +
                             digits4(bars.front().fast) + " to " + digits4(bars.front().slow) +
                             " " + unit + " around " + digits4(base) + ".",
          std::move(chart)};
}

std::string with_interval(double value, const Interval& interval, std::string (*format)(double)) {
  const std::string text = format(value), unit = unit_of(text);
  std::string low = format(interval.low), high = format(interval.high);
  if (!unit.empty() && unit_of(low) == unit && unit_of(high) == unit) {
    low.resize(low.size() - unit.size());
    high.resize(high.size() - unit.size());
  }
  return text + " (" + low + " to " + high + ")";
}

std::optional<Section> uncertainty_section(const ReportInput& input) {
  if (!input.uncertainty) return std::nullopt;
  const double step = input.run.phases.front().step_time.in(s);
  Section section;
  section.title = "How sure";
  section.paragraphs.push_back(
      "What each source of error of the calibration does to the step, largest first. Every source "
      "is moved to both ends of its 90 % interval and the step is simulated again; the changes are "
      "added in quadrature, upwards and downwards apart, because sources are independent.");
  Table table{
      "", {"source", "90 % error", "step, fast end", "step, slow end", "share", "rests on"}, {}};
  for (const SourceEffect& effect : input.uncertainty->effects)
    table.rows.push_back({effect.source,
                          format_percent(effect.half_width),
                          signed_seconds(effect.faster),
                          signed_seconds(effect.slower),
                          format_signed_percent(100 * effect.slower.in(s) / step),
                          effect.basis});
  section.tables.push_back(std::move(table));
  std::vector<TornadoBar> bars;
  for (const SourceEffect& effect : input.uncertainty->effects)
    bars.push_back({effect.source, step + effect.faster.in(s), step + effect.slower.in(s)});
  section.charts.push_back(tornado_chart("step time", "s", step, bars));
  section.notes.push_back(
      "Rests on: `held_out`, the error on points the fit had not seen; `in_sample`, on those it "
      "had; `stated`, nobody measured it, and the profile says why this is believed; `roofline`, "
      "no measurement of the kernel at all.");
  section.notes.push_back(
      "The intervals hold what the calibration may be wrong about, to first order. They do not "
      "hold randomness of routing, facts about the network, rules of the model itself or prices. "
      "Hours of later phases change as the first phase's step does.");
  if (input.uncertainty->from_balanced)
    section.notes.push_back(
        "The run has too many different ranks to be repeated: the changes are those of its step "
        "with balanced routing.");
  return section;
}

}  // namespace moesim
