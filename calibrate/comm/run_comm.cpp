#include "calibrate/comm/run_comm.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <thread>

#include "calibrate/comm/expert_routing.hpp"
#include "calibrate/comm/nccl_transport.hpp"
#include "calibrate/comm/payload.hpp"
#include "model/errors.hpp"

namespace moesim::comm {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0)
    throw std::runtime_error(std::string("host name: ") + std::strerror(errno));
  return name.data();
}

void measure_all(Session& session, PointResults* results) {
  const std::vector<std::string>& only = session.options().only;
  for (const Benchmark& benchmark : benchmarks()) {
    if (!only.empty() && std::find(only.begin(), only.end(), benchmark.name) == only.end())
      continue;
    if (results != nullptr) results->begin_benchmark(benchmark);
    benchmark.run(session);
    if (session.stopped()) return;
  }
}

// What one rank does, whatever it runs on.
void run_rank(Bootstrap& bootstrap,
              Transport& transport,
              const RankMap& map,
              const CommOptions& options,
              RoutingCache& routings,
              PointResults& all_results,
              const DescribeRun& describe) {
  PointResults* results = bootstrap.rank() == 0 ? &all_results : nullptr;
  if (results != nullptr) results->begin_run(describe(transport, map));
  Session session(bootstrap, transport, map, options, routings, results);
  measure_all(session, results);
}

// Tells the others before an error leaves this rank.
template <class Body>
void telling_others(Bootstrap& bootstrap, const Body& body) {
  try {
    body();
  } catch (const std::exception& error) {
    bootstrap.give_up(error.what());
    throw;
  }
}

// Where nobody said which rank of its host this is: as many ranks of the host are before it.
int local_rank(Bootstrap& bootstrap, const Launch& launch) {
  const auto hosts = bootstrap.all_gather("hosts", host_name());
  if (launch.local_rank) return *launch.local_rank;
  const auto own = hosts.begin() + bootstrap.rank();
  return static_cast<int>(std::count(hosts.begin(), own, *own));
}

}  // namespace

void run_ranks(int size,
               Timeout timeout,
               const std::function<void(ThreadTable& table, Bootstrap& bootstrap)>& body) {
  ThreadTable table(size, timeout);
  std::vector<std::exception_ptr> failed(static_cast<std::size_t>(size));
  std::vector<char> by_itself(static_cast<std::size_t>(size), 0);
  const auto run = [&](int rank) {
    const auto i = static_cast<std::size_t>(rank);
    const auto bootstrap = table.bootstrap(rank);
    try {
      body(table, *bootstrap);
    } catch (const PeerFailed&) {
      failed[i] = std::current_exception();
    } catch (...) {
      failed[i] = std::current_exception();
      by_itself[i] = 1;
      bootstrap->give_up("");
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 1; rank < size; ++rank) threads.emplace_back(run, rank);
  run(0);
  for (std::thread& thread : threads) thread.join();
  for (const bool itself : {true, false})
    for (std::size_t i = 0; i < failed.size(); ++i)
      if (failed[i] && (by_itself[i] == 1) == itself) std::rethrow_exception(failed[i]);
}

void run_on_fake(const FakeMachine& machine,
                 const CommOptions& options,
                 Timeout timeout,
                 PointResults& results,
                 const DescribeRun& describe) {
  const RankMap map(machine.ranks, machine.ranks / machine.nodes);
  RoutingCache routings;
  std::unique_ptr<FakeFabric> fabric;
  std::once_flag made;
  run_ranks(machine.ranks, timeout, [&](ThreadTable& table, Bootstrap& bootstrap) {
    std::call_once(made, [&] {
      fabric =
          std::make_unique<FakeFabric>(map, machine.rates, machine.fault, table.alarm(), timeout);
    });
    const auto transport = fabric->transport(bootstrap.rank());
    run_rank(bootstrap, *transport, map, options, routings, results, describe);
  });
}

bool run_on_nccl(const NcclMachine& machine,
                 const CommOptions& options,
                 Timeout timeout,
                 PointResults& results,
                 const DescribeRun& describe) {
  GpuLibraries libraries;
  libraries.cuda = load_cuda(machine.cuda_library);
  libraries.nccl = load_nccl(machine.nccl_library);
  const Launch& launch = machine.launch;
  int num_gpus = 0;
  check_cuda(libraries.cuda, libraries.cuda.get_device_count(&num_gpus), "cudaGetDeviceCount");
  if (num_gpus == 0) throw std::runtime_error("no GPU is visible");
  RoutingCache routings;
  const auto on_device = [&](Bootstrap& bootstrap, int device) {
    const RankMap map(gather_places(bootstrap, place_of(libraries.cuda, device, host_name())));
    const auto transport = nccl_transport(libraries, device, bootstrap, map, timeout);
    run_rank(bootstrap, *transport, map, options, routings, results, describe);
  };
  if (launch.launcher.empty()) {
    run_ranks(num_gpus, timeout, [&](ThreadTable& /*table*/, Bootstrap& bootstrap) {
      on_device(bootstrap, bootstrap.rank());
    });
    return true;
  }
  ThreadTable alone(1, timeout);
  const auto bootstrap = launch.world == 1 ? alone.bootstrap(0) : tcp_bootstrap(launch, timeout);
  telling_others(*bootstrap, [&] {
    const int local = local_rank(*bootstrap, launch);
    on_device(*bootstrap, device_of(libraries.cuda, local));
  });
  return launch.rank == 0;
}

JsonValue nccl_variables() {
  std::vector<std::string> all;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
    if (std::strncmp(*variable, "NCCL_", 5) == 0) all.emplace_back(*variable);
  std::sort(all.begin(), all.end());
  JsonValue object = JsonValue::object();
  for (const std::string& text : all) {
    const std::size_t equals = text.find('=');
    object.set(text.substr(0, equals), text.substr(equals + 1));
  }
  return object;
}

}  // namespace moesim::comm
