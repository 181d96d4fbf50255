// What a calibration profile may be wrong about, taken apart into sources that are independent of
// each other, and the profile as it would be if one of them were off by as much as it may be.
//
// A source is a group of models that share their mistakes: they were fitted to the same tables, or
// one effect moves them all. Within a source everything moves together, which is the cautious
// choice for the memory-bound kernels: they are thirty small fits, but of one trace, one clock and
// one memory; if their errors were independent they would largely cancel. FP8 GEMMs, dense and
// grouped, are one source because they are one kernel.
//
// Left out: the slowdown of GEMMs beside communication (the profile gives no error for it),
// latencies of the cluster's links, regimes of small messages, collectives measured as such.
#pragma once

#include <string>
#include <vector>

#include "model/profile.hpp"

namespace moesim {

enum class SourceKind { kernels, roofline, links, overlap, copies, overheads, launch };

struct ErrorSource {
  std::string name;
  SourceKind kind = SourceKind::kernels;
  std::vector<Kernel> kernels;  // of kernels and roofline
};

// Those the profile has.
std::vector<ErrorSource> error_sources(const Profile& profile);

// The profile at one end of the source's 90 % interval: sign -1 the fast end, +1 the slow one.
// Times are multiplied by exp(sign * log(1 + error)), rates divided by it; efficiencies stay at
// most 1. A kernel nobody measured is costed at the datasheet roofline, which nothing beats: its
// fast end is where it is.
Profile perturbed(const Profile& profile, const ErrorSource& source, double sign);

// Of communication or launches; kernels have an error each. Its `inside` is the one that counts: it
// is a derived profile's `outside` already (model/profile_transfer).
const ModelError& error_of(const Profile& profile, const ErrorSource& source);

// Whose error the costs of a kernel have: its own, or the dense GEMM's for a grouped one without a
// model of its own (model/cost_model). A kernel without a model has its own place too.
Kernel judged_as(const Profile& profile, Kernel kernel);

}  // namespace moesim
