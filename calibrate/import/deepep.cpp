// What the tests of DeepEP print (github.com/deepseek-ai/DeepEP, tests/test_intranode.py,
// test_internode.py, test_low_latency.py), in its variants of 2025:
//
//   [config] num_tokens=4096, hidden=7168, num_topk_groups=4, num_topk=8
//   [tuning] Best dispatch (FP8): SMs 24, NVL chunk 20, RDMA chunk 28: 30 + 1234 us, 51.2 GB/s
//   (RDMA), 102 GB/s (NVL)
//   [rank 3] Dispatch bandwidth: 39.05 GB/s, avg_t=192.69 us | Combine bandwidth: ...
//
// A collective ends with its slowest rank, so the point is the longest time that any rank printed.
// Times are those of the kernels; where a line has a part that announces counts ("30 + ..."), both
// count. Lines of the first versions have a rate alone: their time is the logical bytes, the own
// rank and node included, over that rate (deepep_bytes.hpp).
//
// Left out: BF16 dispatch, which is no operation here; the untuned lines; times of send and receive
// apart; the tests of DeepEP V2.
#include <algorithm>
#include <cmath>
#include <set>

#include "calibrate/import/deepep_bytes.hpp"
#include "calibrate/import/formats.hpp"
#include "calibrate/import/log_lines.hpp"
#include "calibrate/import/plain_number.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

// Figures of one printed result.
struct Printed {
  std::optional<double> sms, nvl_gb_per_s, rdma_gb_per_s, gb_per_s;
  std::vector<double> times_us;
  double total_us() const {
    double sum = 0;
    for (const double t : times_us) sum += t;
    return sum;
  }
};

// Numbers by the word before or after them: "SMs 24", "34 + 1234 us", "51.2 GB/s (RDMA)".
Printed printed_in(std::string_view text) {
  std::vector<std::string> line;
  for (std::string word : words(text)) {
    if (word.rfind("avg_t=", 0) == 0) word.erase(0, 6);
    while (!word.empty() && (word.back() == ',' || word.back() == ':')) word.pop_back();
    line.push_back(word);
  }
  Printed printed;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto value = plain_number(line[i]);
    if (!value) continue;
    const auto word = [&](std::size_t at) { return at < line.size() ? line[at] : std::string(); };
    if (i > 0 && line[i - 1] == "SMs") printed.sms = *value;
    if (word(i + 1) == "us" || word(i + 1) == "+") printed.times_us.push_back(*value);
    if (word(i + 1) != "GB/s") continue;
    (word(i + 2) == "(NVL)"    ? printed.nvl_gb_per_s
     : word(i + 2) == "(RDMA)" ? printed.rdma_gb_per_s
                               : printed.gb_per_s) = *value;
  }
  return printed;
}

class DeepepLog {
 public:
  DeepepLog(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu)
      : file_(one_line(file.string())), lines_(read_log(file)), options_(options), gpu_(gpu) {}
  Imported read();

 private:
  struct Slowest {
    Seconds time;
    std::string place;
    std::int64_t lines = 0;
  };
  void read_config(std::string_view text);
  void read_best(std::string_view op, std::string_view text);
  void read_rank(const std::string& text);
  Seconds normal_time(std::string_view op, const Printed& printed) const;
  Seconds low_latency_time(std::string_view op, const Printed& printed) const;
  void add_normal();
  void add_low_latency();
  std::int64_t value(const std::string& name) const;
  [[noreturn]] void fail(const std::string& why) const { throw InputError(place(), why); }
  std::string place() const { return file_ + ": line " + std::to_string(line_number_); }

