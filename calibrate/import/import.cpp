#include "calibrate/import/import.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "calibrate/import/formats.hpp"
#include "model/device_name.hpp"
#include "model/json_message.hpp"
#include "model/kernel_plan.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFormats = {
    &kInfersimFormat, &kAiconfiguratorFormat, &kNcclTestsFormat, &kDeepepFormat, &kTraceFormat};

constexpr double kDisagreement = 1.25;  // between two rows of one shape; repeats differ by a tenth
constexpr std::int64_t kMostInShape = std::int64_t{1} << 44;  // that a file of points may hold

// Which bytes were read: FNV-1a, 16 hexadecimal digits.
std::string fingerprint(const std::string& bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  std::string digits(16, '0');
  for (std::size_t i = 0; i < digits.size(); ++i)
    digits[i] = "0123456789abcdef"[(hash >> (60 - 4 * i)) & 15];
  return digits;
}

void check_options(const ImportFormat& format, const ImportOptions& options) {
  const std::string name(format.name);
  const auto refuse = [&](const std::string& option, const std::string& why) {
    throw InputError(option, why);
  };
  const std::vector<std::string> known(format.settings.begin(), format.settings.end());
  for (const auto& [key, value] : options.settings) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    refuse("--set " + one_line(key) + "=" + std::to_string(value),
           known.empty() ? name + " needs no settings" : unknown_key(key, known, " of " + name));
  }
  if (!options.op.empty() && !format.takes_op)
    refuse("--op", name + " files say which operation they are of");
  if (!options.only.empty() && !format.takes_only)
    refuse("--only", name + " files have no columns");
  if (!options.mapping.empty() && !format.takes_mapping)
    refuse("--map", name + " files need no mapping");
}

GpuSpec read_gpu(const std::string& name, const fs::path& gpus) {
  const fs::path path = gpus / (name + ".json");
  if (!name.empty() && name.find('/') == std::string::npos && fs::is_regular_file(path))
    return read_gpu_spec(read_json_file(path));
  std::vector<std::string> known;
  if (fs::is_directory(gpus))
    for (const auto& entry : fs::directory_iterator(gpus))
      if (entry.path().extension() == ".json") known.push_back(entry.path().stem().string());
  std::sort(known.begin(), known.end());
  throw InputError("--gpu",
                   "no file in " + gpus.string() + " describes " + in_quotes(name) +
                       "; known: " + joined(known));
}

// Points of one operation, shape and SM count in one file whose times differ by more than a quarter
// contradict each other. All stay: nobody here knows which is right. Returned in the file's order.
std::vector<const Point*> flag_disagreements(std::vector<Point>& points) {
  std::map<std::tuple<const Case*, Shape, std::vector<std::int64_t>, std::int64_t, bool>,
           std::vector<Point*>>
      groups;
  for (Point& p : points)
    groups[{p.of, p.shape, p.counts, p.sms, p.beside_communication}].push_back(&p);
  std::vector<const Point*> flagged;
  for (auto& [key, group] : groups) {
    const auto [low, high] = std::minmax_element(group.begin(), group.end(), [](auto* a, auto* b) {
      return a->timing().median < b->timing().median;
    });
    if ((*high)->timing().median <= kDisagreement * (*low)->timing().median) continue;
    for (Point* p : group) p->flags.emplace_back("disagrees");
    flagged.insert(flagged.end(), group.begin(), group.end());
  }
  std::sort(flagged.begin(), flagged.end());
  return flagged;
}

// Messages of the points that are faster than the GPU can be, which leave `points`.
std::vector<std::string> take_impossible(std::vector<Point>& points, const GpuSpec& gpu) {
  std::vector<std::string> messages;
  std::erase_if(points, [&](const Point& point) {
    try {
      refuse_impossible(point, gpu);
      return false;
    } catch (const InputError& error) {
      messages.emplace_back(error.what());
      return true;
    }
  });
  return messages;
}

