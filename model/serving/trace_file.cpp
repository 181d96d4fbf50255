#include "model/serving/trace_file.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "model/compressed_bytes.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"
#include "model/serving/date_time.hpp"
#include "model/serving/trace_fields.hpp"

namespace moesim {
namespace {

constexpr Tick kSecond = 1'000'000'000'000, kMillisecond = 1'000'000'000;

// A row as the file has it.
struct Record {
  std::optional<Tick> time, delay;
  std::int32_t input = 0, output = 0;
  std::string session;  // empty: none
};

// The names that messages use.
struct Names {
  std::string time, input, output;
};

class TraceBuilder {
 public:
  TraceBuilder(const LineReader& reader, RequestTrace& trace, OnZero on_zero, bool sort)
      : reader_(reader), trace_(trace), on_zero_(on_zero), sorts_(sort) {}

  Names names;
  std::vector<std::int64_t> hashes;  // of the record to come; taken by add()

  void add(const Record& record) {
    TraceRow row;
    row.row = trace_.num_rows++;
    row.input_tokens = record.input;
    row.output_tokens = record.output;
    Session* const session = record.session.empty() ? nullptr : &sessions_[record.session];
    if (session != nullptr) {
      if (session->id < 0) session->id = static_cast<std::int32_t>(trace_.num_sessions++);
      row.session = session->id;
    }
    set_time(record, session, row);
    if (!keeps(row)) {
      if (session != nullptr && !row.waits) session->dropped_at = row.arrival;
      return;
    }
    add_blocks(row);
    if (session != nullptr) session->has_row = true;
    trace_.has_waits |= row.waits;
    trace_.rows.push_back(row);
  }

  void finish() {
    if (trace_.rows.empty()) {
      throw InputError(reader_.file(), trace_.num_rows == 0 ? "has no requests"
                                                            : "has no request with tokens");
    }
    name_blocks();
    if (trace_.num_sessions > 0 && trace_.blocks.empty()) extend_sessions();
    if (trace_.blocks.empty()) trace_.block_tokens = 0;
    if (sorts_) sort_rows();
  }

 private:
  struct Session {
    std::int32_t id = -1;
    bool has_row = false;
    std::optional<Tick> dropped_at;  // when its first row would have arrived
  };

  void set_time(const Record& record, const Session* session, TraceRow& row) {
    const bool is_later = session != nullptr && (session->has_row || session->dropped_at);
    if (record.time) {
      if (trace_.num_rows > 1 && !trace_.has_times) {
        reader_.fail(names.time + ": the rows before have none");
      }
      trace_.has_times = true;
      row.arrival = *record.time;
      if (row.arrival < last_time_ && !sorts_) {
        reader_.fail(names.time + " is before that of line " + std::to_string(last_line_) +
                     "; \"sort\": true sorts the rows");
      }
      last_time_ = row.arrival;
      last_line_ = reader_.line();
      return;
    }
    if (record.delay && !is_later) {
      reader_.fail("delay: there is no earlier row of the session to wait for");
    }
    if (is_later && (record.delay || trace_.has_times)) {
      row.waits = session->has_row;
      row.arrival = record.delay.value_or(0);
      if (!session->has_row) row.arrival += *session->dropped_at;
      return;
    }
    if (trace_.has_times) reader_.fail(names.time + " is missing");
  }

  // What becomes of a row without input or output.
  bool keeps(TraceRow& row) {
    if (row.input_tokens > 0 && row.output_tokens > 0) return true;
    if (on_zero_ == OnZero::error) {
      reader_.fail((row.input_tokens == 0 ? names.input : names.output) +
                   " is 0; \"on_zero\": \"drop\" leaves such rows out, \"one\" serves one token");
    }
    if (on_zero_ == OnZero::drop) {
      ++trace_.zero_dropped;
      return false;
    }
    ++trace_.zero_to_one;
    row.input_tokens = std::max(row.input_tokens, 1);
    row.output_tokens = std::max(row.output_tokens, 1);
    return true;
  }

  void add_blocks(TraceRow& row) {
    if (hashes.empty()) return;
    const std::int64_t expected = (row.input_tokens + trace_.block_tokens - 1) / trace_.block_tokens;
    if (static_cast<std::int64_t>(hashes.size()) != expected) {
      reader_.fail("hash_ids: " + std::to_string(row.input_tokens) + " input tokens are " +
                   std::to_string(expected) + " blocks of " + std::to_string(trace_.block_tokens) +
                   ", found " + std::to_string(hashes.size()) +
                   "; \"block_tokens\" sets the size");
    }
    row.first_block = all_hashes_.size();
    row.num_blocks = static_cast<std::uint32_t>(hashes.size());
    all_hashes_.insert(all_hashes_.end(), hashes.begin(), hashes.end());
  }

