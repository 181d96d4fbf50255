#include "model/routing_record.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "model/errors.hpp"
#include "model/expert_counts.hpp"
#include "model/json_message.hpp"
#include "model/json_reader.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMaxLayer = 9999;  // a larger one is a token's number in the wrong column

// Lines in file order; line `first_line` + i holds records[i].
struct Lines {
  struct Record {
    std::int64_t token = 0, layer = 0;
  };
  std::int64_t first_line = 1;
  std::vector<Record> records;
  std::vector<std::int32_t> experts;  // [records, top_k]
};

class RecordParser {
 public:
  RecordParser(LineReader& reader, std::int64_t num_experts, std::int64_t top_k)
      : reader_(reader), num_experts_(num_experts), top_k_(top_k) {}

  Lines read_jsonl() {
    while (reader_.next()) {
      read_object();
      add();
    }
    return std::move(lines_);
  }

  Lines read_csv() {
    reader_.next();
    reader_.expect("token,layer");
    for (std::int64_t i = 0; i < top_k_; ++i) reader_.expect(",expert_" + std::to_string(i));
    reader_.expect_end();
    lines_.first_line = 2;
    while (reader_.next()) {
      record_.token = reader_.count();
      reader_.expect(",");
      record_.layer = reader_.count();
      experts_.clear();
      while (reader_.take(",")) experts_.push_back(reader_.count());
      reader_.expect_end();
      // "17" cut to "1" is still an expert.
      if (!reader_.is_whole()) reader_.fail("the last line is incomplete");
      add();
    }
    return std::move(lines_);
  }

 private:
  void read_object() {
    bool has_token = false, has_layer = false, has_experts = false;
    const auto once = [&](bool& has, const char* key) {
      if (has) reader_.fail(std::string("key \"") + key + "\" appears twice");
      has = true;
      reader_.expect(":");
    };
    reader_.expect("{");
    do {
      if (reader_.take("\"token\"")) {
        once(has_token, "token");
        record_.token = reader_.count();
      } else if (reader_.take("\"layer\"")) {
        once(has_layer, "layer");
        record_.layer = reader_.count();
      } else if (reader_.take("\"experts\"")) {
        once(has_experts, "experts");
        reader_.expect("[");
        experts_.clear();
        do experts_.push_back(reader_.count());
        while (reader_.take(","));
        reader_.expect("]");
      } else {
        reader_.fail_expected("\"token\", \"layer\" or \"experts\"");
      }
    } while (reader_.take(","));
    reader_.expect("}");
    reader_.expect_end();
    if (!has_token || !has_layer || !has_experts) {
      reader_.fail(std::string("key \"") +
                   (!has_token   ? "token"
                    : !has_layer ? "layer"
                                 : "experts") +
                   "\" is missing");
    }
  }

  void add() {
    if (std::ssize(experts_) != top_k_) {
      reader_.fail("expected " + std::to_string(top_k_) + " experts, found " +
                   std::to_string(experts_.size()));
    }
    if (record_.layer > kMaxLayer) {
      reader_.fail("layer " + std::to_string(record_.layer) + "; expected at most " +
                   std::to_string(kMaxLayer));
    }
    for (std::size_t i = 0; i < experts_.size(); ++i) {
      if (experts_[i] >= num_experts_) {
        reader_.fail("expert " + std::to_string(experts_[i]) + "; expected at most " +
                     std::to_string(num_experts_ - 1));
      }
      for (std::size_t j = 0; j < i; ++j) {
        if (experts_[i] == experts_[j]) {
          reader_.fail("expert " + std::to_string(experts_[i]) + " twice in one token");
        }
      }
      lines_.experts.push_back(static_cast<std::int32_t>(experts_[i]));
    }
    lines_.records.push_back(record_);
  }

  LineReader& reader_;
  std::int64_t num_experts_, top_k_;
  Lines::Record record_;
  std::vector<std::int64_t> experts_;
  Lines lines_;
};

