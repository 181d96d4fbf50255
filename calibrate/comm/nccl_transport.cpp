#include "calibrate/comm/nccl_transport.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <thread>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{64} << 20U;  // of the compute stand-in
constexpr int kNameBytes = 256, kBusIdBytes = 32;
constexpr auto kBetweenLooks = std::chrono::microseconds(50);

// Outlives its group for as long as errors may be looked for in it.
struct Communicator {
  Communicator(const NcclApi& api, NcclComm at) : nccl(api), comm(at) {}
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  // What belongs to a run that failed is left to the end of the process: to give it back would be
  // to wait for ranks that are gone.
  ~Communicator() {
    if (comm != nullptr && std::uncaught_exceptions() == 0) nccl.destroy(comm);
  }
  const NcclApi& nccl;
  NcclComm comm;
};

class NcclGroup : public Group {
 public:
  NcclGroup(std::shared_ptr<Communicator> communicator, int rank, int size)
      : Group(rank, size), communicator_(std::move(communicator)) {}
  const std::shared_ptr<Communicator>& communicator() const { return communicator_; }

 private:
  std::shared_ptr<Communicator> communicator_;
};

class GpuMemory : public DeviceMemory {
 public:
  GpuMemory(const CudaApi& cuda, std::size_t words) : DeviceMemory(words), cuda_(cuda) {
    // A rank may have nothing to send, and still needs an address.
    check_cuda(
        cuda, cuda.allocate(&at_, std::max<std::size_t>(1, words) * kWordBytes), "cudaMalloc");
  }
  GpuMemory(const GpuMemory&) = delete;
  GpuMemory& operator=(const GpuMemory&) = delete;
  ~GpuMemory() override {
    if (std::uncaught_exceptions() == 0) cuda_.free(at_);  // as in Communicator
  }
  Word* at(std::size_t first_word) const { return static_cast<Word*>(at_) + first_word; }

 private:
  const CudaApi& cuda_;
  void* at_ = nullptr;
};

Word* address(const DeviceMemory& memory, std::size_t first_word, std::size_t words) {
  ENSURE(first_word + words <= memory.words());
  return static_cast<const GpuMemory&>(memory).at(first_word);
}

class NcclTransport : public Transport {
 public:
  NcclTransport(const GpuLibraries& libraries,
                int device,
                Bootstrap& bootstrap,
                const RankMap& map,
                Timeout timeout)
      : cuda_(libraries.cuda),
        nccl_(libraries.nccl),
        device_(device),
        bootstrap_(bootstrap),
        map_(map),
        timeout_(timeout) {
    check_cuda(cuda_, cuda_.set_device(device), "cudaSetDevice");
    for (CudaStream& stream : streams_)
      check_cuda(
          cuda_, cuda_.create_stream(&stream, kCudaNonBlocking), "cudaStreamCreateWithFlags");
    check_cuda(cuda_, cuda_.create_event(&handover_), "cudaEventCreate");
    token_ = std::make_unique<GpuMemory>(cuda_, 1);
    piece_ = std::make_unique<GpuMemory>(cuda_, 2 * kPieceBytes / kWordBytes);
  }
  NcclTransport(const NcclTransport&) = delete;
  NcclTransport& operator=(const NcclTransport&) = delete;
  ~NcclTransport() override {
    if (std::uncaught_exceptions() > 0) return;  // as in Communicator
    for (CudaEvent event : moments_) cuda_.destroy_event(event);
    cuda_.destroy_event(handover_);
    for (CudaStream stream : streams_) cuda_.destroy_stream(stream);
  }

  std::unique_ptr<Group> open(const std::vector<int>& places, int max_ctas) override {
    const int own_place = map_.place_of_rank(bootstrap_.rank());
    const auto own = std::find(places.begin(), places.end(), own_place);
    ENSURE(own != places.end());
    NcclUniqueId id{};
    if (own == places.begin()) check_nccl(nccl_, nccl_.get_unique_id(&id), "ncclGetUniqueId");
    const auto ids = bootstrap_.all_gather("open group", {id.internal, sizeof id.internal});
    const std::string& of_first = ids[static_cast<std::size_t>(map_.rank_of_place(places.front()))];
    std::memcpy(id.internal, of_first.data(), sizeof id.internal);
    NcclConfig config;
    if (max_ctas > 0) config.min_ctas = 1;
    if (max_ctas > 0) config.max_ctas = max_ctas;
    const auto rank = static_cast<int>(own - places.begin());
    const auto size = static_cast<int>(places.size());
    NcclComm comm = nullptr;
    check_nccl(
        nccl_, nccl_.init_rank_config(&comm, size, id, rank, &config), "ncclCommInitRankConfig");
    return std::make_unique<NcclGroup>(std::make_shared<Communicator>(nccl_, comm), rank, size);
  }

