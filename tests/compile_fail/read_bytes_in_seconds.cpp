#include "model/units.hpp"

using namespace moesim;

constexpr double good = (1 * GB).in(MB);
#ifdef MUST_NOT_COMPILE
constexpr double bad = (1 * GB).in(us);
#endif
