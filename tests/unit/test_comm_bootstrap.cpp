// Ranks meet: as threads, and over TCP on this host. Whoever is missing, late, gone, or another
// program is named on every rank, in time.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "calibrate/comm/bootstrap.hpp"
#include "calibrate/comm/tcp_socket.hpp"
#include "tests/catch.hpp"

using namespace moesim;
using namespace moesim::comm;

namespace {

constexpr Timeout kSoon = Timeout(300), kLong = Timeout(20000);

// A port that was free a moment ago.
std::string free_address() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(descriptor, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  ::close(descriptor);
  return "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
}

Launch rank_of(int rank, int world, const std::string& at) {
  return {rank, world, std::nullopt, "test", at};
}

std::string failure(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing failed";
}

// Runs body(rank) on a thread each and returns what each had to say.
std::vector<std::string> on_threads(int ranks, const std::function<void(int)>& body) {
  std::vector<std::string> said(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] { said[static_cast<std::size_t>(r)] = failure([&] { body(r); }); });
  for (std::thread& t : threads) t.join();
  return said;
}

const std::string kFine = "nothing failed";

}  // namespace

TEST_CASE("comm bootstrap: texts of any length reach everyone by rank", "[comm]") {
  const std::string at = free_address(), large(300000, 'x');
  const auto exchange = [&](Bootstrap& bootstrap) {
    const int rank = bootstrap.rank();
    for (int round = 0; round < 3; ++round) {
      const auto all = bootstrap.all_gather(
          "round", round == 1 ? large + std::to_string(rank) : std::string(rank, 'a'));
      if (all.size() != 4) throw std::runtime_error("wrong number of texts");
      for (int r = 0; r < 4; ++r)
        if (all[static_cast<std::size_t>(r)] !=
            (round == 1 ? large + std::to_string(r) : std::string(r, 'a')))
          throw std::runtime_error("wrong text");
    }
    if (broadcast(bootstrap, "word", rank == 0 ? "from 0" : "other") != "from 0")
      throw std::runtime_error("wrong broadcast");
    barrier(bootstrap, "end");
  };
  const auto said =
      on_threads(4, [&](int r) { exchange(*tcp_bootstrap(rank_of(r, 4, at), kLong)); });
  CHECK(said == std::vector<std::string>(4, kFine));
  ThreadTable table(4, kLong);
  CHECK(on_threads(4, [&](int r) { exchange(*table.bootstrap(r)); }) ==
        std::vector<std::string>(4, kFine));
}

TEST_CASE("comm bootstrap: a complaint of one stops all with the same words", "[comm]") {
  const std::string at = free_address();
  const auto said = on_threads(3, [&](int r) {
    const auto bootstrap = tcp_bootstrap(rank_of(r, 3, at), kLong);
    agree(*bootstrap, "fine", "");
    agree(*bootstrap, "verify", r == 0 ? "" : "rank " + std::to_string(r) + " complains");
  });
  CHECK(said == std::vector<std::string>(3, "rank 1 complains"));
}

TEST_CASE("comm bootstrap: ranks that never come are named", "[comm]") {
  const std::string at = free_address();
  const auto said =
      on_threads(2, [&](int r) { tcp_bootstrap(rank_of(r == 0 ? 0 : 2, 4, at), kSoon); });
  const std::string expected = "ranks 1 and 3 of 4 did not come to " + at + " within 300 ms";
  CHECK(said == std::vector<std::string>(2, expected));

  const std::string nobody = free_address();
  CHECK(failure([&] { tcp_bootstrap(rank_of(1, 2, nobody), kSoon); }) ==
        "rank 1 found no rank 0 at " + nobody + " within 300 ms: Connection refused");
}

