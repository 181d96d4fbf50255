#include "reports/sweep/merge_sweep.hpp"

#include "model/json_message.hpp"

namespace moesim {
namespace {

struct Place {
  std::string file;
  std::size_t line = 0;
  std::string text() const { return one_line(file) + ": line " + std::to_string(line); }
};

// The header of the whole, as one process writes it: the shard is what it ends with.
std::string whole_header(std::string line, const SweepShard& shard) {
  const auto end = [](const SweepShard& of) { return "\"shard\":\"" + of.text() + "\"}"; };
  ENSURE(line.ends_with(end(shard)));
  line.resize(line.size() - end(shard).size());
  return line + end({});
}

// Which points are missing, and which shard has to be run for the first of them.
std::string holes(const SweepHeader& header,
                  const std::map<std::size_t, std::string>& lines,
                  bool same_shards) {
  std::size_t first = 0;
  while (lines.count(first) != 0) ++first;
  const std::size_t missing = header.num_points - lines.size();
  std::string text =
      "point " + std::to_string(first) + " of " + std::to_string(header.num_points) + " is missing";
  if (missing > 1) text += " and " + std::to_string(missing - 1) + " more";
  if (same_shards && header.shard.of > 1) {
    const SweepShard shard{static_cast<std::int64_t>(first) % header.shard.of + 1, header.shard.of};
    text += "; shard " + shard.text() + " has it";
  }
  return text;
}

}  // namespace

SweepMerge merge_sweep(const std::vector<std::filesystem::path>& files) {
  ENSURE(!files.empty());
  SweepMerge merge;
  std::map<std::size_t, std::string> lines;
  std::map<std::size_t, Place> places;
  std::map<std::size_t, SweepRow> rows;
  bool same_shards = true;
  std::string first_line;
  for (const std::filesystem::path& path : files) {
    const std::string name = path.string();
    const SweepLines found = split_sweep_lines(read_sweep_text(path));
    if (found.lines.empty()) throw InputError(one_line(name), "is no result file of a sweep");
    const SweepHeader header = read_sweep_header(found.lines.front(), name);
    if (path == files.front()) {
      merge.header = header;
      first_line = found.lines.front();
    }
    if (const std::string difference = sweep_difference(merge.header, header); !difference.empty())
      throw InputError(one_line(name),
                       "is of another sweep than " + one_line(files.front().string()) +
                           ": it differs in " + difference);
    if (found.torn)
      throw InputError(one_line(name) + ": line " + std::to_string(found.lines.size() + 1),
                       "is cut off: the sweep was interrupted; run its command again, which goes "
                       "on from there");
    same_shards = same_shards && header.shard.of == merge.header.shard.of;
    SweepRowReader reader(name);
    for (std::size_t i = 1; i < found.lines.size(); ++i) {
      SweepRow row = reader.read(found.lines[i], i + 1);
      const std::size_t point = row.point;
      const Place place{name, i + 1};
      if (point >= header.num_points || !header.shard.has(point))
        throw InputError(place.text(),
                         "point " + std::to_string(point) + " is none of shard " +
                             header.shard.text() + " of " + std::to_string(header.num_points) +
                             " points");
      const auto [known, is_new] = places.emplace(point, place);
      if (!is_new)
        throw InputError(
            place.text(),
            "point " + std::to_string(point) + " is already in " + known->second.text());
      lines.emplace(point, found.lines[i]);
      rows.emplace(point, std::move(row));
    }
  }
  if (lines.size() != merge.header.num_points)
    throw InputError("", holes(merge.header, lines, same_shards));
  merge.text = sweep_text(whole_header(first_line, merge.header.shard), lines);
  for (auto& [point, row] : rows) merge.rows.push_back(std::move(row));
  return merge;
}

}  // namespace moesim
