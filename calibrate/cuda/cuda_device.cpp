#include "calibrate/cuda/cuda_device.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <optional>
#include <stdexcept>

#include "calibrate/cuda/gpu_call.hpp"
#include "calibrate/cuda/held_sms.hpp"
#include "calibrate/cuda/library_cublaslt.hpp"
#include "calibrate/cuda/library_cudnn.hpp"
#include "calibrate/cuda/stream_graph.hpp"
#include "calibrate/graph_timing.hpp"
#include "calibrate/nvml.hpp"
#include "kernels/measuring.hpp"
#include "model/device_name.hpp"
#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr std::size_t kFlushedBytes = 256'000'000;
constexpr double kMemoryMargin = 1.25;  // over the least a call moves: scales, partial results
constexpr Bytes kMemoryKept = 4 * GB;   // for sentinels, the flush and CUDA itself

struct CudaContext {
  cudaDeviceProp properties = {};
  std::optional<CudaStreamOwner> stream;
  std::optional<CudaStopwatch> stopwatch;
  GpuBuffer flushed;
  std::chrono::steady_clock::time_point opened = std::chrono::steady_clock::now();

  Stream get() const { return stream->get(); }
  void flush() const { flush_l2(flushed.as<void>(), flushed.bytes(), get()); }
  Seconds run(CapturedGraph& graph) {
    return stopwatch->time([&] { graph.launch(); });
  }
};

class CudaCall final : public PreparedCall {
 public:
  CudaCall(
      CudaContext& cuda, const GpuRoute& route, const Call& call, std::uint64_t seed, bool naive)
      : cuda_(cuda),
        gpu_(prepare_gpu_call(
            route, call, seed, cuda.properties.multiProcessorCount, cuda.get(), naive)) {
    const std::int64_t num_sms = cuda.properties.multiProcessorCount;
    const std::int64_t taken = call.sms > 0 ? num_sms - call.sms : 0;
    if (taken > 0) holder_.emplace(taken, call.beside_communication);
  }

  Arrays outputs() override { return gpu_->checked_outputs(); }
  Pieces pieces(Pieces wanted) override { return gpu_->checked_pieces(std::move(wanted)); }
  void launch() { gpu_->launch(cuda_.get()); }

  std::vector<Seconds> time(Cache cache, int repeats) override {
    make_graphs();
    const auto run = [this](std::optional<CapturedGraph>& graph) {
      return [this, &graph] { return cuda_.run(*graph); };
    };
    if (!holder_) return timed(cache, repeats, run);
    holder_->start();
    try {
      std::vector<Seconds> times = timed(cache, repeats, run);
      holder_->stop();
      return times;
    } catch (...) {
      holder_->stop();
      throw;
    }
  }

 private:
  template <class Run>
  std::vector<Seconds> timed(Cache cache, int repeats, const Run& run) {
    return cache == Cache::cold
               ? cold_times(run(flush_and_call_), run(flush_), calls_.cold, repeats)
               : warm_times(run(back_to_back_), calls_.warm, repeats);
  }

  // All of them run once: what is loaded or sized at the first run has to be there before SMs are
  // held.
  void make_graphs() {
    if (back_to_back_) return;
    gpu_->launch(cuda_.get());
    const Seconds once = cuda_.stopwatch->time([&] { gpu_->launch(cuda_.get()); });
    calls_ = calls_per_graph(once);
    const auto add = [&](std::optional<CapturedGraph>& graph, int times, bool flush, bool call) {
      graph.emplace(cuda_.get(), [&] {
        for (int i = 0; i < times; ++i) {
          if (flush) cuda_.flush();
          if (call) gpu_->launch(cuda_.get());
        }
      });
      cuda_.run(*graph);
    };
    add(flush_, calls_.cold, true, false);
    add(flush_and_call_, calls_.cold, true, true);
    add(back_to_back_, calls_.warm, false, true);
  }

  CudaContext& cuda_;
  std::unique_ptr<GpuCall> gpu_;
  std::optional<SmHolder> holder_;
  CallsPerGraph calls_;
  std::optional<CapturedGraph> flush_, flush_and_call_, back_to_back_;
};

