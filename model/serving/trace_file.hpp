// Request traces as they are published, checked row by row; gz and zst are read as they are.
//
//   "trace": {"file": "x.csv", "format": ..., "on_zero": "error", "sort": false,
//             "block_tokens": 512, "window": {"start": "0 s", "duration": "1 h"},
//             "time_scale": 1, "rate_scale": 1, "repeat": 1, "jitter": "0 s"}
//
// "format", recognised from the first line when it is left out:
//   azure     CSV, TIMESTAMP,ContextTokens,GeneratedTokens; dates with up to 100 ns. The first
//             row's time is the trace's zero (Azure LLM inference traces 2023, 2024).
//   burstgpt  CSV with the columns Timestamp (s), Request tokens, Response tokens, and others. Rows
//             without response tokens are requests that failed: "on_zero" is "drop" here.
//   mooncake  JSON lines: timestamp (ms), input_length, output_length, hash_ids: one a block of
//             block_tokens input tokens, the last one partly filled (512 in the published traces).
//             Their clock ticks every 3 s: "jitter": "3 s" spreads the arrivals.
//   aiperf    the same, and session_id, delay (ms): a row with a delay is sent so long after the
//             session's row before it was answered. Without hash_ids, input_length of a session's
//             later turns are new tokens behind all of the session's so far, as AIPerf replays it;
//             their blocks are made up here so that a prefix cache finds them.
//   vllm      JSON lines: prompt_len (or input_len) and output_len (or output_tokens), as the
//             benchmark's custom data sets; without times, so "arrivals" has to give them.
//
// Other columns and keys are skipped: the formats grow. Equal time stamps are legal, and rows that
// are equal altogether are requests of their own. Times that go back are refused unless "sort" is
// true. A request without input or output tokens is refused, or with "on_zero" left out ("drop") or
// given one token ("one"); both are counted.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/units.hpp"

namespace moesim {

enum class TraceFormat : std::uint8_t { azure, burstgpt, mooncake, aiperf, vllm };
inline constexpr std::array<const char*, 5> kTraceFormatNames = {
    "azure", "burstgpt", "mooncake", "aiperf", "vllm"};

enum class OnZero : std::uint8_t { error, drop, one };
inline constexpr std::array<const char*, 3> kOnZeroNames = {"error", "drop", "one"};

struct TraceOptions {
  std::optional<TraceFormat> format;
  std::optional<OnZero> on_zero;  // the format's own otherwise
  bool sort = false;
  std::int64_t block_tokens = 512;
};

struct TraceRow {
  Tick arrival = 0;  // or, with `waits`, the delay after the answer before it in the session
  std::int64_t row = 0;  // from 0
  std::int32_t input_tokens = 0, output_tokens = 0;
  std::int32_t session = -1;
  bool waits = false;
  std::uint64_t first_block = 0;  // in RequestTrace::blocks
  std::uint32_t num_blocks = 0;
};

struct RequestTrace {
  std::string file;
  TraceFormat format = TraceFormat::azure;
  std::vector<TraceRow> rows;  // as in the file, or sorted by time; `waits` only behind its session
  std::vector<std::uint32_t> blocks;
  std::int64_t block_tokens = 0;  // 0: no blocks
  std::uint32_t num_identities = 0;  // blocks are below it
  std::int64_t num_sessions = 0;
  bool has_times = false, has_waits = false;
  std::int64_t num_rows = 0;  // of the file
  std::int64_t zero_dropped = 0, zero_to_one = 0;
};

RequestTrace read_request_trace(const std::filesystem::path& path, const TraceOptions& options);

}  // namespace moesim
