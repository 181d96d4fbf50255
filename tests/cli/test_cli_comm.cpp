// moesim-calibrate comm as its user meets it: the fake, processes that find each other on this
// host, and one line for all that is wrong.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/cli/shell.hpp"

namespace moesim::cli {
namespace {

const std::string kComm = "build/moesim-calibrate comm ";
const std::string kFake = kComm + "--device=fake --gpu h800 ";
const std::string kQuick = kFake + "--fake-ranks 4 --max-bytes '4 KiB' --repeats 3 --hidden 256 ";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

// A port that was free a moment ago.
std::string free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(descriptor, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  ::close(descriptor);
  return std::to_string(ntohs(at.sin_port));
}

// Starts ranks `first` to `last` of `world` and prints the exit code of each on a line of its own.
std::string start_ranks(int first, int last, int world, const std::string& options) {
  std::string script;
  for (int r = first; r <= last; ++r)
    script += "(RANK=" + std::to_string(r) + " WORLD_SIZE=" + std::to_string(world) +
              " LOCAL_RANK=" + std::to_string(r) + " " + kComm + options + "; echo rank " +
              std::to_string(r) + " exit $?) & ";
  return script + "wait";
}

}  // namespace

TEST_CASE("comm: the benchmarks are listed and the selftest passes") {
  const Shell shell;
  const Result list = shell(kComm + "--list");
  CHECK(list.code == 0);
  for (const char* name : {"p2p", "collectives", "alltoallv", "overlap", "pipeline"})
    CHECK(contains(list.out, "| " + std::string(name) + " | "));
  const Result selftest = shell(kComm + "--selftest --device=fake");
  CHECK(selftest.code == 0);
  CHECK(contains(selftest.out, "16 ranks on 2 nodes: "));
  CHECK(contains(selftest.out, "flip: send_cross_rail"));
  CHECK(contains(selftest.out, "selftest passed\n"));
}

TEST_CASE("comm: a fake run writes the same points every time and a second run adds to them") {
  const Shell shell;
  const Result first = shell(kQuick + "-o a.jsonl");
  REQUIRE(first.code == 0);
  CHECK(first.err.empty());
  CHECK(contains(section_of(first.out, "collectives"), "| all_reduce | world | 4 | 2 | 512 |"));
  REQUIRE(shell("taskset -c 0 " + kQuick + "-o b.jsonl").code == 0);
  const std::string points = read(shell.folder() / "a.jsonl");
  CHECK(points == read(shell.folder() / "b.jsonl"));
  CHECK(contains(points, R"("kind":"synthetic","gpu":"h800")"));
  CHECK(
      contains(points, R"("op":"dispatch","ranks":4,"ranks_per_node":2,"tokens":1,"hidden":256)"));
  REQUIRE(shell(kQuick + "--only pipeline -o a.jsonl").code == 0);
  const std::string more = read(shell.folder() / "a.jsonl");
  CHECK(more.substr(0, points.size()) == points);
  CHECK(count_of(more, "moesim-points/1") == 2);
  const Result only = shell(kQuick + "--only pipeline,p2p");
  CHECK(contains(only.out, "## p2p"));
  CHECK(contains(only.out, "## pipeline"));
  CHECK_FALSE(contains(only.out, "## collectives"));
}

TEST_CASE("comm: wrong data stop the run and name rank and sender") {
  const Shell shell;
  for (const char* fault : {"flip", "drop", "late"}) {
    const Result result =
        shell(kQuick + "--only collectives -o p.jsonl --fake-fault " + std::string(fault));
    CHECK(result.code == 1);
    CHECK(contains(result.err,
                   "moesim-calibrate: all_reduce ranks=4 ranks_per_node=2 bytes=512: rank 3: from "
                   "all ranks at byte "));
    CHECK(count_of(result.err, "\n") == 1);
    CHECK(result.out.empty());
  }
  CHECK(read(shell.folder() / "p.jsonl").empty());
}

TEST_CASE("comm: bad options are refused on one line") {
  const Shell shell;
  const auto refused = [&](const std::string& command, const std::string& expected) {
    const Result result = shell(command);
    CAPTURE(command);
    CHECK(result.code == 2);
    CHECK(result.err == "moesim-calibrate: " + expected + "\n");
    CHECK(result.out.empty());
  };
  refused(kComm + "--device=fake --gpu h88",
          "--gpu: is \"h88\"; known: a100-80, b200, gb200, h100, h20, h200, h800");
  refused(kFake + "--only p2p,nothing",
          "--only: is \"nothing\"; known: p2p, collectives, alltoallv, overlap, pipeline");
  refused(kFake + "--fake-ranks 5", "--fake-ranks: is 5; expected a multiple of the 2 nodes");
  refused(kFake + "--fake-ranks 1 --fake-nodes 1 -o p.jsonl",
          "--device: has one rank; expected two or more: one has no links");
  refused(kFake + "--hidden 200",
          "--hidden: is 200; expected a multiple of 128, the elements that share a scale");
  refused(kFake + "--experts 24 --only alltoallv",
          "--experts: is 24; expected a multiple of the 16 ranks");
  refused(kFake + "--topk 9 --experts 8", "--topk: is 9; expected at most the 8 experts");
  refused(kFake + "--max-bytes 3",
          "--max-bytes: expected a quantity with a unit such as "
          "\"80 GiB\", found the string \"3\"");
  refused(kFake + "--max-bytes '2 B'",
          "--max-bytes: is \"2 B\"; expected 8 B to 1 PiB, whole bytes");
  refused(kFake + "--max-bytes '1 GiB'",
          "--max-bytes: is 1073741824 B; expected at most 134217728 B for 16 fake ranks, which "
          "share this process's memory");
  refused(kFake + "--only collectives --max-bytes '64 B'",
          "--max-bytes: and --max-tokens leave nothing to measure; expected more");
  refused(kFake + "--timeout nan", "--timeout: is nan; expected a number");
  refused(kComm + "--gpu h800 --fake-ranks 4", "--fake-ranks: is for --device=fake alone");
  refused(kComm + "--selftest --device=fake -o p.jsonl",
          "-o: is given with --selftest, which measures nothing worth keeping");
  refused("RANK=0 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=1 " + kFake,
          "--device: is \"fake\", whose ranks are threads of one process, and torchrun started 2; "
          "expected one process, or --selftest-bootstrap");
  refused("RANK=0 " + kFake,
          "RANK: is set and WORLD_SIZE is not; expected both of torchrun or neither");
  CHECK(shell(kFake + "--repeats 0").code == 2);
  write(shell.folder() / "other.txt", "something else\n");
  CHECK(shell(kQuick + "-o other.txt").code == 2);
  CHECK(read(shell.folder() / "other.txt") == "something else\n");
}

TEST_CASE("comm: without NCCL there is one line that says so") {
  const Shell shell;
  const Result missing = shell(kComm + "--gpu h800 --cuda-library /no/such/libcudart.so");
  CHECK(missing.code == 1);
  CHECK(contains(missing.err,
                 "moesim-calibrate: the CUDA runtime is not here: /no/such/libcudart.so: "));
  CHECK(contains(missing.err, "--device=fake"));
  CHECK(count_of(missing.err, "\n") == 1);
}

TEST_CASE("comm: a budget ends the run between trials") {
  const Shell shell;
  const Result result = shell(kFake + "--max-tokens 8 --repeats 2000 --budget-s 1 -o p.jsonl");
  CHECK(result.code == 0);
  CHECK(contains(result.out, "; the budget is spent, and the rest was not begun\n"));
  CHECK(count_of(read(shell.folder() / "p.jsonl"), "\"op\"") > 0);
}

TEST_CASE("comm: processes find each other on this host") {
  const Shell shell;
  const std::string port = free_port();
  const Result met = shell(
      start_ranks(0, 3, 4, "--selftest-bootstrap --timeout 20 --rendezvous 127.0.0.1:" + port));
  CHECK(met.err.empty());
  CHECK(count_of(met.out, "exit 0") == 4);
  CHECK(contains(met.out, "| 3 | "));
  CHECK(contains(met.out, "4 ranks, launched by torchrun, met at 127.0.0.1:" + port));
}

TEST_CASE("comm: a process that is missing is named by all others in time") {
  const Shell shell;
  const std::string port = free_port();
  const Result lacking = shell(
      start_ranks(0, 2, 4, "--selftest-bootstrap --timeout 1 --rendezvous 127.0.0.1:" + port));
  CHECK(count_of(lacking.out, "exit 1") == 3);
  CHECK(count_of(lacking.err,
                 "moesim-calibrate: rank 3 of 4 did not come to 127.0.0.1:" + port +
                     " within 1 s\n") == 3);
  const std::string nobody = free_port();
  const Result headless = shell(
      start_ranks(1, 1, 2, "--selftest-bootstrap --timeout 0.3 --rendezvous 127.0.0.1:" + nobody));
  CHECK(contains(headless.err, "rank 1 found no rank 0 at 127.0.0.1:" + nobody));
  CHECK(contains(headless.out, "exit 1"));
}

}  // namespace moesim::cli
