#include "calibrate/fit/accuracy.hpp"

#include <array>
#include <cstdio>
#include <map>

#include "calibrate/fit/kernel_fit.hpp"
#include "calibrate/fit/segment_fit.hpp"
#include "calibrate/import/import.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Bar {
  double median = 0, p95 = 0;
};

// One table, fitted once, and the groupings to show.
struct Table {
  const char* title;
  const char* gpu;
  const char* format;
  const char* file;
  ImportOptions options;
  const char* op;  // of the table's points
  TileRule rule;
  std::vector<std::pair<const char*, std::optional<Bar>>> shown;  // what is left out, what is asked
};

ImportOptions only(std::vector<std::pair<std::string, std::string>> rows,
                   std::map<std::string, std::int64_t> settings = {}) {
  ImportOptions options;
  options.only = std::move(rows);
  options.settings = std::move(settings);
  return options;
}

// The bars are what such a fit has to reach to be of use (docs/calibration.md); a row without one
// shows what a harder test of the same table gives.
std::vector<Table> tables() {
  constexpr TileRule kDeepGemm = TileRule::fewest_waves, kUnknown = TileRule::fastest;
  const std::map<std::string, std::int64_t> dense = {{"heads", 128}};
  // The tables' tokens an expert are nominal; the rows that were measured follow from their MFU.
  const std::map<std::string, std::int64_t> rows_measured = {{"rows_from_mfu", 1}};
  const std::map<std::string, std::int64_t> node = {{"ranks_per_node", 8}};
  return {
      {"FP8 GEMM, H20 (InferSim, DeepGEMM)",
       "h20",
       "infersim",
       "h20_gemm_fp8.csv",
       {},
       "gemm_fp8",
       kDeepGemm,
       {{"n and k", Bar{0.02, 0.12}}, {"m", {}}}},
      {"FP8 GEMM, H800 (InferSim, DeepGEMM)",
       "h800",
       "infersim",
       "h800_gemm_fp8.csv",
       {},
       "gemm_fp8",
       kDeepGemm,
       {{"m", Bar{0.05, 0.20}}, {"n and k", {}}}},
      {"quantise + FP8 GEMM, H100 (TensorRT-LLM)",
       "h100",
       "aiconfigurator",
       "h100_gemm.csv",
       only({{"source", "trtllm-1.3.0rc20"}, {"dtype", "fp8_block"}}),
       "gemm_fp8",
       kUnknown,
       {{"n and k", Bar{0.04, 0.15}}, {"m", {}}}},
      {"BF16 GEMM, H100 (TensorRT-LLM, cuBLASLt)",
       "h100",
       "aiconfigurator",
       "h100_gemm.csv",
       only({{"source", "trtllm-1.3.0rc20"}, {"dtype", "bfloat16"}}),
       "gemm_bf16",
       kUnknown,
       {{"n and k", {}}, {"m", {}}}},
      {"grouped FP8 GEMM, H800, prefill (InferSim)",
       "h800",
       "infersim",
       "h800_grouped_gemm_prefill.csv",
       only({}, rows_measured),
       "grouped_gemm_fp8",
       kDeepGemm,
       {{"experts", Bar{0.05, 0.18}}, {"rows", {}}}},
      {"grouped FP8 GEMM, H800, decode (InferSim): no counts per expert",
       "h800",
       "infersim",
       "h800_grouped_gemm_decode.csv",
       only({}, rows_measured),
       "grouped_gemm_fp8",
       kDeepGemm,
       {{"experts", {}}}},
      {"MLA decode, H800 (InferSim)",
       "h800",
       "infersim",
       "h800_mla_decode.csv",
       only({}, dense),
       "attention_decode",
       kUnknown,
       {{"shape", Bar{0.03, 0.13}}, {"batch", {}}}},
      {"MLA decode, H100, 128 heads (FlashAttention-3)",
       "h100",
       "aiconfigurator",
       "h100_mla_decode.csv",
       only({{"source", "sglang-0.5.14-fa3"}, {"kv", "bfloat16"}, {"heads", "128"}}),
       "attention_decode",
       kUnknown,
       {{"shape", Bar{0.03, 0.13}}, {"batch", {}}}},
      {"MLA decode, H100, 128 heads (TensorRT-LLM)",
       "h100",
       "aiconfigurator",
       "h100_mla_decode.csv",
       only({{"source", "trtllm-1.3.0rc20"}, {"kv", "bfloat16"}, {"heads", "128"}}),
       "attention_decode",
       kUnknown,
       {{"shape", Bar{0.03, 0.13}}, {"batch", {}}}},
      {"MLA decode, H100, 1 to 128 heads (FlashAttention-3)",
       "h100",
       "aiconfigurator",
       "h100_mla_decode.csv",
       only({{"source", "sglang-0.5.14-fa3"}, {"kv", "bfloat16"}}),
       "attention_decode",
       kUnknown,
       {{"shape", {}}}},
      {"MLA prefill, H100, 128 heads (TensorRT-LLM)",
       "h100",
       "aiconfigurator",
       "h100_mla_prefill.csv",
       only({{"source", "trtllm-1.3.0rc20"}, {"kv", "bfloat16"}, {"heads", "128"}}),
       "attention_forward",
       kUnknown,
       {{"shape", {}}, {"seq", {}}}},
      {"FP8 quantise, H100 (TensorRT-LLM)",
       "h100",
       "aiconfigurator",
       "h100_quant_fp8.csv",
       only({{"source", "trtllm-1.3.0rc20"}}),
       "cast",
       kUnknown,
       {{"bytes", {}}}},
      {"NCCL 2.29.2, one H100 node",
       "h100",
       "aiconfigurator",
       "h100_nccl_1node.csv",
       only({{"nccl", "2.29.2"}, {"dtype", "half"}}, node),
       "",
       kUnknown,
       {{"size", Bar{0.05, 0.16}}}},
      {"DeepEP low latency, H100",
       "h100",
       "aiconfigurator",
       "h100_deepep_ll.csv",
       only({}, node),
       "",
       kUnknown,
       {{"size", Bar{0.05, 0.10}}}},
  };
}

