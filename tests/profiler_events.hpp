// Events of a made-up profiler trace (Chrome JSON), to be joined by commas. Times in microseconds;
// the program's thread is 9 unless another is named.
#pragma once

#include <string>

namespace moesim {

inline std::string kernel_event(const std::string& name,
                                double start_us,
                                const std::string& dur,
                                int correlation,
                                const std::string& grid = "[64, 1, 1]") {
  return R"({"ph": "X", "cat": "kernel", "name": ")" + name + R"(", "pid": 0, "tid": 7, "ts": )" +
         std::to_string(start_us) + R"(, "dur": )" + dur + R"(, "args": {"correlation": )" +
         std::to_string(correlation) + R"(, "grid": )" + grid + "}}";
}

inline std::string launch_event(double start_us, int correlation, int thread = 9) {
  return R"({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 9, "tid": )" +
         std::to_string(thread) + R"(, "ts": )" + std::to_string(start_us) +
         R"(, "dur": 2, "args": {"correlation": )" + std::to_string(correlation) + "}}";
}

inline std::string annotation_event(const std::string& name,
                                    double start_us,
                                    double dur_us,
                                    int thread = 9) {
  return R"({"ph": "X", "cat": "user_annotation", "name": ")" + name + R"(", "pid": 9, "tid": )" +
         std::to_string(thread) + R"(, "ts": )" + std::to_string(start_us) + R"(, "dur": )" +
         std::to_string(dur_us) + "}";
}

// A copy or fill by the driver: category gpu_memcpy or gpu_memset.
inline std::string memory_event(const std::string& category,
                                double start_us,
                                const std::string& dur,
                                int correlation) {
  return R"({"ph": "X", "cat": ")" + category + R"(", "name": "Mem", "pid": 0, "tid": 7, "ts": )" +
         std::to_string(start_us) + R"(, "dur": )" + dur + R"(, "args": {"correlation": )" +
         std::to_string(correlation) + "}}";
}

}  // namespace moesim
