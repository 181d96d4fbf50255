#include "model/units.hpp"

using namespace moesim;

inline Tick good() { return to_tick(1 * us); }
#ifdef MUST_NOT_COMPILE
inline Tick bad() { return 1 * us; }
#endif
