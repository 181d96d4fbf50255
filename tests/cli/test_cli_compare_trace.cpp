// `moesim compare-trace` as its user meets it.
#include "tests/cli/shell.hpp"
#include "tests/profiler_events.hpp"

namespace moesim::cli {
namespace {

// Runs of blanks count as one: tables are padded.
bool has(const std::string& text, const std::string& part) {
  std::string squeezed;
  for (const char c : text)
    if (c != ' ' || squeezed.empty() || squeezed.back() != ' ') squeezed += c;
  return squeezed.find(part) != std::string::npos;
}

std::string trace_of(const std::string& events) {
  return R"({"deviceProperties": [{"name": "NVIDIA H100 80GB HBM3"}], "traceEvents": [)" + events +
         "]}";
}

// One run of attn(W), its weight gradients in launch order, and a kernel that nobody knows.
const std::string kAttention = annotation_event("attn(W)", 10, 50) + "," + launch_event(20, 1) +
                               "," + launch_event(21, 2) + "," + launch_event(22, 3) + "," +
                               kernel_event("fp8_dptp128c_acc::GemmKernel", 100, "1500", 1) + "," +
                               kernel_event("strange | kernel", 1700, "30", 2) + "," +
                               kernel_event("fp8_dptp128c_acc::GemmKernel", 1800, "220", 3);

// Of one line; without an annotation where it is empty.
std::string mapping(const std::string& block,
                    const std::string& annotation,
                    const std::string& kernel,
                    const std::string& op = "b") {
  return R"({"blocks": [{"block": ")" + block +
         (annotation.empty() ? "" : R"(", "annotation": ")" + annotation) +
         R"(", "kernels": [{"kernel": ")" + kernel + R"(", "op": ")" + op + "\"}]}]}";
}

}  // namespace

TEST_CASE("compare-trace: what was measured, what is predicted and what is not known") {
  const Shell shell;
  write(shell.folder() / "t.json", trace_of(kAttention));
  const Result result = shell("build/moesim compare-trace t.json");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "# t.json next to deepseek-v3-chunk\n"));
  CHECK(has(result.out, "| o_proj_wgrad | 1 | 1.500 ms | 1.500 ms | 1.506 ms |"));
  CHECK(has(result.out, "| q_b_wgrad | 1 | | not in the trace |"));
  CHECK(has(result.out, "| not mapped | 1 | 30.00 us | 30.00 us | no prediction |"));
  CHECK(has(result.out, "| strange \\| kernel | 64x1x1 | attn(W)"));
  CHECK(has(result.out, "| all | 3 | 1.750 ms |"));
  CHECK(has(result.out, "| attn(W) | 1 (simulated 4) | 1.750 ms |"));
  CHECK(has(result.out, "| first start to last end | 1.920 ms | no prediction |"));
  CHECK(has(result.out, "Warning: the trace has no annotation"));
  CHECK(has(result.out, "measured on NVIDIA H100 80GB HBM3, and the scenario has H800"));
  CHECK(has(result.out, "loads assumed, forward: "));

  const Result json =
      shell("build/moesim compare-trace t.json scenarios/deepseek-v3-chunk.jsonc --json");
  REQUIRE(json.code == 0);
  CHECK(has(json.out, "\"gpu_time_s\": 0.00175,"));
  CHECK(has(json.out, "\"kernel\": \"strange | kernel\""));
  CHECK(shell("build/moesim compare-trace t.json --threads 2 --json").out == json.out);
}

TEST_CASE("compare-trace: without annotations kernels are grouped by name and grid") {
  const Shell shell;
  write(shell.folder() / "t.json",
        trace_of(kernel_event("a", 0, "5", 1) + "," + kernel_event("a", 9, "6", 2) + "," +
                 kernel_event("a", 20, "7", 3, "[1, 2, 3]") + "," +
                 memory_event("gpu_memcpy", 40, "2", 4)));
  const Result result = shell("build/moesim compare-trace t.json");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "- mapping: none\n"));
  CHECK(has(result.out, "deepseek-v3-train.json does not fit: the trace has none of its annot"));
  CHECK(has(result.out, "| a | 64x1x1 | | 2 | 11.00 us | no prediction |"));
  CHECK(has(result.out, "| a | 1x2x3 | | 1 | 7.000 us | no prediction |"));
  CHECK(has(result.out, "| first start to last end | 42.00 us | no prediction |"));

  write(shell.folder() / "m.json", mapping("mlp(F)", "", "a", "grouped_down"));
  const Result mapped = shell("build/moesim compare-trace t.json --mapping m.json");
  REQUIRE(mapped.code == 0);
  CHECK(has(mapped.out, "| grouped_down | 3 (predicted 4) | 18.00 us | 18.00 us |"));
  CHECK(has(mapped.out, "| no annotation |"));
}

TEST_CASE("compare-trace: wrong input exits with 2 and one line that names file and place") {
  const Shell shell;
  const std::string good = trace_of(kAttention);
  const auto file = [&](const char* name, const std::string& text) {
    write(shell.folder() / name, text);
  };
  file("good.json", good);
  file("text.json", "hello\n");
  file("empty.json", "");
  file("other.json", R"({"name": "a scenario"})");
  file("cut.json", good.substr(0, good.size() / 2));
  file("cpu.json", trace_of(launch_event(1, 1)));
  file("late.json", "{\n\"traceEvents\": [\n" + launch_event(1, 1) + " 7]}");
  file("annotation.json", mapping("attn(F)", "mlp", "a"));
  file("regex.json", mapping("attn(F)", "", "/a(/"));
  file("block.json", mapping("attn", "", "a"));
  struct Case {
    const char* arguments;
    const char* message;  // part of standard error
  };
  const Case cases[] = {
      {"nothing.json", "moesim: nothing.json: cannot be read: no such file"},
      {"scenarios", "moesim: scenarios: cannot be read: it is a directory"},
      {"text.json", "moesim: text.json: line 1, column 1: expected '{', found \"h\""},
      {"empty.json", "moesim: empty.json: is empty"},
      {"other.json", "moesim: other.json: is no trace: it has no \"traceEvents\""},
      {"cut.json", "the file may be cut off"},
      {"cut.json", "moesim: cut.json: line 1, column "},
      {"late.json", "moesim: late.json: line 3, column "},
      {"cpu.json", "moesim: cpu.json: has no GPU kernels"},
      {"good.json --mapping nothing.json", "moesim: nothing.json: cannot be read"},
      {"good.json --mapping good.json", "moesim: good.json: "},
      {"good.json --mapping annotation.json",
       "annotation.json: /blocks/0/annotation: there is no annotation \"mlp\" in good.json"},
      {"good.json --mapping regex.json",
       "regex.json: /blocks/0/kernels/0/kernel: is no regular expression"},
      {"good.json --mapping block.json", "block.json: /blocks/0/block: unknown key \"attn\""},
      {"good.json nothing.jsonc", "moesim: nothing.jsonc: cannot be read"},
      {"good.json scenarios/deepseek-v3-pretrain.jsonc",
       "deepseek-v3-pretrain.jsonc: /plan/schedule: a trace of one pair of chunks is compared "
       "with"},
      {"good.json --set /phases/0/batch=256",
       "moesim: --set /phases/0/batch: an overlapped pair is two microbatches"},
  };
  for (const Case& c : cases) {
    const Result result = shell(std::string("build/moesim compare-trace ") + c.arguments);
    INFO(c.arguments << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(has(result.err, c.message));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
}

}  // namespace moesim::cli
