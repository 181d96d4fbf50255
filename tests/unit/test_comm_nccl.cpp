// The NCCL transport against functions of our own in place of CUDA's and NCCL's: two "GPUs" in host
// memory, whose ranks are threads. Shows that the right functions get the right arguments; not that
// a GPU agrees. And what is said where the libraries are missing.
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "calibrate/comm/expert_routing.hpp"
#include "calibrate/comm/nccl_transport.hpp"
#include "calibrate/comm/run_comm.hpp"
#include "tests/catch.hpp"

using namespace moesim;
using namespace moesim::comm;

namespace {

constexpr Timeout kLong = Timeout(20000);
constexpr int kNumGpus = 2;

struct Comm {
  std::string id;
  int rank, size, max_ctas;
};
const Comm& as_comm(NcclComm comm) { return *reinterpret_cast<const Comm*>(comm); }

struct Operation {
  bool is_send;
  const void* from;
  void* to;
  std::size_t bytes;
  int peer;
  const Comm* comm;
};

// What all stand-ins share.
struct Machine {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::tuple<std::string, int, int>, std::deque<std::string>> mail;  // id, from, to
  std::map<std::string, int> calls;
  // A run that fails gives nothing back; here it all goes with the machine.
  std::map<void*, std::unique_ptr<char[]>> memory;
  std::deque<Comm> comms;
  std::deque<float> events;
  int next_id = 0, widest_ctas = 0;
  float clock_ms = 0;
  bool never_ready = false;
  int failing_allocations = 0, surprises = 0;
};
Machine* machine = nullptr;
// Catch2's assertions are for one thread.
void expect(bool condition) {
  const std::lock_guard lock(machine->mutex);
  if (!condition) ++machine->surprises;
}
thread_local std::vector<Operation> group;
thread_local int group_depth = 0, current_device = -1;

int count(const char* call) {
  const std::lock_guard lock(machine->mutex);
  ++machine->calls[call];
  return 0;
}

void put(const Comm& comm, int to, const void* bytes, std::size_t size) {
  const std::lock_guard lock(machine->mutex);
  machine->mail[{comm.id, comm.rank, to}].emplace_back(static_cast<const char*>(bytes), size);
  machine->changed.notify_all();
}
std::string take(const Comm& comm, int from) {
  std::unique_lock lock(machine->mutex);
  auto& box = machine->mail[{comm.id, from, comm.rank}];
  machine->changed.wait(lock, [&] { return !box.empty(); });
  std::string text = std::move(box.front());
  box.pop_front();
  return text;
}

int run_group() {
  for (const Operation& o : group)
    if (o.is_send) put(*o.comm, o.peer, o.from, o.bytes);
  for (const Operation& o : group)
    if (!o.is_send) {
      const std::string text = take(*o.comm, o.peer);
      expect(text.size() == o.bytes);
      std::memcpy(o.to, text.data(), std::min(text.size(), o.bytes));
    }
  group.clear();
  return 0;
}

std::vector<std::string> all_of(const Comm& comm, const void* bytes, std::size_t size) {
  for (int r = 0; r < comm.size; ++r) put(comm, r, bytes, size);
  std::vector<std::string> texts;
  for (int r = 0; r < comm.size; ++r) texts.push_back(take(comm, r));
  return texts;
}

// The sum of all, in integers of the type.
template <class Integer>
void add_all(const std::vector<std::string>& texts, std::size_t first, std::size_t n, void* out) {
  std::vector<Integer> sum(n, 0);
  for (const std::string& text : texts)
    for (std::size_t i = 0; i < n; ++i) {
      Integer value;
      std::memcpy(&value, text.data() + (first + i) * sizeof value, sizeof value);
      sum[i] += value;
    }
  std::memcpy(out, sum.data(), n * sizeof(Integer));
}

CudaApi cuda_stand_in() {
  CudaApi api;
  api.get_device_count = [](int* n) { return *n = kNumGpus, 0; };
  api.set_device = [](int device) { return current_device = device, 0; };
  api.allocate = [](void** memory, std::size_t bytes) {
    const std::lock_guard lock(machine->mutex);
    if (machine->failing_allocations > 0 && --machine->failing_allocations == 0) return 2;
    std::unique_ptr<char[]> owner(new char[bytes]);
    *memory = owner.get();
    machine->memory[*memory] = std::move(owner);
    return 0;
  };
  api.free = [](void* memory) {
    const std::lock_guard lock(machine->mutex);
    machine->memory.erase(memory);
    return 0;
  };
  api.copy = [](void* to, const void* from, std::size_t bytes, int) {
    return std::memcpy(to, from, bytes), 0;
  };
  api.copy_async = [](void* to, const void* from, std::size_t, int kind, CudaStream) {
    expect(kind == kCudaDeviceToDevice);
    expect(to != from);
    return count("copy_async");
  };
  api.create_stream = [](CudaStream* stream, unsigned flags) {
    expect(flags == kCudaNonBlocking);
    return *stream = reinterpret_cast<CudaStream>(machine), 0;
  };
  api.destroy_stream = [](CudaStream) { return 0; };
  api.query_stream = [](CudaStream) { return machine->never_ready ? kCudaNotReady : 0; };
  api.stream_wait_event = [](CudaStream, CudaEvent, unsigned) { return count("wait_event"); };
  api.create_event = [](CudaEvent* event) {
    const std::lock_guard lock(machine->mutex);
    *event = reinterpret_cast<CudaEvent>(&machine->events.emplace_back(0.0F));
    return 0;
  };
  api.destroy_event = [](CudaEvent) { return 0; };
  api.record_event = [](CudaEvent event, CudaStream) {
    const std::lock_guard lock(machine->mutex);
    *reinterpret_cast<float*>(event) = machine->clock_ms += 0.125F;
    return 0;
  };
  api.elapsed_ms = [](float* ms, CudaEvent first, CudaEvent second) {
    *ms = *reinterpret_cast<float*>(second) - *reinterpret_cast<float*>(first);
    return 0;
  };
  api.pci_bus_id = [](char* text, int size, int device) {
    return std::snprintf(text, static_cast<std::size_t>(size), "0000:%02d:00.0", device), 0;
  };
  api.runtime_version = [](int* v) { return *v = 13000, 0; };
  api.driver_version = [](int* v) { return *v = 13000, 0; };
  api.error_text = [](int) { return "out of memory"; };
  api.device_name = [](char* text, int size, int) {
    return std::snprintf(text, static_cast<std::size_t>(size), "Paper GPU"), 0;
  };
  return api;
}

NcclApi nccl_stand_in() {
  NcclApi api;
  api.get_version = [](int* v) { return *v = 22809, 0; };
  api.get_unique_id = [](NcclUniqueId* id) {
    const std::lock_guard lock(machine->mutex);
    return std::snprintf(id->internal, sizeof id->internal, "id %d", machine->next_id++), 0;
  };
  api.init_rank_config = [](NcclComm* comm, int size, NcclUniqueId id, int rank, NcclConfig* c) {
    expect(c->size == sizeof(NcclConfig));
    expect(c->magic == 0xcafebeef);
    const std::lock_guard lock(machine->mutex);
    *comm = reinterpret_cast<NcclComm>(
        &machine->comms.emplace_back(Comm{id.internal, rank, size, c->max_ctas}));
    machine->widest_ctas = std::max(machine->widest_ctas, c->max_ctas);
    return 0;
  };
  api.destroy = [](NcclComm) { return count("destroy"); };
  api.abort = [](NcclComm) { return count("abort"); };
  api.async_error = [](NcclComm, int* error) { return *error = 0, 0; };
  api.error_text = [](int) { return "unhandled"; };
  api.group_start = [] { return ++group_depth, 0; };
  api.group_end = [] { return --group_depth, run_group(); };
  api.send = [](const void* from, std::size_t n, int type, int peer, NcclComm comm, CudaStream) {
    expect(type == kNcclUint64 && group_depth == 1);
    return group.push_back({true, from, nullptr, n * 8, peer, &as_comm(comm)}), 0;
  };
  api.receive = [](void* to, std::size_t n, int, int peer, NcclComm comm, CudaStream) {
    return group.push_back({false, nullptr, to, n * 8, peer, &as_comm(comm)}), 0;
  };
  api.all_reduce =
      [](const void* in, void* out, std::size_t n, int type, int op, NcclComm comm, CudaStream) {
        expect(op == kNcclSum);
        const bool small = type == kNcclInt32;
        const auto texts = all_of(as_comm(comm), in, n * (small ? 4 : 8));
        if (small)
          add_all<std::uint32_t>(texts, 0, n, out);
        else
          add_all<std::uint64_t>(texts, 0, n, out);
        return 0;
      };
  api.reduce_scatter =
      [](const void* in, void* out, std::size_t n, int, int, NcclComm comm, CudaStream) {
        const Comm& c = as_comm(comm);
        const auto texts = all_of(c, in, n * 8 * static_cast<std::size_t>(c.size));
        add_all<std::uint64_t>(texts, n * static_cast<std::size_t>(c.rank), n, out);
        return 0;
      };
  api.all_gather = [](const void* in, void* out, std::size_t n, int, NcclComm comm, CudaStream) {
    auto* to = static_cast<char*>(out);
    for (const std::string& text : all_of(as_comm(comm), in, n * 8)) {
      std::memcpy(to, text.data(), text.size());
      to += text.size();
    }
    return 0;
  };
  api.broadcast =
      [](const void* in, void* out, std::size_t n, int, int root, NcclComm comm, CudaStream) {
        const Comm& c = as_comm(comm);
        if (c.rank == root)
          for (int r = 0; r < c.size; ++r) put(c, r, in, n * 8);
        const std::string text = take(c, root);
        std::memcpy(out, text.data(), text.size());
        return 0;
      };
  return api;
}

struct Recorder : Results {
  std::map<std::string, int> ops;
  int flagged = 0;
  void add(const Trial& trial, const Measured& measured) override {
    ++ops[trial.op];
    flagged += !trial.flags.empty();
    CHECK(measured.timing.median > Seconds());
  }
  void leave_out() override {}
  void stop() override {}
};

void run_on_paper(int ranks, const CommOptions& options, Recorder& recorder, Timeout timeout) {
  const GpuLibraries libraries{cuda_stand_in(), nccl_stand_in()};
  RoutingCache routings;
  run_ranks(ranks, kLong, [&](ThreadTable& /*table*/, Bootstrap& bootstrap) {
    const int device = device_of(libraries.cuda, bootstrap.rank());
    const RankMap map(gather_places(bootstrap, place_of(libraries.cuda, device, "host")));
    const auto transport = nccl_transport(libraries, device, bootstrap, map, timeout);
    Session session(
        bootstrap, *transport, map, options, routings, bootstrap.rank() == 0 ? &recorder : nullptr);
    for (const Benchmark& benchmark : benchmarks()) benchmark.run(session);
    expect(transport->facts().front() == std::pair<std::string, std::string>("nccl", "2.28.9"));
    expect(current_device == bootstrap.rank());
  });
}

std::string failure(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing failed";
}

}  // namespace

