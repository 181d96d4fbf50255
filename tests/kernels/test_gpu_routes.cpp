// Every operation that a GPU can be measured on, as calibrate/cuda/ prepares it, on the emulated
// GPU: operands filled, kernel launched, outputs read back and compared with the CPU reference, by
// the very function that checks a real device.
#include "calibrate/check.hpp"
#include "calibrate/cuda/gpu_call.hpp"
#include "calibrate/measure_check.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kEmulatedSms =
    3;  // few: several waves, and parts of requests, at small sizes

class EmulatedCall final : public PreparedCall {
 public:
  explicit EmulatedCall(std::unique_ptr<GpuCall> gpu) : gpu_(std::move(gpu)) {}
  Arrays outputs() override { return gpu_->checked_outputs(); }
  Pieces pieces(Pieces wanted) override { return gpu_->checked_pieces(std::move(wanted)); }
  std::vector<Seconds> time(Cache /*cache*/, int repeats) override {
    return std::vector<Seconds>(static_cast<std::size_t>(repeats));
  }

 private:
  std::unique_ptr<GpuCall> gpu_;
};

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(Routes routes = Routes::own) : routes_(routes) {
    info_.num_sms = kEmulatedSms;
  }
  const DeviceInfo& info() const override { return info_; }
  bool can_run(const Case& of, const Call& call) const override {
    const GpuRoute* const route = find_gpu_route(of.op, routes_);
    return route != nullptr && route->can_run(call);
  }
  std::unique_ptr<PreparedCall> prepare(const Case& of,
                                        const Call& call,
                                        std::uint64_t seed) override {
    auto gpu = prepare_gpu_call(
        *find_gpu_route(of.op, routes_), call, seed, kEmulatedSms, {}, routes_ == Routes::naive);
    if (breaks_) gpu->launch = [](Stream) {};
    return std::make_unique<EmulatedCall>(std::move(gpu));
  }
  DeviceState state() override { return {}; }
  Seconds clock() override { return {}; }
  LaunchOverhead launch_overhead() override { return {}; }

  void break_kernels() { breaks_ = true; }  // they do nothing from now on

 private:
  DeviceInfo info_;
  Routes routes_;
  bool breaks_ = false;
};

}  // namespace

TEST_CASE("every route to a kernel gives the reference's results on the emulated GPU", "[routes]") {
  EmulatedDevice device;
  for (const GpuRoute& route : gpu_routes()) {
    const CheckResult result =
        check_device(device, {std::string(route.op)}, 1, [](const std::string&) {});
    CHECK(result.not_run.empty());
    CHECK(result.calls.size() == find_case(route.op)->experiment->checks().size());
    for (const CheckedCall& checked : result.calls) {
      INFO(checked.problem.value_or(""));
      CHECK(!checked.problem);
    }
  }
}

TEST_CASE("every naive twin gives the reference's results on the emulated GPU", "[routes]") {
  EmulatedDevice device(Routes::naive);
  for (const GpuRoute& route : gpu_routes(Routes::naive)) {
    INFO(route.op);
    CHECK(!route.naive.empty());
    const CheckResult result =
        check_device(device, {std::string(route.op)}, 1, [](const std::string&) {});
    CHECK(result.not_run.empty());
    for (const CheckedCall& checked : result.calls) {
      INFO(checked.problem.value_or(""));
      CHECK(!checked.problem);
    }
  }
}

TEST_CASE("samples are read from where the outputs are", "[routes]") {
  EmulatedDevice device;
  for (const GpuRoute& route : gpu_routes()) {
    const Case& of = *find_case(route.op);
    for (const Call& call : of.experiment->checks()) {
      const Verification found = verify_samples(device, of, call, 1);
      INFO(found.wrong.value_or(""));
      CHECK(!found.wrong);
    }
  }
  device.break_kernels();
  const Case& cast = *find_case("cast");
  const Verification broken = verify_samples(device, cast, cast.experiment->checks()[1], 1);
  CHECK(broken.wrong.value_or("").find("values not written") != std::string::npos);
}

TEST_CASE("a kernel that writes nothing is noticed on every route", "[routes]") {
  EmulatedDevice device;
  device.break_kernels();
  for (const GpuRoute& route : gpu_routes()) {
    const CheckResult result =
        check_device(device, {std::string(route.op)}, 1, [](const std::string&) {});
    for (const CheckedCall& checked : result.calls) {
      INFO(checked.of->op);
      // A norm of rotations: at the first position nothing turns, so nothing has to be written.
      if (route.op != "rope" || checked.call.shape[0] > 32768) CHECK(checked.problem.has_value());
    }
  }
}

TEST_CASE("a checked call can be run again", "[routes]") {
  const Case* const of = find_case("gemm_fp8_wgrad");
  const Call call = of->experiment->checks()[0];
  auto gpu = prepare_gpu_call(*find_gpu_route(of->op), call, 1, kEmulatedSms, {});
  const Arrays first = gpu->checked_outputs();
  gpu->launch({});  // accumulates once more, as timing does
  CHECK(gpu->checked_outputs()[0].values == first[0].values);
}
