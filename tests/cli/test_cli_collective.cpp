// `moesim collective` as its user meets it.
#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kCommand = "build/moesim collective scenarios/deepseek-v3-chunk.jsonc ";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The line of a table that starts with this cell, blanks taken out.
std::string row_of(const std::string& report, const std::string& first_cell) {
  std::istringstream lines(report);
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), ' '), line.end());
    if (line.rfind("|" + first_cell + "|", 0) == 0) return line;
  }
  return "no row " + first_cell;
}

}  // namespace

TEST_CASE("collective: every algorithm of a kind") {
  const Shell shell;
  const Result result = shell(kCommand + "--bytes '1 GB'");
  REQUIRE(result.code == 0);
  CHECK(result.err.empty());
  CHECK(has(result.out, "64 GPUs, 8 a node"));
  CHECK(has(result.out, "no size regimes in the profile"));
  CHECK(has(result.out, "The fabric does not block"));
  // A round of 1.953 MB chunks, seven of them at 133.88 GB/s after 3.33 us, 126 times; a NIC
  // carries one chunk a round.
  CHECK(row_of(result.out, "ring") == "|ring|126|13.29ms|13.29ms|0.0%|75.26|148.2|246.1MB|");
  CHECK(row_of(result.out, "tree").rfind("|tree|12|", 0) == 0);
  CHECK(row_of(result.out, "hierarchical").rfind("|hierarchical|28|", 0) == 0);

  const Result all = shell(kCommand + "--bytes '1 GB' --kind all --gpus 2");
  REQUIRE(all.code == 0);
  for (const char* kind :
       {"all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all", "send"})
    CHECK(has(all.out, std::string("## ") + kind + " of 1.000 GB\n"));
  CHECK(has(shell(kCommand + "--bytes '1 GB' --kind all").out,
            "- direct: a send has 2 ranks, found 64."));
}

TEST_CASE("collective: groups at the same time") {
  const Shell shell;
  // Leaves of four nodes with 32 ports down and 16 up: all NICs of one send to the other.
  const std::string fabric =
      "--set '/cluster/fabric={\"topology\": \"fat_tree\", \"levels\": 2, \"planes\": 1, "
      "\"switch_ports\": 48, \"rail_optimized\": false, \"oversubscription\": 2, \"routing\": "
      "\"adaptive\"}' ";
  const Result result =
      shell(kCommand + fabric + "--kind send --bytes '1 GB' --gpus 2 --groups 32 --stride 32");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "32 groups at the same time, each of 2 GPUs, 1 a node (0, 32)"));
  CHECK(has(result.out, "leaves are oversubscribed"));
  CHECK(row_of(result.out, "direct") ==
        "|direct|1|22.41ms|22.41ms|0.0%|44.81ms|2.000|22.32|22.32|1.000GB|");
}

TEST_CASE("collective: the fastest algorithm changes with the size") {
  const Shell shell;
  const Result result = shell(kCommand + "--sizes");
  REQUIRE(result.code == 0);
  CHECK(has(row_of(result.out, "1.000KB"), "|tree|"));
  CHECK(has(row_of(result.out, "1.000MB"), "|hierarchical|"));
  CHECK(has(row_of(result.out, "1.000GB"), "|ring|"));
  // On one node a ring is all there is to the hierarchy.
  CHECK(has(row_of(shell(kCommand + "--sizes --gpus 8 --kind all_gather").out, "1.000KB"),
            "|ring,hierarchical|"));
}

TEST_CASE("collective: size regimes of the profile") {
  const Shell shell;
  const auto replaced = [](std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  const fs::path shipped = kSource / "scenarios";
  std::string scenario = read(shipped / "deepseek-v3-chunk.jsonc"),
              profile = read(shipped / "profiles" / "h800-published.json");
  for (const char* folder : {"models/", "clusters/"})
    scenario = replaced(scenario, folder, std::string("scenarios/") + folder);
  write(shell.folder() / "scenario.jsonc",
        replaced(scenario, "profiles/h800-published.json", "profile.json"));
  profile = replaced(profile, "../gpus/", "scenarios/gpus/");
  write(shell.folder() / "profile.json",
        replaced(profile,
                 "\"comm\":",
                 "\"collectives\": {\"source\": \"a test\", \"nvlink\": [{\"up_to\": \"1 GB\", "
                 "\"overhead\": \"100 us\", \"efficiency\": 0.5}], \"nic\": [{\"up_to\": \"1 GB\", "
                 "\"overhead\": \"0 us\", \"efficiency\": 1}]}, \"comm\":"));
  const Result result =
      shell("build/moesim collective scenario.jsonc --kind send --gpus 2 --bytes '1 GB'");
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "- size regimes: a test"));
  CHECK(!has(result.out, "no size regimes"));
  // 3.33 + 100 us, and 1 GB at half of 133.88 GB/s.
  CHECK(row_of(result.out, "direct") == "|direct|1|15.04ms|15.04ms|0.0%|66.48|66.48|0B|");
}

