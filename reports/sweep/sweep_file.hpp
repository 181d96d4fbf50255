// The result file of a sweep: a header line that says which sweep it is of, then one line of JSON a
// point. Lines are appended as points are finished, each by one write, so a process that is killed
// leaves whole lines and at most one torn one, which is cut off when the sweep goes on. Once all
// points are there the lines are put in the order of their points and the file replaced as a whole:
// the finished file is the same to the byte for any number of threads and interruptions.
//
// Rejected: writing in the order of points all along. A slow point would keep the finished ones
// behind it in memory, where a kill loses them.
//
// A lock keeps two processes from working on one file. Left out: surviving a power cut to the last
// line (the file is synced when it is finished); locks between machines whose file system has none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "reports/sweep/sweep_points.hpp"

namespace moesim {

// What came of a point, read from its line.
struct SweepRow {
  std::size_t point = 0;
  std::string id;
  std::vector<std::string> set;  // values of the fields that vary, as text: [fields]
  bool feasible = false;
  std::string reason;                                     // where it is not
  std::shared_ptr<const std::vector<std::string>> names;  // of the metrics; rows share them
  std::vector<double> values;                             // [names]

  const double* metric(const std::string& name) const;  // nullptr where it has none
};

// Rows of one file. Most rows have the same metrics, whose names are kept once.
class SweepRowReader {
 public:
  explicit SweepRowReader(std::string file) : file_(std::move(file)) {}
  // InputError, with file and line number, where it is no result line.
  SweepRow read(const std::string& line, std::size_t number);

 private:
  std::string file_;
  std::shared_ptr<const std::vector<std::string>> names_ =
      std::make_shared<const std::vector<std::string>>();
};

struct SweepHeader {
  JsonNode document;
  std::string name;                 // of the scenario
  std::vector<std::string> fields;  // that vary
  std::size_t num_points = 0;
  SweepShard shard;
};
// InputError where the line is no header, or one of another version.
SweepHeader read_sweep_header(const std::string& line, const std::string& file);
// What the two sweeps differ in, for a message ("the conditions"); empty where they are the same,
// shards aside.
std::string sweep_difference(const SweepHeader& a, const SweepHeader& b);

// The lines of a file, without their ends, and whether the last one was whole.
struct SweepLines {
  std::vector<std::string> lines;
  bool torn = false;
  std::uint64_t whole_bytes = 0;
};
SweepLines split_sweep_lines(const std::string& text);

class SweepFile {
 public:
  // Makes the file, or goes on with it: InputError when it is of another sweep, std::runtime_error
  // when it cannot be written or another process has it.
  SweepFile(std::filesystem::path path, const std::string& header);
  SweepFile(const SweepFile&) = delete;
  SweepFile& operator=(const SweepFile&) = delete;
  ~SweepFile();

  // Of the points that were finished before.
  std::vector<SweepRow> take_rows() { return std::move(rows_); }

  void append(std::size_t point, const std::string& line);
  // In the order of points, synced.
  void finish();

 private:
  void lock();
  void load(const std::string& header);
  void write(const std::string& text);
  [[noreturn]] void refuse(const std::string& why) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;  // of whole lines
  std::size_t num_lines_ = 0;
  std::vector<SweepRow> rows_;
  bool in_order_ = true;
  std::size_t last_point_ = 0;
};

// The whole of a file; InputError where it cannot be read.
std::string read_sweep_text(const std::filesystem::path& path);
// Header and lines as the finished file has them.
std::string sweep_text(const std::string& header, const std::map<std::size_t, std::string>& lines);

}  // namespace moesim
