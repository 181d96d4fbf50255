// `moesim sweep` and `moesim merge` as their user meets them: killed, stopped, out of disk, in
// shards, under Slurm.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/cli/shell.hpp"

namespace moesim::cli {

void run_commands(const char* file, std::size_t least);  // test_cli.cpp

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string file_in(const Shell& shell, const std::string& name) {
  return read(shell.folder() / name);
}

// 48 points of a few milliseconds each; some cannot be run.
const std::string kPoints =
    "scenarios/deepseek-v3-pretrain.jsonc --set /routing/kind=balanced --main-phase-only "
    "--vary /plan/ep=8,16,32,48,64,128 --vary '/cluster/nic_bandwidth=25..200 GB/s:25' ";

// The program as a child of its own, killed outright after a while. Whether that was in time.
bool killed_after(const Shell& shell,
                  const std::string& arguments,
                  std::chrono::milliseconds time) {
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string line = "cd '" + shell.folder().string() + "' && exec build/moesim " +
                             arguments + " >/dev/null 2>&1 </dev/null";
    ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  std::this_thread::sleep_for(time);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

}  // namespace

TEST_CASE("every command of the guide to sweeps runs") { run_commands("docs/sweeps.md", 7); }

TEST_CASE("sweep: killed five times at random it ends as if nothing had been", "[sweep]") {
  const Shell shell;
  const Result whole = shell("build/moesim sweep " + kPoints + "-o whole.jsonl --threads 1");
  INFO(whole.err);
  REQUIRE(whole.code == 0);
  const std::string expected = file_in(shell, "whole.jsonl");
  CHECK(std::count(expected.begin(), expected.end(), '\n') == 49);

  std::random_device seed;
  std::mt19937_64 random(seed());
  int killed = 0, partly = 0;
  for (int round = 0; round < 5; ++round) {
    const auto time = std::chrono::milliseconds(5 + random() % 200);
    killed += killed_after(shell, "sweep " + kPoints + "-o killed.jsonl --threads 2", time) ? 1 : 0;
    const std::string text = file_in(shell, "killed.jsonl");
    const auto lines = std::count(text.begin(), text.end(), '\n');
    partly += lines > 0 && lines < 49 ? 1 : 0;
  }
  INFO(killed << " kills in time, " << partly << " of them in the middle");
  const Result resumed = shell("build/moesim sweep " + kPoints + "-o killed.jsonl --threads 2");
  CHECK(resumed.code == 0);
  CHECK(file_in(shell, "killed.jsonl") == expected);
  CHECK(resumed.out == whole.out);
  CHECK(killed > 0);
}

TEST_CASE("sweep: seven shards and any threads give the same bytes", "[sweep]") {
  const Shell shell;
  REQUIRE(shell("build/moesim sweep " + kPoints + "-o whole.jsonl --threads 5").code == 0);
  std::string files;
  for (int i = 1; i <= 7; ++i) {
    const std::string name = "shard" + std::to_string(i) + ".jsonl ";
    CHECK(shell("build/moesim sweep " + kPoints + "-o " + name + "--shard " + std::to_string(i) +
                "/7 --threads 2")
              .code == 0);
    files += name;
  }
  const Result merged = shell("build/moesim merge " + files + "-o merged.jsonl");
  INFO(merged.err);
  CHECK(merged.code == 0);
  CHECK(file_in(shell, "merged.jsonl") == file_in(shell, "whole.jsonl"));
  CHECK(has(merged.out, "## Best points"));
  CHECK(has(merged.out, "## Points that cannot be run"));

  const Result hole = shell("build/moesim merge shard1.jsonl shard3.jsonl -o hole.jsonl");
  CHECK(hole.code == 2);
  CHECK(hole.err == "moesim: point 1 of 48 is missing and 33 more; shard 2/7 has it\n");
  CHECK_FALSE(fs::exists(shell.folder() / "hole.jsonl"));
}

TEST_CASE("sweep: a serving scenario, whole, in JSON and CSV", "[sweep]") {
  const Shell shell;
  const std::string command =
      "build/moesim sweep scenarios/azure-conversation-h200.jsonc --vary /seed=1,2 --json --csv "
      "p.csv "
      "--metric output_tokens_per_s_per_gpu,ttft_s/p99 --pareto "
      "max:output_tokens_per_s_per_gpu,min:ttft_s/p99";
  const Result result = shell(command);
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(has(result.out, "\"num_feasible\": 2"));
  CHECK(has(result.out, "\"pareto\""));
  const Result run =
      shell("build/moesim run scenarios/azure-conversation-h200.jsonc --set /seed=2 --json");
  const std::size_t at = run.out.find("\"output_tokens_per_s_per_gpu\": ");
  REQUIRE(at != std::string::npos);
  const std::string line = run.out.substr(at, run.out.find(',', at) - at);
  CHECK(has(result.out, line));
  const std::string csv = file_in(shell, "p.csv");
  CHECK(csv.rfind("point,id,/seed,feasible,reason,", 0) == 0);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);
}

