// Where threads that are ranks of one process meet: all come, the last to come does what is to be
// done together, all go on. A rank that fails raises the alarm, which sends all others home.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace moesim::comm {

using Timeout = std::chrono::milliseconds;

// Another rank failed; what is wrong, it says itself.
class PeerFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Meeting {
 public:
  // `members` are the world ranks, by place in the group; for messages.
  Meeting(std::vector<int> members, std::shared_ptr<std::atomic<bool>> alarm, Timeout timeout);

  // Every member calls it with its place in the group. What the last one throws, it throws alone,
  // and the others PeerFailed, then and ever after.
  // std::runtime_error that names who is missing, and where the others wait, after the timeout.
  void meet(int member, const std::string& what, const std::function<void()>& together);

  int size() const { return static_cast<int>(members_.size()); }

 private:
  [[noreturn]] void fail_missing(const std::string& what) const;

  std::vector<int> members_;
  std::shared_ptr<std::atomic<bool>> alarm_;
  Timeout timeout_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::vector<bool> here_;
  std::string what_;  // the members that are here came for this
  bool is_broken_ = false;
  int num_here_ = 0;
  long round_ = 0;
};

// "rank 3", "ranks 3, 5 and 7"; of a long list the first eight.
std::string ranks_text(const std::vector<int>& ranks);

}  // namespace moesim::comm
