// Which kernel of a trace is which operation: a trace names kernels and their grids, never shapes.
// A file is a JSON list, comments allowed, of
//   {"kernel": "cast_to_fp8",          // part of the name; between slashes, a regular expression
//    "grid": [4096, 1, 1],             // optional
//    "annotation": "attention",        // optional: launched inside an annotation of this name
//    "nth": 2,                         // optional, with it: the second such kernel inside it
//    "op": "cast", "shape": {"bytes": 1000000},
//    "counts": [...], "sms": 112, "beside_communication": true}   // optional, as in points
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/case.hpp"
#include "model/kernel_pattern.hpp"

namespace moesim {

struct KernelMapping {
  KernelPattern kernel;
  std::string annotation;  // empty: anywhere
  std::optional<std::int64_t> nth;
  const Case* of = nullptr;
  Shape shape;
  std::vector<std::int64_t> counts;
  std::int64_t sms = 0;
  bool beside_communication = false;
  std::string place;  // "mapping.json: /3"
};

std::vector<KernelMapping> read_kernel_mapping(const std::filesystem::path& path);

}  // namespace moesim
