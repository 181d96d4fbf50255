// A TCP connection with a deadline on everything, and frames of text over it. Names of what went
// wrong are the callers' business: here an answer is what came, nothing in time, or gone.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "calibrate/comm/launch.hpp"

namespace moesim::comm {

using Deadline = std::chrono::steady_clock::time_point;

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

enum class Outcome { done, late, gone };

// Waits until something can be read, or the other side is gone.
Outcome wait_readable(const Socket& socket, Deadline deadline);

struct Frame {
  std::string what, text;
  bool is_error = false;  // `text` is why the sender gives up
};
// Sends all of it, or says why not.
Outcome send_frame(const Socket& socket, const Frame& frame, Deadline deadline);
Outcome receive_frame(const Socket& socket, Frame& frame, Deadline deadline);

Outcome send_bytes(const Socket& socket, const void* bytes, std::size_t size, Deadline deadline);
Outcome receive_bytes(const Socket& socket, void* bytes, std::size_t size, Deadline deadline);

// std::runtime_error with the address for a name that does not resolve or a port that is taken.
Socket listen_at(const Address& address);
// Tries again until the deadline; `reason` gets the system's last word.
std::optional<Socket> connect_to(const Address& address, Deadline deadline, std::string& reason);

}  // namespace moesim::comm
