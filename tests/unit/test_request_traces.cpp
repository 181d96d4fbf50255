// Request traces: what each format becomes, one clear line for what is refused, real traces counted.
#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "model/compressed_bytes.hpp"
#include "model/serving/request_spec.hpp"
#include "model/serving/trace_file.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

const std::string kAzure = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
const std::string kBurst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";
constexpr Tick kSecond = 1'000'000'000'000;

RequestTrace read(const std::string& text, const TraceOptions& options = {}) {
  const TemporaryFolder folder;
  return read_request_trace(folder.add_file("x.csv", text), options);
}

// The message without the folder's name.
std::string refused(const std::string& text, const TraceOptions& options = {}) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.add_file("x.csv", text);
  const std::string message = refusal([&] { read_request_trace(path, options); });
  const std::string prefix = folder.path().string() + "/";
  return message.rfind(prefix, 0) == 0 ? message.substr(prefix.size()) : message;
}

// "arrival_s:input/output" of all requests that a source hands out, none of which waits.
std::string played(const std::string& file_text, const std::string& settings) {
  const TemporaryFolder folder;
  folder.add_file("x.csv", file_text);
  const JsonNode node = parse_json(R"({"trace": {"file": "x.csv")" + settings, "s.json");
  const auto source = make_source(read_requests(node, folder.path()), 1);
  std::string text;
  while (source->next_arrival()) {
    const Request r = source->take();
    text += std::to_string(r.arrival / kSecond) + ":" + std::to_string(r.input_tokens) + "/" +
            std::to_string(r.output_tokens) + " ";
  }
  return text;
}

std::string play_refused(const std::string& file_text, const std::string& settings) {
  const TemporaryFolder folder;
  folder.add_file("x.csv", file_text);
  const JsonNode node = parse_json(R"({"trace": {"file": "x.csv")" + settings, "s.json");
  std::string message =
      refusal([&] { make_source(read_requests(node, folder.path()), 1); });
  const std::size_t at = message.find(folder.path().string() + "/");
  if (at != std::string::npos) message.erase(at, folder.path().string().size() + 1);
  return message;
}

}  // namespace

