// A machine without GPUs or links: ranks are threads of one process, memory is memory, and time is
// fake_clock.hpp's. Bytes really move, so that programs which send them wrongly are caught; time
// does not pass, so that the same seed gives the same measurements however many threads run at
// once.
//
// Stricter than the machine it stands for: messages that nobody receives, or of another length than
// their receiver expects, are an error here, where NCCL would hang or write past the end. An
// exchange begins when the last of the ranks that have messages in it is ready. Compute that is to
// be disturbed by an exchange is started before it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "calibrate/comm/fake_clock.hpp"
#include "calibrate/comm/meeting.hpp"
#include "calibrate/comm/transport.hpp"

namespace moesim::comm {

// What goes wrong with data for the last place, to show that it is noticed: one bit of a message is
// turned, a message does not arrive, or it arrives when the next call has begun.
enum class FakeFault { none, flip, drop, late };

struct FakeGroupState;

// What all ranks share.
class FakeFabric {
 public:
  FakeFabric(const RankMap& map,
             const FakeRates& rates,
             FakeFault fault,
             std::shared_ptr<std::atomic<bool>> alarm,
             Timeout timeout);
  ~FakeFabric();
  std::unique_ptr<Transport> transport(int place);

 private:
  friend class FakeTransport;
  // The state of the group that `places` open as their `opening`-th.
  std::shared_ptr<FakeGroupState> group(int opening, const std::vector<int>& places, int max_ctas);

  RankMap map_;
  FakeClock clock_;
  FakeFault fault_;
  std::shared_ptr<std::atomic<bool>> alarm_;
  Timeout timeout_;
  std::mutex mutex_;
  std::map<std::pair<int, std::vector<int>>, std::shared_ptr<FakeGroupState>> groups_;
};

}  // namespace moesim::comm
