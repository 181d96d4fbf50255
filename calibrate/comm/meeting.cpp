#include "calibrate/comm/meeting.hpp"

#include <algorithm>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

// How soon a waiting rank notices the alarm.
constexpr Timeout kLook = Timeout(20);
constexpr std::size_t kMostNamed = 8;

}  // namespace

std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  const std::size_t named = std::min(ranks.size(), kMostNamed);
  for (std::size_t i = 0; i < named; ++i) {
    const bool last = i + 1 == ranks.size();
    text += (i == 0 ? "" : last ? " and " : ", ") + std::to_string(ranks[i]);
  }
  if (named < ranks.size()) text += " and " + std::to_string(ranks.size() - named) + " more";
  return text;
}

Meeting::Meeting(std::vector<int> members,
                 std::shared_ptr<std::atomic<bool>> alarm,
                 Timeout timeout)
    : members_(std::move(members)),
      alarm_(std::move(alarm)),
      timeout_(timeout),
      here_(members_.size(), false) {}

void Meeting::fail_missing(const std::string& what) const {
  std::vector<int> missing;
  for (std::size_t i = 0; i < members_.size(); ++i)
    if (!here_[i]) missing.push_back(members_[i]);
  throw std::runtime_error(ranks_text(missing) + " of " + std::to_string(members_.size()) +
                           " did not come to \"" + what + "\" within " +
                           std::to_string(timeout_.count()) + " ms");
}

void Meeting::meet(int member, const std::string& what, const std::function<void()>& together) {
  std::unique_lock lock(mutex_);
  const auto go_home_on_alarm = [&] {
    if (*alarm_ || is_broken_) throw PeerFailed("another rank failed");
  };
  go_home_on_alarm();
  ENSURE(!here_[static_cast<std::size_t>(member)]);
  if (num_here_ > 0 && what != what_)
    throw std::runtime_error("rank " + std::to_string(members_[static_cast<std::size_t>(member)]) +
                             " is at \"" + what + "\" while others are at \"" + what_ + "\"");
  what_ = what;
  here_[static_cast<std::size_t>(member)] = true;
  if (++num_here_ == size()) {
    try {
      together();
    } catch (...) {
      is_broken_ = true;
      throw;
    }
    num_here_ = 0;
    here_.assign(members_.size(), false);
    ++round_;
    lock.unlock();
    all_here_.notify_all();
    return;
  }
  const long round = round_;
  const auto deadline = std::chrono::steady_clock::now() + timeout_;
  while (!all_here_.wait_for(lock, kLook, [&] { return round_ != round; })) {
    go_home_on_alarm();
    if (std::chrono::steady_clock::now() >= deadline) fail_missing(what);
  }
}

}  // namespace moesim::comm