  // Rows that wait go behind: their times are delays. The earliest row's time becomes the zero where
  // the first row's was.
  void sort_rows() {
    std::stable_sort(trace_.rows.begin(), trace_.rows.end(),
                     [](const TraceRow& a, const TraceRow& b) {
                       if (a.waits || b.waits) return !a.waits && b.waits;
                       return a.arrival < b.arrival;
                     });
    const Tick first = std::min<Tick>(0, trace_.rows.front().arrival);
    for (TraceRow& row : trace_.rows) {
      if (!row.waits) row.arrival -= first;
    }
  }

  // Hashes as 32-bit identities: as they are where they fit, numbered otherwise.
  void name_blocks() {
    if (all_hashes_.empty()) return;
    const std::int64_t largest = *std::max_element(all_hashes_.begin(), all_hashes_.end());
    trace_.blocks.reserve(all_hashes_.size());
    if (largest < std::numeric_limits<std::uint32_t>::max()) {
      for (const std::int64_t hash : all_hashes_) {
        trace_.blocks.push_back(static_cast<std::uint32_t>(hash));
      }
      trace_.num_identities = static_cast<std::uint32_t>(largest + 1);
      return;
    }
    std::unordered_map<std::int64_t, std::uint32_t> numbers;
    for (const std::int64_t hash : all_hashes_) {
      const auto next = static_cast<std::uint32_t>(numbers.size());
      trace_.blocks.push_back(numbers.try_emplace(hash, next).first->second);
    }
    trace_.num_identities = static_cast<std::uint32_t>(numbers.size());
  }

  // Sessions without hashes: each turn's input is all of the session so far and its own tokens.
  void extend_sessions() {
    struct State {
      std::int64_t input = 0, context = 0;
      std::vector<std::uint32_t> blocks;
    };
    std::vector<State> states(static_cast<std::size_t>(trace_.num_sessions));
    for (TraceRow& row : trace_.rows) {
      if (row.session < 0) continue;
      State& state = states[static_cast<std::size_t>(row.session)];
      const std::int64_t input = state.context + row.input_tokens;
      if (input + row.output_tokens > std::numeric_limits<std::int32_t>::max()) {
        throw InputError(reader_.file(), "row " + std::to_string(row.row) +
                                             " (from 0): its session's context is longer than "
                                             "2^31 tokens");
      }
      state.blocks.resize(static_cast<std::size_t>(state.input / trace_.block_tokens));
      while (static_cast<std::int64_t>(state.blocks.size()) * trace_.block_tokens < input) {
        state.blocks.push_back(trace_.num_identities++);
      }
      row.input_tokens = static_cast<std::int32_t>(input);
      row.first_block = trace_.blocks.size();
      row.num_blocks = static_cast<std::uint32_t>(state.blocks.size());
      trace_.blocks.insert(trace_.blocks.end(), state.blocks.begin(), state.blocks.end());
      state.input = input;
      state.context = input + row.output_tokens;
    }
  }

