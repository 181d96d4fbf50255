// An import of text that a test wrote, and the points that come of it when they are read back as
// the fit reads them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/import/import.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {

class TestImport {
 public:
  explicit TestImport(const std::string& format, const std::string& gpu = "h100") {
    request.format = find_import_format(format);
    request.gpu = gpu;
    request.source = "a test";
  }
  TestImport& set(const std::string& name, std::int64_t value) {
    request.options.settings[name] = value;
    return *this;
  }
  TestImport& only(const std::string& column, const std::string& value) {
    request.options.only.emplace_back(column, value);
    return *this;
  }
  TestImport& map(const std::string& text) {
    request.options.mapping = folder_->add_file("mapping.json", text);
    return *this;
  }
  TestImport& file(const std::string& text, const std::string& name = "file") {
    request.files.push_back(folder_->add_file(name, text));
    return *this;
  }

  ImportResult run(const std::string& already = "") const {
    return import_files(request, already, scenario_folder() / "gpus");
  }
  PointFile points() const {
    return read_points(folder_->add_file("points.jsonl", run().lines), scenario_folder() / "gpus");
  }
  // The message without the folder that the files are in.
  std::string refusal() const {
    std::string message = moesim::refusal([&] { run(); });
    const std::string folder = folder_->path().string() + "/";
    for (std::size_t at = 0; (at = message.find(folder)) != std::string::npos;)
      message.erase(at, folder.size());
    return message;
  }

  ImportRequest request;

 private:
  std::shared_ptr<TemporaryFolder> folder_ = std::make_shared<TemporaryFolder>();  // of all copies
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace moesim
