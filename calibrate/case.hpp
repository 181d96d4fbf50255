// What can be measured: one file per operation in cases/, one line in the table in case.cpp. A case
// says which integers describe a call, how much work a call is, which form its time is fitted with,
// and, where one GPU can measure it, which shapes to measure and what the right result is.
//
// Operations of one GPU are called as the profile calls them (model/op.hpp, kKernelNames);
// operations between GPUs have names of their own and cannot be measured by a Device.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/units.hpp"

namespace moesim {

using Shape = std::vector<std::int64_t>;  // in the order of the case's axes

// How time follows from shape (model/kernel_model.hpp for kernels).
enum class Form : std::uint8_t {
  gemm,       // tiles of the kernel's plan, in waves
  attention,  // causal tiles, prefill and training
  decode,     // blocks of the split-KV scheduler
  memory,     // bytes over SM share, plus overhead
  fixed,      // overhead alone
  segments,   // minimum of latency-bandwidth segments, per geometry of the group
};

enum class Peak : std::uint8_t { none, fp8, bf16 };  // the tensor-core rate that bounds the case

struct Work {
  Flop flops;   // matrix FLOPs of one call
  Bytes bytes;  // of one GPU: least HBM traffic of one call; between GPUs: least bytes that leave a
                // rank, whichever way
};

struct Experiment;  // calibrate/reference.hpp

struct Case {
  std::string_view op;
  std::vector<std::string_view> axes;
  Form form;
  Peak peak;
  bool between_gpus;
  // `counts`: rows per expert of a grouped GEMM; empty when they are even and for other cases.
  Work (*work)(const Shape& shape, std::span<const std::int64_t> counts);
  const Experiment* experiment = nullptr;  // how a device measures it; nullptr: only imported
};

std::span<const Case* const> cases();
const Case* find_case(std::string_view op);  // nullptr when there is none

// "m=128 n=4096 k=7168"
std::string shape_text(const Case& c, const Shape& shape);

// The time no correct measurement can be below: FLOPs at the datasheet peak, bytes at the HBM rate,
// or, between GPUs of one node, at the NVLink rate. `from_cache`: inputs may still have been in L2,
// so HBM is no bound.
Seconds floor_time(const Case& c,
                   const Shape& shape,
                   std::span<const std::int64_t> counts,
                   const GpuSpec& gpu,
                   bool from_cache);

}  // namespace moesim
