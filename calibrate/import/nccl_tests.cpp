// What nccl-tests prints (github.com/NVIDIA/nccl-tests, src/util.cu): per test a header that names
// ranks and columns, then one row a size with time, algbw and busbw, out of place and in place.
// Columns are found by the header line, so that older output (no "root"; "error" for "#wrong") and
// newer (per-iteration columns) read alike. NCCL's debug lines may stand between.
//
// A row is believed when its three figures agree: algbw is size / time, busbw is algbw times the
// factor of doc/PERFORMANCE.md for this collective and number of ranks. Out of place is imported.
// The time is the mean over the program's iterations; its spread is not printed.
//
// Left out: in-place times, JSON and CSV reports of the newer versions, several groups at once
// (NCCL_TESTS_SPLIT).
#include <algorithm>
#include <cmath>
#include <set>

#include "calibrate/import/formats.hpp"
#include "calibrate/import/log_lines.hpp"
#include "calibrate/import/plain_number.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Collective {
  std::string_view program, op;
  double factor_n, factor_of;  // busbw / algbw is factor_n (n - 1) / n, or factor_of
};
constexpr Collective kCollectives[] = {{"all_reduce_perf", "all_reduce", 2, 0},
                                       {"all_gather_perf", "all_gather", 1, 0},
                                       {"reduce_scatter_perf", "reduce_scatter", 1, 0},
                                       {"alltoall_perf", "all_to_all", 1, 0},
                                       {"broadcast_perf", "broadcast", 0, 1}};

const Collective* find_program(std::string_view program) {
  for (const Collective& c : kCollectives)
    if (c.program == program) return &c;
  return nullptr;
}
const Collective* find_op(std::string_view op) {
  for (const Collective& c : kCollectives)
    if (c.op == op) return &c;
  return nullptr;
}

// Programs of nccl-tests that measure what is no operation here.
constexpr std::string_view kOthers[] = {"alltoallv_perf",
                                        "reduce_perf",
                                        "gather_perf",
                                        "scatter_perf",
                                        "sendrecv_perf",
                                        "hypercube_perf",
                                        "bisection_perf"};

// The program's name in a line: a word that ends in "_perf", after any path.
std::string program_in(std::string_view line) {
  const std::size_t end = line.find("_perf");
  if (end == std::string_view::npos) return {};
  std::size_t begin = end;
  while (begin > 0 &&
         (std::isalnum(static_cast<unsigned char>(line[begin - 1])) != 0 || line[begin - 1] == '_'))
    --begin;
  const std::string_view name = line.substr(begin, end + 5 - begin);
  const bool other = std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers);
  return other || find_program(name) != nullptr ? std::string(name) : std::string();
}

// The whole number that follows `key` in a line ("nGpus 8").
std::optional<std::int64_t> count_after(const std::vector<std::string>& line,
                                        std::string_view key) {
  const auto it = std::find(line.begin(), line.end(), key);
  if (it == line.end() || it + 1 == line.end()) return std::nullopt;
  return plain_integer(it[1]);
}

class NcclTestsLog {
 public:
  NcclTestsLog(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu)
      : file_(one_line(file.string())), lines_(read_log(file)), options_(options), gpu_(gpu) {}
  Imported read();

 private:
  void begin_test(const std::vector<std::string>& line);
  void read_rank(const std::string& text, const std::vector<std::string>& line);
  void read_header(const std::vector<std::string>& line);
  void read_units(const std::vector<std::string>& line) const;
  void read_row(const std::vector<std::string>& line);
  void check_row(double size, double time_us, double algbw, double busbw) const;
  const Collective& collective() const;
  void count_ranks();
  double number(const std::vector<std::string>& line, std::size_t column) const;
  [[noreturn]] void fail(const std::string& why) const { throw InputError(place(), why); }
  std::string place() const { return file_ + ": line " + std::to_string(line_number_); }

  std::string file_;
  std::vector<LogLine> lines_;
  const ImportOptions& options_;
  const GpuSpec& gpu_;
  Imported imported_;
  std::int64_t line_number_ = 0;

  // Of the test being read.
  std::string announced_, program_;  // named before the test began; its own
  std::map<std::int64_t, std::string> rank_to_host_;
  std::int64_t ranks_ = 0, ranks_per_node_ = 0;
  std::vector<std::string> header_;  // column names; empty before the table
  std::set<std::string> parameters_;
  std::size_t num_empty_ = 0, num_unchecked_ = 0;
};

