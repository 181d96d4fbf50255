// Lines of a result file as what they say.
#include <algorithm>

#include "model/json_message.hpp"
#include "reports/sweep/sweep_file.hpp"

namespace moesim {
namespace {

// Values of fields as people write them: texts without their quotes.
std::string shown(const JsonNode& node) {
  return node.kind == JsonNode::Kind::string ? one_line(node.text) : canonical_text(node);
}

}  // namespace

const double* SweepRow::metric(const std::string& name) const {
  const auto found = std::find(names->begin(), names->end(), name);
  return found == names->end() ? nullptr
                               : &values[static_cast<std::size_t>(found - names->begin())];
}

SweepRow SweepRowReader::read(const std::string& line, std::size_t number) {
  const std::string place = one_line(file_) + ": line " + std::to_string(number);
  const JsonNode node = parse_json(line, place);
  ObjectReader reader(node);
  SweepRow row;
  row.point = static_cast<std::size_t>(reader.integer("point", 0, std::int64_t{1} << 40));
  row.id = reader.text("id");
  for (const auto& [pointer, value] : reader.object("set").node().members)
    row.set.push_back(shown(value));
  row.feasible = reader.boolean("feasible");
  if (!row.feasible) row.reason = reader.text("reason");
  std::vector<std::string> names;
  const ObjectReader metrics = reader.object("metrics");
  for (const auto& [name, value] : metrics.node().members) {
    names.push_back(name);
    row.values.push_back(as_number(value, -1e300, 1e300));
  }
  reader.finish();
  if (names != *names_) names_ = std::make_shared<const std::vector<std::string>>(std::move(names));
  row.names = names_;
  return row;
}

SweepHeader read_sweep_header(const std::string& line, const std::string& file) {
  SweepHeader header;
  const std::string place = one_line(file) + ": line 1";
  const auto foreign = [&]() -> InputError {
    return {one_line(file), "is no result file of a sweep"};
  };
  try {
    header.document = parse_json(line, place);
  } catch (const InputError&) {
    throw foreign();
  }
  const JsonNode* schema = header.document.find("schema");
  if (schema == nullptr || schema->text.rfind("moesim-sweep/", 0) != 0) throw foreign();
  if (schema->text != kSweepSchema)
    throw InputError(one_line(file),
                     "was written by another version: " + in_quotes(schema->text) +
                         ", and this one writes " + in_quotes(kSweepSchema));
  ObjectReader reader(header.document);
  reader.ignore("schema");
  header.name = reader.object("scenario").text("name");
  for (const char* key : {"settings", "conditions", "main_phase_only"}) reader.required(key);
  for (const JsonNode& axis : reader.required("axes").items)
    if (!axis.items.empty())
      for (const auto& [pointer, value] : axis.items.front().members)
        header.fields.push_back(pointer);
  header.num_points =
      static_cast<std::size_t>(reader.integer("num_points", 1, std::int64_t{1} << 40));
  header.shard = parse_sweep_shard(reader.text("shard"), place + "/shard");
  reader.finish();
  return header;
}

std::string sweep_difference(const SweepHeader& a, const SweepHeader& b) {
  const std::pair<const char*, const char*> parts[] = {
      {"scenario", "the scenario, or one of the files it names"},
      {"settings", "the settings"},
      {"axes", "what varies"},
      {"conditions", "the conditions"},
      {"main_phase_only", "the phases that are simulated"},
      {"num_points", "the number of points"}};
  for (const auto& [key, words] : parts)
    if (canonical_text(*a.document.find(key)) != canonical_text(*b.document.find(key)))
      return words;
  return "";
}

SweepLines split_sweep_lines(const std::string& text) {
  SweepLines result;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    result.lines.push_back(text.substr(begin, end - begin));
  result.whole_bytes = begin;
  result.torn = begin < text.size();
  return result;
}

std::string sweep_text(const std::string& header, const std::map<std::size_t, std::string>& lines) {
  std::string text = header + "\n";
  for (const auto& [point, line] : lines) text += line + "\n";
  return text;
}

}  // namespace moesim
