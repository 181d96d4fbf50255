// The points of a sweep: every combination of its axes' values, the last axis fastest, for which
// the conditions hold. Points are numbered in that order; a shard has every n-th of them, because
// neighbours cost about the same.
//
// A point's id is a hash of its whole composed document, so results of another scenario, another
// profile or another version of this format are told from those of this one, whatever the file is
// called. Left out of it: what data files hold that a document only names (tables of loads, traces
// of requests), except the tables of the scenario as it stands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/composed_scenario.hpp"
#include "model/condition.hpp"

namespace moesim {

// Raise it when lines change, or when the same point comes out differently: results of both then
// never meet in one file.
inline constexpr const char* kSweepSchema = "moesim-sweep/1";

struct SweepShard {
  std::int64_t number = 1, of = 1;  // 3/7 is the third of seven
  std::string text() const { return std::to_string(number) + "/" + std::to_string(of); }
  bool has(std::size_t point) const { return static_cast<std::int64_t>(point) % of == number - 1; }
};
// "3/7"; InputError with `place` where it is none.
SweepShard parse_sweep_shard(const std::string& text, const std::string& place);

struct SweepRequest {
  std::filesystem::path scenario;
  Settings settings;  // of all points
  std::vector<FieldAxis> axes;
  std::vector<Condition> conditions;
  bool main_phase_only = false;  // of training
};

class SweepPoints {
 public:
  // Checks everything that can be known before a point runs: InputError for fields that do not
  // exist, files that cannot be read, a field given twice, conditions that no point meets.
  explicit SweepPoints(SweepRequest request);

  std::size_t size() const { return combinations_.size(); }
  std::size_t num_combinations() const { return num_combinations_; }  // before the conditions
  const SweepRequest& request() const { return request_; }
  const std::vector<std::string>& fields() const { return fields_; }  // pointers that vary
  const std::string& name() const { return name_; }                   // of the scenario
  bool varies_files() const;  // a field whose values name files: models, clusters, ...

  Settings varied(std::size_t point) const;
  JsonNode document(std::size_t point);  // composed; an InputError where it cannot be
  std::string id(std::size_t point);
  // What a result file of this sweep begins with.
  std::string header(const SweepShard& shard) const;

 private:
  Settings settings_of(std::size_t combination) const;
  JsonNode compose(const Settings& varied);
  void check_fields() const;
  void check_first_point();
  void choose();
  bool is_wanted(std::size_t combination);

  SweepRequest request_;
  JsonFiles files_;
  JsonNode base_;
  std::string name_, base_hash_;
  std::vector<std::string> fields_;
  std::size_t num_combinations_ = 1;
  std::vector<std::size_t> combinations_;  // of the points
};

}  // namespace moesim