std::string counted(std::size_t n, const std::string& noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

// "110 points of gemm_fp8 (m 16..32768, n 512..7168)", one per operation in order of appearance.
std::vector<std::string> summaries(const std::vector<Point>& points, const std::string& file) {
  std::vector<const Case*> order;
  for (const Point& p : points)
    if (std::find(order.begin(), order.end(), p.of) == order.end()) order.push_back(p.of);
  std::vector<std::string> lines;
  for (const Case* of : order) {
    std::size_t count = 0;
    Shape low, high;
    for (const Point& p : points) {
      if (p.of != of) continue;
      if (count++ == 0) low = high = p.shape;
      for (std::size_t i = 0; i < p.shape.size(); ++i) {
        low[i] = std::min(low[i], p.shape[i]);
        high[i] = std::max(high[i], p.shape[i]);
      }
    }
    std::string ranges;
    for (std::size_t i = 0; i < low.size(); ++i)
      ranges += (i > 0 ? ", " : " (") + std::string(of->axes[i]) + " " + std::to_string(low[i]) +
                (low[i] == high[i] ? "" : ".." + std::to_string(high[i]));
    lines.push_back(counted(count, "point") + " of " + std::string(of->op) + ranges +
                    (ranges.empty() ? "" : ")") + " from " + file);
  }
  return lines;
}

JsonValue::Object provenance(const ImportRequest& request,
                             const fs::path& file,
                             JsonValue::Object said,
                             std::size_t num_dropped) {
  JsonValue::Object details;
  details.emplace_back("importer", std::string(request.format->name));
  details.emplace_back("file", file.filename().string());
  details.emplace_back("file_fnv1a", fingerprint(read_bytes(file)));
  for (auto& entry : said) details.push_back(std::move(entry));
  if (!request.options.only.empty()) {
    JsonValue only = JsonValue::array();
    for (const auto& [column, value] : request.options.only) only.push(column + "=" + value);
    details.emplace_back("only", std::move(only));
  }
  if (!request.options.settings.empty()) {
    JsonValue settings = JsonValue::object();
    for (const auto& [key, value] : request.options.settings) settings.set(key, value);
    details.emplace_back("settings", std::move(settings));
  }
  if (const fs::path& mapping = request.options.mapping; !mapping.empty()) {
    details.emplace_back("mapping", mapping.filename().string());
    details.emplace_back("mapping_fnv1a", fingerprint(read_bytes(mapping)));
  }
  if (!request.note.empty()) details.emplace_back("note", request.note);
  if (num_dropped > 0)
    details.emplace_back("dropped_impossible", static_cast<std::int64_t>(num_dropped));
  return details;
}

void refuse_a_second_time(const std::string& line, const std::string& file, const std::string& in) {
  const std::size_t at = in.find(line);
  if (at == std::string::npos || (at > 0 && in[at - 1] != '\n')) return;
  throw InputError(file,
                   "was imported before, with the same options: its points would count twice");
}

void import_file(const ImportRequest& request,
                 const fs::path& file,
                 const GpuSpec& gpu,
                 const std::string& already,
                 ImportResult& result) {
  const std::string name = one_line(file.string());
  Imported imported = request.format->read(file, request.options, gpu);
  if (imported.points.empty()) throw InputError(name, "holds no measurement that can be imported");
  const auto impossible = take_impossible(imported.points, gpu);
  if (!impossible.empty() && !request.drop_impossible)
    throw InputError("",
                     impossible[0] +
                         (impossible.size() == 1
                              ? ""
                              : " (" + std::to_string(impossible.size() - 1) + " more like it)") +
                         "; --drop-impossible leaves such points out");
  if (imported.points.empty()) throw InputError(name, "holds no point that is possible");
  const std::vector<const Point*> disagreeing = flag_disagreements(imported.points);

  PointRun run;
  run.kind = request.kind;
  run.gpu = request.gpu;
  run.source = request.source;
  run.plan = request.plan;
  if (!run.plan.empty()) run.plan_version = kPlanVersion;
  run.details = provenance(request, file, std::move(imported.details), impossible.size());
  const std::string line = run_line(run);
  refuse_a_second_time(line, name, already);
  refuse_a_second_time(line, name, result.lines);
  result.lines += line;
  for (const Point& point : imported.points) result.lines += point_line(point);
  for (std::string& text : summaries(imported.points, name)) result.summary.push_back(text);
  if (!disagreeing.empty())
    result.remarks.push_back(name + ": " + counted(disagreeing.size(), "point") +
                             " with another of the same shape more than 25 % away (kept, flag "
                             "\"disagrees\"), the first at " +
                             disagreeing.front()->place);
  if (!impossible.empty())
    result.remarks.push_back(name + ": " + counted(impossible.size(), "impossible point") +
                             " left out");
  for (const std::string& remark : imported.remarks) result.remarks.push_back(name + ": " + remark);
  result.dropped.insert(result.dropped.end(), impossible.begin(), impossible.end());
}

}  // namespace

