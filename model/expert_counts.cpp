#include "model/expert_counts.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxLayer = 9999;                    // more is another column
constexpr std::int64_t kMaxCount = std::int64_t{1} << 53U;  // doubles add them up exactly

std::vector<double>& counts_of(LayerLoads& counts, std::int64_t layer, std::int64_t num_experts) {
  return counts.try_emplace(layer, static_cast<std::size_t>(num_experts), 0.0).first->second;
}

// SGLang's one file a rank.
void add_csv(const fs::path& path, std::int64_t num_experts, LayerLoads& counts) {
  LineReader reader(path);
  reader.next();
  reader.expect("layer_id,expert_id,count");
  reader.expect_end();
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  while (reader.next()) {
    const std::int64_t layer = reader.count();
    reader.expect(",");
    const std::int64_t expert = reader.count();
    reader.expect(",");
    const std::int64_t count = reader.count();
    reader.expect_end();
    if (!reader.is_whole()) reader.fail("the last line is incomplete");
    if (layer > kMaxLayer) {
      reader.fail("layer " + std::to_string(layer) + "; expected at most " +
                  std::to_string(kMaxLayer));
    }
    if (expert >= num_experts) {
      reader.fail("expert " + std::to_string(expert) + "; expected at most " +
                  std::to_string(num_experts - 1));
    }
    if (count > kMaxCount) reader.fail("a count of more than 2^53");
    if (!seen.emplace(layer, expert).second) {
      reader.fail("expert " + std::to_string(expert) + " of layer " + std::to_string(layer) +
                  " again");
    }
    counts_of(counts, layer, num_experts)[static_cast<std::size_t>(expert)] +=
        static_cast<double>(count);
  }
}

std::uint64_t little_endian(const char* bytes, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return value;
}

// The layer of a tensor's name "<iteration>_<layer>".
std::optional<std::int64_t> layer_of(const std::string& name) {
  const std::size_t bar = name.find('_');
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.size() <= 9 &&
           text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (bar == std::string::npos || !is_number(name.substr(0, bar)) ||
      !is_number(name.substr(bar + 1))) {
    return std::nullopt;
  }
  return std::stoll(name.substr(bar + 1));
}

// TensorRT-LLM's one file a rank. Format (huggingface.co/docs/safetensors): the size of the header
// in 8 bytes, the header in JSON, then the values, all little-endian.
void add_safetensors(const fs::path& path, std::int64_t num_experts, LayerLoads& counts) {
  const std::string file = one_line(path.string());
  const std::string bytes = read_bytes(path);
  constexpr std::size_t kSizeBytes = 8;
  if (bytes.size() < kSizeBytes) throw InputError(file, "is cut off: no safetensors header");
  const std::uint64_t header_size = little_endian(bytes.data(), kSizeBytes);
  if (header_size > bytes.size() - kSizeBytes) {
    throw InputError(file,
                     "is cut off or no safetensors file: a header of " +
                         std::to_string(header_size) + " bytes in a file of " +
                         std::to_string(bytes.size()));
  }
  const std::size_t data_begin = kSizeBytes + static_cast<std::size_t>(header_size);
  const auto data_size = static_cast<std::int64_t>(bytes.size() - data_begin);
  const JsonNode header =
      parse_json(bytes.substr(kSizeBytes, static_cast<std::size_t>(header_size)), file);
  if (header.kind != JsonNode::Kind::object) {
    throw InputError(header.place(), "expected an object, found " + header.describe());
  }
  for (const auto& [name, tensor] : header.members) {
    if (name == "__metadata__") continue;
    const std::optional<std::int64_t> layer = layer_of(name);
    if (!layer || *layer > kMaxLayer) {
      throw InputError(tensor.place(), "expected a tensor named \"<iteration>_<layer>\"");
    }
    ObjectReader reader(tensor);
    const std::size_t value_bytes = reader.choice("dtype", {"I64", "I32"}) == "I64" ? 8 : 4;
    if (reader.integer_list("shape", 0, kMaxCount) != std::vector<std::int64_t>{num_experts}) {
      reader.fail("shape", "expected [" + std::to_string(num_experts) + "], one count an expert");
    }
    const auto offsets = reader.integer_list("data_offsets", 0, kMaxCount);
    const std::int64_t size = num_experts * static_cast<std::int64_t>(value_bytes);
    if (offsets.size() != 2 || offsets[1] - offsets[0] != size) {
      reader.fail("data_offsets", "expected " + std::to_string(size) + " bytes");
    }
    if (offsets[1] > data_size) {
      reader.fail("data_offsets",
                  "the file is cut off: values end at byte " + std::to_string(offsets[1]) + " of " +
                      std::to_string(data_size));
    }
    reader.finish();
    std::vector<double>& sum = counts_of(counts, *layer, num_experts);
    const char* value = bytes.data() + data_begin + offsets[0];
    for (double& count : sum) {
      const std::uint64_t raw = little_endian(value, value_bytes);
      // Also a negative number, of either size.
      if (raw > (value_bytes == 8 ? std::uint64_t{kMaxCount} : 0x7fffffffU)) {
        throw InputError(tensor.place(), "a count below 0 or above 2^53");
      }
      count += static_cast<double>(raw);
      value += value_bytes;
    }
  }
}

