// A device without a GPU: its results are the CPU reference's, rounded as a kernel rounds them, and
// its times a formula (calibrate/fake_time.hpp) times exp(noise * a standard normal number). Times
// depend on the seed and the call alone, not on what was measured before, so a resumed run gives
// the points of one that was not stopped. Its clock adds up what its GPU would have spent.
//
// Faults, to see that they are noticed:
//   wrong=OP       the last eighth of every result of OP is zero
//   unwritten=OP   the last eighth of every result of OP is not written
//   drift=S        from S seconds of its clock on, everything takes 8 % longer
//   noisy          ten times the noise
//   throttled      everything takes 25 % longer, and the device says that heat slows it down
//   dies=N         it is lost when the (N+1)-th call is timed
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

struct FakeOptions {
  double noise = 0;  // standard deviation of the log of a repeat
  std::uint64_t seed = 1;
  std::vector<std::string> faults;
};

// `gpu_name` is the name of its file. Refuses (InputError) faults it does not know.
std::unique_ptr<Device> make_fake_device(const std::string& gpu_name,
                                         const GpuSpec& gpu,
                                         const FakeOptions& options);

}  // namespace moesim
