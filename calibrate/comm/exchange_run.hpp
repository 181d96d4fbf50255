// One dispatch or combine on a rank: memory, messages, and what every row has to hold.
//
//   dispatch  a row is its token's: hash of (source, word of its tokens)
//   combine   an expert's rank answers with a hash of (itself, or the expert, and that word); where
//             the two-hop combine returns one row for a node, the sum of those
//
// Rows that a second hop passes on are packed on the host, from what really arrived, while results
// are verified; the timed runs send the same messages and pack nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/comm/exchange_plan.hpp"
#include "calibrate/comm/session.hpp"

namespace moesim::comm {

class ExchangeRun {
 public:
  // plan outlives it. Hops of the plan that carry nothing are left out.
  ExchangeRun(Session& session, Group& world, const ExchangePlan& plan, std::size_t row_words);

  void prepare(std::int64_t iteration);
  void run();
  void run_verified();
  // What run_verified() found in the first of two hops, and what the last one brought.
  const std::optional<std::string>& first_complaint() const { return first_complaint_; }
  std::optional<std::string> check(std::int64_t iteration);

  // The largest memory that any rank needs for one direction of a hop.
  static std::size_t most_words(const ExchangePlan& plan, int world, std::size_t row_words);

 private:
  struct Side {  // what this rank sends, or receives, in a hop
    std::vector<const Parcel*> parcels;
    std::vector<Message> messages;
    std::unique_ptr<DeviceMemory> memory;
  };
  struct Step {
    Side out, in;
  };
  void add(Side& side, const Parcel& parcel, int peer) const;
  void expected_row(std::size_t step,
                    const Parcel& parcel,
                    const RowId& row,
                    std::int64_t iteration,
                    std::vector<Word>& out) const;
  std::optional<std::string> check_step(std::size_t step, std::int64_t iteration);
  bool sums(std::size_t step) const;
  void relay();
  void relayed_row(const std::vector<Word>& arrived,
                   const RowId& row,
                   std::vector<Word>& out) const;

  Session& session_;
  Group& world_;
  const ExchangePlan& plan_;
  std::size_t row_words_;
  std::int64_t iteration_ = 0;
  std::vector<const Hop*> hops_;
  std::vector<Step> steps_;  // [hop]
  std::optional<std::string> first_complaint_;
};

}  // namespace moesim::comm