// The tokens of every layer in the order of their numbers.
TokenRecords by_layer(const Lines& lines, std::int64_t top_k, const LineReader& reader) {
  std::vector<std::int64_t> num_tokens(kMaxLayer + 1, 0);
  for (const Lines::Record& record : lines.records) {
    ++num_tokens[static_cast<std::size_t>(record.layer)];
  }
  const auto has_tokens = [](std::int64_t count) { return count > 0; };
  const auto first = std::find_if(num_tokens.begin(), num_tokens.end(), has_tokens);
  const auto last = std::find_if(num_tokens.rbegin(), num_tokens.rend(), has_tokens).base();
  TokenRecords result;
  result.first_layer = first - num_tokens.begin();
  const auto layer_text = [&](std::size_t i) {
    return "layer " + std::to_string(result.first_layer + static_cast<std::int64_t>(i));
  };
  // Where each token's record is; sized by the layer's own lines, so that no number in the file can
  // ask for memory.
  std::vector<std::vector<std::int64_t>> places;
  for (auto count = first; count != last; ++count) {
    if (*count == 0) {
      throw InputError(
          reader.file(),
          layer_text(places.size()) + " has no tokens; layers before and after it have");
    }
    places.emplace_back(static_cast<std::size_t>(*count), -1);
  }
  for (std::int64_t i = 0; i < std::ssize(lines.records); ++i) {
    const auto [token, layer] = lines.records[static_cast<std::size_t>(i)];
    const auto row = static_cast<std::size_t>(layer - result.first_layer);
    const std::int64_t line = lines.first_line + i;
    const std::string what = "token " + std::to_string(token) + " of " + layer_text(row);
    if (token >= std::ssize(places[row])) {
      reader.fail_at(line,
                     what + ", which has " + std::to_string(places[row].size()) +
                         " tokens; expected tokens numbered from 0 without gaps");
    }
    std::int64_t& place = places[row][static_cast<std::size_t>(token)];
    if (place >= 0) {
      reader.fail_at(line,
                     what + " again; first in line " + std::to_string(lines.first_line + place));
    }
    place = i;
  }
  for (std::size_t row = 0; row < places.size(); ++row) {
    if (places[row].size() != places[0].size()) {
      throw InputError(reader.file(),
                       layer_text(row) + " has " + std::to_string(places[row].size()) +
                           " tokens, " + layer_text(0) + " has " +
                           std::to_string(places[0].size()));
    }
    RoutedTokens& routed = result.layers.emplace_back();
    routed.num_tokens = std::ssize(places[row]);
    routed.top_k = top_k;
    routed.experts.reserve(places[row].size() * static_cast<std::size_t>(top_k));
    for (const std::int64_t place : places[row]) {
      const auto begin = lines.experts.begin() + place * top_k;
      routed.experts.insert(routed.experts.end(), begin, begin + top_k);
    }
  }
  return result;
}

// One of the values that the rows have for `key`: the one asked for, or the only one.
std::string selected(const JsonNode& rows,
                     const std::string& key,
                     const std::string& wanted,
                     const std::set<std::string>& values) {
  std::vector<std::string> names;
  for (const std::string& value : values) names.push_back(in_quotes(value));
  if (wanted.empty() && values.size() > 1) {
    throw InputError(rows.place(), "several values of " + key + "; name one of " + joined(names));
  }
  if (wanted.empty()) return *values.begin();
  if (!values.contains(wanted)) {
    throw InputError(rows.place(),
                     "no row with " + key + " " + in_quotes(wanted) + "; known: " + joined(names));
  }
  return wanted;
}

struct LoadRow {
  const JsonNode* node = nullptr;
  std::int64_t layer = 0;
  std::string domain, method;
  std::vector<double> relative_load;
};

