// GPU time of made-up traces, by block and operation: nothing is lost, and order decides.
#include "model/trace_times.hpp"
#include "tests/catch.hpp"
#include "tests/profiler_events.hpp"
#include "tests/refusal.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

const std::vector<std::string> kBlocks = {"attn(F)", "mlp(F)"};

const std::string kMapping = R"json({"about": "a test", "blocks": [
  {"block": "attn(F)", "annotation": "attn(F)", "kernels": [
    {"kernel": "cast", "op": "cast_x"}, {"kernel": "/gemm_[a-z]+/", "op": "proj"},
    {"kernel": "cast", "op": "cast_out"},
    {"kernel": "wgrad", "op": "wgrad", "repeats": true}]}]})json";

// Two runs of a block. The second has a kernel that the mapping does not know, and its casts run in
// the other order than they were launched; two weight gradients overlap; one kernel is launched
// after both.
const std::string kEvents =
    annotation_event("attn(F)", 100, 50) + "," + launch_event(110, 1) + "," + launch_event(120, 2) +
    "," + launch_event(130, 3) + "," + launch_event(131, 4) + "," + launch_event(132, 5) + "," +
    kernel_event("cast", 1000, "10", 1) + "," + kernel_event("gemm_a", 1012, "100", 2) + "," +
    kernel_event("cast", 1115, "20", 3) + "," + kernel_event("wgrad", 1140, "40", 4) + "," +
    kernel_event("wgrad", 1150, "40", 5) + "," + annotation_event("attn(F)", 200, 50) + "," +
    launch_event(210, 6) + "," + launch_event(220, 7) + "," + launch_event(225, 8) + "," +
    launch_event(230, 9) + "," + kernel_event("cast", 1230, "12", 6) + "," +
    kernel_event("gemm_b", 1300, "90", 7) + "," + memory_event("gpu_memset", 1395, "3", 8) + "," +
    kernel_event("cast", 1210, "18", 9) + "," + launch_event(300, 10) + "," +
    kernel_event("gemm_c", 1400, "7", 10);

TraceTimes times_of(const std::string& events, const std::string& mapping = kMapping) {
  TemporaryFolder folder;
  const ProfilerTrace trace =
      read_profiler_trace(folder.add_file("trace.json", "{\"traceEvents\": [" + events + "]}"));
  return trace_times(trace, read_block_mapping(folder.add_file("mapping.json", mapping), kBlocks));
}

const KernelTimes& op(const TraceTimes& times, const std::string& name) {
  for (const TracedBlock& block : times.blocks)
    for (const TracedOp& found : block.ops)
      if (found.op == name) return found.times;
  FAIL("no operation " << name);
  return times.all;
}

// Kernels of all operations and all that is not mapped.
double sum_us(const TraceTimes& times) {
  double sum = 0;
  for (const TracedBlock& block : times.blocks)
    for (const TracedOp& found : block.ops) sum += found.times.kernels.in(us);
  for (const UnmappedKernel& kernel : times.unmapped) sum += kernel.times.kernels.in(us);
  return sum;
}

}  // namespace

TEST_CASE("trace times: launch order inside a block tells kernels of one name apart", "[trace]") {
  const TraceTimes times = times_of(kEvents);
  REQUIRE(times.blocks.size() == 1);
  const TracedBlock& block = times.blocks[0];
  CHECK(block.block == "attn(F)");
  CHECK(block.occurrences == 2);
  CHECK(op(times, "cast_x").calls == 2);
  CHECK(op(times, "cast_x").kernels.in(us) == Approx(22));    // launched first, not run first
  CHECK(op(times, "cast_out").kernels.in(us) == Approx(38));  // 20 and 18
  CHECK(op(times, "proj").kernels.in(us) == Approx(190));
  CHECK(op(times, "wgrad").calls == 2);
  // 1000 to 1190, and 1210 to 1398.
  CHECK(block.wall.in(us) == Approx(190 + 188));
  CHECK(block.ops[0].op == "cast_x");
  CHECK(block.ops[3].op == "wgrad");
}

TEST_CASE("trace times: kernels that overlap share the time, and sums are kept", "[trace]") {
  const TraceTimes times = times_of(kEvents);
  CHECK(op(times, "wgrad").kernels.in(us) == Approx(80));
  CHECK(op(times, "wgrad").share.in(us) == Approx(50));  // 1140 to 1190
  CHECK(times.blocks[0].times.share.in(us) == Approx(covered(times.blocks[0].busy).in(us)));
  CHECK(sum_us(times) == Approx(10 + 100 + 20 + 40 + 40 + 12 + 90 + 3 + 18 + 7));
  CHECK(times.all.kernels.in(us) == Approx(sum_us(times)));
  CHECK(times.all.calls == 10);
  CHECK(times.span.in(us) == Approx(407));
}

