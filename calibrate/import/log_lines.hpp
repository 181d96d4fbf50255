// Lines of a program's output, without what launchers put before them: "[1,0]<stdout>: " (mpirun
// --tag-output) and "3: " (srun --label).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

struct LogLine {
  std::int64_t number;  // from 1
  std::string text;
};

// Refuses an empty or compressed file.
std::vector<LogLine> read_log(const std::filesystem::path& path);

std::vector<std::string> words(std::string_view text);  // between blanks

}  // namespace moesim