TEST_CASE("sweep: a full disk keeps what was finished", "[sweep]") {
  const Shell shell;
  REQUIRE(shell("build/moesim sweep " + kPoints + "-o whole.jsonl --threads 2").code == 0);
  const std::string whole = file_in(shell, "whole.jsonl");
  // As a full disk does, the limit cuts a write short and refuses the next.
  const Result full = shell("trap '' XFSZ; ulimit -f 16; exec build/moesim sweep " + kPoints +
                            "-o full.jsonl --threads 2");
  CHECK(full.code == 1);
  CHECK(has(full.err, "full.jsonl: cannot be written: "));
  CHECK(has(full.err, "finished points are kept, and the same command goes on from there\n"));
  CHECK(std::count(full.err.begin(), full.err.end(), '\n') == 1);
  const std::string text = file_in(shell, "full.jsonl");
  CHECK(std::count(text.begin(), text.end(), '\n') > 2);
  CHECK(text.back() == '\n');
  CHECK(text.size() < whole.size());
  CHECK(shell("build/moesim sweep " + kPoints + "-o full.jsonl").code == 0);
  CHECK(file_in(shell, "full.jsonl") == whole);
}

TEST_CASE("sweep: Ctrl-C stops it in a line, and it goes on", "[sweep]") {
  const Shell shell;
  // The signal comes once some points are there.
  const Result stopped = shell("build/moesim sweep " + kPoints +
                               "--vary /seed=1..100:1 -o stopped.jsonl --threads 2 & pid=$!; "
                               "for i in $(seq 3000); do [ \"$(grep -c . stopped.jsonl)\" -gt 3 ] "
                               "&& break; sleep 0.02; done; "
                               "kill -TERM $pid; wait $pid");
  CHECK(stopped.code == 1);
  CHECK(has(stopped.err, "moesim: stopped after "));
  CHECK(has(stopped.err, "which are in stopped.jsonl; the same command goes on from there\n"));
  const std::string text = file_in(shell, "stopped.jsonl");
  CHECK(text.back() == '\n');
  CHECK(std::count(text.begin(), text.end(), '\n') < 4801);
}

TEST_CASE("sweep: wrong input in one line, before anything runs", "[sweep]") {
  const Shell shell;
  const std::string run = "build/moesim sweep scenarios/deepseek-v3-chunk.jsonc ";
  write(shell.folder() / "text", "hello\n");
  fs::create_directory(shell.folder() / "folder");
  struct Case {
    std::string command, message;
    int code = 2;
  };
  const Case cases[] = {
      {"build/moesim sweep nothing.jsonc --vary /plan/ep=1,2",
       "nothing.jsonc: cannot be read: no such file"},
      {run, "a sweep needs at least one"},
      {run + "--vary /plan/eq=8,16", "--vary /plan/eq: unknown key \"eq\""},
      {run + "--vary /nothing=8,16", "--vary /nothing: unknown key \"nothing\""},
      {run + "--vary /plan/ep=8..60:8",
       "steps of 8 miss the end: the last would be 56, expected 60"},
      {run + "--vary /plan/ep=64..8:8", "steps of 8 lead away from 8"},
      {run + "--vary /plan/ep=8,16 --vary /plan/ep=32",
       "--vary /plan/ep: the field is varied twice"},
      {run + "--vary /plan/ep=8,16 --set /plan/ep=8", "--vary /plan/ep: the field is set as well"},
      {run + "--vary /plan/ep=8,16 --where '/plan/ep = 8'",
       "column 10: expected an operator or the end"},
      {run + "--vary /plan/ep=8,16 --where '/plan/ep > 99'",
       "none of 2 combinations meets the condition"},
      {run + "--vary /plan/ep=8,16 --shard 3/2 -o x", "there is no shard \"3/2\""},
      {run + "--vary /plan/ep=8,16 --shard 1/3 -o x",
       "3 shards are more than the sweep's 2 points"},
      {run + "--vary /plan/ep=8,16 --shard 1/2", "needs -o"},
      {run + "--vary /plan/ep=8,16 --shards 2", "is for --emit slurm"},
      {run + "--vary /plan/ep=8,16 --emit slurm --shards 2", "needs -o"},
      {run + "--vary /plan/ep=8,16 --emit slurm -o x", "needs --shards"},
      {run + "--vary /plan/ep=8,16 --pareto cost_usd", "expected min: or max: before every metric"},
      {run + "--vary /plan/ep=8,64 --metric step_tme_s",
       "no metric is named \"step_tme_s\"; did you mean \"step_time_s\"?"},
      {run + "--vary /plan/ep=8,16 -o text", "text: is no result file of a sweep"},
      {run + "--vary /plan/ep=8,16 -o folder",
       "folder: cannot be written: it is no regular file",
       1},
      {run + "--vary /plan/ep=8,16 -o none/x",
       "none/x: cannot be written: No such file or directory",
       1},
      {run + "--vary /plan/ep=8,16 -o /dev/full",
       "/dev/full: cannot be written: it is no regular file",
       1},
      {"build/moesim merge text", "text: is no result file of a sweep"},
      {"build/moesim merge none", "none: cannot be read: no such file"}};
  for (const Case& c : cases) {
    const Result result = shell(c.command);
    INFO(c.command << "\n" << result.err);
    CHECK(result.code == c.code);
    CHECK(has(result.err, c.message));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK_FALSE(fs::exists(shell.folder() / "x"));
  }
  CHECK(read(shell.folder() / "text") == "hello\n");
}