  std::string file_;
  std::vector<LogLine> lines_;
  const ImportOptions& options_;
  const GpuSpec& gpu_;
  Imported imported_;
  std::int64_t line_number_ = 0;
  std::map<std::string, std::int64_t> config_;  // the latest, by the names that --set has
  // By operation, shape and SMs, in order of both.
  std::map<std::tuple<std::string, Shape, std::int64_t>, Slowest> normal_;
  // By operation, then rank: one time a run of the test.
  std::map<std::string, std::map<std::int64_t, std::vector<std::pair<Seconds, std::string>>>>
      low_latency_;
  std::size_t num_bf16_ = 0, num_from_rate_ = 0;
};

Imported DeepepLog::read() {
  for (const LogLine& line : lines_) {
    line_number_ = line.number;
    const std::string_view text = line.text;
    const auto after = [&](std::string_view mark) -> std::optional<std::string_view> {
      const std::size_t at = text.find(mark);
      if (at == std::string_view::npos) return std::nullopt;
      return text.substr(at + mark.size());
    };
    if (const auto rest = after("[config] "); rest) read_config(*rest);
    if (const auto rest = after("Best dispatch (FP8):"); rest) read_best("dispatch", *rest);
    if (const auto rest = after("Best combine:"); rest) read_best("combine", *rest);
    if (after("Best dispatch (BF16):")) ++num_bf16_;
    if (after("[rank ") && after("Dispatch bandwidth:")) read_rank(line.text);
  }
  add_normal();
  add_low_latency();
  imported_.details.emplace_back("statistic", "slowest rank printed; mean over repeats on a rank");
  if (num_bf16_ > 0)
    imported_.remarks.push_back(std::to_string(num_bf16_) +
                                " results of BF16 dispatch passed over: no operation for it");
  if (num_from_rate_ > 0)
    imported_.remarks.push_back(std::to_string(num_from_rate_) +
                                " times follow from a rate and the logical bytes");
  return std::move(imported_);
}

// "num_tokens=4096, hidden=7168, num_topk_groups=4, num_topk=8"
void DeepepLog::read_config(std::string_view text) {
  static const std::map<std::string, std::string> kNames = {{"num_tokens", "tokens"},
                                                            {"hidden", "hidden"},
                                                            {"num_topk_groups", "topk_groups"},
                                                            {"num_topk", "topk"},
                                                            {"num_experts", "experts"}};
  config_.clear();
  for (std::string word : words(text)) {
    if (!word.empty() && word.back() == ',') word.pop_back();
    const std::size_t equals = word.find('=');
    const auto name = kNames.find(word.substr(0, equals));
    if (equals == std::string::npos || name == kNames.end()) continue;
    const auto count = plain_integer(std::string_view(word).substr(equals + 1));
    if (!count || *count < 1) fail("expected a count, found " + in_quotes(word));
    config_[name->second] = *count;
  }
  for (const auto& [name, count] : config_)
    if (const auto given = options_.setting(name); given && *given != count)
      fail("says " + name + "=" + std::to_string(count) + "; --set says " + std::to_string(*given));
}

std::int64_t DeepepLog::value(const std::string& name) const {
  const auto it = config_.find(name);
  return it == config_.end() ? options_.required(name, file_) : it->second;
}

void DeepepLog::read_best(std::string_view op, std::string_view text) {
  const Printed printed = printed_in(text);
  if (!printed.sms || *printed.sms < 1 || *printed.sms > static_cast<double>(gpu_.num_sms))
    fail("expected \"SMs N\" with at most the " + std::to_string(gpu_.num_sms) + " of the GPU");
  if (!printed.nvl_gb_per_s && !printed.rdma_gb_per_s)
    fail("expected a rate in GB/s (NVL) or (RDMA)");
  const std::int64_t ranks = options_.required("ranks", file_),
                     per_node =
                         ranks_on_node(ranks, options_.required("ranks_per_node", file_), file_);
  if (printed.rdma_gb_per_s.has_value() != (ranks > per_node))
    fail(printed.rdma_gb_per_s ? "has an RDMA rate, but --set says one node"
                               : "has no RDMA rate, but --set says several nodes");
  const Shape shape = {ranks, per_node, value("tokens"), value("hidden"), value("topk")};
  const Seconds time = normal_time(op, printed);
  Slowest& slowest = normal_[{std::string(op), shape, static_cast<std::int64_t>(*printed.sms)}];
  if (slowest.lines++ == 0 || time > slowest.time) {
    slowest.time = time;
    slowest.place = place();
  }
}

