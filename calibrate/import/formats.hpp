// The formats of this folder, one file each.
#pragma once

#include "calibrate/import/import.hpp"

namespace moesim {

extern const ImportFormat kInfersimFormat, kAiconfiguratorFormat, kNcclTestsFormat, kDeepepFormat,
    kTraceFormat;

}  // namespace moesim
