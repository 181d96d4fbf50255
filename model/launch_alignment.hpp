// A list of kernels as it should be launched, laid beside the kernels that were: which kernel is
// which line of the list.
//
// The longest common subsequence, as text comparison has it: of all ways to keep both orders, one
// that gives most kernels a line, then one that uses most lines, then the one that takes kernels
// early. So a kernel that came in between, or one that is missing, costs its own line and no other.
// A line that repeats takes any number of kernels, with others between them that have no line.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace moesim {

// `matches(line, kernel)`; `repeats`: of each line. Returns the line of each kernel, if it has one.
// Memory and time grow with lines x kernels.
std::vector<std::optional<std::size_t>> align_launches(
    const std::vector<bool>& repeats,
    std::size_t num_kernels,
    const std::function<bool(std::size_t line, std::size_t kernel)>& matches);

}  // namespace moesim
