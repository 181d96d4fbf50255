// Small serving clusters with clocks that can be followed by hand.
#pragma once

#include <algorithm>
#include <memory>
#include <queue>
#include <vector>

#include "model/random.hpp"
#include "sim/serving/cluster.hpp"

namespace moesim {

// A fixed time a step, and so much more for each prompt token and each decoding request of the
// fullest rank.
class PlainClock : public StepClock {
 public:
  PlainClock(Seconds step, Seconds prompt_token = {}, Seconds decode_request = {})
      : step_(to_tick(step)),
        prompt_token_(to_tick(prompt_token)),
        decode_request_(to_tick(decode_request)) {}
  Tick step_time(std::span<const RankBatch> ranks) const override {
    Tick slowest = 0;
    for (const RankBatch& rank : ranks)
      slowest = std::max(
          slowest, prompt_token_ * rank.prefill_tokens + decode_request_ * rank.decode_requests);
    return step_ + slowest;
  }

 private:
  Tick step_, prompt_token_, decode_request_;
};

inline Request request_of(std::int64_t id, Seconds arrival, int input, int output) {
  Request request;
  request.id = id;
  request.arrival = to_tick(arrival);
  request.input_tokens = input;
  request.output_tokens = output;
  return request;
}

// Those of a list; `think` after one of the first `concurrency` of them is done the next one comes,
// when a concurrency is given.
class ListSource : public RequestSource {
 public:
  explicit ListSource(std::vector<Request> requests) : requests_(std::move(requests)) {}
  ListSource(std::vector<Request> requests, std::size_t concurrency, Seconds think)
      : requests_(std::move(requests)), may_come_(concurrency), think_(to_tick(think)) {}

  std::optional<Tick> next_arrival() override {
    if (next_ == requests_.size() || next_ >= may_come_) return std::nullopt;
    return requests_[next_].arrival;
  }
  Request take() override { return requests_[next_++]; }
  void finished(const Request&, Tick when) override {
    if (may_come_ == SIZE_MAX) return;
    if (may_come_ < requests_.size()) requests_[may_come_].arrival = when + think_;
    ++may_come_;
  }
  RequestCounts counts() const override { return {}; }

 private:
  std::vector<Request> requests_;
  std::size_t next_ = 0, may_come_ = SIZE_MAX;
  Tick think_ = 0;
};

class ListLog : public RequestLog {
 public:
  void finished(const RequestRecord& record) override { records.push_back(record); }
  void token_gaps(Tick, Tick, std::int64_t count) override { gaps += count; }
  const RequestRecord& of(std::int64_t id) const {
    return *std::find_if(
        records.begin(), records.end(), [&](const RequestRecord& r) { return r.request.id == id; });
  }
  std::vector<RequestRecord> records;  // in the order in which they left
  std::int64_t gaps = 0;
};

inline PoolSpec small_pool(PoolRole role, std::int64_t units, std::int64_t ranks = 1) {
  PoolSpec pool;
  pool.name = kPoolRoleNames[static_cast<std::size_t>(role)];
  pool.role = role;
  pool.units = units;
  pool.plan.dp = ranks;
  pool.engine.max_requests = 8;
  pool.engine.max_batch_tokens = 1024;
  pool.engine.max_context_tokens = 4096;
  pool.kv.page_tokens = 16;
  pool.kv.watermark = 0;
  pool.scaler.min_units = pool.scaler.max_units = units;
  pool.cluster.nic_bandwidth = 50 * GB_per_s;
  pool.cluster.nic_latency = 2 * us;
  pool.profile.comm.nic_efficiency = 0.8;
  return pool;
}

inline PoolModel small_model(Seconds step, Seconds prompt_token = {}, Seconds decode_request = {}) {
  PoolModel model;
  model.clock = std::make_shared<PlainClock>(step, prompt_token, decode_request);
  model.pages = 1024;
  model.kv_per_token = 400 * KB;
  return model;
}

// Poisson arrivals with lengths drawn evenly from 1 to the given ones.
inline std::vector<Request> random_requests(
    std::uint64_t seed, std::int64_t count, double per_s, int most_input, int most_output) {
  Random random(seed);
  std::vector<Request> requests;
  Seconds at;
  for (std::int64_t i = 0; i < count; ++i) {
    at += -std::log(random.uniform()) / per_s * s;
    requests.push_back(request_of(i,
                                  at,
                                  1 + static_cast<int>(random.uniform() * most_input),
                                  1 + static_cast<int>(random.uniform() * most_output)));
  }
  return requests;
}

}  // namespace moesim
