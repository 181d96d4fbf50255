#include "model/units.hpp"

using namespace moesim;

constexpr Seconds good = (1 * GB) / (1 * GB_per_s);
#ifdef MUST_NOT_COMPILE
constexpr auto bad = (1 * GB) / (1 * TFLOP_per_s);
#endif
