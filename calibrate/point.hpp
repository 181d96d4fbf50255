// Measured points: what calibration produces and the fit consumes. A file holds one JSON object a
// line, so it can be appended to, cut off by a crash and carried on with:
//
//   {"schema":"moesim-points/1","kind":"measured","gpu":"h100","source":"...","plan_version":1,...}
//   {"op":"gemm_fp8","m":128,"n":4096,"k":7168,"cold":{"median_us":14.9,"p10_us":14.7,"p90_us":15.2,
//    "repeats":30},"warm":{"median_us":9.8}}
//
// A line with "schema" begins a run: all points below it, up to the next such line, share its
// provenance. Points are never changed or averaged: a second measurement of a shape is a second
// line, and the fit decides what to think of the two. What turns out about points after they were
// written is a line of its own, for the 37 points that stand before it:
//
//   {"flag":"drift","window":37,"note":"gemm_fp8 m=4096 n=4096 k=7168 took 171.2 us, then 180.1"}
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/case.hpp"
#include "model/json_writer.hpp"
#include "model/profile.hpp"
#include "model/units.hpp"

namespace moesim {

inline constexpr const char* kPointsSchema = "moesim-points/1";

// What else a point may carry: the kernel's name, how well its results were checked, clocks and
// power while it ran, the tiles the kernel used, a word on it.
inline constexpr std::array<const char*, 5> kEvidence = {
    "kernel", "check", "state", "plan", "note"};

struct Timing {
  Seconds median;
  std::optional<Seconds> p10, p90;  // of the repeats
  std::int64_t repeats = 1;
};

struct Point {
  const Case* of = nullptr;
  Shape shape;
  std::vector<std::int64_t> counts;  // grouped GEMM: rows per expert; empty: even
  std::int64_t sms = 0;              // SMs the kernel could use; 0: all of the GPU
  bool beside_communication = false;
  std::optional<Timing> cold, warm;  // inputs in HBM; inputs still in L2, or nobody knows
  std::vector<std::string> flags;    // "drift", "throttled", "sentinel", ...: kept, not fitted
  std::size_t run = 0;               // index into PointFile::runs
  std::string place;                 // "file: line 12", for messages
  JsonValue::Object evidence;        // of kEvidence, in its order: kept and written as it was

  const Timing& timing() const { return cold ? *cold : *warm; }  // the one that is fitted
};

// Where the points of a run are from. What is unknown is absent, never 0.
struct PointRun {
  ProfileKind kind = ProfileKind::published;
  std::string gpu;     // name of a file in scenarios/gpus, without ".json"
  std::string source;  // in words: who measured, with what; for imports file, repository, licence
  std::string plan;    // tile rule of the GEMM kernels (model/kernel_plan); empty: unknown
  std::optional<std::int64_t> plan_version;  // that the kernels were built with
  JsonValue::Object details;  // anything else worth keeping: versions, host, clocks, method
};

struct PointFile {
  std::vector<PointRun> runs;
  std::vector<Point> points;
  std::optional<std::string> torn;  // the last line, when the file ends in the middle of it
};

// Reads and checks every line: InputError with file and line for an unknown schema, operation, key
// or axis; a time that is missing, zero, negative, not finite or longer than an hour; quantiles out
// of order; counts that do not add up. `gpus` is the folder of GPU files: a run that names a GPU no
// file describes is refused, and so is a point faster than 0.9 of its floor_time there or than
// kShortestTime.
PointFile read_points(const std::filesystem::path& path, const std::filesystem::path& gpus);

// No call is shorter: an empty kernel takes ten times as long.
inline constexpr Seconds kShortestTime = 0.1 * us;

// The check behind the last refusal, for importers. `place` begins the message.
void refuse_impossible(const Point& point, const GpuSpec& gpu);

// One line each, with its newline.
std::string run_line(const PointRun& run);
std::string point_line(const Point& point);
// Flags the `window` points that were written last.
std::string flag_line(const std::string& flag, std::size_t window, const std::string& note);

// Adds lines to a file, creating it with its folder's permission if need be. Opening refuses
// (InputError) a file that is not of this schema, refuses (std::runtime_error) one that another
// process writes to, and drops a torn last line. Every line is in the file when add() returns, so
// that a killed process leaves whole lines; it is on disk, against loss of power, a second later
// and after finish().
class PointWriter {
 public:
  explicit PointWriter(const std::filesystem::path& path);
  PointWriter(const PointWriter&) = delete;
  PointWriter& operator=(const PointWriter&) = delete;
  ~PointWriter();  // closes; errors are seen by finish() alone

  void add(const std::string& lines);
  void finish();
  bool dropped_torn_line() const { return dropped_torn_line_; }

 private:
  void check_and_mend();
  void sync();

  std::filesystem::path path_;
  int file_ = -1;
  bool dropped_torn_line_ = false;
  std::chrono::steady_clock::time_point synced_;
};

// All in one: on disk when it returns.
void append_lines(const std::filesystem::path& path, const std::string& lines);

}  // namespace moesim
