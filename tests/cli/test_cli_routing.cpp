// moesim routing as its user meets it: what is printed for which option, and one line for all that
// is wrong.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kChunk = "build/moesim routing scenarios/deepseek-v3-chunk.jsonc";
const std::string kFew = kChunk + " --tokens 64";
const std::string kSkewed =
    R"( --set /routing/popularity='{"kind":"dirichlet","cv":0.5,"drift_time":50}')";
const std::string kEplb =
    R"( --set /plan/placement='{"policy":"eplb_global","redundant_experts":64}')";

double number_at(const std::string& json, const std::string& key) {
  const std::size_t at = json.find("\"" + key + "\": ");
  INFO(key);
  REQUIRE(at != std::string::npos);
  return std::stod(json.substr(at + key.size() + 4));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("routing prints loads, visits, exchanges and what the node limit saves") {
  const Shell shell;
  const Result report = shell(kChunk);
  REQUIRE(report.code == 0);
  CHECK(report.err.empty());
  for (const char* title : {"Load",
                            "Where a token goes",
                            "Dispatch and combine",
                            "What the node limit saves",
                            "Rows from node to node"})
    CHECK(section_of(report.out, title).size() > 100);
  CHECK(contains(section_of(report.out, "Where a token goes"), "| copies         | 8.000 |"));
  CHECK(contains(report.out, "A row has 7472 B in dispatch and 14384 B in combine."));
  CHECK_FALSE(contains(report.out, "> Warning"));

  const Result json = shell(kChunk + " --json");
  REQUIRE(json.code == 0);
  CHECK(number_at(json.out, "num_tokens") == 64 * 1024);
  CHECK(number_at(json.out, "nodes_per_token") == Approx(3.97).margin(0.01));
  CHECK(number_at(json.out, "gpus_per_token") == Approx(7.48).margin(0.02));
  CHECK_FALSE(contains(json.out, "\"balancing\""));
  CHECK(shell(kChunk + " --json --threads 1").out == shell(kChunk + " --json --threads 3").out);
  CHECK(shell(kChunk + " --json --seed 2").out != json.out);
}

TEST_CASE("routing without a node limit has nothing that it saves") {
  const Shell shell;
  const Result report = shell(kFew + " --set /routing/max_groups=8");
  REQUIRE(report.code == 0);
  CHECK(contains(report.out, "**There is no node limit**"));
  CHECK_FALSE(contains(report.out, "What the node limit saves"));
  const Result alone = shell(kFew + " --set /plan/ep=1");
  REQUIRE(alone.code == 0);
  CHECK_FALSE(contains(alone.out, "nan"));
}

TEST_CASE("routing warns of what it cannot do as asked") {
  const Shell shell;
  const Result skewed =
      shell(kFew + R"( --set /routing/popularity='{"kind":"zipf","exponent":0.7}')" +
            " --set /routing/max_groups=1");
  CHECK(contains(skewed.out, "> Warning: The gate cannot give the popularity: an expert's load"));
  const Result balanced =
      shell("build/moesim routing scenarios/deepseek-v3-pretrain.jsonc --tokens 64 --phase 1");
  CHECK(contains(balanced.out, "> Warning: This phase's routing is \"balanced\""));
  const Result uniform = shell(kFew + " --balance bias --batches 1 --batch-tokens 64");
  CHECK(contains(uniform.out, "> Warning: The popularity is uniform"));
}

TEST_CASE("routing balances from the scenario's popularity") {
  const Shell shell;
  const std::string skewed = kFew + kSkewed + " --batch-tokens 2048";
  const Result bias = shell(skewed + " --balance bias --batches 60 --gamma 0.004 --json");
  REQUIRE(bias.code == 0);
  const std::string series = bias.out.substr(bias.out.find("\"balancing\""));
  CHECK(number_at(series, "bias_speed") == 0.004);
  // The array follows its key; the first batch is as skewed as the popularity.
  const std::size_t cv = series.find("\"cv\": [");
  REQUIRE(cv != std::string::npos);
  const double first = std::stod(series.substr(cv + 7));
  const std::size_t end = series.find(']', cv);
  const double last = std::stod(series.substr(series.rfind(',', end) + 1));
  CHECK(first == Approx(0.5).margin(0.1));
  CHECK(last < 0.5 * first);

  const Result text = shell(skewed + " --balance aux_loss --batches 3 --capacity-factor 1.25");
  REQUIRE(text.code == 0);
  const std::string section = section_of(text.out, "Balancing: aux_loss");
  CHECK(contains(section, "| batch | MaxVio | CV     | loss"));
  CHECK(contains(section, "| dropped"));
}

TEST_CASE("routing rebalances experts whose popularity drifts") {
  const Shell shell;
  const std::string drifting = kFew + kSkewed + kEplb;
  const Result json = shell(drifting + " --rebalance-every 10 --steps 100 --json");
  REQUIRE(json.code == 0);
  const std::string part = json.out.substr(json.out.find("\"rebalancing\""));
  const double rebalanced = number_at(part, "mean"),
               never = number_at(part.substr(part.find("\"never\"")), "mean");
  CHECK(rebalanced < never);
  CHECK(number_at(part, "expert_weights_bytes") == 3.0 * 7168 * 2048);
  CHECK(number_at(part, "moved_bytes") == Approx(number_at(part, "moved_inside_nodes_bytes") +
                                                 number_at(part, "moved_over_network_bytes")));
  const Result text = shell(drifting + " --rebalance-every 10");
  CHECK(contains(section_of(text.out, "Rebalancing every 10 steps"), "- 100 steps and 9 rebal"));
}

TEST_CASE("routing replays recordings of every kind") {
  const Shell shell;
  write(shell.folder() / "tokens.jsonl",
        R"({"token": 0, "layer": 3, "experts": [0, 1, 2, 3, 4, 5, 6, 7]})"
        "\n"
        R"({"token": 1, "layer": 3, "experts": [0, 32, 64, 96, 128, 160, 192, 224]})"
        "\n");
  write(shell.folder() / "tokens.csv",
        "token,layer,expert_0,expert_1,expert_2,expert_3,expert_4,expert_5,expert_6,expert_7\n"
        "0,3,0,1,2,3,4,5,6,7\n1,3,0,32,64,96,128,160,192,224\n");
  std::string counts = "layer_id,expert_id,count\n";
  for (int e : {0, 1, 2, 3, 4, 5, 6, 7, 0, 32, 64, 96, 128, 160, 192, 224})
    if (e != 0) counts += "3," + std::to_string(e) + ",1\n";
  write(shell.folder() / "counts.csv", counts + "3,0,2\n");
  const Result tokens = shell(kChunk + " --replay tokens.jsonl --json");
  REQUIRE(tokens.code == 0);
  CHECK(number_at(tokens.out, "layer") == 0);  // the option, which a replay leaves alone
  CHECK(number_at(tokens.out.substr(tokens.out.find("\"replayed\"")), "layer") == 3);
  // Expert 0 was chosen twice of 16 choices over 256 experts; one token stays on a node, one
  // visits all.
  CHECK(number_at(tokens.out, "max_over_mean") == 32);
  CHECK(number_at(tokens.out, "nodes_per_token") == 4.5);
  CHECK(number_at(tokens.out, "gpus_per_token") == 5);

  const Result from_csv = shell(kChunk + " --replay tokens.csv");
  const std::string table = section_of(from_csv.out, "Replay of tokens.csv");
  CHECK(table ==
        section_of(shell(kChunk + " --replay tokens.jsonl").out, "Replay of tokens.jsonl"));
  CHECK(contains(table, "| 3     | 32.00 "));
  const Result loads = shell(kChunk + " --replay counts.csv");
  CHECK(contains(section_of(loads.out, "Replay of counts.csv"), "| 0   | 32.00 "));
}

TEST_CASE("routing refuses wrong input in one line") {
  const Shell shell;
  write(shell.folder() / "tokens.jsonl",
        R"({"token": 0, "layer": 3, "experts": [0, 256]})"
        "\n");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {" --layer 4", "--layer 4: expected at most 3, the last layer with experts"},
      {" --phase 1", "--phase 1: expected at most 0, the last phase of the scenario"},
      {" --tokens 131073", "--tokens 131073: on 64 ranks; expected at most 131072"},
      {" --balance aux_loss --gamma 0.1",
       "--gamma: is the speed of the bias; expected --balance bias"},
      {" --balance none --coefficient 1",
       "--balance none: has no loss; expected --balance aux_loss or bias"},
      {" --balance bias --learning-rate 3",
       "--learning-rate: no loss is learnt from; expected a coefficient"},
      {" --balance bias --sequences 3",
       "--sequences 3: expected a divisor of the 8192 tokens of a batch"},
      {" --rebalance-every 5",
       "--rebalance-every 5: the popularity does not drift; expected a /routing/popularity with a "
       "\"drift_time\""},
      {kSkewed + " --rebalance-every 5",
       "--rebalance-every 5: the placement does not depend on loads; expected a /plan/placement "
       "with the policy \"eplb_global\" or \"eplb_hierarchical\""},
      {kSkewed + kEplb + " --rebalance-every 5 --steps 5",
       "--rebalance-every 5: no rebalance in 5 steps; expected more --steps"},
      {" --replay none.csv", "none.csv: cannot be read: no such file"},
      {" --replay tokens.jsonl", "tokens.jsonl: line 1: expected 8 experts, found 2"},
      {" --set foo",
       "--set foo: expected /pointer=value, such as /cluster/nic_bandwidth=\"100 GB/s\""},
      {" --set /model=models/llama-3.1-70b.json --set /plan/ep=1",
       "scenarios/deepseek-v3-chunk.jsonc: the model has no experts, so nothing is routed"}};
  for (const auto& [flags, message] : cases) {
    const Result result = shell(kChunk + flags);
    CAPTURE(flags);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err == "moesim: " + message + "\n");
  }
  const Result stated =
      shell("build/moesim routing scenarios/deepseek-v3-pretrain.jsonc --phase 3");
  CHECK(stated.code == 2);
  CHECK(stated.err ==
        "moesim: --phase 3: \"post-training\" is stated, not simulated: it has no routing\n");
  CHECK(shell(kChunk + " --gamma 0.1").code == 2);  // without --balance
  const Result nan = shell(kChunk + " --balance bias --gamma nan");
  CHECK(nan.code == 2);
  CHECK(contains(nan.err, "--gamma: expected a number in [0 - 1], found nan"));
}

TEST_CASE("routing's help has an example") {
  const Shell shell;
  const Result help = shell("build/moesim routing --help");
  CHECK(help.code == 0);
  CHECK(contains(help.out, "moesim routing scenarios/deepseek-v3-chunk.jsonc --replay"));
}

}  // namespace moesim::cli