TEST_CASE("collective: JSON") {
  const Shell shell;
  const Result result = shell(kCommand + "--kind send --gpus 2 --stride 8 --bytes '1 MB' --json");
  REQUIRE(result.code == 0);
  for (const char* part : {"\"schema_version\": 1",
                           "\"num_gpus_per_group\": 2",
                           "\"num_gpus_per_node\": 1",
                           "\"fabric_blocks\": null",
                           "\"has_size_regimes\": false",
                           "\"kind\": \"send\"",
                           "\"algorithm\": \"direct\"",
                           "\"num_rounds\": 1",
                           "\"is_fastest\": true",
                           "\"refused\": []",
                           "\"warnings\": ["})
    CHECK(has(result.out, part));
  CHECK(has(result.out, "\"busiest_nic_bytes\": 1e+06"));
  CHECK(result.out ==
        shell(kCommand + "--kind send --gpus 2 --stride 8 --bytes '1 MB' --json --threads 3").out);
  CHECK(has(shell(kCommand + "--kind send --gpus 2 --stride 8 --bytes '1 MB' --json --set "
                             "/cluster/fabric/failures='{\"nics\": [1], \"uplinks\": []}'")
                .out,
            "\"closed_form_error_pct\": null"));
}

TEST_CASE("collective: wrong options exit with 2 and one line") {
  const Shell shell;
  const std::pair<const char*, const char*> cases[] = {
      {"", "moesim: collective: expected the buffer's size: --bytes \"1 GB\", or --sizes\n"},
      {"--bytes '0 B'", "moesim: --bytes 0 B: expected a quantity above zero, found \"0 B\"\n"},
      {"--bytes 3", "moesim: --bytes 3: expected a quantity with a unit"},
      {"--bytes '1 TB'", "moesim: --bytes 1 TB: a GPU of the cluster holds 85.47 GB"},
      {"--bytes '1 GB' --gpus 65",
       "moesim: --gpus 65: needs GPU 64, but the cluster's GPUs are 0 to 63\n"},
      {"--bytes '1 GB' --gpus 8 --stride 10",
       "moesim: --gpus 8: needs GPU 70, but the cluster's GPUs are 0 to 63\n"},
      {"--bytes '1 GB' --gpus 2 --groups 33",
       "moesim: --gpus 2: needs GPU 65, but the cluster's GPUs are 0 to 63\n"},
      {"--bytes '1 GB' --first-gpu 64", "moesim: --first-gpu 64: the cluster's GPUs are 0 to 63\n"},
      {"--bytes '1 GB' --gpus 1",
       "moesim: --gpus 1: expected at least 2 GPUs in a group, found 1\n"},
      {"--bytes '1 GB' --groups 64",
       "moesim: --groups 64: expected at least 2 GPUs in a group, found 1\n"},
      {"--bytes '1 GB' --gpus 12",
       "moesim: --gpus 12: group 0 lies unevenly on the nodes; expected the same number of GPUs on "
       "every node of every group\n"},
      {"--bytes '1 GB' --gpus 4 --first-gpu 2 --groups 2",
       "moesim: --gpus 4: group 1 lies unevenly on the nodes"},
      {"--bytes '1 GB' --groups 9 --stride 8",
       "moesim: --stride 8: 9 groups would share GPUs; expected at least 9\n"},
      {"--bytes '1 GB' --kind send", "moesim: --kind send: a send has 2 ranks, found 64\n"},
      {"--bytes '0.001 B' --set /cluster/nvlink_latency='0 s' --set /cluster/nic_latency='0 s'",
       "expected 1 ns to 1 h\n"},
      {"--bytes '80 GB' --set /cluster/nic_bandwidth='100 MB/s'",
       "moesim: collective: 80.00 GB by tree takes 5381 s; expected 1 ns to 1 h\n"},
      {"--bytes '1 GB' --kind reduce", "--kind: reduce not in {all,all_reduce,"},
      {"--bytes '1 GB' --sizes", "excludes"},
  };
  for (const auto& [options, message] : cases) {
    const Result result = shell(kCommand + options);
    INFO(options << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(has(result.err, message));
    CHECK(result.out.empty());
  }
}

TEST_CASE("collective: help has examples that run") {
  const Shell shell;
  const Result help = shell("build/moesim collective --help");
  CHECK(help.code == 0);
  std::istringstream lines(help.out);
  int examples = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find("moesim collective scenarios");
    if (at == std::string::npos) continue;
    ++examples;
    INFO(line);
    CHECK(shell("build/" + line.substr(at)).code == 0);
  }
  CHECK(examples == 3);
}

}  // namespace moesim::cli