Imported NcclTestsLog::read() {
  for (const LogLine& line : lines_) {
    line_number_ = line.number;
    const std::vector<std::string> text = words(line.text);
    if (text.empty()) continue;
    if (const std::string program = program_in(line.text); !program.empty()) announced_ = program;
    if (line.text.find("Avg bus bandwidth") != std::string::npos ||
        line.text.find("test concluded") != std::string::npos)
      announced_.clear();  // whatever was named so far is over
    const bool is_comment = text[0][0] == '#';
    const auto has = [&](const char* word) {
      return std::find(text.begin(), text.end(), word) != text.end();
    };
    if (is_comment && has("nThread")) {
      begin_test(text);
    } else if (is_comment && text.size() > 5 && text[1] == "Rank") {
      read_rank(line.text, text);
    } else if (is_comment && has("size") && has("count")) {
      read_header(text);
    } else if (is_comment && has("(B)") && has("(elements)")) {
      read_units(text);
    } else if (is_comment && line.text.find("Out of bounds values") != std::string::npos &&
               has("FAILED")) {
      fail("the program found wrong results; its times mean nothing");
    } else if (!header_.empty() && text.size() > 1 && plain_integer(text[0]) &&
               plain_integer(text[1])) {
      read_row(text);
    }
  }
  JsonValue parameters = JsonValue::array();
  for (const std::string& p : parameters_) parameters.push(p);
  imported_.details.emplace_back("parameters", std::move(parameters));
  imported_.details.emplace_back("statistic", "mean over the program's iterations, out of place");
  if (num_empty_ > 0)
    imported_.remarks.push_back(std::to_string(num_empty_) + " rows of 0 bytes passed over");
  if (num_unchecked_ > 0)
    imported_.remarks.push_back(std::to_string(num_unchecked_) +
                                " rows whose results the program did not check (N/A)");
  return std::move(imported_);
}

// "# nThread 1 nGpus 8 minBytes 8 ..." opens every test.
void NcclTestsLog::begin_test(const std::vector<std::string>& line) {
  rank_to_host_.clear();
  header_.clear();
  program_ = announced_;
  ranks_ = 0;
  std::string text;
  for (std::size_t i = 1; i < line.size(); ++i) text += (i > 1 ? " " : "") + line[i];
  parameters_.insert((program_.empty() ? "" : program_ + ": ") + text);
}

// "#  Rank  0 Group  0 Pid  5092 on hostname device  0 [0x21] NVIDIA H100 80GB HBM3"
void NcclTestsLog::read_rank(const std::string& text, const std::vector<std::string>& line) {
  const auto rank = plain_integer(line[2]);
  const auto on = std::find(line.begin(), line.end(), "on");
  if (!rank || on == line.end() || on + 1 == line.end())
    fail("expected \"# Rank N ... on HOST device N\", found " + in_quotes(text));
  if (const auto group = count_after(line, "Group"); group && *group != 0)
    fail("several groups communicate at once (group " + std::to_string(*group) +
         "); a point is of one that is alone");
  if (!rank_to_host_.emplace(*rank, on[1]).second)
    fail("rank " + std::to_string(*rank) +
         " appears twice: the program ran without MPI, as several jobs of their own");
  if (const std::size_t end = text.find(']'); end != std::string::npos)
    check_device(text.substr(end + 1), gpu_, place());
}

void NcclTestsLog::read_header(const std::vector<std::string>& line) {
  header_.assign(line.begin() + 1, line.end());
  if (program_.empty()) program_ = announced_;
  const auto column = [&](const char* name) {
    return std::find(header_.begin(), header_.end(), name);
  };
  if (column("cputime") != header_.end())
    fail("the column is cputime, the host's time (-C); expected time");
  const auto time = column("time");
  if (header_[0] != "size" || time == header_.end() || header_.end() - time < 4 ||
      time[1] != "algbw" || time[2] != "busbw" || (time[3] != "#wrong" && time[3] != "error"))
    fail("expected the columns size count type ... time algbw busbw #wrong (or error)");
  count_ranks();
}

void NcclTestsLog::read_units(const std::vector<std::string>& line) const {
  const auto has = [&](const char* word) {
    return std::find(line.begin(), line.end(), word) != line.end();
  };
  if (!has("(us)") || has("(ms)") || !has("(GB/s)"))
    fail("expected times in (us) and bandwidths in (GB/s)");
}

// Ranks by the lines of the file, or, where it has none, by --set.
void NcclTestsLog::count_ranks() {
  const auto given = options_.setting("ranks"), given_per_node = options_.setting("ranks_per_node");
  if (rank_to_host_.empty()) {
    ranks_ = options_.required("ranks", file_);
    ranks_per_node_ = ranks_on_node(ranks_, options_.required("ranks_per_node", file_), place());
    return;
  }
  ranks_ = std::ssize(rank_to_host_);
  if (rank_to_host_.begin()->first != 0 || rank_to_host_.rbegin()->first != ranks_ - 1)
    fail("lines of some ranks are missing: " + std::to_string(ranks_) +
         " lines, the last of rank " + std::to_string(rank_to_host_.rbegin()->first));
  std::map<std::string, std::int64_t> host_to_ranks;
  for (const auto& [rank, host] : rank_to_host_) ++host_to_ranks[host];
  ranks_per_node_ = host_to_ranks.begin()->second;
  for (const auto& [host, n] : host_to_ranks)
    if (n != ranks_per_node_)
      fail("hosts have different numbers of ranks: " + std::to_string(ranks_per_node_) + " on " +
           host_to_ranks.begin()->first + " and " + std::to_string(n) + " on " + host);
  if ((given && *given != ranks_) ||
      (given_per_node && std::min(*given_per_node, ranks_) != ranks_per_node_))
    fail("the file lists " + std::to_string(ranks_) + " ranks, " + std::to_string(ranks_per_node_) +
         " a host; --set says otherwise");
}

