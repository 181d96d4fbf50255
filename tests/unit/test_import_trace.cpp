// Kernel times out of profiler traces, made up here, by a mapping of kernels to operations.
#include "tests/catch.hpp"
#include "tests/import_request.hpp"
#include "tests/profiler_events.hpp"

using namespace moesim;

namespace {

// Two blocks of "attn" with two casts each, a copy, and a cast behind them. Kernels run later than
// they are launched, two of them in the other order.
const std::string kEvents =
    annotation_event("attn", 100, 50) + "," + launch_event(110, 1) + "," + launch_event(120, 2) +
    "," + launch_event(130, 3) + "," + annotation_event("attn", 200, 50) + "," +
    launch_event(210, 4) + "," + launch_event(220, 5) + "," + launch_event(300, 6) + "," +
    kernel_event("void cast<8>(x*)", 400, "10", 1) + "," +
    kernel_event("void cast<8>(x*)", 420, "20", 2) + "," +
    kernel_event("copy \\\"q\\\" }]", 450, "5", 3, "[8, 1, 1]") + "," +
    kernel_event("void cast<8>(x*)", 460, "26.5", 5) + "," +
    kernel_event("void cast<8>(x*)", 480, "12", 4) + "," +
    kernel_event("void cast<8>(x*)", 500, "90", 6) +
    R"(,{"ph": "M", "name": "process_name", "args": {"labels": "a ] kernel } \" b"}})";
const std::string kTrace = R"({"schemaVersion": 1, "deviceProperties": [{"name": "NVIDIA H800"}],
 "traceEvents": [)" + kEvents +
                           R"(], "traceName": "t"})";

const std::string kSecond =
    R"({"kernel": "cast<8>", "grid": [64, 1, 1], "annotation": "attn", "nth": 2,)"
    R"( "op": "cast", "shape": {"bytes": 1000000}, "sms": 112, "beside_communication": true})";

TestImport trace(const std::string& mapping, const std::string& text = kTrace) {
  return TestImport("trace", "h800").map(mapping).file(text);
}

}  // namespace

TEST_CASE("import: kernels of a trace by name and grid and annotation", "[import]") {
  const TestImport import =
      trace("[" + kSecond + R"(, {"kernel": "/^copy .q/", "op": "copy", "shape": {"bytes": 64}}])");
  const PointFile file = import.points();
  REQUIRE(file.points.size() == 2);
  const Point& cast = file.points[0];
  CHECK(cast.of->op == "cast");
  CHECK(cast.shape == Shape{1000000});
  CHECK(cast.sms == 112);
  CHECK(cast.beside_communication);
  REQUIRE(cast.warm);
  CHECK(cast.warm->repeats == 2);
  CHECK(cast.warm->median.in(us) == Approx(23.25));
  CHECK(cast.warm->p10->in(us) == Approx(20));
  CHECK(cast.warm->p90->in(us) == Approx(26.5));
  CHECK(file.points[1].of->op == "copy");
  CHECK(file.points[1].warm->repeats == 1);
  CHECK_FALSE(file.points[1].warm->p10);
  CHECK(contains(run_line(file.runs[0]), R"("device":"NVIDIA H800")"));
  CHECK(contains(run_line(file.runs[0]), R"("mapping":"mapping.json","mapping_fnv1a":")"));
  const auto remarks = import.run().remarks;
  REQUIRE(remarks.size() == 2);
  CHECK(contains(remarks[0], "3 of 6 kernels are not mapped, 112 of 164 us; the largest:"));
  CHECK(contains(remarks[1], "112 us in 3 calls: void cast<8>(x*)"));
}

TEST_CASE("import: lines of one operation and shape are one point", "[import]") {
  const std::string first = R"({"kernel": "cast", "annotation": "attn", "nth": 1, "op": "cast",)"
                            R"( "shape": {"bytes": 8}})",
                    second = R"({"kernel": "cast", "annotation": "attn", "nth": 2, "op": "cast",)"
                             R"( "shape": {"bytes": 8}})";
  const PointFile file = trace("[" + first + "," + second + "]").points();
  REQUIRE(file.points.size() == 1);
  CHECK(file.points[0].warm->repeats == 4);
  CHECK(file.points[0].warm->median.in(us) == Approx(16));
}

TEST_CASE("import: grid and annotation and launch order choose kernels", "[import]") {
  const auto repeats = [&](const std::string& line) {
    const PointFile file =
        trace("[{" + line + R"(, "op": "cast", "shape": {"bytes": 8}}])").points();
    return file.points.at(0).warm->repeats;
  };
  CHECK(repeats(R"("kernel": "c")") == 6);
  CHECK(repeats(R"("kernel": "c", "grid": [64, 1, 1])") == 5);
  CHECK(repeats(R"("kernel": "c", "grid": [8, 1, 1])") == 1);
  CHECK(repeats(R"("kernel": "cast", "annotation": "attn")") == 4);  // one is launched behind it
  const PointFile first = trace(R"([{"kernel": "cast", "annotation": "attn", "nth": 1,
    "op": "cast", "shape": {"bytes": 8}}])")
                              .points();
  CHECK(first.points.at(0).warm->median.in(us) == Approx(11));  // 10 and 12, not 10 and 26.5
}

