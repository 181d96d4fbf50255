#include "model/random.hpp"
#include "sim/serving/time_grid.hpp"
#include "tests/catch.hpp"

using namespace moesim;

TEST_CASE("time grid: points are found, lines are kept", "[serving][grid]") {
  for (const double step : {1., 64.})
    for (const int bits : {0, 1, 3, 6})
      for (const double last : {1., 7., 64., 100., 16384., 100000.}) {
        CAPTURE(step, bits, last);
        const GridAxis axis(step, bits, last);
        CHECK(axis.value(0) == 0);
        CHECK(axis.value(axis.size() - 1) >= last);
        double before = -1;
        for (std::size_t i = 0; i < axis.size(); ++i) {
          const double x = axis.value(i);
          CHECK(x > before);
          before = x;
          const GridAxis::Cell cell = axis.locate(x);
          if (i + 1 < axis.size()) {
            CHECK(cell.index == i);
            CHECK(cell.fraction == 0);
          } else {  // as the end of the last cell
            CHECK(cell.index + 1 == i);
            CHECK(cell.fraction == 1);
          }
        }
        // Straight lines come back everywhere, beyond the last point too.
        const TimeTable<2> table(axis, [](double x) {
          return TimeTable<2>::Row{3 + 2 * x, 5 - x};
        });
        Random random(7);
        for (int i = 0; i < 50; ++i) {
          const double x = 1.5 * last * random.uniform();
          CHECK(table.at(x)[0] == Approx(3 + 2 * x));
          CHECK(table.at(x)[1] == Approx(5 - x).margin(1e-9));
        }
        CHECK(table.at(-1)[0] == 3);
      }
  // Multiples of their distance: full tiles of 128 rows are points.
  const GridAxis tokens(1, 6, 16384);
  for (double x = 128; x <= 16384; x *= 2) CHECK(tokens.locate(x).fraction == (x < 16384 ? 0 : 1));
}

TEST_CASE("time grid: a plane keeps products", "[serving][grid]") {
  const TimePlane plane(
      GridAxis(1, 3, 50), GridAxis(64, 2, 4000), [](double x, double y) { return x * y + x - y; });
  Random random(8);
  for (int i = 0; i < 100; ++i) {
    const double x = 60 * random.uniform(), y = 5000 * random.uniform();
    CHECK(plane.at(x, y) == Approx(x * y + x - y).margin(1e-6));
  }
}