const Collective& NcclTestsLog::collective() const {
  std::string known;
  for (const Collective& c : kCollectives) known += (known.empty() ? "" : ", ") + std::string(c.op);
  if (program_.empty()) {
    if (options_.op.empty())
      throw InputError(file_, "does not name its program; expected --op with one of " + known);
    const Collective* const given = find_op(options_.op);
    if (given == nullptr)
      throw InputError("--op " + options_.op, "is no collective; expected one of " + known);
    return *given;
  }
  const Collective* const found = find_program(program_);
  if (found == nullptr)
    fail("there is no operation for " + in_quotes(program_) + "; known: " + known);
  if (!options_.op.empty() && options_.op != found->op)
    fail("is a row of " + program_ + "; --op says " + options_.op);
  return *found;
}

double NcclTestsLog::number(const std::vector<std::string>& line, std::size_t column) const {
  const auto value = plain_number(line[column]);
  if (!value)
    fail("expected a number, found " + in_quotes(line[column]) +
         ": the row is cut off or mixed with other output");
  return *value;
}

void NcclTestsLog::read_row(const std::vector<std::string>& line) {
  const Collective& of = collective();
  const auto time_column =
      static_cast<std::size_t>(std::find(header_.begin(), header_.end(), "time") - header_.begin());
  const bool stamped = header_.back() == "timestamp";  // a date and a time of day
  const std::size_t expected = header_.size() + (stamped ? 1 : 0);
  // Collectives without a reduction or root left its column blank in older versions.
  const std::size_t may_lack = time_column > 3 ? time_column - 3 : 0;
  if (line.size() > expected || line.size() + may_lack < expected)
    fail("has " + std::to_string(line.size()) + " fields; expected " + std::to_string(expected) +
         " as in the header: the row is cut off or mixed with other output");
  const std::size_t at = time_column - (expected - line.size());
  const double size = number(line, 0);
  if (size < 0) fail("size is negative");
  if (size == 0) {  // too few bytes to give every rank one
    ++num_empty_;
    return;
  }
  const double time_us = number(line, at);
  if (line[at + 3] == "N/A") {
    ++num_unchecked_;
  } else if (const double wrong = number(line, at + 3); header_[time_column + 3] == "#wrong") {
    if (wrong != 0) fail(line[at + 3] + " results are wrong (#wrong); the time means nothing");
  }
  if (ranks_ < 2) fail("one rank alone communicates with nobody");
  const Seconds time = checked_time(time_us, us, "time", place());
  check_row(size, time_us, number(line, at + 1), number(line, at + 2));
  imported_.points.push_back(imported_point(
      of.op, {ranks_, ranks_per_node_, static_cast<std::int64_t>(size)}, time, place()));
}

// Figures are printed with two decimals or three digits, whichever is less.
void NcclTestsLog::check_row(double size, double time_us, double algbw, double busbw) const {
  const double kDecimals = 0.0051, kDigits = 0.01;
  const double from_time = size / time_us / 1e3;
  if (std::abs(from_time - algbw) > kDecimals + kDigits * std::max(from_time, algbw))
    fail("algbw " + number_text(algbw) + " GB/s is not " + number_text(size) + " bytes in " +
         number_text(time_us) + " us: a column or its unit is wrong");
  const Collective& of = collective();
  const auto n = static_cast<double>(ranks_);
  const double factor = of.factor_n * (n - 1) / n + of.factor_of;
  if (std::abs(factor * algbw - busbw) > kDecimals * (1 + factor) + kDigits * busbw)
    fail("busbw " + number_text(busbw) + " GB/s is not " + number_text(factor) + " x algbw " +
         number_text(algbw) + ", as for " + std::string(of.op) + " of " + std::to_string(ranks_) +
         " ranks: the operation, the ranks or a column is wrong");
}

Imported read_nccl_tests(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu) {
  return NcclTestsLog(file, options, gpu).read();
}

}  // namespace

const ImportFormat kNcclTestsFormat = {"nccl-tests",
                                       "text output of nccl-tests, out of place",
                                       {"ranks", "ranks_per_node"},
                                       true,
                                       false,
                                       false,
                                       read_nccl_tests};

}  // namespace moesim
