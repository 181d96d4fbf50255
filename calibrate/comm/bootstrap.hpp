// How ranks talk before and beside the links that are measured: small texts, everyone to everyone.
// Nothing here is timed. Two ways: threads of one process (thread_bootstrap.cpp), and processes
// over TCP with rank 0 in the middle (tcp_bootstrap.cpp), so that no MPI has to be installed or
// linked.
//
// Never waits for ever: a rank that does not come within the timeout is named by all others.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/comm/launch.hpp"
#include "calibrate/comm/meeting.hpp"

namespace moesim::comm {

class Bootstrap {
 public:
  virtual ~Bootstrap() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Every rank gives a text and gets those of all, by rank. `what` says for what; ranks that came
  // for different things are refused.
  virtual std::vector<std::string> all_gather(const std::string& what, const std::string& own) = 0;
  // Tells all others, as well as it can, why this rank leaves. Never throws.
  virtual void give_up(const std::string& reason) noexcept = 0;
};

std::string broadcast(Bootstrap& bootstrap, const std::string& what, const std::string& of_rank_0);
void barrier(Bootstrap& bootstrap, const std::string& what);
// Where any rank has a complaint, all throw (std::runtime_error) that of the lowest such rank.
void agree(Bootstrap& bootstrap, const std::string& what, const std::string& complaint);

// Ranks that are threads: one table, a Bootstrap for each.
class ThreadTable {
 public:
  ThreadTable(int size, Timeout timeout);
  std::unique_ptr<Bootstrap> bootstrap(int rank);
  const std::shared_ptr<std::atomic<bool>>& alarm() const { return alarm_; }

 private:
  friend class ThreadBootstrap;
  std::shared_ptr<std::atomic<bool>> alarm_;
  Meeting meeting_;
  std::vector<std::string> brought_, result_;
};

// Ranks that are processes. Rank 0 listens at launch.rendezvous; the others come to it, trying
// again until the timeout. Ranks of another version of this program, another number of ranks or a
// number that is taken are refused, with both values. Strangers that knock at the port are sent
// away.
inline constexpr int kBootstrapVersion = 1;
std::unique_ptr<Bootstrap> tcp_bootstrap(const Launch& launch,
                                         Timeout timeout,
                                         int version = kBootstrapVersion);

}  // namespace moesim::comm
