#include "model/units.hpp"

using namespace moesim;

constexpr Bytes good = 80.0 * GB;
#ifdef MUST_NOT_COMPILE
constexpr Bytes bad = 80.0;
#endif
