#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "model/units.hpp"
#include "tests/catch.hpp"

using namespace moesim;

TEST_CASE("units: each unit has its size in the base unit", "[units]") {
  CHECK((1 * ps).in(s) == 1e-12);
  CHECK((1 * ns).in(s) == 1e-9);
  CHECK((1 * us).in(s) == 1e-6);
  CHECK((1 * ms).in(s) == 1e-3);
  CHECK((1 * minute).in(s) == 60);
  CHECK((1 * hour).in(s) == 3600);
  CHECK((1 * day).in(s) == 86400);

  CHECK((1 * KB).in(B) == 1000);
  CHECK((1 * MB).in(B) == 1e6);
  CHECK((1 * GB).in(B) == 1e9);
  CHECK((1 * TB).in(B) == 1e12);
  CHECK((1 * KiB).in(B) == 1024);
  CHECK((1 * MiB).in(B) == 1024.0 * 1024);
  CHECK((1 * GiB).in(B) == 1024.0 * 1024 * 1024);

  CHECK((1 * GFLOP).in(FLOP) == 1e9);
  CHECK((1 * TFLOP).in(FLOP) == 1e12);
  CHECK((1 * GFLOP_per_s).in(FLOP_per_s) == 1e9);
  CHECK((1 * TFLOP_per_s).in(FLOP_per_s) == 1e12);
  CHECK((1 * PFLOP_per_s).in(FLOP_per_s) == 1e15);

  CHECK((1 * GB_per_s).in(B_per_s) == 1e9);
  CHECK((1 * TB_per_s).in(B_per_s) == 1e12);
  CHECK((1 * Gbit_per_s).in(B_per_s) == 1.25e8);
}

TEST_CASE("units: GB is not GiB, and a bit is an eighth of a byte", "[units]") {
  CHECK((1 * GiB) / (1 * GB) == Approx(1.073741824).epsilon(1e-15));
  CHECK((400 * Gbit_per_s).in(GB_per_s) == Approx(50).epsilon(1e-15));
}

TEST_CASE("units: a quantity is zero until set", "[units]") {
  CHECK(Seconds{} == 0 * s);
  CHECK(Bytes{} == 0 * B);
}

TEST_CASE("units: sums, differences, factors and ratios", "[units]") {
  CHECK((1 * ms + 500 * us).in(us) == Approx(1500));
  CHECK((1 * ms - 500 * us).in(us) == Approx(500));
  CHECK((-(2 * s)).in(s) == -2);
  CHECK((2 * (3 * GB)).in(GB) == 6);
  CHECK(((3 * GB) * 2).in(GB) == 6);
  CHECK((3 * GB / 2).in(GB) == 1.5);
  CHECK((3 * GB) / (2 * GB) == 1.5);

  Seconds t = 1 * s;
  t += 2 * s;
  CHECK(t == 3 * s);
  t -= 1 * s;
  CHECK(t == 2 * s);
  t *= 4;
  CHECK(t == 8 * s);
}

TEST_CASE("units: quantities of one kind are ordered", "[units]") {
  CHECK(1 * GB < 1 * GiB);
  CHECK(1 * hour > 59 * minute);
  CHECK(1 * hour == 60 * minute);
  CHECK(1 * us != 1 * ns);
  CHECK(1 * day >= 24 * hour);
  CHECK(1 * day <= 24 * hour);
}

TEST_CASE("units: products and quotients change the kind", "[units]") {
  CHECK((50 * GB / (25 * GB_per_s)).in(s) == Approx(2));
  CHECK((989 * TFLOP / (989 * TFLOP_per_s)).in(s) == Approx(1));
  CHECK((100 * GB / (4 * s)).in(GB_per_s) == Approx(25));
  CHECK((100 * TFLOP / (4 * s)).in(TFLOP_per_s) == Approx(25));
  CHECK((25 * GB_per_s * (4 * s)).in(GB) == Approx(100));
  CHECK((25 * TFLOP_per_s * (4 * s)).in(TFLOP) == Approx(100));
  CHECK((2 * USD_per_hour * (30 * minute)).in(USD) == Approx(1));

  static_assert(std::is_same_v<decltype(1 * GB / (1 * GB_per_s)), Seconds>);
  static_assert(std::is_same_v<decltype(1 * GB / (1 * s)), Bandwidth>);
  static_assert(std::is_same_v<decltype(1 * TFLOP / (1 * s)), FlopRate>);
  static_assert(std::is_same_v<decltype(1 * GB / (1 * GB)), double>);
}

TEST_CASE("units: a typed number costs no more than a double", "[units]") {
  static_assert(sizeof(Seconds) == sizeof(double));
  static_assert(std::is_trivially_copyable_v<Seconds>);
  static_assert(!std::is_convertible_v<double, Seconds>);
  static_assert(!std::is_constructible_v<Seconds, double>);
  static_assert(!std::is_convertible_v<Seconds, double>);
  SUCCEED("checked at compile time");
}

TEST_CASE("units: a tick is a picosecond, rounded to the nearest", "[units]") {
  CHECK(to_tick(0 * s) == 0);
  CHECK(to_tick(1 * ps) == 1);
  CHECK(to_tick(0.4 * ps) == 0);
  CHECK(to_tick(0.6 * ps) == 1);
  CHECK(to_tick(1 * us) == 1000000);
  CHECK(to_tick(1 * s) == 1000000000000);
  CHECK(to_tick(100 * day) == 8640000000000000000);
  CHECK(to_seconds(1500000).in(us) == Approx(1.5));
  for (const Tick tick : {Tick{1}, Tick{999}, Tick{123456789012}}) {
    CHECK(to_tick(to_seconds(tick)) == tick);
  }
}

TEST_CASE("units: a time that is no tick is refused", "[units]") {
  const Seconds infinite = std::numeric_limits<double>::infinity() * s;
  const Seconds not_a_number = std::numeric_limits<double>::quiet_NaN() * s;
  for (const Seconds t : {-1 * ps, -1 * day, 107 * day, infinite, not_a_number}) {
    CAPTURE(t.in(s));
    CHECK_THROWS_AS(to_tick(t), std::logic_error);
  }
}

TEST_CASE("units: ENSURE names the condition and the place", "[units]") {
  try {
    ENSURE(1 + 1 == 3);
    FAIL("ENSURE let a false condition pass");
  } catch (const std::logic_error& error) {
    const std::string what = error.what();
    CHECK(what.find("internal error: 1 + 1 == 3 is false at ") == 0);
    CHECK(what.find("test_units.cpp:") != std::string::npos);
  }
  CHECK_NOTHROW([] { ENSURE(1 + 1 == 2); }());
}
