// Other people's measurements become points (calibrate/point.hpp). Every format is read by one file
// of this folder and a line of the table in import.cpp; what they share is here: options, checks of
// a time, and the stage behind all of them that looks for contradictions, refuses what the
// datasheet rules out and writes provenance.
//
// Left out: judging whether a measurement is good. A row that contradicts another is flagged and
// kept, none is averaged with its neighbour, and none is corrected.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calibrate/point.hpp"

namespace moesim {

// What a file does not say of itself.
struct ImportOptions {
  std::string op;                                         // --op
  std::vector<std::pair<std::string, std::string>> only;  // --only COLUMN=VALUE
  std::map<std::string, std::int64_t> settings;           // --set NAME=COUNT
  std::filesystem::path mapping;                          // --map

  std::optional<std::int64_t> setting(const std::string& name) const;
  // Refuses its absence: "file: does not say its ranks_per_node; expected --set
  // ranks_per_node=...".
  std::int64_t required(const std::string& name, const std::string& file) const;
};

struct Imported {
  std::vector<Point> points;         // each with its place, "file: line 12"
  JsonValue::Object details;         // what the file says of itself and how it was read
  std::vector<std::string> remarks;  // what the reader of the closing line should know
};

struct ImportFormat {
  std::string_view name, reads;
  std::vector<std::string_view> settings;  // that --set may give
  bool takes_op, takes_only, takes_mapping;
  Imported (*read)(const std::filesystem::path& file,
                   const ImportOptions& options,
                   const GpuSpec& gpu);
};

std::span<const ImportFormat* const> import_formats();
const ImportFormat* find_import_format(std::string_view name);  // nullptr when there is none

struct ImportRequest {
  const ImportFormat* format = nullptr;
  std::vector<std::filesystem::path> files;
  ImportOptions options;
  ProfileKind kind = ProfileKind::published;
  std::string gpu, source, plan, note;
  bool drop_impossible = false;
};

struct ImportResult {
  std::string lines;                 // for append_lines
  std::vector<std::string> summary;  // "110 points of gemm_fp8 (m 16..32768, ...) from FILE"
  std::vector<std::string> remarks;
  std::vector<std::string> dropped;  // messages of the impossible points left out
};

// Reads all files before it returns, so that one that is refused leaves nothing behind. `already`:
// the text of the points file; an import that it holds is refused. `gpus`: folder of GPU files.
ImportResult import_files(const ImportRequest& request,
                          const std::string& already,
                          const std::filesystem::path& gpus);

// For the formats.

// A point measured with inputs wherever they were (Point::warm).
Point imported_point(std::string_view op, Shape shape, Seconds median, const std::string& place);

// `value` of `unit`: InputError at `place` unless a kernel can take it (0.1 us to an hour).
Seconds checked_time(double value, Seconds unit, const std::string& what, const std::string& place);

// Refuses a device whose name does not begin with that of the GPU: "NVIDIA H100 80GB HBM3" is a
// H100.
void check_device(const std::string& device, const GpuSpec& gpu, const std::string& place);

// Ranks of a group on each node, when whole nodes of `ranks_per_node` are filled one by one.
std::int64_t ranks_on_node(std::int64_t ranks,
                           std::int64_t ranks_per_node,
                           const std::string& place);

}  // namespace moesim