TEST_CASE("trace times: what the mapping does not know is listed, largest first", "[trace]") {
  const TraceTimes times = times_of(kEvents);
  REQUIRE(times.unmapped.size() == 2);
  CHECK(times.unmapped[0].name == "gemm_c");  // launched after the annotation
  CHECK(times.unmapped[0].block.empty());
  CHECK(times.unmapped[0].grid == std::array<std::int64_t, 3>{64, 1, 1});
  CHECK(times.unmapped[1].name == "Mem");
  CHECK(times.unmapped[1].block == "attn(F)");
  CHECK_FALSE(times.unmapped[1].grid);
  CHECK(times.outside.kernels.in(us) == Approx(7));

  const TraceTimes none = times_of(kEvents, R"json({"blocks": [{"block": "mlp(F)",
    "annotation": "mlp(F)", "kernels": [{"kernel": "cast", "op": "c"}]}]})json");
  CHECK(none.blocks.empty());
  CHECK(none.unmapped.size() == 6);
  CHECK(none.all.kernels.in(us) == Approx(sum_us(none)));
}

TEST_CASE("trace times: without an annotation, name and grid decide", "[trace]") {
  const std::string mapping = R"json({"blocks": [{"block": "mlp(F)", "kernels": [
    {"kernel": "cast", "grid": [8, 1, 1], "op": "small_cast"}, {"kernel": "cast", "op": "cast"},
    {"kernel": "gemm", "op": "gemm"}]}]})json";
  const TraceTimes times = times_of(
      kernel_event("cast", 0, "5", 1) + "," + kernel_event("cast", 5, "2", 2, "[8, 1, 1]") + "," +
          kernel_event("gemm", 7, "9", 3) + "," + kernel_event("other", 20, "1", 4),
      mapping);
  REQUIRE(times.blocks.size() == 1);
  CHECK(times.blocks[0].occurrences == 0);
  CHECK(op(times, "small_cast").kernels.in(us) == Approx(2));
  CHECK(op(times, "cast").kernels.in(us) == Approx(5));
  CHECK(op(times, "gemm").kernels.in(us) == Approx(9));
  CHECK(times.unmapped.size() == 1);
  CHECK(sum_us(times) == Approx(17));
}

TEST_CASE("trace times: a thread without annotations works for the one that waits", "[trace]") {
  const auto calls = [](const std::string& others, int thread) {
    return times_of(annotation_event("attn(F)", 100, 50) + "," + launch_event(110, 1, thread) +
                    "," + others + kernel_event("cast", 900, "10", 1))
        .blocks.size();
  };
  CHECK(calls("", 9) == 1);
  CHECK(calls("", 12) == 1);                                             // the backward pass
  CHECK(calls(annotation_event("mlp(F)", 300, 50, 12) + ",", 12) == 0);  // it annotates itself
}

TEST_CASE("block mapping: what is wrong is refused by its place", "[trace]") {
  TemporaryFolder folder;
  const auto refused = [&](const std::string& blocks) {
    const auto path = folder.add_file("mapping.json", "{\"blocks\": [" + blocks + "]}");
    const std::string message = refusal([&] { read_block_mapping(path, kBlocks); });
    return message.substr(std::min(message.size(), folder.path().string().size() + 1));
  };
  const auto block = [](const std::string& kernel, const std::string& name = "attn(F)") {
    return R"({"block": ")" + name + R"(", "annotation": "a", "kernels": [)" + kernel + "]}";
  };
  CHECK(refused(block(R"({"kernel": "/c(ast/", "op": "x"})"))
            .find("mapping.json: /blocks/0/kernels/0/kernel: is no regular expression") == 0);
  CHECK(refused(block(R"({"kernel": "cast", "op": "x"})", "attn(G)"))
            .find("mapping.json: /blocks/0/block: unknown key \"attn(G)\"; did you mean") == 0);
  CHECK(refused(block("")) ==
        "mapping.json: /blocks/0/kernels: is empty; expected at least one line");
  CHECK(refused(block(R"({"kernel": "cast"})")) ==
        "mapping.json: /blocks/0/kernels/0: missing key \"op\"");
  CHECK(refused(block(R"({"kernel": "cast", "op": "x", "nth": 2})"))
            .find("mapping.json: /blocks/0/kernels/0: unknown key \"nth\"") == 0);
  CHECK(refused(R"json({"block": "mlp(F)", "kernels": [
          {"kernel": "c", "op": "x", "repeats": true}]})json") ==
        "mapping.json: /blocks/0/kernels/0/repeats: belongs to launch order, and the block has no "
        "\"annotation\"");
  const std::string fine = block(R"({"kernel": "cast", "op": "x"})");
  CHECK(refused(fine + "," + fine) ==
        "mapping.json: /blocks/1: annotation \"a\" has its block already");
}