TEST_CASE("comm nccl: every benchmark verifies on two stand-ins of a GPU", "[comm]") {
  Machine here;
  machine = &here;
  Recorder recorder;
  CommOptions options = small_options();
  options.max_bytes = 4096;
  run_on_paper(2, options, recorder, kLong);
  for (const char* op : {"send_node",
                         "swap_node",
                         "all_reduce",
                         "all_gather",
                         "reduce_scatter",
                         "all_to_all",
                         "broadcast",
                         "dispatch",
                         "combine",
                         "dispatch_low_latency",
                         "combine_low_latency",
                         "pipeline_send"})
    CHECK(recorder.ops[op] > 0);
  CHECK(here.widest_ctas == 24);
  CHECK(here.calls["copy_async"] > 0);
  CHECK(here.calls["wait_event"] > 0);
  CHECK(here.calls["abort"] == 0);
  CHECK(here.calls["destroy"] == std::ssize(here.comms));
  CHECK(here.memory.empty());
  CHECK(here.surprises == 0);
}

TEST_CASE("comm nccl: one rank alone verifies too", "[comm]") {
  Machine here;
  machine = &here;
  Recorder recorder;
  run_on_paper(1, small_options(), recorder, kLong);
  CHECK(recorder.ops["all_reduce"] > 0);
  CHECK(recorder.ops["dispatch"] > 0);
}