// By the time printed, else by the rate over the network between nodes, within one over NVLink.
Seconds DeepepLog::normal_time(std::string_view op, const Printed& printed) const {
  const double row =
      op == "dispatch" ? fp8_row_bytes(value("hidden")) : bf16_row_bytes(value("hidden"));
  const bool know_experts = config_.contains("experts") || options_.setting("experts").has_value();
  if (!printed.times_us.empty() && !know_experts)
    return checked_time(printed.total_us(), us, "time", place());
  const std::int64_t ranks = *options_.setting("ranks"),
                     per_node = ranks_on_node(ranks, *options_.setting("ranks_per_node"), file_),
                     nodes = ranks / per_node;
  const auto groups = config_.contains("topk_groups") ? std::optional(config_.at("topk_groups"))
                                                      : options_.setting("topk_groups");
  if (nodes > 1 && !groups) options_.required("topk_groups", file_);
  const Visits visits = expected_visits(
      {value("experts"), ranks, nodes, value("topk"), groups.value_or(nodes)}, file_);
  const auto seconds_at = [&](double per_token, double gb_per_s) {
    return static_cast<double>(value("tokens")) * per_token * row / (gb_per_s * 1e9);
  };
  const double by_rate_us =
      1e6 * (printed.rdma_gb_per_s ? seconds_at(visits.nodes, *printed.rdma_gb_per_s)
                                   : seconds_at(visits.ranks, *printed.nvl_gb_per_s));
  // A tenth: routing of one rank against the mean, and rates with few digits.
  if (printed.rdma_gb_per_s && printed.nvl_gb_per_s) {
    const double by_nvl_us = 1e6 * seconds_at(visits.ranks, *printed.nvl_gb_per_s);
    if (std::abs(by_nvl_us / by_rate_us - 1) > 0.1)
      fail("the two rates mean " + number_text(std::round(by_rate_us)) + " us and " +
           number_text(std::round(by_nvl_us)) +
           " us for these tokens, experts, topk and ranks: one of the settings is wrong");
  }
  if (printed.times_us.empty()) return checked_time(by_rate_us, us, "time", place());
  const double transmit_us = *std::max_element(printed.times_us.begin(), printed.times_us.end());
  if (std::abs(transmit_us / by_rate_us - 1) > 0.1)
    fail("took " + number_text(transmit_us) + " us; its rate means " +
         number_text(std::round(by_rate_us)) +
         " us for these tokens, experts, topk and ranks: one of the settings is wrong");
  return checked_time(printed.total_us(), us, "time", place());
}

// "[rank 3] Dispatch bandwidth: X GB/s, avg_t=Y us | Combine bandwidth: X GB/s, avg_t=Y us"
void DeepepLog::read_rank(const std::string& text) {
  const std::size_t begin = text.find("[rank "), close = text.find(']', begin);
  if (text.find("[rank ", begin + 1) != std::string::npos) fail("two ranks wrote into this line");
  const auto rank =
      close == std::string::npos
          ? std::nullopt
          : plain_integer(std::string_view(text).substr(begin + 6, close - begin - 6));
  const std::size_t dispatch = text.find("Dispatch bandwidth:"),
                    combine = text.find("Combine bandwidth:");
  if (!rank || *rank < 0 || combine == std::string::npos || combine < dispatch)
    fail("expected \"[rank N] Dispatch bandwidth: ... | Combine bandwidth: ...\"");
  const std::string_view line = text;
  for (const auto& [op, part] :
       {std::pair("dispatch_low_latency", line.substr(dispatch, combine - dispatch)),
        std::pair("combine_low_latency", line.substr(combine))}) {
    const Printed printed = printed_in(part);
    if (!printed.gb_per_s || *printed.gb_per_s <= 0)
      fail("expected a bandwidth in GB/s for dispatch and for combine");
    if (printed.times_us.empty()) ++num_from_rate_;
    low_latency_[op][*rank].emplace_back(low_latency_time(op, printed), place());
  }
}

