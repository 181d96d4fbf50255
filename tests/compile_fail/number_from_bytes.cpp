#include "model/units.hpp"

using namespace moesim;

constexpr double good = (80 * GB).in(GB);
#ifdef MUST_NOT_COMPILE
constexpr double bad = 80 * GB;
#endif
