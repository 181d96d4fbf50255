// A call with its operands on the GPU: the kernel's arguments, its inputs filled, its outputs known
// by where they are and how they are laid out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/cuda/cuda_device.hpp"
#include "calibrate/cuda/gpu_memory.hpp"
#include "calibrate/reference.hpp"
#include "kernels/fill_inputs.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

// One array of the case's reference, as the kernel stores it.
struct GpuOutput {
  Array as;  // name and element; its values are made when it is read
  const void* memory = nullptr;
  std::size_t size = 0;  // elements of the reference's array
  // Scale-major: element (row, block) of [size / blocks, blocks] is at memory[block * ld + row].
  // 0: in order.
  std::int64_t blocks = 0, ld = 0;
};

// Rows up to a multiple of 4: what the scales of a block of columns have room for.
constexpr std::int64_t scale_rows(std::int64_t rows) { return (rows + 3) / 4 * 4; }

class GpuCall {
 public:
  // Allocated, and alive as long as the call is.
  template <class T>
  T* allocate(std::int64_t size) {
    buffers_.emplace_back(static_cast<std::size_t>(size) * sizeof(T));
    return buffers_.back().as<T>();
  }
  template <class T>
  T* upload(const std::vector<T>& values) {
    T* const memory = allocate<T>(static_cast<std::int64_t>(values.size()));
    gpu_upload(memory, values.data(), values.size() * sizeof(T));
    return memory;
  }

  // Inputs: as the reference's, in a stream that the kernel follows in.
  Bf16* bf16(std::int64_t size, std::uint64_t operand);
  float* fp32(std::int64_t size, std::uint64_t operand);
  struct Scaled8 {
    E4m3* codes;
    float* scales;
    std::int64_t ld;  // of scales; 0 where they are row-major
  };
  Scaled8 scaled_rows(std::int64_t rows, std::int64_t columns, std::uint64_t operand);
  Scaled8 scaled_blocks(std::int64_t rows,
                        std::int64_t columns,
                        std::uint64_t first_operand,
                        std::int64_t matrices = 1);  // one operand after the other

  // Outputs: memory that is poisoned before each checked run; every byte 0xff is NaN in all of
  // Element's types. `room`: elements that the kernel may write, no fewer than `size`; 0: as many.
  template <class T>
  T* output(std::string_view name, Element element, std::int64_t size, std::int64_t room = 0) {
    room = std::max(room, size);
    T* const memory = allocate<T>(room);
    poisoned_.push_back({memory, static_cast<std::size_t>(room) * sizeof(T)});
    outputs_.push_back({{name, element, {}}, memory, static_cast<std::size_t>(size), 0, 0});
    return memory;
  }
  // Scales of [rows, columns] in 1x128, scale-major with scale_rows(rows).
  float* scale_output(std::string_view name, std::int64_t rows, std::int64_t columns);
  // An operand that the kernel changes in place: `refill` makes it as it was.
  void changed_in_place(const void* memory,
                        std::string_view name,
                        Element element,
                        std::int64_t size,
                        std::function<void()> refill);

  // What is timed: the operation's kernels and nothing else.
  std::function<void(Stream)> launch;

  // Launches the fast kernel, or its naive twin where that is what is to be run.
  template <class Arguments>
  void run(const Arguments& p,
           void (*fast)(const Arguments&, Stream),
           void (*naive_twin)(const Arguments&, Stream)) {
    launch = [p, kernel = naive ? naive_twin : fast](Stream to) { kernel(p, to); };
  }

  std::uint64_t seed = 0;
  std::int64_t sms = 0;  // the most SMs the kernel may use
  bool naive = false;
  Stream stream = {};

  Arrays checked_outputs();              // poison, launch, read
  Pieces checked_pieces(Pieces wanted);  // the same, but only these are read

 private:
  struct Poisoned {
    void* memory;
    std::size_t bytes;
  };
  void run_poisoned();
  std::vector<GpuBuffer> buffers_;
  std::vector<Poisoned> poisoned_;
  std::vector<std::function<void()>> refills_;
  std::vector<GpuOutput> outputs_;
};

// How an operation is run: by which kernel, at which calls, and how its operands are made. One line
// a route in routes.cpp.
struct GpuRoute {
  std::string_view op;
  std::string_view kernel;  // in words, for tables
  bool (*can_run)(const Call& call);
  void (*prepare)(const Call& call, GpuCall& gpu);
  std::string (*problem)() = nullptr;  // what keeps it from running at all, where that is known
  std::string_view naive = {};         // the kernel's naive twin; empty: none
};
std::span<const GpuRoute> gpu_routes(Routes routes = Routes::own);
// nullptr: no kernel for it
const GpuRoute* find_gpu_route(std::string_view op, Routes routes = Routes::own);

// Operands made and the launch chosen. `num_sms`: of the GPU, for calls that have all of them.
std::unique_ptr<GpuCall> prepare_gpu_call(const GpuRoute& route,
                                          const Call& call,
                                          std::uint64_t seed,
                                          std::int64_t num_sms,
                                          Stream stream,
                                          bool naive = false);

}  // namespace moesim
