// The time a fake GPU takes for a call: a formula that stands in for hardware, so that measuring,
// fitting and predicting can be tested as one chain that has to recover it. It is hidden from the
// fit, lies in the family that the fit uses (model/kernel_model.hpp) on the kernels' real plan
// (model/kernel_plan.hpp), is written a second time here on purpose, and no shipped profile has its
// numbers. `peak`, HBM rate and SMs are the named GPU's datasheet figures.
//
//   GEMM      t0 + (waves_s^p + bytes_s^p)^(1/p), rule fewest_waves,
//             waves_s = waves * (max(2 bm bn k / (e peak / SMs), (bm + bn) k in_bytes / load)
//                                + bm bn out_bytes / store + fill),  bytes_s = bytes / (h HBM)
//   attention t0 + max(max(tiles / SMs, longest) * tile time, bytes / (h HBM)), tiles of 128 x 128
//   decode    t0 + (blocks_s^p + bytes_s^p)^(1/p), blocks of the fullest partition
//   memory    t0 + bytes / min(rate per SM * SMs in use, h HBM)
//   beside communication: 1 + c * (share of the SMs taken away) times as long
//   warm      the share of the inputs that fits in the L2 is read at a multiple of the HBM's rate
//
// Left out: clocks (the faults of fake_device.hpp stand in for them), the time of a launch.
#pragma once

#include "calibrate/device.hpp"

namespace moesim {

Seconds hidden_time(const Case& of, const Call& call, const GpuSpec& gpu, Cache cache);

}  // namespace moesim