  std::unique_ptr<DeviceMemory> allocate(std::size_t words) override {
    return std::make_unique<GpuMemory>(cuda_, words);
  }
  void write(DeviceMemory& to, std::size_t first_word, std::span<const Word> words) override {
    wait();
    Word* at = address(to, first_word, words.size());
    check_cuda(
        cuda_, cuda_.copy(at, words.data(), words.size_bytes(), kCudaHostToDevice), "cudaMemcpy");
  }
  void read(const DeviceMemory& from, std::size_t first_word, std::span<Word> words) override {
    wait();
    const Word* at = address(from, first_word, words.size());
    check_cuda(
        cuda_, cuda_.copy(words.data(), at, words.size_bytes(), kCudaDeviceToHost), "cudaMemcpy");
  }

  void exchange(Group& group,
                const DeviceMemory& from,
                std::span<const Message> sends,
                DeviceMemory& to,
                std::span<const Message> receives) override {
    if (sends.empty() && receives.empty()) return;
    NcclComm comm = use(group);
    check_nccl(nccl_, nccl_.group_start(), "ncclGroupStart");
    for (const Message& m : sends)
      check_nccl(nccl_,
                 nccl_.send(address(from, m.first_word, m.words),
                            m.words,
                            kNcclUint64,
                            m.peer,
                            comm,
                            communication()),
                 "ncclSend");
    for (const Message& m : receives)
      check_nccl(nccl_,
                 nccl_.receive(address(to, m.first_word, m.words),
                               m.words,
                               kNcclUint64,
                               m.peer,
                               comm,
                               communication()),
                 "ncclRecv");
    check_nccl(nccl_, nccl_.group_end(), "ncclGroupEnd");
  }

  void collective(Collective what,
                  Group& group,
                  const DeviceMemory& from,
                  DeviceMemory& to,
                  std::size_t words) override {
    NcclComm comm = use(group);
    const auto n = static_cast<std::size_t>(group.size());
    const bool scatters = what == Collective::reduce_scatter;
    const bool gathers = what == Collective::all_gather;
    const Word* in = address(from, 0, scatters ? words * n : words);
    Word* out = address(to, 0, gathers ? words * n : words);
    CudaStream on = communication();
    switch (what) {
      case Collective::all_reduce:
        return check_nccl(nccl_,
                          nccl_.all_reduce(in, out, words, kNcclUint64, kNcclSum, comm, on),
                          "ncclAllReduce");
      case Collective::reduce_scatter:
        return check_nccl(nccl_,
                          nccl_.reduce_scatter(in, out, words, kNcclUint64, kNcclSum, comm, on),
                          "ncclReduceScatter");
      case Collective::all_gather:
        return check_nccl(
            nccl_, nccl_.all_gather(in, out, words, kNcclUint64, comm, on), "ncclAllGather");
      case Collective::broadcast:
        return check_nccl(
            nccl_, nccl_.broadcast(in, out, words, kNcclUint64, 0, comm, on), "ncclBroadcast");
    }
  }

  void align(Group& group) override {
    Word* token = token_->at(0);
    check_nccl(nccl_,
               nccl_.all_reduce(token, token, 1, kNcclInt32, kNcclSum, use(group), communication()),
               "ncclAllReduce");
  }

  void compute(Bytes moved) override {
    for (auto left = static_cast<std::size_t>(moved.in(B)); left > 0;) {
      const std::size_t bytes = std::min(left, kPieceBytes);
      check_cuda(cuda_,
                 cuda_.copy_async(piece_->at(kPieceBytes / kWordBytes),
                                  piece_->at(0),
                                  bytes,
                                  kCudaDeviceToDevice,
                                  streams_[1]),
                 "cudaMemcpyAsync");
      left -= bytes;
    }
  }
  std::string compute_description() const override {
    return "cudaMemcpyAsync within the GPU, 64 MiB at a time";
  }
  void compute_follows() override {
    check_cuda(cuda_, cuda_.record_event(handover_, communication()), "cudaEventRecord");
    check_cuda(cuda_, cuda_.stream_wait_event(streams_[1], handover_, 0), "cudaStreamWaitEvent");
  }
  void mark(Stream stream, int moment) override {
    while (moments_.size() <= static_cast<std::size_t>(moment)) {
      CudaEvent event = nullptr;
      check_cuda(cuda_, cuda_.create_event(&event), "cudaEventCreate");
      moments_.push_back(event);
    }
    check_cuda(cuda_,
               cuda_.record_event(moments_[static_cast<std::size_t>(moment)],
                                  streams_[static_cast<std::size_t>(stream)]),
               "cudaEventRecord");
  }
  Seconds between(int first, int second) override {
    float elapsed_ms = 0;
    check_cuda(cuda_,
               cuda_.elapsed_ms(&elapsed_ms,
                                moments_.at(static_cast<std::size_t>(first)),
                                moments_.at(static_cast<std::size_t>(second))),
               "cudaEventElapsedTime");
    return static_cast<double>(elapsed_ms) * ms;
  }

