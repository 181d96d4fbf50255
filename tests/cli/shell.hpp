// The built program in a shell, in a folder of its own that sees scenarios/ as the README's reader
// does, and the files it is compared with.
#pragma once

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim::cli {

namespace fs = std::filesystem;

inline const fs::path kSource = MOESIM_SOURCE_DIR;

inline std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Result {
  int code = 0;
  std::string out, err;
};

class Shell {
 public:
  Shell() {
    fs::create_directory_symlink(kSource / "scenarios", folder() / "scenarios");
    fs::create_directory(folder() / "build");
    fs::create_symlink(MOESIM_BINARY, folder() / "build" / "moesim");
    fs::create_symlink(MOESIM_CALIBRATE, folder() / "build" / "moesim-calibrate");
  }
  fs::path folder() const { return folder_.path(); }
  // `command` as a README line: starts with build/moesim.
  Result operator()(const std::string& command) const {
    const std::string line =
        "cd '" + folder().string() + "' && (" + command + ") >out.txt 2>err.txt </dev/null";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128,
            read(folder() / "out.txt"),
            read(folder() / "err.txt")};
  }

 private:
  TemporaryFolder folder_;
};

inline bool updating() { return std::getenv("UPDATE_GOLDEN") != nullptr; }

inline void check_golden(const std::string& name, const std::string& text) {
  const fs::path path = kSource / "tests" / "golden" / name;
  if (updating()) write(path, text);
  INFO("golden file tests/golden/" << name
                                   << "; `cmake --build build --target update_golden` rewrites it");
  CHECK(read(path) == text);
}

// Replaces what stands between "<!-- generated: NAME -->" and "<!-- end -->" in a document, or
// checks it.
inline void check_block(const std::string& document,
                        const std::string& name,
                        const std::string& text) {
  const fs::path path = kSource / document;
  std::string whole = read(path);
  const std::string opening = "<!-- generated: " + name + " -->\n";
  const std::size_t begin = whole.find(opening);
  REQUIRE(begin != std::string::npos);
  const std::size_t from = begin + opening.size(), to = whole.find("<!-- end -->", from);
  REQUIRE(to != std::string::npos);
  if (updating()) {
    whole.replace(from, to - from, text);
    write(path, whole);
  } else {
    INFO(document << ": block \"" << name
                  << "\"; `cmake --build build --target update_golden` rewrites it");
    CHECK(whole.substr(from, to - from) == text);
  }
}

// The section of a Markdown report with this title, without its heading.
inline std::string section_of(const std::string& report, const std::string& title) {
  const std::string heading = "## " + title + "\n\n";
  const std::size_t begin = report.find(heading);
  REQUIRE(begin != std::string::npos);
  const std::size_t from = begin + heading.size();
  return report.substr(from, report.find("\n## ", from) - from + 1);
}

inline std::string without_first_line(const std::string& text) {
  return text.substr(text.find('\n') + 1);
}

}  // namespace moesim::cli