TEST_CASE("Azure: the first row is the zero, times to 100 ns, equal rows kept", "[requests]") {
  const RequestTrace trace = read(kAzure +
                                  "2023-11-16 23:59:59.9000000,374,44\r\n"
                                  "2023-11-17 00:00:00.0000001,10,20\n"
                                  "2023-11-17 00:00:00.0000001,10,20\n"
                                  "\n"
                                  "2023-11-17T01:30:01+01:30,1,2");
  CHECK(trace.format == TraceFormat::azure);
  REQUIRE(trace.rows.size() == 4);
  CHECK(trace.rows[0].arrival == 0);
  CHECK(trace.rows[1].arrival == 100'000'100'000);
  CHECK(trace.rows[2].arrival == trace.rows[1].arrival);
  CHECK(trace.rows[3].arrival == kSecond + kSecond / 10);
  CHECK(trace.rows[3].input_tokens == 1);
  CHECK(trace.rows[3].output_tokens == 2);
  CHECK(trace.rows[3].row == 3);
  CHECK(trace.block_tokens == 0);
  // A leap day between: 2024-02-28 to 2024-03-01 are two days.
  CHECK(read(kAzure + "2024-02-28 00:00:00,1,1\n2024-03-01 00:00:00,1,1\n").rows[1].arrival ==
        172800 * kSecond);
}

TEST_CASE("BurstGPT: columns by name, failures dropped and counted", "[requests]") {
  const std::string text = kBurst +
                           "5,ChatGPT,472,18,490,Conversation log\n"
                           "45.5,ChatGPT,1087,0,1087,API log\n"
                           "118,GPT-4,417,276,693,Conversation log\n";
  const RequestTrace trace = read(text);
  CHECK(trace.format == TraceFormat::burstgpt);
  REQUIRE(trace.rows.size() == 2);
  CHECK(trace.num_rows == 3);
  CHECK(trace.zero_dropped == 1);
  CHECK(trace.rows[0].arrival == 5 * kSecond);
  CHECK(trace.rows[1].row == 2);
  CHECK(read(text, {{}, OnZero::one}).rows[1].output_tokens == 1);
  CHECK(read(text, {{}, OnZero::one}).zero_to_one == 1);
  CHECK(refused(text, {{}, OnZero::error}) ==
        "x.csv: line 3: Response tokens is 0; \"on_zero\": \"drop\" leaves such rows out, \"one\" "
        "serves one token");
  // The second release has more columns.
  const RequestTrace second = read("Timestamp,Session ID,Elapsed time,Model,Request tokens,"
                                   "Response tokens,Total tokens,Log Type\n"
                                   "1,a,2.5,GPT-4,7,8,15,Conversation log\n");
  CHECK(second.rows[0].input_tokens == 7);
  CHECK(second.rows[0].output_tokens == 8);
}

TEST_CASE("Mooncake and vLLM lines: blocks, other keys skipped", "[requests]") {
  const RequestTrace trace =
      read("{\"timestamp\": 0, \"input_length\": 1025, \"output_length\": 5, \"hash_ids\": [7, 8, "
           "9]}\n"
           "{\"input_length\":3,\"timestamp\":3000.5,\"x\":{\"a\":[1,\"]}\"]},\"output_length\":1,"
           "\"y\":null,\"hash_ids\":[7]}\n");
  CHECK(trace.format == TraceFormat::mooncake);
  REQUIRE(trace.rows.size() == 2);
  CHECK(trace.rows[1].arrival == 3 * kSecond + kSecond / 2000);
  CHECK(trace.blocks == std::vector<std::uint32_t>{7, 8, 9, 7});
  CHECK(trace.rows[1].first_block == 3);
  CHECK(trace.num_identities == 10);
  CHECK(trace.block_tokens == 512);
  // Hashes that are wider than 32 bits are numbered.
  const RequestTrace wide =
      read("{\"timestamp\": 0, \"input_length\": 20, \"output_length\": 5, \"hash_ids\": "
           "[9000000000000000000, 5]}\n"
           "{\"timestamp\": 0, \"input_length\": 2, \"output_length\": 5, \"hash_ids\": [5]}\n",
           {{}, {}, false, 16});
  CHECK(wide.blocks == std::vector<std::uint32_t>{0, 1, 1});
  CHECK(wide.num_identities == 2);

  const RequestTrace lengths = read("{\"prompt\": \"a \\\" b\", \"prompt_len\": 3, \"output_len\": 4}\n");
  CHECK(lengths.format == TraceFormat::vllm);
  CHECK_FALSE(lengths.has_times);
  CHECK(lengths.rows[0].output_tokens == 4);
}

TEST_CASE("AIPerf sessions: later turns wait and carry what was said before", "[requests]") {
  const std::string text =
      "{\"session_id\": \"a\", \"timestamp\": 0, \"input_length\": 20, \"output_length\": 10}\n"
      "{\"session_id\": \"b\", \"timestamp\": 1000, \"input_length\": 5, \"output_length\": 5}\n"
      "{\"session_id\": \"a\", \"delay\": 2000, \"input_length\": 4, \"output_length\": 6}\n"
      "{\"session_id\": \"a\", \"delay\": 500, \"input_length\": 1, \"output_length\": 1}\n";
  const TemporaryFolder folder;
  folder.add_file("x.jsonl", text);
  const JsonNode node =
      parse_json(R"({"trace": {"file": "x.jsonl", "block_tokens": 16, "repeat": 2}})", "s.json");
  const auto source = make_source(read_requests(node, folder.path()), 1);
  CHECK(source->block_tokens() == 16);
  const Request first = source->take(), other = source->take();
  CHECK(first.session == 0);
  CHECK(first.blocks.size() == 2);
  CHECK(other.arrival == kSecond);
  // The repetition comes one mean gap after the last row with a time, with sessions of its own.
  CHECK(source->next_arrival() == 2 * kSecond);
  source->finished(first, kSecond);
  CHECK(source->next_arrival() == 2 * kSecond);
  const Request again = source->take();
  CHECK(again.session == 2);
  CHECK(again.blocks[0] != first.blocks[0]);
  source->take();
  const Request second = source->take();
  CHECK(second.arrival == 3 * kSecond);
  CHECK(second.session == 0);
  CHECK(second.input_tokens == 34);
  REQUIRE(second.blocks.size() == 3);
  CHECK(second.blocks[0] == first.blocks[0]);  // full: the same
  CHECK(second.blocks[1] != first.blocks[1]);  // was partly filled
  CHECK_FALSE(source->next_arrival());
  source->finished(second, 10 * kSecond);
  CHECK(source->next_arrival() == 10 * kSecond + kSecond / 2);
  const Request third = source->take();
  CHECK(third.input_tokens == 41);
  CHECK(third.blocks[1] == second.blocks[1]);
  CHECK(source->counts().read == 6);  // two of the repetition's turns are not due yet
}

TEST_CASE("Windows, scales and repetitions", "[requests]") {
  const std::string text = kBurst + "0,m,1,1,0,x\n10,m,2,1,0,x\n20,m,3,1,0,x\n40,m,4,1,0,x\n";
  CHECK(played(text, "}}") == "0:1/1 10:2/1 20:3/1 40:4/1 ");
  CHECK(played(text, R"(, "window": {"start": "10 s", "duration": "30 s"}}})") == "0:2/1 10:3/1 ");
  CHECK(played(text, R"(, "time_scale": 0.5}})") == "0:1/1 5:2/1 10:3/1 20:4/1 ");
  CHECK(played(text, R"(, "repeat": 2, "window": {"duration": "15 s"}}})") ==
        "0:1/1 10:2/1 15:1/1 25:2/1 ");
  CHECK(played(text, R"(, "repeat": 2, "window": {"start": "20 s"}}})") ==
        "0:3/1 20:4/1 40:3/1 60:4/1 ");
  CHECK(played(text, R"(}, "duration": "20 s"})") == "0:1/1 10:2/1 ");
  CHECK(played(text, R"(}, "num_requests": 3})") == "0:1/1 10:2/1 20:3/1 ");
  // Rows that are too long are left out, or lose the end of their input.
  CHECK(played(text, R"(}, "max_context_tokens": 4})") == "0:1/1 10:2/1 20:3/1 ");
  CHECK(played(text, R"(}, "max_context_tokens": 3, "too_long": "truncate"})") ==
        "0:1/1 10:2/1 20:2/1 40:2/1 ");
}

TEST_CASE("Rate scaling copies rows in their gap, with other blocks", "[requests]") {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += "{\"timestamp\": " + std::to_string(i * 1000) +
            ", \"input_length\": 600, \"output_length\": 1, \"hash_ids\": [" + std::to_string(i) +
            ", " + std::to_string(i + 5000) + "]}\n";
  }
  const TemporaryFolder folder;
  folder.add_file("x.jsonl", text);
  const auto sources = [&](const std::string& settings, std::uint64_t seed) {
    const JsonNode node = parse_json(R"({"trace": {"file": "x.jsonl", )" + settings + "}}", "s.json");
    return make_source(read_requests(node, folder.path()), seed);
  };
  const auto source = sources(R"("rate_scale": 2.5)", 3), same = sources(R"("rate_scale": 2.5)", 3);
  std::set<std::int64_t> ids;
  std::set<std::uint32_t> blocks;
  Tick last = 0;
  std::int64_t count = 0;
  while (source->next_arrival()) {
    const Request r = source->take();
    const Request twin = same->take();
    REQUIRE(r.arrival == twin.arrival);
    REQUIRE(r.id == twin.id);
    REQUIRE(r.arrival >= last);
    last = r.arrival;
    REQUIRE(ids.insert(r.id).second);
    REQUIRE(blocks.insert(r.blocks[0]).second);
    // Row r.id % 2000 arrives at its own second or, as a copy, until the next one.
    REQUIRE(r.arrival / kSecond == r.id % 2000);
    ++count;
  }
  // 2 x 2000 and 2000 coins: 4 standard deviations.
  CHECK(std::abs(static_cast<double>(count) - 5000) < 4 * std::sqrt(500.0));
  CHECK(source->counts().read == count);
  std::int64_t thinned = 0;
  for (const auto thin = sources(R"("rate_scale": 0.25)", 3); thin->next_arrival(); ++thinned) {
    thin->take();
  }
  CHECK(std::abs(static_cast<double>(thinned) - 500) < 4 * std::sqrt(375.0));
}

