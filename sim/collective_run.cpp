#include "sim/collective_run.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "sim/flow_network.hpp"

namespace moesim {
namespace {

struct Message {
  NetworkPath path;
  double bytes = 0;
  Tick latency = 0;
};

Message message_of(const Network& network,
                   const CollectiveCall& call,
                   std::uint64_t call_index,
                   const Transfer& transfer) {
  const auto gpu = [&](std::int32_t rank) { return call.gpus[static_cast<std::size_t>(rank)]; };
  const Bytes size = call.collective.bytes(transfer);
  const bool same_node =
      call.collective.spec.group.same_node(transfer.source, transfer.destination);
  const SizeRegime regime = regime_of(same_node ? call.nvlink_regimes : call.nic_regimes, size);
  // One connection a pair and call: all its messages take the same way under ECMP.
  const NetworkPath path =
      network.path(gpu(transfer.source), gpu(transfer.destination), call_index);
  return {path, size.in(B) / regime.efficiency, to_tick(path.latency + regime.overhead)};
}

// Calls in sets that share links, directly or through other calls.
std::vector<std::vector<std::size_t>> sets_sharing_links(const Network& network,
                                                         const std::vector<CollectiveCall>& calls) {
  std::vector<std::size_t> leader(calls.size());
  std::iota(leader.begin(), leader.end(), std::size_t{0});
  const auto find = [&](std::size_t call) {
    while (leader[call] != call) call = leader[call] = leader[leader[call]];
    return call;
  };
  std::vector<std::optional<std::size_t>> user(network.links().size());
  for (std::size_t c = 0; c < calls.size(); ++c)
    for (const Round& round : calls[c].collective.rounds)
      for (const Transfer& transfer : round.transfers) {
        const NetworkPath path = message_of(network, calls[c], c, transfer).path;
        for (std::size_t i = 0; i < path.num_links; ++i) {
          std::optional<std::size_t>& u = user[path.links[i]];
          if (u) leader[find(c)] = find(*u);
          u = c;
        }
      }
  std::map<std::size_t, std::vector<std::size_t>> sets;
  for (std::size_t c = 0; c < calls.size(); ++c) sets[find(c)].push_back(c);
  std::vector<std::vector<std::size_t>> result;
  for (auto& [first, set] : sets) result.push_back(std::move(set));
  return result;
}

// The calls of one such set, advanced together.
class SetRun {
 public:
  SetRun(const Network& network,
         std::span<const double> capacities,
         const std::vector<CollectiveCall>& calls,
         std::vector<std::size_t> members)
      : network_(network),
        flows_(capacities),
        calls_(calls),
        members_(std::move(members)),
        progress_(members_.size()),
        num_unfinished_(members_.size()) {}

  void run(std::vector<Seconds>& end) {
    for (std::size_t m = 0; m < members_.size(); ++m) enter_round(m, to_tick(call(m).start));
    std::vector<std::uint32_t> ended;
    std::vector<std::size_t> members_through;
    while (flows_.next()) {
      ended.clear();
      members_through.clear();
      flows_.advance(ended);
      // All are counted before new flows start, which may be given the ids of those that ended.
      for (const std::uint32_t flow : ended) {
        const std::size_t member = member_of_flow_[flow];
        if (--progress_[member].in_flight == 0) members_through.push_back(member);
      }
      for (const std::size_t member : members_through) end_repetition(member);
    }
    ENSURE(num_unfinished_ == 0);
    for (std::size_t m = 0; m < members_.size(); ++m)
      end[members_[m]] = to_seconds(progress_[m].end);
  }

 private:
  struct Progress {
    std::size_t round = 0;
    std::int64_t repetitions_left = 0;
    std::vector<Message> messages;  // of the round
    std::size_t in_flight = 0;
    Tick began = 0, end = 0;
    bool alone = false;  // since the repetition began
  };

  const CollectiveCall& call(std::size_t member) const { return calls_[members_[member]]; }

  void enter_round(std::size_t member, Tick at) {
    Progress& p = progress_[member];
    const auto& rounds = call(member).collective.rounds;
    if (p.round == rounds.size()) {
      p.end = at;
      --num_unfinished_;
      return;
    }
    p.repetitions_left = rounds[p.round].repeat;
    p.messages.clear();
    for (const Transfer& transfer : rounds[p.round].transfers)
      p.messages.push_back(message_of(network_, call(member), members_[member], transfer));
    begin_repetition(member, at);
  }

  void begin_repetition(std::size_t member, Tick at) {
    Progress& p = progress_[member];
    p.began = at;
    p.alone = num_unfinished_ == 1;
    p.in_flight = p.messages.size();
    for (const Message& message : p.messages) {
      const std::uint32_t flow = flows_.start(
          {message.path.links.data(), message.path.num_links}, message.bytes, at, message.latency);
      if (flow >= member_of_flow_.size()) member_of_flow_.resize(flow + 1);
      member_of_flow_[flow] = member;
    }
  }

  void end_repetition(std::size_t member) {
    Progress& p = progress_[member];
    Tick now = flows_.now();
    --p.repetitions_left;
    if (p.alone) {  // the other repetitions are just like this one
      now += p.repetitions_left * (now - p.began);
      p.repetitions_left = 0;
    }
    if (p.repetitions_left > 0) {
      begin_repetition(member, now);
    } else {
      ++p.round;
      enter_round(member, now);
    }
  }

  const Network& network_;
  FlowNetwork flows_;
  const std::vector<CollectiveCall>& calls_;
  std::vector<std::size_t> members_;
  std::vector<Progress> progress_;  // [member]
  std::size_t num_unfinished_ = 0;
  std::vector<std::size_t> member_of_flow_;
};

void check(const Network& network, const CollectiveCall& call) {
  ENSURE(static_cast<std::int64_t>(call.gpus.size()) == call.collective.spec.group.ranks);
  const std::set<std::int64_t> distinct(call.gpus.begin(), call.gpus.end());
  ENSURE(distinct.size() == call.gpus.size());
  ENSURE(*distinct.begin() >= 0 && *distinct.rbegin() < network.num_gpus());
}

}  // namespace

std::vector<Seconds> run_collectives(const Network& network,
                                     const std::vector<CollectiveCall>& calls) {
  for (const CollectiveCall& call : calls) check(network, call);
  std::vector<double> capacities;
  for (const NetworkLink& link : network.links()) capacities.push_back(link.capacity.in(B_per_s));
  std::vector<Seconds> end(calls.size());
  for (std::vector<std::size_t>& set : sets_sharing_links(network, calls))
    SetRun(network, capacities, calls, std::move(set)).run(end);
  return end;
}

}  // namespace moesim