TEST_CASE("comm nccl: work that never ends is aborted and named", "[comm]") {
  Machine here;
  here.never_ready = true;
  machine = &here;
  Recorder recorder;
  const std::string text =
      failure([&] { run_on_paper(2, small_options(), recorder, Timeout(100)); });
  CHECK(text.find(": NCCL: work did not finish within 100 ms") != std::string::npos);
}

TEST_CASE("comm nccl: an error of CUDA carries its text", "[comm]") {
  Machine here;
  here.failing_allocations = 1;
  machine = &here;
  Recorder recorder;
  CHECK(failure([&] { run_on_paper(2, small_options(), recorder, kLong); }) ==
        "cudaMalloc: CUDA error 2: out of memory");
  CHECK(failure([] { device_of(cuda_stand_in(), 2); }) ==
        "rank 2 of its host has no GPU: 2 are visible; start one rank a GPU");
}

TEST_CASE("comm nccl: a library that is missing or is another is named", "[comm]") {
  const std::string missing = failure([] { load_nccl("/no/such/libnccl.so.2"); });
  CHECK(missing.find("NCCL is not here: /no/such/libnccl.so.2: cannot open shared object file") ==
        0);
  CHECK(missing.find('\n') == std::string::npos);
  CHECK(failure([] { load_nccl("libc.so.6"); }) ==
        "NCCL (libc.so.6) has no function ncclGetVersion; a newer version is needed");
  CHECK(failure([] { load_cuda("/no/such/libcudart.so"); }).find("the CUDA runtime is not here") ==
        0);
  CHECK(nccl_version_text(22809) == "2.28.9");
}