TEST_CASE("Jitter spreads a quantised clock over its quantum", "[requests]") {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += "{\"timestamp\": " + std::to_string(i / 10 * 3000) +
            ", \"input_length\": 6, \"output_length\": 1}\n";
  }
  const TemporaryFolder folder;
  folder.add_file("x.jsonl", text);
  const JsonNode node =
      parse_json(R"({"trace": {"file": "x.jsonl", "jitter": "3 s", "repeat": 2}})", "s.json");
  const auto source = make_source(read_requests(node, folder.path()), 3);
  Tick last = 0;
  double sum = 0;
  std::set<Tick> times;
  for (int i = 0; i < 6000; ++i) {
    const Request r = source->take();
    REQUIRE(r.arrival >= last);
    last = r.arrival;
    times.insert(last);
    sum += static_cast<double>(r.arrival % (3 * kSecond)) / kSecond;
  }
  CHECK_FALSE(source->next_arrival());
  CHECK(times.size() == 6000);
  CHECK(sum / 6000 == Approx(1.5).margin(0.05));
}

TEST_CASE("Lengths of a trace at other times", "[requests]") {
  const std::string text = "{\"prompt_len\": 3, \"output_len\": 4}\n{\"prompt_len\": 5, \"output_len\": 6}\n";
  CHECK(played(text, R"(, "repeat": 2}, "arrivals": {"process": "constant", "rate_per_s": 0.5}})") ==
        "0:3/4 2:5/6 4:3/4 6:5/6 ");
  CHECK(played(text, R"(}, "arrivals": {"process": "closed_loop", "concurrency": 1}})") == "0:3/4 ");
  CHECK(play_refused(text, "}}") ==
        "s.json: /trace: x.csv has no times; \"arrivals\" has to give them");
  CHECK(play_refused(text, R"(, "jitter": "1 s"}})") ==
        "s.json: /trace: window, scales and jitter need times, and x.csv has none");
  CHECK(play_refused(kAzure + "2023-11-16 00:00:00,1,1\n", R"(, "window": {"start": "5 s"}}})") ==
        "x.csv: no request is inside the window");
  CHECK(play_refused(kAzure + "2023-11-16 00:00:00,1,1\n", R"(, "repeat": 2}})") ==
        "x.csv: all requests arrive at once; to repeat them, the window needs a duration");
}

