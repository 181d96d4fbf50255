#include "model/units.hpp"

using namespace moesim;

constexpr Bytes good = 2 * GB * 3;
#ifdef MUST_NOT_COMPILE
constexpr auto bad = (2 * GB) * (3 * GB);
#endif
