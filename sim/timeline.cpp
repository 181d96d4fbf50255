#include "sim/timeline.hpp"

#include <cstdio>

namespace moesim {
namespace {

// Microseconds with picosecond digits, exact.
std::string micros(Tick t) {
  char buffer[48];
  std::snprintf(buffer,
                sizeof buffer,
                "%lld.%06lld",
                static_cast<long long>(t / 1'000'000),
                static_cast<long long>(t % 1'000'000));
  return buffer;
}

}  // namespace

std::string chrome_trace(const std::vector<Span>& spans,
                         const std::function<std::string(std::int64_t)>& rank_name) {
  // Names are our own labels: letters, digits, brackets, spaces, no character that JSON would
  // escape.
  std::string out = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  std::int64_t last_rank = -1;
  for (const Span& span : spans) {
    if (span.rank != last_rank) {
      last_rank = span.rank;
      const std::string rank = std::to_string(span.rank);
      if (out.back() == '}') out += ",\n";
      out += R"({"ph":"M","name":"process_name","pid":)" + rank;
      out += R"(,"args":{"name":")" + rank_name(span.rank) + "\"}}";
      for (const char* thread :
           {R"("tid":0,"args":{"name":"compute"}})", R"("tid":1,"args":{"name":"communication"}})"})
        out +=
            ",\n"
            R"({"ph":"M","name":"thread_name","pid":)" +
            rank + "," + thread;
    }
    out += ",\n{\"ph\":\"X\",\"name\":\"" + span.name + "\",\"pid\":" + std::to_string(span.rank) +
           ",\"tid\":" + (span.stream == StreamKind::compute ? "0" : "1") +
           ",\"ts\":" + micros(span.start) + ",\"dur\":" + micros(span.end - span.start) + "}";
  }
  return out + "\n]}\n";
}

}  // namespace moesim