TEST_CASE("Bad rows are refused with line and field", "[requests]") {
  const auto azure = [](const std::string& rows) { return refused(kAzure + rows); };
  const auto json = [](const std::string& rows) { return refused(rows); };
  const std::string good = "2023-11-16 18:15:46.68,374,44\n";
  CHECK(refused("") == "x.csv: is empty");
  CHECK(azure("") == "x.csv: has no requests");
  CHECK(refused("time,in,out\n1,2,3\n") ==
        "x.csv: line 1: is not a request trace that is known: expected a header with ContextTokens "
        "or Request tokens, or JSON lines, found \"time,in,out\"");
  CHECK(refused("ContextTokens,GeneratedTokens\n") == "x.csv: line 1: column \"TIMESTAMP\" is missing");
  CHECK(refused("TIMESTAMP,ContextTokens,ContextTokens,GeneratedTokens\n") ==
        "x.csv: line 1: column \"ContextTokens\" appears twice");
  CHECK(azure(good + "2023-11-16 18:15:47,12\n") == "x.csv: line 3: expected 3 columns, found 2");
  CHECK(azure(good + "2023-11-16 18:15:47,12,1,1\n") == "x.csv: line 3: expected 3 columns, found 4");
  CHECK(azure(good + "2023-11-16 18:15:47,-12,1\n") ==
        "x.csv: line 3: ContextTokens: expected 0 to 1000000000 tokens, found -12");
  CHECK(azure(good + "2023-11-16 18:15:47,12,0\n") ==
        "x.csv: line 3: GeneratedTokens is 0; \"on_zero\": \"drop\" leaves such rows out, \"one\" "
        "serves one token");
  CHECK(azure(good + "2023-11-16 18:15:47,0,5\n") ==
        "x.csv: line 3: ContextTokens is 0; \"on_zero\": \"drop\" leaves such rows out, \"one\" "
        "serves one token");
  CHECK(azure("2023-11-16 18:15:47,1.5,5\n") ==
        "x.csv: line 2: ContextTokens: expected a whole number, found \"1.5\"");
  CHECK(azure("2023-11-16 18:15:47,,5\n") ==
        "x.csv: line 2: ContextTokens: expected a whole number, found \"\"");
  CHECK(azure("2023-11-16 18:15:47,NaN,5\n") ==
        "x.csv: line 2: ContextTokens: expected a whole number, found \"NaN\"");
  CHECK(azure("2023-11-16 18:15:47,99999999999999999999,5\n") ==
        "x.csv: line 2: ContextTokens: \"99999999999999999999\" is out of range");
  CHECK(azure("2023-11-16 18:15:47,1000000001,5\n") ==
        "x.csv: line 2: ContextTokens: expected 0 to 1000000000 tokens, found 1000000001");
  CHECK(azure(good + "2023-11-16 18:15:46.67,1,1\n") ==
        "x.csv: line 3: TIMESTAMP is before that of line 2; \"sort\": true sorts the rows");
  const std::string like = "x.csv: line 2: TIMESTAMP: expected a time like 2023-11-16 "
                           "18:15:46.6805900, found ";
  for (const std::string bad :
       {"2023-13-16 18:15:46", "2023-02-29 18:15:46", "2023-11-16 24:15:46", "2023-11-16",
        "2023-11-16 18:15:46.", "2023-11-16 18:15:46+1:00", "yesterday", "", "12.5"}) {
    CHECK(azure(bad + ",1,1\n") == like + "\"" + bad + "\"");
  }
  CHECK(azure(good + "2024-11-16 18:15:47,1,1\n") ==
        "x.csv: line 3: TIMESTAMP: is more than 104 days from the first row's");
  CHECK(refused(kBurst + "-5,m,1,1,2,x\n") ==
        "x.csv: line 2: Timestamp: expected a time of at least 0, found \"-5\"");
  CHECK(refused(kBurst + "1e9,m,1,1,2,x\n") ==
        "x.csv: line 2: Timestamp: \"1e9\" is past the 104 days that a trace may span");
  CHECK(refused(kBurst + "inf,m,1,1,2,x\n") ==
        "x.csv: line 2: Timestamp: expected a time as a number, found \"inf\"");
  CHECK(refused(kBurst + "1,m,0,0,0,x\n") == "x.csv: has no request with tokens");

  CHECK(json("{\"timestamp\": 0, \"input_length\": 5}\n") ==
        "x.csv: line 1: output_length is missing");
  CHECK(json("{\"timestamp\": 0, \"text_input\": \"hi\", \"output_length\": 5}\n") ==
        "x.csv: line 1: input_length is missing; texts are not tokenised here");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5\n") ==
        "x.csv: line 1: expected \",\", found the end of the line");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5} x\n") ==
        "x.csv: line 1: expected the end of the line, found \"x\"");
  CHECK(json("{\"timestamp\": \"now\", \"input_length\": 5, \"output_length\": 5}\n") ==
        "x.csv: line 1: timestamp: expected a number, found \"\\\"now\\\", \\\"input_length\\\": 5, "
        "\\\"output_length\\\": 5}\"");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5.5}\n") ==
        "x.csv: line 1: output_length: expected a whole number, found \"5.5\"");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 5, \"input_length\": 6, \"output_length\": 5}\n") ==
        "x.csv: line 1: input_length: the length is given twice");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 655, \"output_length\": 5, \"hash_ids\": [1, 2, "
             "3]}\n") ==
        "x.csv: line 1: hash_ids: 655 input tokens are 2 blocks of 512, found 3; \"block_tokens\" "
        "sets the size");
  CHECK(json("{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [-1]}\n") ==
        "x.csv: line 1: hash_ids: expected whole numbers of at least 0, found \"-1]}\"");
  CHECK(json("{\"timestamp\": 5, \"input_length\": 5, \"output_length\": 5}\n{\"timestamp\": 4, "
             "\"input_length\": 5, \"output_length\": 5}\n") ==
        "x.csv: line 2: timestamp is before that of line 1; \"sort\": true sorts the rows");
  CHECK(json("{\"timestamp\": 5, \"input_length\": 5, \"output_length\": 5}\n{\"input_length\": 5, "
             "\"output_length\": 5}\n") == "x.csv: line 2: timestamp is missing");
  CHECK(json("{\"session_id\": \"a\", \"input_length\": 5, \"output_length\": 5}\n{\"timestamp\": 0, "
             "\"input_length\": 5, \"output_length\": 5}\n") ==
        "x.csv: line 2: timestamp: the rows before have none");
  CHECK(json("{\"session_id\": \"a\", \"timestamp\": 0, \"input_length\": 5, \"output_length\": 5}\n"
             "{\"session_id\": \"b\", \"delay\": 0, \"input_length\": 5, \"output_length\": 5}\n") ==
        "x.csv: line 2: delay: there is no earlier row of the session to wait for");
  CHECK(json("{\"session_id\": \"\", \"timestamp\": 0, \"input_length\": 5, \"output_length\": 5}\n") ==
        "x.csv: line 1: session_id: is empty");
  CHECK(json("{\"timestamp\": 0, \"x\": [1, {\"y\": 2}\n") ==
        "x.csv: line 1: x: expected a closing bracket, found the end of the line");
  CHECK(json("{timestamp: 0}\n") ==
        "x.csv: line 1: expected a key in quotes, found \"timestamp: 0}\"");
}

