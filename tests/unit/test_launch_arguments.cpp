// Words of a launch script, and a launcher's flags against its table.
#include "model/errors.hpp"
#include "reports/import/launcher.hpp"
#include "reports/import/shell_words.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

namespace {

using Words = std::vector<std::string>;

constexpr LaunchFlag kFlags[] = {
    {"--tensor-model-parallel-size -tp", FlagValue::integer, FlagUse::plan, "tp"},
    {"--cp-comm-type", FlagValue::words, FlagUse::plan, "cp_method"},
    {"--share", FlagValue::fraction, FlagUse::plan, "share"},
    {"--context-parallel-size", FlagValue::integer, FlagUse::plan, "cp"},
    {"--bf16", FlagValue::none, FlagUse::plan, "recipe"}};
constexpr IgnoredFlags kIgnored[] = {{"logging", "--log-interval= --log-progress --paths=*"}};

LaunchArguments read(const Words& words) { return {"Test", kFlags, kIgnored, words}; }
std::string refused(const Words& words) {
  return refusal([&] { read(words); });
}

}  // namespace

TEST_CASE("shell words: quotes, continued lines, comments, variables, arrays", "[import]") {
  const std::pair<const char*, Words> rows[] = {
      {"a  b\tc\n", {"a", "b", "c"}},
      {"--x 'a b' \"c d\" e\\ f", {"--x", "a b", "c d", "e f"}},
      {"a \\\n  b \\\r\n c", {"a", "b", "c"}},
      {"a # not this\n#nor this\n  b#c", {"a", "b#c"}},
      {"TP=8\nrun --tp $TP --pp ${TP}1", {"run", "--tp", "8", "--pp", "81"}},
      {"ARGS=(\n --tp 8  # degrees\n --bf16\n)\nrun ${ARGS[@]} --pp 2",
       {"--tp", "8", "--bf16", "run", "--pp", "2"}},
      {"run --a 'x$y' 2>&1 | tee log", {"run", "--a", "x$y"}},
      {"run \"\" x", {"run", "", "x"}},
      {"--layout=\"Et*3|(tt|)*29,m|L\" b", {"--layout=Et*3|(tt|)*29,m|L", "b"}}};
  for (const auto& [text, words] : rows) {
    INFO(text);
    CHECK(shell_words(text, "x.sh") == words);
  }
  CHECK(refusal([] {
          shell_words("--tp $TP\n", "x.sh");
        }).find("x.sh: the shell variable \"$TP\" has no value here") == 0);
  CHECK(refusal([] {
          shell_words("--tp ${TP:-8}", "x.sh");
        }).find("x.sh: the shell variable \"${TP") == 0);
  CHECK(refusal([] { shell_words("--tp 'a", "x.sh"); }) ==
        "x.sh: a quotation mark ' is never closed");
}

TEST_CASE("launch arguments: spellings, values, defaults, what is ignored", "[import]") {
  LaunchArguments arguments = read({"torchrun",
                                    "-m",
                                    "train",
                                    "pretrain.py",
                                    "-tp",
                                    "8",
                                    "--cp_comm_type",
                                    "p2p",
                                    "a2a",
                                    "--share=0.5",
                                    "--log-interval",
                                    "-1",
                                    "--paths",
                                    "a",
                                    "b"});
  CHECK(arguments.integer("--tensor-model-parallel-size", 1) == 8);
  CHECK(arguments.words_or("--cp-comm-type", "p2p") == Words{"p2p", "a2a"});
  CHECK(arguments.fraction("--share") == 0.5);
  CHECK(!arguments.on("--bf16"));
  CHECK(arguments.degree("--context-parallel-size") == 1);
  CHECK(arguments.unread().empty());
  CHECK(read({"--bf16"}).unread() == Words{"--bf16"});
  REQUIRE(arguments.defaults().size() == 2);
  CHECK(arguments.defaults()[0].flag == "--bf16");
  CHECK(arguments.defaults()[1].value == "1");
  Words ignored;
  for (const auto& flag : arguments.ignored()) ignored.push_back(flag.words);
  CHECK(ignored == Words{"-m train", "--log-interval -1", "--paths a b", "torchrun pretrain.py"});
}

TEST_CASE("launch arguments: what is wrong with them, on one line", "[import]") {
  const std::pair<Words, const char*> rows[] = {
      {{"--tensor-parallel-size", "2"},
       "--tensor-parallel-size: is not a flag of Test that is known here; the nearest is "
       "--tensor-model-parallel-size"},
      {{"--bf61"}, "--bf61: is not a flag of Test that is known here; the nearest is --bf16"},
      {{"--zzz"}, "--zzz: is not a flag of Test that is known here"},
      {{"-tp"}, "--tensor-model-parallel-size: expected a value, found the end of the arguments"},
      {{"-tp", "--bf16"}, "--tensor-model-parallel-size: expected a value, found the flag --bf16"},
      {{"-tp", "two"}, "--tensor-model-parallel-size: expected a whole number, found \"two\""},
      {{"-tp", "2.5"}, "--tensor-model-parallel-size: expected a whole number, found \"2.5\""},
      {{"-tp", "99999999999"},
       "--tensor-model-parallel-size: expected -4294967296 to 4294967296, found 99999999999"},
      {{"-tp", "2", "--tensor-model-parallel-size", "4"},
       "--tensor-model-parallel-size: is given twice: first \"2\", then \"4\""},
      {{"--bf16", "--bf16"}, "--bf16: is given twice"},
      {{"--log-progress", "--log-progress"}, "--log-progress: is given twice"},
      {{"--bf16=1"}, "--bf16: takes no value, found \"1\""},
      {{"-tp", "2", "4"}, "4: expected a flag before it; it follows 2, which takes no more"},
      {{"--share", "1.5"}, "--share: expected a fraction above 0 and at most 1, found \"1.5\""},
      {{"--share", "nan"}, "--share: expected a fraction above 0 and at most 1, found \"nan\""}};
  for (const auto& [words, message] : rows) CHECK(refused(words) == message);
}

TEST_CASE("launchers: every table is sound, and they are found by name", "[import]") {
  for (const Launcher* launcher : all_launchers()) {
    INFO(launcher->name);
    // A flag that is in a table twice throws.
    CHECK_NOTHROW(LaunchArguments(launcher->title, launcher->flags, launcher->ignored, {}));
    CHECK(&find_launcher(launcher->name) == launcher);
  }
  CHECK(refusal([] { find_launcher("deepspeed"); }) ==
        "--from deepspeed: expected one of megatron, vllm, sglang, tensorrt_llm");
}
