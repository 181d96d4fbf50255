// `moesim import` as its user meets it, and the way from a command line to a simulated step.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

// The configuration of scenarios/deepseek-v3-megatron-256.jsonc, which recomputes nothing.
const char* const kMegatron256 =
    "torchrun --nnodes 32 --nproc_per_node 8 pretrain_gpt.py \\\n"
    "  --pipeline-model-parallel-size 4 --expert-model-parallel-size 64 --num-experts 256 \\\n"
    "  --micro-batch-size 1 --global-batch-size 2048 --seq-length 4096 --bf16 \\\n"
    "  --num-virtual-stages-per-pipeline-rank 4 \\\n"
    "  --use-distributed-optimizer --lr 2.2e-4 --moe-token-dispatcher-type flex\n";

}  // namespace

TEST_CASE("import: from a launch script to a simulated step") {
  const Shell shell;
  write(shell.folder() / "train.sh", kMegatron256);
  const Result imported = shell("build/moesim import --from megatron @train.sh -o plan.jsonc");
  INFO(imported.err);
  REQUIRE(imported.code == 0);
  CHECK(imported.out.find("dp = world size 256 / (tp 1 x cp 1 x pp 4 = 4) = 64") !=
        std::string::npos);
  CHECK(imported.out.find("--set /plan=\"$(cat plan.jsonc)\"") != std::string::npos);
  CHECK(read(shell.folder() / "plan.jsonc").find("\"ep\": 64") != std::string::npos);

  const std::string run =
      "build/moesim run scenarios/deepseek-v3-megatron-256.jsonc --quiet --json ";
  const Result with_plan = shell(run +
                                 "--set /plan=\"$(cat plan.jsonc)\" --set /phases/0/batch=2048 "
                                 "--set /phases/0/seq_len=4096 --set /cluster/num_nodes=32");
  INFO(with_plan.err);
  const Result shipped = shell(run);
  // The same plan in other words: the same verdict and, but for the scenario's hash, the same step.
  CHECK(with_plan.code == shipped.code);
  auto number = [](const Result& result, const std::string& key) {
    const std::size_t at = result.out.find("\"" + key + "\": ");
    REQUIRE(at != std::string::npos);
    return result.out.substr(at, result.out.find('\n', at) - at);
  };
  for (const char* key : {"step_time_s", "mfu_causal", "bubble_s"})
    CHECK(number(with_plan, key) == number(shipped, key));
}

TEST_CASE("import: arguments in quotes, in a file and after two dashes are the same") {
  const Shell shell;
  const std::string arguments = "--tp-size 16 --dp-size 16 --enable-dp-attention --nnodes 2";
  write(shell.folder() / "serve.sh", "python -m sglang.launch_server \\\n" + arguments + "\n");
  const std::string import = "build/moesim import --from sglang --json ";
  const Result quoted = shell(import + "\"" + arguments + "\"");
  const Result dashes = shell(import + "-- " + arguments);
  const Result file = shell(import + "@serve.sh");
  INFO(quoted.err << dashes.err << file.err);
  CHECK(quoted.code == 0);
  CHECK(quoted.out.find("\"serving\": {") != std::string::npos);
  CHECK(dashes.out == quoted.out);
  CHECK(file.out.find("\"flag\": \"python\"") != std::string::npos);
  const Result text = shell("build/moesim import --from sglang \"" + arguments + "\"");
  CHECK(text.out.find("Serving is not simulated yet") != std::string::npos);
}

TEST_CASE("import: what is wrong is one line, and exit 2") {
  const Shell shell;
  write(shell.folder() / "variable.sh", "run --tensor-model-parallel-size $TP\n");
  const std::string from = "build/moesim import --from megatron --world-size 8 ";
  const std::pair<std::string, const char*> cases[] = {
      {from + "\"--tensor-parallel-size 2\"", "the nearest is --tensor-model-parallel-size"},
      {from + "\"--bf16 --bf16\"", "--bf16: is given twice"},
      {from + "\"--tensor-model-parallel-size two\"", "expected a whole number, found \"two\""},
      {from + "-- --tensor-model-parallel-size", "found the end of the arguments"},
      {from + "\"--world-size 16 --micro-batch-size 1 --bf16\"", "is 16 among the arguments"},
      {from + "@variable.sh", "variable.sh: the shell variable \"$TP\" has no value here"},
      {from + "@nowhere.sh", "nowhere.sh: cannot be read"},
      {from + "--tensor-model-parallel-size 2",
       "unknown option; expected the launcher's arguments"},
      {from, "expected the launcher's arguments in one pair of quotes"},
      {from + "--model nowhere.json \"--bf16\"", "nowhere.json: cannot be read"},
      {from + "--model scenarios/models/deepseek-v3.json \"--hidden-size 18432\"",
       "--hidden-size: is 18432, but hidden_size of deepseek-v3 is 7168"},
      {"build/moesim import --from deepspeed \"--x\"", "expected one of megatron, vllm, sglang"}};
  for (const auto& [command, message] : cases) {
    const Result result = shell(command);
    INFO(command << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find(message) != std::string::npos);
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
  CHECK(shell("build/moesim import x").code == 2);
  const Result unwritable =
      shell("build/moesim import --from vllm \"-tp 8\" -o nowhere/plan.jsonc");
  CHECK(unwritable.code == 1);
}

}  // namespace moesim::cli
