#include "model/units.hpp"

using namespace moesim;

constexpr bool good = 1 * GB < 1 * GiB;
#ifdef MUST_NOT_COMPILE
constexpr bool bad = 1 * GB < 1 * GFLOP;
#endif