AccuracyRow row_of(const Table& table,
                   const std::pair<const char*, std::optional<Bar>>& shown,
                   const ErrorSummary& error) {
  AccuracyRow row;
  row.title = table.title;
  row.left_out = shown.first;
  row.error = error;
  if (shown.second) {
    row.median_bar = shown.second->median;
    row.p95_bar = shown.second->p95;
  }
  return row;
}

void add_kernel(const Table& table,
                const std::vector<const Point*>& points,
                const GpuSpec& gpu,
                int num_threads,
                std::vector<AccuracyRow>& rows) {
  FitOptions options;
  options.rule = table.rule;
  options.num_threads = num_threads;
  const KernelFit fit = fit_kernel(points, gpu, options);
  for (const auto& shown : table.shown) {
    AccuracyRow row = row_of(table, shown, {});
    for (const LeftOut& left : fit.left_out)
      if (left.what == shown.first) row.error = left.error;
    row.repeat_noise = fit.repeat_noise;
    rows.push_back(std::move(row));
  }
}

// One row an operation and geometry. An 8-rank all-to-all switches protocol back and forth between
// 64 KB and 1 MB: shown, nothing asked.
void add_groups(const Table& table,
                const std::vector<const Point*>& points,
                int num_threads,
                std::vector<AccuracyRow>& rows) {
  for (const SegmentFit& fit : fit_segments(points, num_threads)) {
    AccuracyRow row = row_of(table, table.shown.front(), fit.left_out);
    row.title += ": " + std::string(fit.of->op) + ", " + std::to_string(fit.ranks) + " ranks";
    row.repeat_noise = fit.repeat_noise;
    if (fit.of->op == "all_to_all" && fit.ranks == 8) row.median_bar = row.p95_bar = std::nullopt;
    rows.push_back(std::move(row));
  }
}

std::string percent(double fraction) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", 100 * fraction);
  return text.data();
}

}  // namespace

std::vector<AccuracyRow> accuracy(const fs::path& folder, const fs::path& gpus, int num_threads) {
  std::vector<AccuracyRow> rows;
  for (const Table& table : tables()) {
    const fs::path file = folder / table.file;
    if (!fs::is_regular_file(file)) {
      rows.push_back(row_of(table, table.shown.front(), {}));
      rows.back().skipped = true;
      continue;
    }
    const GpuSpec gpu = read_gpu_spec(read_json_file(gpus / (std::string(table.gpu) + ".json")));
    const ImportFormat* format = find_import_format(table.format);
    ENSURE(format != nullptr);
    const Imported imported = format->read(file, table.options, gpu);
    std::map<const Case*, std::vector<const Point*>> points;
    for (const Point& p : imported.points)
      if (p.flags.empty() && (std::string_view(table.op).empty() || p.of->op == table.op))
        points[p.of].push_back(&p);
    if (points.empty())
      for (const auto& shown : table.shown) rows.push_back(row_of(table, shown, {}));
    for (const Case* c : cases()) {
      if (!points.contains(c)) continue;
      if (c->form == Form::segments)
        add_groups(table, points.at(c), num_threads, rows);
      else
        add_kernel(table, points.at(c), gpu, num_threads, rows);
    }
  }
  return rows;
}

std::string accuracy_report(const std::vector<AccuracyRow>& rows) {
  std::string text =
      "| table | points | left out | median / p95 / max, % | asked | repeat noise, % |\n"
      "|---|---|---|---|---|---|\n";
  std::size_t num_missed = 0;
  for (const AccuracyRow& row : rows) {
    text += "| " + row.title + " | ";
    if (row.skipped) {
      text += "- | " + row.left_out + " | skipped: the table is not there | - | - |\n";
      continue;
    }
    if (!row.within()) ++num_missed;
    if (row.error.num_points == 0) {
      text += "0 | " + row.left_out + " | no points to leave out | " +
              (row.median_bar ? "missed" : "-") + " | - |\n";
      continue;
    }
    text += std::to_string(row.error.num_points) + " | " + row.left_out + " | " +
            percent(row.error.median) + " / " + percent(row.error.p95) + " / " +
            percent(row.error.max) + " | ";
    text += row.median_bar ? percent(*row.median_bar) + " / " + percent(*row.p95_bar) +
                                 (row.within() ? "" : ", missed")
                           : "-";
    text += " | ";
    text += row.repeat_noise
                ? percent(row.repeat_noise->median) + " / " + percent(row.repeat_noise->p95)
                : "-";
    text += " |\n";
  }
  return text + "\nRows that miss what was asked: " + std::to_string(num_missed) + ".\n";
}

}  // namespace moesim