// The test masks up to ten choices of experts before it counts bytes.
Seconds DeepepLog::low_latency_time(std::string_view op, const Printed& printed) const {
  constexpr double kMasked = 10, kTolerance = 0.02;
  const double row = op == "dispatch_low_latency" ? low_latency_row_bytes(value("hidden"))
                                                  : bf16_row_bytes(value("hidden"));
  const double choices = static_cast<double>(value("tokens")) * static_cast<double>(value("topk"));
  const double rate = *printed.gb_per_s * 1e9, most = choices * row;
  if (printed.times_us.empty()) return checked_time(most / rate * 1e6, us, "time", place());
  const double time_us = printed.total_us(), bytes = rate * time_us * 1e-6;
  const double rounding = kTolerance + 0.0051 / *printed.gb_per_s;
  if (bytes > most * (1 + rounding) ||
      bytes < std::max(0.0, choices - kMasked) * row * (1 - rounding))
    fail(std::string(op) + " moved " + number_text(std::round(bytes)) +
         " bytes by its rate and time; " + number_text(choices) + " rows (tokens x topk) are " +
         number_text(most) + ": one of tokens, topk, hidden or a unit is wrong");
  return checked_time(time_us, us, "time", place());
}

void DeepepLog::add_normal() {
  for (const auto& [key, slowest] : normal_) {
    const auto& [op, shape, sms] = key;
    imported_.points.push_back(imported_point(op, shape, slowest.time, slowest.place));
    imported_.points.back().sms = sms;
    if (slowest.lines > 1)
      imported_.remarks.push_back("the slowest of " + std::to_string(slowest.lines) + " lines of " +
                                  op + " on " + std::to_string(sms) + " SMs");
  }
}

void DeepepLog::add_low_latency() {
  if (low_latency_.empty()) return;
  const std::int64_t ranks = options_.required("ranks", file_),
                     per_node =
                         ranks_on_node(ranks, options_.required("ranks_per_node", file_), file_);
  const Shape shape = {ranks, per_node, value("tokens"), value("hidden"), value("topk")};
  for (const auto& [op, by_rank] : low_latency_) {
    if (std::ssize(by_rank) != ranks || by_rank.rbegin()->first != ranks - 1)
      throw InputError(file_,
                       "has results of " + std::to_string(by_rank.size()) + " of " +
                           std::to_string(ranks) +
                           " ranks; the slowest may be missing: join the output of all nodes");
    const std::size_t runs = by_rank.begin()->second.size();
    for (const auto& [rank, times] : by_rank)
      if (times.size() != runs)
        throw InputError(file_,
                         "rank " + std::to_string(rank) + " has " + std::to_string(times.size()) +
                             " results and rank 0 has " + std::to_string(runs));
    for (std::size_t run = 0; run < runs; ++run) {
      const auto* slowest = &by_rank.begin()->second[run];
      for (const auto& [rank, times] : by_rank)
        if (times[run].first > slowest->first) slowest = &times[run];
      imported_.points.push_back(imported_point(op, shape, slowest->first, slowest->second));
    }
  }
}

Imported read_deepep(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu) {
  return DeepepLog(file, options, gpu).read();
}

}  // namespace

const ImportFormat kDeepepFormat = {
    "deepep",
    "output of DeepEP's tests: normal (best configurations) and low-latency",
    {"ranks", "ranks_per_node", "tokens", "hidden", "topk", "topk_groups", "experts"},
    false,
    false,
    false,
    read_deepep};

}  // namespace moesim