std::string version_text(int version) {  // 13000: "13.0"
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string date_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// "Linux 6.1.0 x86_64, Intel(R) Xeon(R) ...": no name of the machine.
std::string host_text() {
  utsname system = {};
  std::string text;
  if (::uname(&system) == 0)
    text = std::string(system.sysname) + " " + system.release + " " + system.machine;
  std::ifstream cpus("/proc/cpuinfo");
  for (std::string line; std::getline(cpus, line);)
    if (line.starts_with("model name")) return text + "," + line.substr(line.find(':') + 1);
  return text;
}

std::string gpu_file(const std::string& name, const std::vector<std::string>& gpu_names) {
  for (const std::string& gpu : gpu_names)
    if (device_is_gpu(name, gpu)) return gpu;
  throw std::runtime_error("this machine's GPU, " + name +
                           ", has no file in the scenarios' folder gpus");
}

class CudaDevice final : public Device {
 public:
  CudaDevice(const std::vector<std::string>& gpu_names, Routes routes) : routes_(routes) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0)
      throw std::runtime_error(
          "this machine has no GPU that CUDA can use: " +
          std::string(error == cudaSuccess ? "none found" : cudaGetErrorString(error)) +
          "; --device=fake needs none");
    check_cuda(cudaSetDevice(0), "GPU");
    check_cuda(cudaGetDeviceProperties(&cuda_.properties, 0), "GPU");
    if (cuda_.properties.major != 9 || cuda_.properties.minor != 0)
      throw std::runtime_error("this machine's GPU, " + std::string(cuda_.properties.name) +
                               ", is none the kernels are built for: they need compute "
                               "capability 9.0 (H100, H200)");
    info_.gpu = gpu_file(cuda_.properties.name, gpu_names);
    cuda_.stream.emplace();
    cuda_.stopwatch.emplace(cuda_.get());
    cuda_.flushed = GpuBuffer(kFlushedBytes);
    open_sampler();
    describe();
  }

  const DeviceInfo& info() const override { return info_; }

  bool can_run(const Case& of, const Call& call) const override {
    const GpuRoute* const route = find_gpu_route(of.op, routes_);
    if (of.experiment == nullptr || route == nullptr || !route->can_run(call)) return false;
    if (call.sms >= info_.num_sms) return false;
    const Bytes memory = static_cast<double>(cuda_.properties.totalGlobalMem) * B;
    return kMemoryMargin * of.work(call.shape, call.counts).bytes + kMemoryKept <= memory;
  }

  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    ENSURE(can_run(of, call));
    return std::make_unique<CudaCall>(
        cuda_, *find_gpu_route(of.op, routes_), call, seed, routes_ == Routes::naive);
  }

  std::string_view kernel_of(const Case& of) const override {
    const GpuRoute* const route = find_gpu_route(of.op, routes_);
    if (route == nullptr) return {};
    return routes_ == Routes::naive ? route->naive : route->kernel;
  }

  std::string problem_of(const Case& of) const override {
    const GpuRoute* const route = find_gpu_route(of.op, routes_);
    return route == nullptr || route->problem == nullptr ? std::string() : route->problem();
  }

  DeviceState state() override { return sampler_ ? sampler_->state() : DeviceState(); }

  Seconds clock() override {
    const std::chrono::duration<double> open = std::chrono::steady_clock::now() - cuda_.opened;
    return open.count() * s;
  }

  LaunchOverhead launch_overhead() override {
    constexpr int kLaunches = 500;
    const auto nothing = [&] {
      for (int i = 0; i < kLaunches; ++i) launch_nothing(cuda_.get());
    };
    CapturedGraph graph(cuda_.get(), nothing);
    cuda_.run(graph);
    cuda_.stopwatch->time(nothing);
    return {cuda_.run(graph) / kLaunches, cuda_.stopwatch->time(nothing) / kLaunches};
  }

  std::optional<Seconds> time_in_order(const std::vector<PreparedCall*>& calls) override {
    constexpr int kRuns = 11;
    CapturedGraph graph(cuda_.get(), [&] {
      for (PreparedCall* const call : calls) dynamic_cast<CudaCall&>(*call).launch();
    });
    cuda_.run(graph);
    std::vector<Seconds> times = warm_times([&] { return cuda_.run(graph); }, 1, kRuns);
    std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
    return times[kRuns / 2];
  }

 private:
  // Without NVML the state is unknown, and everything else is measured all the same.
  void open_sampler() {
    char bus_id[32] = {};
    check_cuda(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, 0), "GPU");
    try {
      sampler_.emplace(load_nvml(), bus_id);
    } catch (const std::runtime_error& error) {
      info_.details.emplace_back("state", error.what());
    }
  }

  void describe() {
    info_.name = cuda_.properties.name;
    info_.kind = ProfileKind::measured;
    if (routes_ == Routes::library) info_.other_kernels = "of libraries";
    if (routes_ == Routes::naive) info_.other_kernels = "naive twins of ours";
    info_.num_sms = cuda_.properties.multiProcessorCount;
    info_.timer = "CUDA graphs with and without the kernel, between events";
    info_.flush = "256 MB written";
    int driver = 0, runtime = 0;
    check_cuda(cudaDriverGetVersion(&driver), "version");
    check_cuda(cudaRuntimeGetVersion(&runtime), "version");
    if (sampler_) info_.details.emplace_back("driver", sampler_->driver_version());
    info_.details.emplace_back("cuda_driver", version_text(driver));
    info_.details.emplace_back("cuda_runtime", version_text(runtime));
    if (const std::string version = cublaslt_version(); !version.empty())
      info_.details.emplace_back("cublaslt", version);
    if (const std::string version = cudnn_version(); !version.empty())
      info_.details.emplace_back("cudnn", version);
    info_.details.emplace_back("host", host_text());
    info_.details.emplace_back("date_utc", date_utc());
  }

  Routes routes_;
  CudaContext cuda_;
  DeviceInfo info_;
  std::optional<GpuSampler> sampler_;
};

}  // namespace

std::unique_ptr<Device> make_cuda_device(const std::vector<std::string>& gpu_names, Routes routes) {
  return std::make_unique<CudaDevice>(gpu_names, routes);
}

}  // namespace moesim