// TensorRT-LLM's folder: the ranks' counts add up.
LoadTable read_statistic_folder(const fs::path& folder, std::int64_t num_experts) {
  const JsonNode meta = read_json_file(folder / "meta_info.json");
  ObjectReader reader(meta);
  // The key is not checked to be the only one: newer versions add some.
  if (reader.integer("num_experts", 1, kMaxCount) != num_experts) {
    reader.fail("num_experts",
                "expected the model's " + std::to_string(num_experts) + ", found " +
                    reader.required("num_experts").describe());
  }
  LayerLoads counts;
  std::int64_t rank = 0;
  const auto file_of = [&](std::int64_t r) {
    return folder / ("rank" + std::to_string(r) + ".safetensors");
  };
  for (; fs::exists(file_of(rank)); ++rank) add_safetensors(file_of(rank), num_experts, counts);
  std::int64_t num_files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("rank", 0) == 0 && entry.path().extension() == ".safetensors") ++num_files;
  }
  if (num_files != rank || rank == 0) {
    throw InputError(one_line(file_of(rank).string()),
                     "is missing; expected one file for every rank from 0");
  }
  return to_load_table(counts, one_line(folder.string()));
}

LoadTable read_csv_folder(const fs::path& folder, std::int64_t num_experts) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  }
  if (files.empty()) {
    throw InputError(one_line(folder.string()),
                     "expected a folder with meta_info.json (TensorRT-LLM) or .csv files (SGLang)");
  }
  std::sort(files.begin(), files.end());  // which of two bad files is named must not vary
  LayerLoads counts;
  for (const fs::path& file : files) add_csv(file, num_experts, counts);
  return to_load_table(counts, one_line(folder.string()));
}

// One row of counts of [num_experts], added to `sum`.
void add_row(const JsonNode& row, std::vector<double>& sum) {
  if (row.kind != JsonNode::Kind::array || row.items.size() != sum.size()) {
    throw InputError(row.place(),
                     "expected an array of " + std::to_string(sum.size()) + " counts, found " +
                         (row.kind == JsonNode::Kind::array ? std::to_string(row.items.size())
                                                            : row.describe()));
  }
  for (std::size_t e = 0; e < sum.size(); ++e) {
    sum[e] += static_cast<double>(as_integer(row.items[e], 0, kMaxCount));
  }
}

bool is_zero(const std::vector<double>& loads) {
  return std::all_of(loads.begin(), loads.end(), [](double load) { return load == 0; });
}

}  // namespace