TEST_CASE("comm bootstrap: ranks that are late or gone later are named by all", "[comm]") {
  const std::string at = free_address();
  const auto late = on_threads(4, [&](int r) {
    const auto bootstrap = tcp_bootstrap(rank_of(r, 4, at), Timeout(500));
    if (r == 1 || r == 3) std::this_thread::sleep_for(Timeout(1500));
    bootstrap->all_gather("weather", "fine");
  });
  const std::string expected = "ranks 1 and 3 of 4 did not come to \"weather\" within 500 ms";
  CHECK(late[0] == expected);
  CHECK(late[2] == expected);

  const std::string at2 = free_address();
  const auto gone = on_threads(3, [&](int r) {
    const auto bootstrap = tcp_bootstrap(rank_of(r, 3, at2), kLong);
    if (r == 1) return;
    bootstrap->all_gather("weather", "fine");
  });
  CHECK(gone[0] == "rank 1 hung up at \"weather\"");
  CHECK(gone[2] == gone[0]);

  const std::string at3 = free_address();
  const auto gave_up = on_threads(3, [&](int r) {
    const auto bootstrap = tcp_bootstrap(rank_of(r, 3, at3), kLong);
    if (r == 2) return bootstrap->give_up("cudaMalloc: out of memory");
    bootstrap->all_gather("weather", "fine");
  });
  CHECK(gave_up[0] == "rank 2: cudaMalloc: out of memory");
  CHECK(gave_up[1] == gave_up[0]);
}

TEST_CASE("comm bootstrap: ranks out of step are refused", "[comm]") {
  const std::string at = free_address();
  const auto said = on_threads(2, [&](int r) {
    tcp_bootstrap(rank_of(r, 2, at), kLong)->all_gather(r == 0 ? "here" : "there", "");
  });
  CHECK(said == std::vector<std::string>(2, "rank 1 is at \"there\", rank 0 at \"here\""));
}

TEST_CASE("comm bootstrap: another version or another world is refused with both values",
          "[comm]") {
  const std::string at = free_address();
  const auto versions =
      on_threads(2, [&](int r) { tcp_bootstrap(rank_of(r, 2, at), kLong, r == 0 ? 1 : 7); });
  CHECK(versions == std::vector<std::string>(2,
                                             "rank 1 speaks version 7 of the bootstrap, rank 0 1: "
                                             "start the same moesim-calibrate everywhere"));
  const std::string at2 = free_address();
  const auto worlds =
      on_threads(2, [&](int r) { tcp_bootstrap(rank_of(r, r == 0 ? 3 : 4, at2), kLong); });
  CHECK(worlds == std::vector<std::string>(2, "rank 1 is one of 4 ranks, rank 0 one of 3"));
  const std::string at3 = free_address();
  const auto twice =
      on_threads(3, [&](int r) { tcp_bootstrap(rank_of(r == 0 ? 0 : 1, 3, at3), kLong); });
  CHECK(twice == std::vector<std::string>(3, "rank 1 came twice"));
}

TEST_CASE("comm bootstrap: strangers at the port disturb nobody", "[comm]") {
  const std::string at = free_address();
  const auto said = on_threads(3, [&](int r) {
    if (r < 2) {
      // The silent stranger is there before rank 1.
      if (r == 1) std::this_thread::sleep_for(Timeout(200));
      tcp_bootstrap(rank_of(r, 2, at), kLong);
      return;
    }
    std::string reason;
    const Address address = parse_address(at, "test");
    const auto deadline = std::chrono::steady_clock::now() + kLong;
    const auto silent = connect_to(address, deadline, reason);
    const auto rude = connect_to(address, deadline, reason);
    const std::string request = "GET / HTTP/1.1\r\nHost: somebody\r\n\r\n";
    send_bytes(*rude, request.data(), request.size(), deadline);
    std::this_thread::sleep_for(Timeout(600));
  });
  CHECK(said == std::vector<std::string>(3, kFine));
}

TEST_CASE("comm bootstrap: a port that is taken is refused by its address", "[comm]") {
  const std::string at = free_address();
  const Socket holder = listen_at(parse_address(at, "test"));
  CHECK(failure([&] {
          tcp_bootstrap(rank_of(0, 2, at), kSoon);
        }).find(at + ": rank 0 cannot listen there: Address already in use") == 0);
}

TEST_CASE("comm bootstrap: threads name who is missing and go home on an alarm", "[comm]") {
  ThreadTable table(3, kSoon);
  CHECK(failure([&] { table.bootstrap(1)->all_gather("weather", ""); }) ==
        "ranks 0 and 2 of 3 did not come to \"weather\" within 300 ms");
  ThreadTable failing(2, kLong);
  const auto said = on_threads(2, [&](int r) {
    const auto bootstrap = failing.bootstrap(r);
    if (r == 1) return bootstrap->give_up("");
    bootstrap->all_gather("weather", "");
  });
  CHECK(said[0] == "another rank failed");
}
