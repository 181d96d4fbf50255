// Files that may be compressed: gzip and Zstandard, told apart by their first bytes. Each library
// is optional in a build; without it such a file is refused and the message says why.
#pragma once

#include <filesystem>
#include <string>

namespace moesim {

// All bytes of a file, unpacked where they are packed. Refuses what read_bytes refuses, streams
// that are cut off or damaged, and more than 4 GiB.
std::string read_unpacked(const std::filesystem::path& path);

bool reads_gzip();
bool reads_zstd();

}  // namespace moesim
