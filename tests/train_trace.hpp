// The public DeepSeek-V3 training trace as a table (reference data, train_trace/train_trace.csv),
// and what rank 0 of it had to do on average over its four layers (its README, section 1).
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/op_graph.hpp"

namespace moesim {

struct TrainTraceRow {
  std::string op, phase, stream, category, dtype;
  double calls_per_layer = 0, flops = 0, bytes = 0;  // of one call
  double us_per_layer = 0;                           // of all calls
  bool is_compute() const { return stream != "27"; }
  std::string block() const { return phase.substr(phase.find(':') + 1); }  // "F:attn(F)"
};

// Fields of one line; a field with commas is quoted.
inline std::vector<std::string> csv_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

inline std::vector<TrainTraceRow> read_train_trace(const std::filesystem::path& reference) {
  std::ifstream file(reference / "train_trace" / "train_trace.csv");
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error("no train_trace.csv");
  std::map<std::string, std::size_t> column;
  for (const std::string& name : csv_fields(line)) column.emplace(name, column.size());
  std::vector<TrainTraceRow> rows;
  while (std::getline(file, line)) {
    const auto fields = csv_fields(line);
    auto text = [&](const char* name) { return fields.at(column.at(name)); };
    auto number = [&](const char* name) { return std::stod(text(name)); };
    rows.push_back({text("op"),
                    text("phase"),
                    text("stream"),
                    text("category"),
                    text("dtype"),
                    number("calls_per_layer"),
                    number("flops"),
                    number("bytes"),
                    number("us_per_layer_total")});
  }
  return rows;
}

inline constexpr std::int64_t kTraceTokens = 4096;
inline constexpr RankLoad kTraceForwardLoad = {32512, 32512, 30278};
inline constexpr RankLoad kTraceBackwardLoad = {32128, 32128, 29836};
inline constexpr ChunkShape kTraceShape = {kTraceTokens, kTraceTokens, 1, 4, Recipe::fp8_block};

// One layer of the trace: forward blocks under the forward load, the others under the backward.
inline LayerOps trace_layer(const ModelSpec& v3, Recipe recipe = Recipe::fp8_block) {
  ChunkShape shape = kTraceShape;
  shape.recipe = recipe;
  LayerOps layer = build_layer_ops(v3, LayerKind::moe, shape, kTraceBackwardLoad);
  const LayerOps forward = build_layer_ops(v3, LayerKind::moe, shape, kTraceForwardLoad);
  for (const Block block : {Block::attention_f, Block::ffn_f}) {
    const auto i = static_cast<std::size_t>(block);
    layer.blocks[i] = forward.blocks[i];
  }
  return layer;
}

}  // namespace moesim