TEST_CASE("sweep: two processes do not work on one file", "[sweep]") {
  const Shell shell;
  const Result result =
      shell("build/moesim sweep " + kPoints +
            "--vary /seed=1..100:1 -o one.jsonl --threads 1 >/dev/null 2>&1 & pid=$!; "
            "for i in $(seq 3000); do [ -s one.jsonl ] && break; sleep 0.02; done; "
            "build/moesim sweep " +
            kPoints +
            "--vary /seed=1..100:1 -o one.jsonl; code=$?; "
            "kill -KILL $pid; exit $code");
  CHECK(result.code == 1);
  CHECK(has(result.err, "one.jsonl: cannot be written: another process is working on this sweep"));
}

// A controller and two nodes of Slurm on this machine, on ports of their own.
TEST_CASE("sweep: an array job on two nodes of a real Slurm", "[sweep][slurm]") {
  const Shell shell;
  if (shell("command -v slurmctld slurmd sbatch").code != 0) {
    std::puts("SKIPPED: Slurm is not installed (slurmctld, slurmd, sbatch)");
    return;
  }
  const std::string port = std::to_string(20000 + 3 * (::getpid() % 10000));
  write(shell.folder() / "start.sh", R"(set -eu
d=$PWD/slurm; h=$(hostname -s); p=$1; mkdir -p $d/state
cat > $d/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$h(127.0.0.1)
SlurmctldPort=$p
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool-%n
SlurmctldPidFile=$d/slurmctld.pid
SlurmdPidFile=$d/slurmd-%n.pid
SlurmctldLogFile=$d/slurmctld.log
SlurmdLogFile=$d/slurmd-%n.log
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName=node1 NodeHostname=$h NodeAddr=127.0.0.1 Port=$((p + 1)) CPUs=1
NodeName=node2 NodeHostname=$h NodeAddr=127.0.0.1 Port=$((p + 2)) CPUs=1
PartitionName=main Nodes=node1,node2 Default=YES State=UP
CONF
slurmctld -f $d/slurm.conf -c
slurmd -f $d/slurm.conf -N node1
slurmd -f $d/slurm.conf -N node2
)");
  const std::string with_slurm = "export SLURM_CONF=\"$PWD/slurm/slurm.conf\"; ";
  struct Stop {
    const Shell& shell;
    ~Stop() {
      shell(
          "export SLURM_CONF=\"$PWD/slurm/slurm.conf\"; scontrol shutdown; sleep 1; "
          "for f in slurm/*.pid; do kill \"$(cat \"$f\")\"; done; sleep 1");
    }
  } const stop{shell};
  const Result started = shell("sh start.sh " + port);
  INFO(started.err);
  REQUIRE(started.code == 0);

  REQUIRE(shell("build/moesim sweep " + kPoints + "-o whole.jsonl").code == 0);
  // A name with a quote and a blank: the script has to get both through three shells.
  const Result emitted = shell("build/moesim sweep " + kPoints +
                               "-o \"it's one.jsonl\" --emit slurm --shards 4 > sweep.sh; "
                               "sh -n sweep.sh");
  REQUIRE(emitted.code == 0);
  const Result submitted = shell(with_slurm + "sh sweep.sh");
  INFO(submitted.err);
  REQUIRE(submitted.code == 0);
  CHECK(has(submitted.out, "Submitted batch job"));
  const Result waited =
      shell(with_slurm +
            "for i in $(seq 240); do [ -s \"it's one.jsonl\" ] && exit 0; sleep 0.5; done; squeue; "
            "cat slurm*.out; exit 1");
  INFO(waited.out << waited.err);
  REQUIRE(waited.code == 0);
  CHECK(file_in(shell, "it's one.jsonl") == file_in(shell, "whole.jsonl"));
  const Result nodes =
      shell(with_slurm + "scontrol show job | grep -o 'NodeList=node[12]' | sort -u");
  CHECK(nodes.out == "NodeList=node1\nNodeList=node2\n");
}

}  // namespace moesim::cli
