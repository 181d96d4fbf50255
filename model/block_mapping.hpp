// Which kernels of a profiler trace are which operation of the operation graph: for each block the
// annotation its kernels are launched in, and its kernels in launch order. A JSON file, comments
// allowed:
//   {"about": "whose program this is",
//    "blocks": [
//      {"block": "attn(F)",          // one of the blocks of a layer or its transfers
//       "annotation": "attn(F)",     // optional: without it the kernels may stand anywhere in the
//                                    // trace, in any order, and the first line that matches counts
//       "kernels": [
//         {"kernel": "ln_fwd", "grid": [396, 1, 1],      // model/kernel_pattern.hpp
//          "op": "rmsnorm_attn(+residual)"},             // as model/op_graph names it
//         {"kernel": "/elementwise|reduce/", "repeats": true,   // any number of them, one by one
//          "op": "gate_topk_small_kernels"}]}]}
//
// Left out: shapes; one kernel that is two operations.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/kernel_pattern.hpp"

namespace moesim {

struct MappedKernel {
  KernelPattern kernel;
  std::string op;
  bool repeats = false;
};

struct MappedBlock {
  std::string block;
  std::string annotation;  // empty: anywhere
  std::vector<MappedKernel> kernels;
  std::string place;  // "mapping.json: /blocks/3"
};

struct BlockMapping {
  std::string about;
  std::vector<MappedBlock> blocks;
};

// Refuses a block that is not in `known_blocks`, an annotation that stands twice, a regular
// expression that is none.
BlockMapping read_block_mapping(const std::filesystem::path& path,
                                const std::vector<std::string>& known_blocks);

}  // namespace moesim
