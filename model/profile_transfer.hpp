// A profile carried to another GPU. Efficiencies stay, and what is absolute follows the datasheets:
// attention the BF16 peak, memory-bound kernels and decode the HBM rate, work per SM the peak per
// SM; links keep their fraction of the new GPU's. Overheads, per-SM load and store rates, copy
// rates of communication kernels and the slowdown beside them stay as they are. Nothing of it was
// measured on the new GPU: errors inside become those outside, points are dropped unless the GPUs
// compute alike, collectives as measured (groups) unless their NVLink is equally fast.
//
// A GPU of the profile's own name with other figures, as an override makes one, is another GPU: the
// rates of the old one are not its own.
#pragma once

#include "model/profile.hpp"

namespace moesim {

// Whether both GPUs compute alike: all but the links and the size of the memory agree.
bool same_compute(const GpuSpec& a, const GpuSpec& b);

// The profile itself when it is of `gpu`; else a derived one. Other links alone do not make a
// profile derived under its own name: its link rates are fractions of the datasheet's.
Profile transferred(const Profile& profile, const GpuSpec& gpu);

}  // namespace moesim
