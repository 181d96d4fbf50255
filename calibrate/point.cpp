#include "calibrate/point.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr double kLongest_us = 3.6e9;  // an hour
constexpr double kImpossible = 0.9;    // of the floor: below it the timer is wrong
constexpr std::int64_t kMostInShape = std::int64_t{1} << 44;

const std::vector<std::string> kKinds = {"measured", "published", "synthetic"};

JsonValue to_value(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::boolean: return node.boolean;
    case JsonNode::Kind::integer: return node.integer;
    case JsonNode::Kind::real: return node.real;
    case JsonNode::Kind::string: return node.text;
    case JsonNode::Kind::array: {
      JsonValue list = JsonValue::array();
      for (const JsonNode& item : node.items) list.push(to_value(item));
      return list;
    }
    case JsonNode::Kind::object: {
      JsonValue object = JsonValue::object();
      for (const auto& [key, value] : node.members) object.set(key, to_value(value));
      return object;
    }
    case JsonNode::Kind::null: break;
  }
  return {};
}

PointRun read_run(const JsonNode& node) {
  ObjectReader reader(node);
  if (const std::string schema = reader.text("schema"); schema != kPointsSchema)
    reader.fail("schema",
                "is " + in_quotes(schema) + "; this program reads " + in_quotes(kPointsSchema));
  PointRun run;
  const std::string kind = reader.choice("kind", kKinds);
  run.kind = kind == "measured"    ? ProfileKind::measured
             : kind == "published" ? ProfileKind::published
                                   : ProfileKind::synthetic;
  run.gpu = reader.text("gpu");
  run.source = reader.text("source");
  if (run.source.empty()) reader.fail("source", "is empty; expected where the points are from");
  run.plan = reader.text_or("plan", "");
  // A rule is that of a version: nobody could tell later which tiles were meant.
  if (!run.plan.empty() || reader.has("plan_version"))
    run.plan_version = reader.integer("plan_version", 1, 1 << 20);
  for (const auto& [key, value] : node.members) {
    if (key == "schema" || key == "kind" || key == "gpu" || key == "source" || key == "plan" ||
        key == "plan_version")
      continue;
    reader.ignore(key);
    run.details.emplace_back(key, to_value(value));
  }
  reader.finish();
  return run;
}

Seconds microseconds(ObjectReader& reader, const std::string& key) {
  const double value =
      reader.number(key, std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
  if (!(value > 0) || value > kLongest_us)
    reader.fail(
        key, "is " + number_text(value) + "; expected a time above 0 and up to an hour (3.6e9 us)");
  return value * us;
}

Timing read_timing(ObjectReader reader) {
  Timing t;
  t.median = microseconds(reader, "median_us");
  if (reader.has("p10_us")) t.p10 = microseconds(reader, "p10_us");
  if (reader.has("p90_us")) t.p90 = microseconds(reader, "p90_us");
  t.repeats = reader.integer_or("repeats", 1, 1 << 30, 1);
  reader.finish();
  if ((t.p10 && *t.p10 > t.median) || (t.p90 && *t.p90 < t.median))
    reader.fail("the median " + number_text(t.median.in(us)) +
                " us is not between p10_us and p90_us");
  return t;
}

Point read_point(const JsonNode& node) {
  ObjectReader reader(node);
  Point point;
  const std::string op = reader.text("op");
  point.of = find_case(op);
  if (point.of == nullptr) {
    std::vector<std::string> known;
    for (const Case* c : cases()) known.emplace_back(c->op);
    reader.fail("op", unknown_key(op, known));
  }
  for (const std::string_view axis : point.of->axes)
    point.shape.push_back(reader.integer(std::string(axis), 0, kMostInShape));
  if (reader.has("counts")) {
    point.counts = reader.integer_list("counts", 0, kMostInShape);
    if (op != "grouped_gemm_fp8") reader.fail("counts", "only a grouped GEMM has counts");
    const auto sum = std::accumulate(point.counts.begin(), point.counts.end(), std::int64_t{0});
    if (static_cast<std::int64_t>(point.counts.size()) != point.shape[0] || sum != point.shape[1])
      reader.fail("counts",
                  "are " + std::to_string(point.counts.size()) + " that add up to " +
                      std::to_string(sum) + "; expected groups=" + std::to_string(point.shape[0]) +
                      " that add up to m=" + std::to_string(point.shape[1]));
  }
  point.sms = reader.integer_or("sms", 0, 4096, 0);
  point.beside_communication = reader.boolean_or("beside_communication", false);
  if (reader.has("cold")) point.cold = read_timing(reader.object("cold"));
  if (reader.has("warm")) point.warm = read_timing(reader.object("warm"));
  if (!point.cold && !point.warm) reader.fail("has no time; expected \"cold\" or \"warm\"");
  if (reader.has("flags")) point.flags = reader.text_list("flags");
  for (const char* key : kEvidence)
    if (const JsonNode* value = reader.optional(key); value != nullptr)
      point.evidence.emplace_back(key, to_value(*value));
  reader.finish();
  return point;
}

// Flags points that were read already.
void apply_flag(const JsonNode& node, PointFile& file) {
  ObjectReader reader(node);
  const std::string flag = reader.text("flag");
  if (flag.empty()) reader.fail("flag", "is empty; expected a word");
  const auto window = static_cast<std::size_t>(reader.integer("window", 1, 1 << 30));
  reader.text_or("note", "");
  reader.finish();
  if (window > file.points.size())
    reader.fail("window",
                "is " + std::to_string(window) + "; only " + std::to_string(file.points.size()) +
                    " points stand before it");
  for (auto point = file.points.end() - static_cast<std::ptrdiff_t>(window);
       point != file.points.end();
       ++point)
    if (std::find(point->flags.begin(), point->flags.end(), flag) == point->flags.end())
      point->flags.push_back(flag);
}

JsonValue timing_json(const Timing& t) {
  JsonValue value = JsonValue::object();
  value.set("median_us", t.median.in(us));
  if (t.p10) value.set("p10_us", t.p10->in(us));
  if (t.p90) value.set("p90_us", t.p90->in(us));
  value.set("repeats", t.repeats);
  return value;
}

std::string four_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

[[noreturn]] void world_refused(const fs::path& path) {
  throw std::runtime_error(path.string() + ": " + std::strerror(errno));
}

}  // namespace

