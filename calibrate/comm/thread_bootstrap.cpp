#include <numeric>

#include "calibrate/comm/bootstrap.hpp"

namespace moesim::comm {
namespace {

std::vector<int> first_ranks(int size) {
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

}  // namespace

class ThreadBootstrap : public Bootstrap {
 public:
  ThreadBootstrap(ThreadTable& table, int rank) : table_(table), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return table_.meeting_.size(); }
  std::vector<std::string> all_gather(const std::string& what, const std::string& own) override {
    table_.brought_[static_cast<std::size_t>(rank_)] = own;
    table_.meeting_.meet(rank_, what, [&] { table_.result_ = table_.brought_; });
    // Nobody brings anything to the next meeting, and so changes the result, before all have come
    // to it, which this rank does after it has read.
    return table_.result_;
  }
  void give_up(const std::string& /*reason*/) noexcept override { *table_.alarm_ = true; }

 private:
  ThreadTable& table_;
  int rank_;
};

ThreadTable::ThreadTable(int size, Timeout timeout)
    : alarm_(std::make_shared<std::atomic<bool>>(false)),
      meeting_(first_ranks(size), alarm_, timeout),
      brought_(static_cast<std::size_t>(size)) {}

std::unique_ptr<Bootstrap> ThreadTable::bootstrap(int rank) {
  return std::make_unique<ThreadBootstrap>(*this, rank);
}

std::string broadcast(Bootstrap& bootstrap, const std::string& what, const std::string& of_rank_0) {
  return bootstrap.all_gather(what, bootstrap.rank() == 0 ? of_rank_0 : std::string()).front();
}

void barrier(Bootstrap& bootstrap, const std::string& what) { bootstrap.all_gather(what, ""); }

void agree(Bootstrap& bootstrap, const std::string& what, const std::string& complaint) {
  for (const std::string& text : bootstrap.all_gather(what, complaint))
    if (!text.empty()) throw std::runtime_error(text);
}

}  // namespace moesim::comm
