#include "calibrate/comm/results.hpp"

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

Point point_of(const Trial& trial, const Measured& measured) {
  Point point;
  point.of = find_case(trial.op);
  ENSURE(point.of != nullptr && point.of->axes.size() == trial.shape.size());
  point.shape = trial.shape;
  point.sms = trial.sms;
  // Repeats use the same memory: small messages come from caches, large ones do not.
  point.warm = measured.timing;
  point.flags = trial.flags;
  point.place = "--gpu";
  point.evidence.emplace_back("check", JsonValue::object().set("every_word", true));
  JsonValue ranks = JsonValue::object();
  ranks.set("fastest_rank_us", measured.ranks.fastest.in(us))
      .set("median_rank_us", measured.ranks.median.in(us))
      .set("slowest_rank_us", measured.ranks.slowest.in(us));
  point.evidence.emplace_back("state", std::move(ranks));
  JsonValue::Object note = trial.note;
  if (measured.beside) note.emplace_back("compute_us", measured.beside->median.in(us));
  if (!note.empty()) point.evidence.emplace_back("note", note);
  return point;
}

std::string line_of(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += " " + cell + (cell.empty() ? "|" : " |");
  return line + "\n";
}

}  // namespace

PointResults::PointResults(const std::optional<GpuSpec>& gpu, const std::filesystem::path& path)
    : gpu_(gpu) {
  if (!path.empty()) writer_ = std::make_unique<PointWriter>(path);
}

void PointResults::begin_run(const PointRun& run) {
  if (writer_) run_line_ = run_line(run);
}

void PointResults::begin_benchmark(const Benchmark& benchmark) {
  tables_.push_back({&benchmark, {}});
}

void PointResults::add(const Trial& trial, const Measured& measured) {
  const Point point = point_of(trial, measured);
  if (gpu_) refuse_impossible(point, *gpu_);
  if (writer_) writer_->add(run_line_ + point_line(point));
  run_line_.clear();
  ++num_points_;
  std::vector<std::string> line = trial.cells;
  const Timing& t = measured.timing;
  for (const Seconds time : {t.median, *t.p10, *t.p90}) line.push_back(digits(time.in(us)));
  if (trial.more_cells)
    for (std::string& cell : trial.more_cells(measured)) line.push_back(std::move(cell));
  tables_.back().lines.push_back(std::move(line));
}

void PointResults::finish() {
  if (writer_) writer_->finish();
}

std::string PointResults::markdown() const {
  std::string text;
  for (const Table& table : tables_) {
    if (table.lines.empty()) continue;
    const Benchmark& b = *table.benchmark;
    std::vector<std::string> columns = b.columns;
    for (const char* time : {"us", "p10 us", "p90 us"}) columns.emplace_back(time);
    columns.insert(columns.end(), b.more_columns.begin(), b.more_columns.end());
    text += (text.empty() ? "## " : "\n## ") + std::string(b.name) + "\n\n" + b.what + ".\n\n";
    text += line_of(columns) + "|";
    for (std::size_t i = 0; i < columns.size(); ++i) text += "---|";
    text += "\n";
    for (const auto& line : table.lines) text += line_of(line);
  }
  return text;
}

}  // namespace moesim::comm