TEST_CASE("Unsorted rows are sorted when that is asked for", "[requests]") {
  const RequestTrace trace = read(kAzure +
                                      "2023-11-16 18:15:46,1,1\n2023-11-16 18:15:44,2,1\n"
                                      "2023-11-16 18:15:46,3,1\n",
                                  {{}, {}, true});
  CHECK(trace.rows[0].row == 1);
  CHECK(trace.rows[0].arrival == 0);
  CHECK(trace.rows[1].row == 0);
  CHECK(trace.rows[2].row == 2);
  CHECK(trace.rows[2].arrival == 2 * kSecond);
}

TEST_CASE("Compressed traces are read as they are; cut and damaged ones refused", "[requests]") {
  std::string text = kAzure;
  for (int i = 0; i < 500; ++i) {
    text += "2023-11-16 18:" + std::to_string(10 + i / 50) + ":10," + std::to_string(100 + i * 7919 % 997) +
            "," + std::to_string(1 + i % 89) + "\n";
  }
  const TemporaryFolder folder;
  const std::filesystem::path plain = folder.add_file("x.csv", text);
  const auto pack = [&](const std::string& tool, const std::string& ending) {
    const std::string command = tool + " -q -k " + plain.string() + " 2>/dev/null";
    return std::system(command.c_str()) == 0 ? file_text(plain.string() + ending) : std::string();
  };
  const auto message = [&](const std::string& bytes) {
    const std::filesystem::path path = folder.add_file("y", bytes);
    const std::string whole = refusal([&] { read_request_trace(path, {}); });
    return whole.substr(folder.path().string().size() + 1);
  };
  const auto rows = [&](const std::string& bytes) {
    return read_request_trace(folder.add_file("y", bytes), {}).rows.size();
  };
  const std::string gzip = pack("gzip", ".gz");
  if (!gzip.empty() && reads_gzip()) {
    CHECK(rows(gzip) == 500);
    CHECK(read_unpacked(folder.add_file("twice", gzip + gzip)) == text + text);
    CHECK(message(gzip.substr(0, gzip.size() / 2)) == "y: the gzip file is cut off");
    CHECK(message(gzip.substr(0, gzip.size() - 3)) == "y: the gzip file is cut off");
    std::string damaged = gzip;
    damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
    CHECK(message(damaged) == "y: the gzip file is damaged: incorrect data check");
  } else if (!gzip.empty()) {
    CHECK(message(gzip) ==
          "y: is compressed with gzip, and this build is without zlib; unpack it first");
  }
  const std::string zstd = pack("zstd", ".zst");
  if (!zstd.empty() && reads_zstd()) {
    CHECK(rows(zstd) == 500);
    CHECK(message(zstd.substr(0, zstd.size() / 2)) == "y: the zstd file is cut off");
    CHECK(message(zstd.substr(0, zstd.size() - 1)) == "y: the zstd file is cut off");
    std::string damaged = zstd;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
    CHECK(message(damaged).rfind("y: the zstd file is damaged: ", 0) == 0);
  } else if (!zstd.empty()) {
    CHECK(message(zstd) ==
          "y: is compressed with zstd, and this build is without libzstd; unpack it first");
  }
}

