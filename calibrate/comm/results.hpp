// Where rank 0 keeps what was measured: points in a file, each written before the next trial
// begins, and tables for the reader.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/comm/benchmarks.hpp"
#include "calibrate/comm/session.hpp"

namespace moesim::comm {

class PointResults : public Results {
 public:
  // gpu: absent where nothing is checked against a datasheet. path: empty for no file.
  PointResults(const std::optional<GpuSpec>& gpu, const std::filesystem::path& path);

  // Stands in the file before the first point, and only if there is one.
  void begin_run(const PointRun& run);
  void begin_benchmark(const Benchmark& benchmark);
  // InputError for a time below the GPU's floor.
  void add(const Trial& trial, const Measured& measured) override;
  void leave_out() override { ++num_left_out_; }
  void stop() override { stopped_ = true; }
  void finish();

  std::int64_t num_points() const { return num_points_; }
  std::int64_t num_left_out() const { return num_left_out_; }
  bool stopped() const { return stopped_; }
  std::string markdown() const;

 private:
  struct Table {
    const Benchmark* benchmark;
    std::vector<std::vector<std::string>> lines;
  };
  std::optional<GpuSpec> gpu_;
  std::unique_ptr<PointWriter> writer_;
  std::string run_line_;  // not written yet
  std::vector<Table> tables_;
  std::int64_t num_points_ = 0, num_left_out_ = 0;
  bool stopped_ = false;
};

}  // namespace moesim::comm