void refuse_impossible(const Point& point, const GpuSpec& gpu) {
  const auto check = [&](const Timing& t, bool from_cache) {
    if (t.median < kShortestTime)
      throw InputError(
          point.place,
          std::string(point.of->op) + " " + shape_text(*point.of, point.shape) + " took " +
              four_digits(t.median.in(us)) + " us; an empty kernel takes longer than " +
              four_digits(kShortestTime.in(us)) + " us, so the timer or a unit is wrong");
    const Seconds floor = floor_time(*point.of, point.shape, point.counts, gpu, from_cache);
    if (t.median < kImpossible * floor)
      throw InputError(point.place,
                       std::string(point.of->op) + " " + shape_text(*point.of, point.shape) +
                           " took " + four_digits(t.median.in(us)) + " us; the " + gpu.name +
                           " datasheet allows no less than " + four_digits(floor.in(us)) +
                           " us, so the timer or a unit is wrong");
  };
  if (point.cold) check(*point.cold, false);
  if (point.warm) check(*point.warm, true);
}

PointFile read_points(const fs::path& path, const fs::path& gpus) {
  const std::string name = path.string();
  const std::string text = read_bytes(path);
  PointFile file;
  std::map<std::string, GpuSpec> gpu_specs;
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string place = name + ": line " + std::to_string(++line);
    if (end == std::string::npos) {
      file.torn = text.substr(at);
      break;
    }
    const std::string row = text.substr(at, end - at);
    at = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string::npos) continue;
    const JsonNode node = parse_json(row, place);
    if (node.find("schema") != nullptr) {
      file.runs.push_back(read_run(node));
      const std::string& gpu = file.runs.back().gpu;
      const fs::path gpu_file = gpus / (gpu + ".json");
      if (!fs::is_regular_file(gpu_file))
        throw InputError(place + ": /gpu",
                         "no file " + gpu_file.string() + " describes " + in_quotes(gpu));
      if (!gpu_specs.contains(gpu)) gpu_specs.emplace(gpu, read_gpu_spec(read_json_file(gpu_file)));
      continue;
    }
    if (file.runs.empty())
      throw InputError(place,
                       "expected a line with \"schema\": " + in_quotes(kPointsSchema) +
                           " before the first point");
    if (node.find("flag") != nullptr) {
      apply_flag(node, file);
      continue;
    }
    Point point = read_point(node);
    point.run = file.runs.size() - 1;
    point.place = place;
    const GpuSpec& gpu = gpu_specs.at(file.runs.back().gpu);
    if (!point.of->between_gpus && point.sms == gpu.num_sms) point.sms = 0;  // one shape, one name
    refuse_impossible(point, gpu);
    file.points.push_back(std::move(point));
  }
  if (file.runs.empty())
    throw InputError(name,
                     "is empty; expected a line with \"schema\": " + in_quotes(kPointsSchema));
  return file;
}