TEST_CASE("import: a mapping that is wrong is refused by its line", "[import]") {
  const auto refused = [&](const std::string& mapping) { return trace(mapping).refusal(); };
  CHECK(refused(R"([{"kernel": "matmul", "op": "copy", "shape": {"bytes": 8}}])") ==
        "mapping.json: /0: no kernel of file matches \"matmul\"");
  CHECK(refused(
            R"([{"kernel": "cast", "annotation": "mlp", "op": "copy", "shape": {"bytes": 8}}])") ==
        "mapping.json: /0: there is no annotation \"mlp\" in file");
  CHECK(refused("[" + kSecond + R"(, {"kernel": "void", "op": "copy", "shape": {"bytes": 8}}])") ==
        "mapping.json: /1: matches kernel \"void cast<8>(x*)\", and so does mapping.json: /0; "
        "expected one");
  CHECK(refused(R"([{"kernel": "cast", "nth": 2, "op": "copy", "shape": {"bytes": 8}}])") ==
        "mapping.json: /0/nth: counts inside an annotation; none is given");
  CHECK(refused(R"([{"kernel": "cast", "op": "copi", "shape": {"bytes": 8}}])")
            .find("mapping.json: /0/op: unknown key \"copi\"; did you mean \"copy\"?") == 0);
  CHECK(refused(R"([{"kernel": "cast", "op": "copy", "shape": {"bites": 8}}])") ==
        "mapping.json: /0/shape: missing key \"bytes\"");
  CHECK(refused(R"([{"kernel": "/c(ast/", "op": "copy", "shape": {"bytes": 8}}])")
            .find("mapping.json: /0/kernel: is no regular expression") == 0);
  CHECK(refused(R"([{"kernel": "cast", "op": "copy", "shape": {"bytes": 8}, "sm": 3}])")
            .find("mapping.json: /0: unknown key \"sm\"") == 0);
  CHECK(contains(refused("[]"), "mapping.json: expected a list of mappings"));
  CHECK(TestImport("trace", "h800").file(kTrace).refusal() ==
        "--map: a trace names kernels, not shapes; expected a mapping file");
}

TEST_CASE("import: a trace that is cut off or something else is refused", "[import]") {
  const std::string all = R"([{"kernel": "cast", "op": "cast", "shape": {"bytes": 8}}])";
  const auto refused = [&](const std::string& text) { return trace(all, text).refusal(); };
  CHECK(
      contains(trace(all, "{\"traceEvents\": [" + kEvents + "]}").run().summary.at(0), "1 point"));
  CHECK(contains(trace(all, "[" + kEvents + ",]").run().summary.at(0), "1 point"));
  for (const std::size_t length : {kTrace.size() - 1, kTrace.size() / 2, kTrace.size() / 3})
    CHECK(contains(refused(kTrace.substr(0, length)), "the file may be cut off"));
  CHECK(refused("{}") == "file: is no trace: it has no \"traceEvents\"");
  CHECK(refused(" \n") == "file: is empty");
  CHECK(refused("\x1f\x8b...") == "file: is compressed (gzip); unpack it first");
  CHECK(refused(R"({"traceEvents": []})") == "file: has no kernel events");
  CHECK(refused("[[[[]") != "nothing was refused");
  CHECK(contains(refused(std::string(200, '[')), "is nested deeper than 64"));
  CHECK(contains(refused("[" + kernel_event("cast", 1, "-3", 1) + "]"), "has a negative duration"));
  CHECK(contains(refused("[" + kernel_event("cast", 1, "0", 1) + "]"),
                 "file: event 1: the median is 0 us; expected a time from 0.1 us to an hour"));
  CHECK(contains(refused(R"([{"cat": "kernel", "name": "cast", "ts": 1}])"),
                 "file: event 1: expected a number \"dur\""));
  CHECK(contains(TestImport("trace", "h100").map(all).file(kTrace).refusal(),
                 "was measured on \"NVIDIA H800\", and --gpu names a H100"));
}