LoadRow read_row(const JsonNode& node, std::int64_t num_experts) {
  ObjectReader reader(node);
  LoadRow row{&node, reader.integer("layer", 0, kMaxLayer), "", "", {}};
  row.domain = reader.text_or("domain", "");
  row.method = reader.text_or("method", "");
  const JsonNode& loads = reader.required("relative_load");
  if (loads.kind != JsonNode::Kind::array || std::ssize(loads.items) != num_experts) {
    reader.fail("relative_load",
                "expected an array of " + std::to_string(num_experts) + " loads, found " +
                    (loads.kind == JsonNode::Kind::array ? std::to_string(loads.items.size())
                                                         : loads.describe()));
  }
  for (const JsonNode& load : loads.items) {
    row.relative_load.push_back(as_number(load, 0, static_cast<double>(num_experts)));
  }
  reader.ignore("mean");
  reader.finish();
  // Values read off a figure miss mean 1 by their rounding; counts or shares miss it by far.
  const double mean = std::accumulate(row.relative_load.begin(), row.relative_load.end(), 0.0) /
                      static_cast<double>(num_experts);
  if (mean < 0.9 || mean > 1.1) {
    reader.fail("relative_load", "expected loads of mean 1, found mean " + number_text(mean));
  }
  for (double& load : row.relative_load) load /= mean;
  return row;
}

LoadTable read_rows(const JsonNode& document,
                    const std::string& domain,
                    const std::string& method,
                    std::int64_t num_experts) {
  const JsonNode& rows = *document.find("rows");
  if (rows.kind != JsonNode::Kind::array) {
    throw InputError(rows.place(), "expected an array of rows, found " + rows.describe());
  }
  if (rows.items.empty()) throw InputError(rows.place(), "expected at least one row");
  std::vector<LoadRow> all;
  std::set<std::string> domains, methods;
  for (const JsonNode& node : rows.items) {
    const LoadRow& row = all.emplace_back(read_row(node, num_experts));
    domains.insert(row.domain);
    methods.insert(row.method);
  }
  const std::string one_domain = selected(rows, "domain", domain, domains);
  const std::string one_method = selected(rows, "method", method, methods);
  LayerLoads loads;
  for (LoadRow& row : all) {
    if (row.domain != one_domain || row.method != one_method) continue;
    if (!loads.emplace(row.layer, std::move(row.relative_load)).second) {
      throw InputError(row.node->place(), "layer " + std::to_string(row.layer) + " again");
    }
  }
  if (loads.empty()) {
    throw InputError(
        rows.place(),
        "no row with domain " + in_quotes(one_domain) + " and method " + in_quotes(one_method));
  }
  return to_load_table(loads, rows.place());
}

}  // namespace

TokenRecords read_token_records(const std::filesystem::path& path,
                                std::int64_t num_experts,
                                std::int64_t top_k) {
  ENSURE(top_k >= 1 && num_experts >= top_k);
  const std::string extension = path.extension().string();
  if (extension != ".jsonl" && extension != ".csv") {
    throw InputError(one_line(path.string()),
                     "expected recorded tokens in a .jsonl or .csv file, found the extension " +
                         in_quotes(extension));
  }
  LineReader reader(path);
  RecordParser parser(reader, num_experts, top_k);
  const Lines lines = extension == ".jsonl" ? parser.read_jsonl() : parser.read_csv();
  if (lines.records.empty()) reader.fail("no tokens after the header");
  return by_layer(lines, top_k, reader);
}

LoadTable read_load_table(const std::filesystem::path& path,
                          const std::string& domain,
                          const std::string& method,
                          std::int64_t num_experts) {
  ENSURE(num_experts >= 1);
  std::optional<JsonNode> document;
  if (path.extension() == ".json") document = read_json_file(path);
  if (document && document->find("rows") != nullptr) {
    return read_rows(*document, domain, method, num_experts);
  }
  if (!domain.empty() || !method.empty()) {
    throw InputError(one_line(path.string()),
                     "has no rows to choose from by domain or method: it holds counts");
  }
  return document ? read_logical_count(*document, num_experts)
                  : read_expert_counts(path, num_experts);
}

}  // namespace moesim