std::string run_line(const PointRun& run) {
  JsonValue value = JsonValue::object();
  value.set("schema", kPointsSchema);
  value.set("kind", kKinds[static_cast<std::size_t>(run.kind)]);
  value.set("gpu", run.gpu);
  value.set("source", run.source);
  if (!run.plan.empty()) value.set("plan", run.plan);
  if (run.plan_version) value.set("plan_version", *run.plan_version);
  for (const auto& [key, detail] : run.details) value.set(key, detail);
  return value.dump_line() + "\n";
}

std::string point_line(const Point& point) {
  JsonValue value = JsonValue::object();
  value.set("op", std::string(point.of->op));
  for (std::size_t i = 0; i < point.shape.size(); ++i)
    value.set(std::string(point.of->axes[i]), point.shape[i]);
  if (!point.counts.empty()) {
    JsonValue counts = JsonValue::array();
    for (const std::int64_t c : point.counts) counts.push(c);
    value.set("counts", std::move(counts));
  }
  if (point.sms > 0) value.set("sms", point.sms);
  if (point.beside_communication) value.set("beside_communication", true);
  if (point.cold) value.set("cold", timing_json(*point.cold));
  if (point.warm) value.set("warm", timing_json(*point.warm));
  if (!point.flags.empty()) {
    JsonValue flags = JsonValue::array();
    for (const std::string& f : point.flags) flags.push(f);
    value.set("flags", std::move(flags));
  }
  for (const auto& [key, kept] : point.evidence) value.set(key, kept);
  return value.dump_line() + "\n";
}

std::string flag_line(const std::string& flag, std::size_t window, const std::string& note) {
  JsonValue value = JsonValue::object();
  value.set("flag", flag).set("window", static_cast<std::int64_t>(window)).set("note", note);
  return value.dump_line() + "\n";
}

PointWriter::PointWriter(const fs::path& path)
    : path_(path), synced_(std::chrono::steady_clock::now()) {
  if (fs::is_directory(path)) throw InputError(path.string(), "is a folder; expected a file");
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) world_refused(path);
  try {
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw std::runtime_error(path.string() + ": another process is writing to it");
    check_and_mend();
  } catch (...) {
    ::close(file_);
    throw;
  }
}

PointWriter::~PointWriter() {
  if (file_ >= 0) ::close(file_);
}

void PointWriter::check_and_mend() {
  // A pipe or a terminal has no lines of its own to check.
  if (!fs::is_regular_file(path_) || fs::file_size(path_) == 0) return;
  const std::string text = read_bytes(path_);
  // As run_line() begins one. Cut off inside it, the file is a run that never came to its start.
  const std::string beginning = std::string("{\"schema\":\"") + kPointsSchema;
  const std::string first = text.substr(0, text.find('\n'));
  if (first.find(kPointsSchema) == std::string::npos &&
      (first.size() != text.size() || !beginning.starts_with(first)))
    throw InputError(path_.string(),
                     "is not a file of points: its first line does not name the schema " +
                         in_quotes(kPointsSchema));
  if (text.back() == '\n') return;
  const std::size_t whole = text.rfind('\n');
  fs::resize_file(path_, whole == std::string::npos ? 0 : whole + 1);
  dropped_torn_line_ = true;
}

void PointWriter::add(const std::string& lines) {
  ENSURE(file_ >= 0);
  struct stat before {};
  const bool can_undo = ::fstat(file_, &before) == 0 && S_ISREG(before.st_mode);
  std::size_t written = 0;
  while (written < lines.size()) {
    const ssize_t n = ::write(file_, lines.data() + written, lines.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int reason = errno;
      // Leaves no half of a line; should that fail too, the next writer drops it.
      [[maybe_unused]] const bool undone = can_undo && ::ftruncate(file_, before.st_size) == 0;
      errno = reason;
      world_refused(path_);
    }
    written += static_cast<std::size_t>(n);
  }
  if (std::chrono::steady_clock::now() - synced_ >= std::chrono::seconds(1)) sync();
}

void PointWriter::sync() {
  // What cannot be synced (a pipe) says EINVAL and has nothing to lose.
  if (::fsync(file_) != 0 && errno != EINVAL && errno != EROFS) world_refused(path_);
  synced_ = std::chrono::steady_clock::now();
}

void PointWriter::finish() {
  ENSURE(file_ >= 0);
  sync();
  const int file = std::exchange(file_, -1);
  if (::close(file) != 0) world_refused(path_);
}

void append_lines(const fs::path& path, const std::string& lines) {
  PointWriter writer(path);
  writer.add(lines);
  writer.finish();
}

}  // namespace moesim
