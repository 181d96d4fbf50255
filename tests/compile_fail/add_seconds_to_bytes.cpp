#include "model/units.hpp"

using namespace moesim;

constexpr Seconds good = 1 * s + 2 * us;
#ifdef MUST_NOT_COMPILE
constexpr auto bad = 1 * s + 2 * B;
#endif