std::optional<std::int64_t> ImportOptions::setting(const std::string& name) const {
  const auto it = settings.find(name);
  return it == settings.end() ? std::nullopt : std::optional(it->second);
}

std::int64_t ImportOptions::required(const std::string& name, const std::string& file) const {
  const auto value = setting(name);
  if (!value)
    throw InputError(file, "does not say its " + name + "; expected --set " + name + "=N");
  return *value;
}

std::span<const ImportFormat* const> import_formats() { return kFormats; }

const ImportFormat* find_import_format(std::string_view name) {
  const auto* const it = std::find_if(
      kFormats.begin(), kFormats.end(), [&](const ImportFormat* f) { return f->name == name; });
  return it == kFormats.end() ? nullptr : *it;
}

ImportResult import_files(const ImportRequest& request,
                          const std::string& already,
                          const fs::path& gpus) {
  check_options(*request.format, request.options);
  if (request.source.find_first_not_of(" \t") == std::string::npos)
    throw InputError("--source", "is empty; expected who measured, with what, and the licence");
  const GpuSpec gpu = read_gpu(request.gpu, gpus);
  ImportResult result;
  for (const fs::path& file : request.files) import_file(request, file, gpu, already, result);
  return result;
}

Point imported_point(std::string_view op, Shape shape, Seconds median, const std::string& place) {
  Point point;
  point.of = find_case(op);
  ENSURE(point.of != nullptr && shape.size() == point.of->axes.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (shape[i] < 0 || shape[i] > kMostInShape)
      throw InputError(place,
                       std::string(point.of->axes[i]) + " is " + std::to_string(shape[i]) +
                           "; expected at most " + std::to_string(kMostInShape));
  point.shape = std::move(shape);
  point.warm = Timing{median, {}, {}, 1};
  point.place = place;
  return point;
}

Seconds checked_time(double value,
                     Seconds unit,
                     const std::string& what,
                     const std::string& place) {
  const Seconds time = value * unit;
  if (!(time >= kShortestTime) || time > hour)
    throw InputError(
        place,
        what + " is " + number_text(time.in(us)) + " us; expected a time from 0.1 us to an hour");
  return time;
}

void check_device(const std::string& device, const GpuSpec& gpu, const std::string& place) {
  if (!device_is_gpu(device, gpu.name))
    throw InputError(place,
                     "was measured on " + in_quotes(device) + ", and --gpu names a " + gpu.name);
}

std::int64_t ranks_on_node(std::int64_t ranks,
                           std::int64_t ranks_per_node,
                           const std::string& place) {
  if (ranks <= ranks_per_node) return ranks;
  if (ranks_per_node < 1 || ranks % ranks_per_node != 0)
    throw InputError(place,
                     std::to_string(ranks) + " ranks do not fill nodes of " +
                         std::to_string(ranks_per_node) + " (ranks_per_node)");
  return ranks_per_node;
}

}  // namespace moesim