  const LineReader& reader_;
  RequestTrace& trace_;
  OnZero on_zero_;
  bool sorts_;
  Tick last_time_ = 0;
  std::int64_t last_line_ = 0;
  std::unordered_map<std::string, Session> sessions_;
  std::vector<std::int64_t> all_hashes_;
};

// CSV: which columns of the header are which.
struct Columns {
  std::size_t time = 0, input = 0, output = 0, count = 0;
};

std::size_t column(const LineReader& reader,
                   const std::vector<std::string_view>& header,
                   const std::string& name) {
  const auto at = std::find(header.begin(), header.end(), name);
  if (at == header.end()) reader.fail("column " + in_quotes(name) + " is missing");
  if (std::find(at + 1, header.end(), name) != header.end()) {
    reader.fail("column " + in_quotes(name) + " appears twice");
  }
  return static_cast<std::size_t>(at - header.begin());
}

void read_csv(LineReader& reader, TraceFormat format, TraceBuilder& builder) {
  std::vector<std::string_view> words;
  split_row(reader.rest(), words);
  const bool is_azure = format == TraceFormat::azure;
  builder.names = is_azure ? Names{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}
                           : Names{"Timestamp", "Request tokens", "Response tokens"};
  const Names& names = builder.names;
  const Columns columns{column(reader, words, names.time), column(reader, words, names.input),
                        column(reader, words, names.output), words.size()};
  std::optional<DateTime> zero;
  while (reader.next()) {
    if (reader.rest().empty()) continue;
    split_row(reader.rest(), words);
    if (words.size() != columns.count) {
      reader.fail("expected " + std::to_string(columns.count) + " columns, found " +
                  std::to_string(words.size()));
    }
    Record record;
    if (is_azure) {
      const DateTime time = date_time_of(reader, names.time, words[columns.time]);
      if (!zero) zero = time;
      record.time = ticks_between(reader, names.time, *zero, time);
    } else {
      record.time = tick_of(reader, names.time, words[columns.time], kSecond);
    }
    record.input = tokens_of(reader, names.input, words[columns.input]);
    record.output = tokens_of(reader, names.output, words[columns.output]);
    builder.add(record);
  }
}

// One object into `record` and the builder's hashes; which of the keys were there.
struct Seen {
  bool input = false, output = false;
};

void take_once(const LineReader& reader, const std::string& key, bool& seen) {
  if (seen) reader.fail(key + ": the length is given twice");
  seen = true;
}

void read_object(const LineReader& reader, bool has_sessions, Record& record, TraceBuilder& builder) {
  JsonLine line(reader);
  Seen seen;
  std::string key;
  while (line.next_key(key)) {
    if (line.is_null()) continue;
    if (key == "timestamp") {
      record.time = tick_of(reader, key, line.number(), kMillisecond);
    } else if (key == "input_length" || key == "prompt_len" || key == "input_len") {
      take_once(reader, key, seen.input);
      record.input = tokens_of(reader, key, line.number());
    } else if (key == "output_length" || key == "output_len" || key == "output_tokens") {
      take_once(reader, key, seen.output);
      record.output = tokens_of(reader, key, line.number());
    } else if (key == "hash_ids") {
      line.numbers(builder.hashes);
    } else if (key == "session_id" && has_sessions) {
      record.session = line.word();
      if (record.session.empty()) reader.fail("session_id: is empty");
    } else if (key == "delay" && has_sessions) {
      record.delay = tick_of(reader, key, line.number(), kMillisecond);
    } else {
      line.skip();
    }
  }
  if (!seen.input) reader.fail(builder.names.input + " is missing; texts are not tokenised here");
  if (!seen.output) reader.fail(builder.names.output + " is missing");
  if (record.time && record.delay) record.delay.reset();  // AIPerf's fixed schedule: times win
}

void read_json_lines(LineReader& reader, TraceFormat format, TraceBuilder& builder) {
  builder.names = format == TraceFormat::vllm ? Names{"timestamp", "prompt_len", "output_len"}
                                              : Names{"timestamp", "input_length", "output_length"};
  do {
    if (reader.rest().empty()) continue;
    Record record;
    builder.hashes.clear();
    read_object(reader, format == TraceFormat::aiperf, record, builder);
    if (format == TraceFormat::mooncake && !record.time) reader.fail("timestamp is missing");
    builder.add(record);
  } while (reader.next());
}

TraceFormat recognised(const LineReader& reader) {
  const std::string_view line = reader.rest();
  const auto has = [&](std::string_view text) { return line.find(text) != std::string_view::npos; };
  if (!line.empty() && line.front() == '{') {
    if (has("\"prompt_len\"") || has("\"input_len\"")) return TraceFormat::vllm;
    if (!has("\"timestamp\"") || has("\"session_id\"")) return TraceFormat::aiperf;
    return TraceFormat::mooncake;
  }
  if (has("ContextTokens")) return TraceFormat::azure;
  if (has("Request tokens")) return TraceFormat::burstgpt;
  reader.fail("is not a request trace that is known: expected a header with ContextTokens or "
              "Request tokens, or JSON lines, found " +
              in_quotes(std::string(line.substr(0, kMaxQuoted))));
}

}  // namespace

RequestTrace read_request_trace(const std::filesystem::path& path, const TraceOptions& options) {
  LineReader reader(path, read_unpacked(path));
  reader.next();
  RequestTrace trace;
  trace.file = reader.file();
  trace.format = options.format ? *options.format : recognised(reader);
  trace.block_tokens = options.block_tokens;
  const bool is_burst = trace.format == TraceFormat::burstgpt;
  const OnZero on_zero = options.on_zero.value_or(is_burst ? OnZero::drop : OnZero::error);
  TraceBuilder builder(reader, trace, on_zero, options.sort);
  if (is_burst || trace.format == TraceFormat::azure) {
    read_csv(reader, trace.format, builder);
  } else {
    read_json_lines(reader, trace.format, builder);
  }
  builder.finish();
  return trace;
}

}  // namespace moesim
