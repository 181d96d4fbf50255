// The star of TcpBootstrap: rank 0 in the middle. A client's frame is answered when those of all
// have come: the texts by rank, or an error that every rank then throws.
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "calibrate/comm/bootstrap.hpp"
#include "calibrate/comm/tcp_socket.hpp"
#include "model/errors.hpp"

namespace moesim::comm {
namespace {

// Clients wait a little longer than rank 0, whose message names who is missing.
constexpr Timeout kLonger = Timeout(3000);
constexpr Timeout kToSayGoodbye = Timeout(1000);

struct Hello {
  std::array<char, 8> magic = {'m', 'o', 'e', 's', 'i', 'm', 'c', 'm'};
  std::int32_t version = 0, rank = 0, world = 0, end = 0x5eed;
};
static_assert(sizeof(Hello) == 24);

Deadline after(Timeout timeout) { return std::chrono::steady_clock::now() + timeout; }
std::string seconds_text(Timeout timeout) {
  const auto milliseconds = timeout.count();
  return milliseconds % 1000 == 0 ? std::to_string(milliseconds / 1000) + " s"
                                  : std::to_string(milliseconds) + " ms";
}

std::string packed(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    const std::uint64_t size = text.size();
    all.append(reinterpret_cast<const char*>(&size), sizeof size);
    all += text;
  }
  return all;
}

std::vector<std::string> unpacked(const std::string& all, int count) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= all.size();) {
    std::uint64_t size = 0;
    std::memcpy(&size, all.data() + at, sizeof size);
    at += sizeof size;
    ENSURE(size <= all.size() - at);
    texts.push_back(all.substr(at, size));
    at += size;
  }
  ENSURE(static_cast<int>(texts.size()) == count);
  return texts;
}

// Rank 0: takes in the others.
class Reception {
 public:
  Reception(const Launch& launch, Timeout timeout, int version)
      : launch_(launch),
        timeout_(timeout),
        version_(version),
        listener_(listen_at(parse_address(launch.rendezvous, "--rendezvous"))),
        clients_(static_cast<std::size_t>(launch.world)) {}

  std::vector<Socket> receive_all() {
    const Deadline deadline = after(timeout_);
    int missing = launch_.world - 1;
    while (missing > 0) {
      std::vector<pollfd> watched = {{listener_.descriptor(), POLLIN, 0}};
      for (const Socket& s : strangers_) watched.push_back({s.descriptor(), POLLIN, 0});
      const auto left = std::chrono::duration_cast<Timeout>(deadline - after(Timeout(0))).count();
      if (left <= 0) refuse_all(missing_text());
      ::poll(watched.data(), watched.size(), static_cast<int>(std::min<long>(left, 100)));
      // Before accept() adds to the strangers: positions are those of `watched`.
      std::vector<Socket> still;
      for (std::size_t i = 0; i < strangers_.size(); ++i)
        if (watched[i + 1].revents == 0)
          still.push_back(std::move(strangers_[i]));
        else if (greet(std::move(strangers_[i])))
          --missing;
      strangers_ = std::move(still);
      if (watched[0].revents != 0) accept_one();
    }
    return std::move(clients_);
  }

 private:
  void accept_one() {
    Socket socket(::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) return;
    // poll() then reports it when the whole greeting is here, or its sender is gone.
    const int whole = sizeof(Hello);
    ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_RCVLOWAT, &whole, sizeof whole);
    strangers_.push_back(std::move(socket));
  }

  bool greet(Socket socket) {
    Hello hello;
    const Hello expected;
    if (receive_bytes(socket, &hello, sizeof hello, after(Timeout(0))) != Outcome::done ||
        hello.magic != expected.magic || hello.end != expected.end)
      return false;
    const int byte = 1;
    ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_RCVLOWAT, &byte, sizeof byte);
    const std::string who = "rank " + std::to_string(hello.rank);
    std::string refusal;
    if (hello.version != version_)
      refusal = who + " speaks version " + std::to_string(hello.version) +
                " of the bootstrap, rank 0 " + std::to_string(version_) +
                ": start the same moesim-calibrate everywhere";
    else if (hello.world != launch_.world)
      refusal = who + " is one of " + std::to_string(hello.world) + " ranks, rank 0 one of " +
                std::to_string(launch_.world);
    else if (hello.rank <= 0 || hello.rank >= launch_.world)
      refusal = who + " came; expected 1 to " + std::to_string(launch_.world - 1);
    else if (clients_[static_cast<std::size_t>(hello.rank)].is_open())
      refusal = who + " came twice";
    if (!refusal.empty()) {
      send_frame(socket, {"hello", refusal, true}, after(kToSayGoodbye));
      refuse_all(refusal);
    }
    clients_[static_cast<std::size_t>(hello.rank)] = std::move(socket);
    return true;
  }

  std::string missing_text() const {
    std::vector<int> missing;
    for (int r = 1; r < launch_.world; ++r)
      if (!clients_[static_cast<std::size_t>(r)].is_open()) missing.push_back(r);
    return ranks_text(missing) + " of " + std::to_string(launch_.world) + " did not come to " +
           launch_.rendezvous + " within " + seconds_text(timeout_);
  }

  [[noreturn]] void refuse_all(const std::string& reason) {
    for (const Socket& client : clients_)
      if (client.is_open()) send_frame(client, {"hello", reason, true}, after(kToSayGoodbye));
    throw std::runtime_error(reason);
  }

  const Launch& launch_;
  Timeout timeout_;
  int version_;
  Socket listener_;
  std::vector<Socket> clients_;    // [rank]; closed where not here yet, and for rank 0
  std::vector<Socket> strangers_;  // who have not said who they are
};