LoadTable to_load_table(const LayerLoads& loads, const std::string& place) {
  if (loads.empty()) throw InputError(place, "holds no counts");
  LoadTable table;
  std::int64_t expected = loads.begin()->first;
  for (const auto& [layer, row] : loads) {
    if (layer != expected) {
      throw InputError(place,
                       "layer " + std::to_string(expected) + " is missing; layers " +
                           std::to_string(loads.begin()->first) + " to " +
                           std::to_string(loads.rbegin()->first) + " are expected");
    }
    if (is_zero(row)) {
      throw InputError(place, "layer " + std::to_string(layer) + " has no load on any expert");
    }
    const double mean =
        std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
    std::vector<double>& relative = table.layers.emplace_back(row);
    for (double& load : relative) load /= mean;
    ++expected;
  }
  return table;
}

LoadTable read_logical_count(const JsonNode& document, std::int64_t num_experts) {
  if (document.kind != JsonNode::Kind::object || document.find("logical_count") == nullptr) {
    throw InputError(document.place(),
                     "expected an object with \"rows\" of relative loads or a \"logical_count\" of "
                     "[layers, experts]");
  }
  ObjectReader reader(document);
  const JsonNode& counts = reader.required("logical_count");
  reader.ignore("rank");  // the rest of what SGLang's recorder writes beside it
  reader.ignore("average_utilization_rate_over_window");
  reader.finish();
  const auto is_list = [](const JsonNode& node) {
    return node.kind == JsonNode::Kind::array && !node.items.empty();
  };
  if (!is_list(counts) || !is_list(counts.items[0])) {
    throw InputError(counts.place(),
                     "expected an array of [layers, experts] or [steps, layers, experts]");
  }
  const bool has_steps = is_list(counts.items[0].items[0]);
  const std::vector<double> none(static_cast<std::size_t>(num_experts), 0.0);
  std::vector<std::vector<double>> layers((has_steps ? counts.items[0] : counts).items.size(),
                                          none);
  const auto add_layers = [&](const JsonNode& step) {
    if (step.kind != JsonNode::Kind::array || step.items.size() != layers.size()) {
      throw InputError(step.place(),
                       "expected " + std::to_string(layers.size()) + " layers, as in the first");
    }
    for (std::size_t i = 0; i < layers.size(); ++i) add_row(step.items[i], layers[i]);
  };
  if (has_steps) {
    for (const JsonNode& step : counts.items) add_layers(step);
  } else {
    add_layers(counts);
  }
  while (!layers.empty() && is_zero(layers.back())) layers.pop_back();
  LayerLoads loads;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (!loads.empty() || !is_zero(layers[i])) {
      loads.emplace(static_cast<std::int64_t>(i), std::move(layers[i]));
    }
  }
  return to_load_table(loads, counts.place());
}

LoadTable read_expert_counts(const fs::path& path, std::int64_t num_experts) {
  const std::string extension = path.extension().string();
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return fs::exists(path / "meta_info.json") ? read_statistic_folder(path, num_experts)
                                               : read_csv_folder(path, num_experts);
  }
  if (extension == ".pt" || extension == ".pth" || extension == ".pkl") {
    throw InputError(one_line(path.string()),
                     "PyTorch pickles are not read; convert it: python3 -c \"import json,torch; "
                     "d=torch.load('x.pt'); json.dump({'logical_count': "
                     "d['logical_count'].sum(0).tolist()}, open('x.json','w'))\"");
  }
  if (extension != ".csv") {
    throw InputError(one_line(path.string()),
                     "expected loads of experts in a .json or .csv file or a folder of "
                     "TensorRT-LLM's or SGLang's statistics, found the extension " +
                         in_quotes(extension));
  }
  LayerLoads counts;
  add_csv(path, num_experts, counts);
  return to_load_table(counts, one_line(path.string()));
}

}  // namespace moesim
