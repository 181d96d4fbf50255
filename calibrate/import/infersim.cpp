// Tables in the form of InferSim (github.com/alibaba/InferSim, bench_data/): GEMM, grouped GEMM,
// MLA decode and prefill as CSV with a column "mfu" beside the time. Timed with 8 GB written
// between calls, so inputs come from HBM: Point::cold.
//
// The column "mfu" is checked, not imported: it is the only thing in the file that betrays a wrong
// unit. A grouped GEMM's rows are tokens_per_expert x num_local_experts, as the file says; its
// generator drew them around that mean (0.7 to 1.3 times, rounded down), and the mfu column was
// computed with the rows that were really there: where it has digits enough, mfu x time x peak /
// (2 n k) comes out whole. `--set rows_from_mfu=1` takes these. Without it only the order of
// magnitude is checked. Rows per expert remain unknown either way.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "calibrate/import/csv_table.hpp"
#include "calibrate/import/formats.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr double kCommonFactor = 1.5;  // every row off by more: a unit, the GPU or the heads
constexpr double kRowFactor = 0.1;     // one row off by more: flagged

std::string three_digits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

class InfersimTable {
 public:
  InfersimTable(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu)
      : table_(file),
        options_(options),
        gpu_(gpu),
        rows_from_mfu_(options.setting("rows_from_mfu").has_value()) {
    table_.keep(options.only);
  }

  Imported read();

 private:
  void read_gemm();
  void read_grouped_gemm();
  void read_decode();
  void read_prefill();
  void require_bf16(std::size_t row, std::string_view column) const;
  void add(std::size_t row,
           std::string_view op,
           Shape shape,
           const TimeColumn& time,
           const std::string& mfu,
           bool exact_rows);
  void check_mfu(std::size_t row, const std::string& column, bool exact_rows);
  void take_rows(Point& point, double ratio, double rounding);
  void refuse_common_factor() const;

  CsvTable table_;
  const ImportOptions& options_;
  const GpuSpec& gpu_;
  bool rows_from_mfu_;
  Imported imported_;
  std::vector<double> ratios_;
  std::vector<std::size_t> contradicting_;  // rows
  std::size_t nominal_rows_ = 0;
};

Imported InfersimTable::read() {
  std::string kind;
  // Told apart by a column that only one of them has.
  if (table_.has("tokens_per_expert")) {
    kind = "grouped_gemm", read_grouped_gemm();
  } else if (table_.has("kv_len")) {
    kind = "mla_decode", read_decode();
  } else if (table_.has("seq_len")) {
    kind = "mla_prefill", read_prefill();
  } else if (table_.has("n") || table_.has("m")) {
    kind = "gemm", read_gemm();
  } else {
    table_.fail(
        "is no InferSim table: expected a column \"n\" (GEMM), \"tokens_per_expert\" "
        "(grouped GEMM), \"kv_len\" (MLA decode) or \"seq_len\" (MLA prefill); found: " +
        joined(table_.columns()));
  }
  refuse_common_factor();
  imported_.details.emplace_back("table", kind);
  imported_.details.emplace_back("flush", "8 GB between calls, as InferSim describes its method");
  imported_.details.emplace_back("statistic", "as printed: one time a row");
  if (kind == "grouped_gemm")
    imported_.details.emplace_back("rows",
                                   rows_from_mfu_ ? "from mfu; counts unknown"
                                                  : "tokens_per_expert x num_local_experts; "
                                                    "counts unknown");
  if (nominal_rows_ > 0)
    imported_.remarks.push_back(std::to_string(nominal_rows_) +
                                " points keep tokens_per_expert x num_local_experts rows: their "
                                "mfu has too few digits or another meaning");
  if (!contradicting_.empty())
    imported_.remarks.push_back(std::to_string(contradicting_.size()) +
                                " rows contradict their own mfu by more than 10 % (kept, flag "
                                "\"contradicts_mfu\"), the first at " +
                                table_.place(contradicting_.front()));
  return std::move(imported_);
}

void InfersimTable::read_gemm() {
  table_.require({"m", "k", "n"});
  const TimeColumn time = time_column(table_, "latency");
  for (std::size_t i = 0; i < table_.size(); ++i)
    add(i,
        "gemm_fp8",
        {table_.integer(i, "m"), table_.integer(i, "n"), table_.integer(i, "k")},
        time,
        "mfu",
        true);
}

// Gate and up projection are one product with both their columns; down follows.
void InfersimTable::read_grouped_gemm() {
  table_.require({"num_local_experts", "tokens_per_expert", "hidden_size", "intermediate_size"});
  if (rows_from_mfu_) table_.require({"up_mfu", "down_mfu"});
  const TimeColumn up = time_column(table_, "up_proj"), down = time_column(table_, "down_proj");
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const std::int64_t groups = table_.integer(i, "num_local_experts", 1, 1 << 16),
                       rows = groups * table_.integer(i, "tokens_per_expert", 1, 1 << 24),
                       hidden = table_.integer(i, "hidden_size", 1, 1 << 24),
                       inner = table_.integer(i, "intermediate_size", 1, 1 << 24);
    add(i, "grouped_gemm_fp8", {groups, rows, 2 * inner, hidden}, up, "up_mfu", false);
    add(i, "grouped_gemm_fp8", {groups, rows, hidden, inner}, down, "down_mfu", false);
  }
}