class TcpBootstrap : public Bootstrap {
 public:
  TcpBootstrap(const Launch& launch, Timeout timeout, int version)
      : rank_(launch.rank), size_(launch.world), timeout_(timeout) {
    if (rank_ == 0)
      clients_ = Reception(launch, timeout, version).receive_all();
    else
      come(launch, version);
    all_gather("start", "");
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::vector<std::string> all_gather(const std::string& what, const std::string& own) override {
    return rank_ == 0 ? gather_and_answer(what, own) : ask(what, own);
  }
  void give_up(const std::string& reason) noexcept override {
    try {
      const Frame why{"", "rank " + std::to_string(rank_) + ": " + reason, true};
      if (rank_ != 0) send_frame(to_rank_0_, why, after(kToSayGoodbye));
      for (const Socket& client : clients_)
        if (client.is_open()) send_frame(client, why, after(kToSayGoodbye));
    } catch (...) {  // out of memory: the others will see that this rank is gone
    }
  }

 private:
  void come(const Launch& launch, int version) {
    std::string reason;
    auto socket =
        connect_to(parse_address(launch.rendezvous, "--rendezvous"), after(timeout_), reason);
    if (!socket)
      throw std::runtime_error("rank " + std::to_string(rank_) + " found no rank 0 at " +
                               launch.rendezvous + " within " + seconds_text(timeout_) + ": " +
                               reason);
    to_rank_0_ = std::move(*socket);
    Hello hello;
    hello.version = version;
    hello.rank = rank_;
    hello.world = size_;
    send_bytes(to_rank_0_, &hello, sizeof hello, after(timeout_));
  }

  std::vector<std::string> ask(const std::string& what, const std::string& own) {
    const std::string who = "rank " + std::to_string(rank_) + ": rank 0 ";
    // A rank 0 that gave up has closed; what it said before is still there to be read.
    send_frame(to_rank_0_, {what, own, false}, after(timeout_));
    Frame answer;
    switch (receive_frame(to_rank_0_, answer, after(timeout_ + kLonger))) {
      case Outcome::gone: throw std::runtime_error(who + "hung up at \"" + what + "\"");
      case Outcome::late:
        throw std::runtime_error(who + "did not answer at \"" + what + "\" within " +
                                 seconds_text(timeout_ + kLonger));
      case Outcome::done: break;
    }
    if (answer.is_error) throw PeerFailed(answer.text);
    return unpacked(answer.text, size_);
  }

  std::vector<std::string> gather_and_answer(const std::string& what, const std::string& own) {
    std::vector<std::string> texts(static_cast<std::size_t>(size_));
    texts[0] = own;
    const Deadline deadline = after(timeout_);
    std::vector<int> late;
    for (int r = 1; r < size_; ++r) {
      Frame frame;
      // Once one is late, all others that are late too are named with it.
      const auto i = static_cast<std::size_t>(r);
      const Outcome outcome = receive_frame(clients_[i], frame, deadline);
      if (outcome == Outcome::late) late.push_back(r);
      if (outcome == Outcome::gone)
        tell_all("rank " + std::to_string(r) + " hung up at \"" + what + "\"");
      if (outcome != Outcome::done) continue;
      if (frame.is_error) tell_all(frame.text);
      if (frame.what != what)
        tell_all("rank " + std::to_string(r) + " is at \"" + frame.what + "\", rank 0 at \"" +
                 what + "\"");
      texts[i] = std::move(frame.text);
    }
    if (!late.empty())
      tell_all(ranks_text(late) + " of " + std::to_string(size_) + " did not come to \"" + what +
               "\" within " + seconds_text(timeout_));
    const Frame answer{what, packed(texts), false};
    for (int r = 1; r < size_; ++r)
      if (send_frame(clients_[static_cast<std::size_t>(r)], answer, after(timeout_)) !=
          Outcome::done)
        tell_all("rank " + std::to_string(r) + " took no answer at \"" + what + "\"");
    return texts;
  }

  [[noreturn]] void tell_all(const std::string& reason) {
    for (const Socket& client : clients_)
      if (client.is_open()) send_frame(client, {"", reason, true}, after(kToSayGoodbye));
    throw std::runtime_error(reason);
  }

  int rank_, size_;
  Timeout timeout_;
  std::vector<Socket> clients_;  // rank 0's, [rank]
  Socket to_rank_0_;             // the others'
};

}  // namespace

std::unique_ptr<Bootstrap> tcp_bootstrap(const Launch& launch, Timeout timeout, int version) {
  return std::make_unique<TcpBootstrap>(launch, timeout, version);
}

}  // namespace moesim::comm
