#include "calibrate/comm/tcp_socket.hpp"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

namespace moesim::comm {
namespace {

constexpr std::uint64_t kLongestText = std::uint64_t{1} << 30;
constexpr auto kBetweenTries = std::chrono::milliseconds(50);

int milliseconds_left(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
}

Outcome wait_for(const Socket& socket, short event, Deadline deadline) {
  while (true) {
    pollfd one{socket.descriptor(), event, 0};
    const int ready = ::poll(&one, 1, milliseconds_left(deadline));
    if (ready > 0) return Outcome::done;
    if (ready == 0) return Outcome::late;
    if (errno != EINTR) return Outcome::gone;
  }
}

bool is_passing(int error) { return error == EINTR || error == EAGAIN || error == EWOULDBLOCK; }

using Resolved = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;
Resolved resolve(const Address& address, std::string& reason) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (error != 0) reason = ::gai_strerror(error);
  return {error == 0 ? found : nullptr, &::freeaddrinfo};
}

void send_at_once(int descriptor) {
  const int yes = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

std::optional<Socket> try_connect(const addrinfo& to, Deadline deadline, std::string& reason) {
  Socket socket(::socket(to.ai_family, to.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) {
    reason = std::strerror(errno);
    return std::nullopt;
  }
  int error = 0;
  if (::connect(socket.descriptor(), to.ai_addr, to.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      if (wait_for(socket, POLLOUT, deadline) == Outcome::late) {
        reason = "no answer";
        return std::nullopt;
      }
      socklen_t size = sizeof error;
      ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  if (error != 0) {
    reason = std::strerror(error);
    return std::nullopt;
  }
  send_at_once(socket.descriptor());
  return socket;
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}
Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Outcome wait_readable(const Socket& socket, Deadline deadline) {
  return wait_for(socket, POLLIN, deadline);
}

Outcome send_bytes(const Socket& socket, const void* bytes, std::size_t size, Deadline deadline) {
  const auto* from = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t n = ::send(socket.descriptor(), from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      from += n;
      size -= static_cast<std::size_t>(n);
      continue;
    }
    if (n == 0 || !is_passing(errno)) return Outcome::gone;
    if (const Outcome o = wait_for(socket, POLLOUT, deadline); o != Outcome::done) return o;
  }
  return Outcome::done;
}

Outcome receive_bytes(const Socket& socket, void* bytes, std::size_t size, Deadline deadline) {
  auto* to = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t n = ::recv(socket.descriptor(), to, size, MSG_DONTWAIT);
    if (n > 0) {
      to += n;
      size -= static_cast<std::size_t>(n);
      continue;
    }
    if (n == 0 || !is_passing(errno)) return Outcome::gone;
    if (const Outcome o = wait_for(socket, POLLIN, deadline); o != Outcome::done) return o;
  }
  return Outcome::done;
}

Outcome send_frame(const Socket& socket, const Frame& frame, Deadline deadline) {
  const std::array<std::uint64_t, 3> head = {
      frame.is_error ? 1U : 0U, frame.what.size(), frame.text.size()};
  std::string bytes(reinterpret_cast<const char*>(head.data()), sizeof head);
  bytes += frame.what;
  bytes += frame.text;
  return send_bytes(socket, bytes.data(), bytes.size(), deadline);
}

Outcome receive_frame(const Socket& socket, Frame& frame, Deadline deadline) {
  std::array<std::uint64_t, 3> head{};
  if (const Outcome o = receive_bytes(socket, head.data(), sizeof head, deadline);
      o != Outcome::done)
    return o;
  if (head[0] > 1 || head[1] > kLongestText || head[2] > kLongestText) return Outcome::gone;
  frame.is_error = head[0] == 1;
  frame.what.resize(head[1]);
  frame.text.resize(head[2]);
  const Outcome what = receive_bytes(socket, frame.what.data(), frame.what.size(), deadline);
  if (what != Outcome::done) return what;
  return receive_bytes(socket, frame.text.data(), frame.text.size(), deadline);
}

Socket listen_at(const Address& address) {
  const std::string place = address.host + ":" + address.port;
  std::string reason = "no address";
  const Resolved found = resolve(address, reason);
  for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int yes = 1;
    if (socket.is_open() &&
        ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        ::bind(socket.descriptor(), at->ai_addr, at->ai_addrlen) == 0 &&
        ::listen(socket.descriptor(), SOMAXCONN) == 0)
      return socket;
    reason = std::strerror(errno);
  }
  throw std::runtime_error(place + ": rank 0 cannot listen there: " + reason +
                           "; give --rendezvous rank 0's host and a free port (torchrun keeps "
                           "MASTER_PORT for itself)");
}

std::optional<Socket> connect_to(const Address& address, Deadline deadline, std::string& reason) {
  do {
    const Resolved found = resolve(address, reason);
    for (const addrinfo* at = found.get(); at != nullptr; at = at->ai_next)
      if (auto socket = try_connect(*at, deadline, reason)) return socket;
    std::this_thread::sleep_for(kBetweenTries);
  } while (std::chrono::steady_clock::now() < deadline);
  return std::nullopt;
}

}  // namespace moesim::comm