void InfersimTable::read_decode() {
  table_.require({"batch_size"});
  const TimeColumn time = time_column(table_, "latency");
  const std::int64_t heads = options_.required("heads", table_.file());
  for (std::size_t i = 0; i < table_.size(); ++i) {
    for (const char* column : {"dtype", "kv_dtype"}) require_bf16(i, column);
    add(i,
        "attention_decode",
        {table_.integer(i, "batch_size"), table_.integer(i, "kv_len"), 1, heads},
        time,
        "mfu",
        true);
  }
}

void InfersimTable::read_prefill() {
  const TimeColumn time = time_column(table_, "latency");
  const std::int64_t heads = options_.required("heads", table_.file());
  const std::int64_t qk = options_.setting("qk_head_dim").value_or(192),
                     v = options_.setting("v_head_dim").value_or(128);
  imported_.details.emplace_back("qk_head_dim", qk);
  imported_.details.emplace_back("v_head_dim", v);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    require_bf16(i, "dtype");
    add(i,
        "attention_forward",
        {1, table_.integer(i, "seq_len"), 0, heads, qk, v},
        time,
        "mfu",
        true);
  }
}

// The operations of attention are in BF16, so other rows would pass for what they are not.
void InfersimTable::require_bf16(std::size_t row, std::string_view column) const {
  if (!table_.has(column)) return;
  const std::string& found = table_.text(row, column);
  if (found != "bf16" && found != "bfloat16")
    table_.fail(row,
                column,
                "the operation is in BF16, found " + in_quotes(found) +
                    "; --only chooses the rows to import");
}

void InfersimTable::add(std::size_t row,
                        std::string_view op,
                        Shape shape,
                        const TimeColumn& time,
                        const std::string& mfu,
                        bool exact_rows) {
  const std::string place = table_.place(row);
  const Seconds median = checked_time(table_.number(row, time.name), time.unit, time.name, place);
  Point point = imported_point(op, std::move(shape), median, place);
  point.cold = point.warm;
  point.warm.reset();
  imported_.points.push_back(std::move(point));
  if (table_.has(mfu)) check_mfu(row, mfu, exact_rows);
}

void InfersimTable::check_mfu(std::size_t row, const std::string& column, bool exact_rows) {
  const double stated = table_.number(row, column);
  const std::string& digits = table_.text(row, column);
  if (stated < 0) table_.fail(row, column, "expected a share of the peak, found " + digits);
  if (stated == 0) return;  // rounded away
  Point& point = imported_.points.back();
  const FlopRate peak =
      point.of->peak == Peak::fp8 && gpu_.peak_fp8 ? *gpu_.peak_fp8 : gpu_.peak_bf16;
  const Flop flops = point.of->work(point.shape, {}).flops;
  const double ratio = flops / point.timing().median / peak / stated;
  ratios_.push_back(ratio);
  const std::size_t dot = digits.find('.');
  const std::size_t decimals = dot == std::string::npos ? 0 : digits.size() - dot - 1;
  const double rounding = 0.5 * std::pow(10.0, -static_cast<double>(decimals)) / stated;
  if (exact_rows && std::abs(ratio - 1) > kRowFactor + rounding) {
    point.flags.emplace_back("contradicts_mfu");
    contradicting_.push_back(row);
  }
  if (!exact_rows && rows_from_mfu_) take_rows(point, ratio, rounding);
}

// `ratio` is the rows stated over the rows that mfu was computed with. They were drawn from 0.7 to
// 1.3 times the mean and rounded down, which takes half of them away at one an expert.
void InfersimTable::take_rows(Point& point, double ratio, double rounding) {
  constexpr double kMostRounding = 0.1, kFewest = 0.4, kMost = 1.5;
  const double share = 1 / ratio;
  if (rounding > kMostRounding || share < kFewest || share > kMost) {
    ++nominal_rows_;
    return;
  }
  const double rows = static_cast<double>(point.shape[1]) * share;
  point.shape[1] = std::max(std::int64_t{1}, static_cast<std::int64_t>(std::llround(rows)));
}

void InfersimTable::refuse_common_factor() const {
  if (ratios_.empty()) return;
  const auto [low, high] = std::minmax_element(ratios_.begin(), ratios_.end());
  if (*low<kCommonFactor&& * high> 1 / kCommonFactor) return;
  const std::string factor = *high < 2 * *low ? "about " + three_digits(std::sqrt(*low * *high))
                                              : three_digits(*low) + " to " + three_digits(*high);
  table_.fail(
      "every row's FLOPs over its time and the peak of the " + gpu_.name + " are " + factor +
      " times its mfu: the unit of a time or of mfu (a fraction), --gpu or --heads is wrong");
}

Imported read_infersim(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu) {
  return InfersimTable(file, options, gpu).read();
}

}  // namespace

const ImportFormat kInfersimFormat = {
    "infersim",
    "InferSim CSV: GEMM, grouped GEMM, MLA decode and prefill, with mfu",
    {"heads", "qk_head_dim", "v_head_dim", "rows_from_mfu"},
    false,
    true,
    false,
    read_infersim};

}  // namespace moesim