TEST_CASE("Real traces: rows, tokens, and what an infinite prefix cache would hit", "[requests]") {
  const auto folder = reference_folder();
  if (!folder) return;
  struct Known {
    const char* file;
    std::size_t rows;
    std::int64_t input, output;
  };
  for (const Known& known :
       {Known{"AzureLLMInferenceTrace_conv.csv", 19366, 22361870, 4088665},
        Known{"AzureLLMInferenceTrace_code.csv", 8819, 18059974, 245896},
        Known{"mooncake_conversation.jsonl", 12031, 144793823, 4122048}}) {
    const RequestTrace trace = read_request_trace(*folder / "traces" / known.file, {});
    std::int64_t input = 0, output = 0;
    for (const TraceRow& row : trace.rows) {
      input += row.input_tokens;
      output += row.output_tokens;
    }
    CHECK(trace.rows.size() == known.rows);
    CHECK(input == known.input);
    CHECK(output == known.output);
  }
  const RequestTrace trace = read_request_trace(*folder / "traces/mooncake_conversation.jsonl", {});
  CHECK(trace.blocks.size() == 288500);
  CHECK(trace.rows.back().arrival == 3536999 * (kSecond / 1000));
  // Leading blocks that any request before had.
  std::unordered_set<std::uint32_t> seen;
  std::int64_t hits = 0;
  for (const TraceRow& row : trace.rows) {
    const auto begin = trace.blocks.begin() + static_cast<std::ptrdiff_t>(row.first_block);
    const auto end = begin + row.num_blocks;
    hits += std::find_if(begin, end, [&](std::uint32_t b) { return seen.count(b) == 0; }) - begin;
    seen.insert(begin, end);
  }
  CHECK(hits == 105710);
}

TEST_CASE("The traces that ship are read as what they are like", "[requests]") {
  const RequestTrace azure = read_request_trace(scenario_folder() / "requests/azure-like.csv", {});
  CHECK(azure.format == TraceFormat::azure);
  CHECK(azure.rows.size() == 400);
  const RequestTrace talk =
      read_request_trace(scenario_folder() / "requests/conversation-like.jsonl", {});
  CHECK(talk.format == TraceFormat::mooncake);
  CHECK(talk.rows.size() == 300);
  CHECK(talk.blocks.size() == 7818);
  CHECK(talk.block_tokens == 512);
}