  void wait() override {
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    for (CudaStream stream : streams_)
      for (int result = cuda_.query_stream(stream); result != 0;
           result = cuda_.query_stream(stream)) {
        if (result != kCudaNotReady) check_cuda(cuda_, result, "cudaStreamQuery");
        look_for_errors();
        if (std::chrono::steady_clock::now() >= deadline)
          fail("work did not finish within " + std::to_string(timeout_.count()) + " ms");
        std::this_thread::sleep_for(kBetweenLooks);
      }
  }

  std::vector<std::pair<std::string, std::string>> facts() const override {
    int version = 0, runtime = 0, driver = 0;
    nccl_.get_version(&version);
    cuda_.runtime_version(&runtime);
    cuda_.driver_version(&driver);
    std::array<char, kNameBytes> name{};
    cuda_.device_name(name.data(), kNameBytes - 1, device_);
    return {{"nccl", nccl_version_text(version)},
            {"gpu_name", name.data()},
            {"cuda_runtime", std::to_string(runtime)},
            {"cuda_driver", std::to_string(driver)}};
  }

 private:
  CudaStream communication() const { return streams_[0]; }
  NcclComm use(Group& group) {
    const auto& communicator = static_cast<NcclGroup&>(group).communicator();
    last_used_ = communicator;
    return communicator->comm;
  }
  void look_for_errors() {
    int error = 0;
    const auto communicator = last_used_.lock();
    if (!communicator) return;
    check_nccl(nccl_, nccl_.async_error(communicator->comm, &error), "ncclCommGetAsyncError");
    if (error != 0 && error != kNcclInProgress) fail(nccl_.error_text(error));
  }
  [[noreturn]] void fail(const std::string& what) {
    if (const auto communicator = last_used_.lock()) {
      nccl_.abort(communicator->comm);
      communicator->comm = nullptr;
    }
    throw std::runtime_error("rank " + std::to_string(bootstrap_.rank()) + ": NCCL: " + what +
                             "; NCCL_DEBUG=INFO shows what it was doing");
  }

  CudaApi cuda_;
  NcclApi nccl_;
  int device_;
  Bootstrap& bootstrap_;
  const RankMap& map_;
  Timeout timeout_;
  std::array<CudaStream, 2> streams_ = {};  // by Stream
  CudaEvent handover_ = nullptr;
  std::vector<CudaEvent> moments_;
  std::unique_ptr<GpuMemory> token_, piece_;
  std::weak_ptr<Communicator> last_used_;  // where errors are looked for
};

}  // namespace

int device_of(const CudaApi& cuda, int local_rank) {
  int count = 0;
  check_cuda(cuda, cuda.get_device_count(&count), "cudaGetDeviceCount");
  if (count == 1) return 0;
  if (local_rank >= count)
    throw std::runtime_error("rank " + std::to_string(local_rank) + " of its host has no GPU: " +
                             std::to_string(count) + " are visible; start one rank a GPU");
  return local_rank;
}

RankPlace place_of(const CudaApi& cuda, int device, const std::string& host) {
  check_cuda(cuda, cuda.set_device(device), "cudaSetDevice");
  check_cuda(cuda, cuda.free(nullptr), "cudaFree");  // starts the driver, which then knows names
  std::array<char, kNameBytes> name{};
  std::array<char, kBusIdBytes> bus_id{};
  check_cuda(cuda, cuda.device_name(name.data(), kNameBytes - 1, device), "cuDeviceGetName");
  check_cuda(
      cuda, cuda.pci_bus_id(bus_id.data(), kBusIdBytes - 1, device), "cudaDeviceGetPCIBusId");
  return {host, bus_id.data(), name.data()};
}

std::unique_ptr<Transport> nccl_transport(const GpuLibraries& libraries,
                                          int device,
                                          Bootstrap& bootstrap,
                                          const RankMap& map,
                                          Timeout timeout) {
  return std::make_unique<NcclTransport>(libraries, device, bootstrap, map, timeout);
}

}  // namespace moesim::comm
