#include "calibrate/comm/rank_map.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "model/errors.hpp"

namespace moesim::comm {
namespace {

// Between the fields of a RankPlace; none of them can hold it.
constexpr char kBetween = '\n';

}  // namespace

const char* link_class_name(LinkClass link) {
  switch (link) {
    case LinkClass::self: return "self";
    case LinkClass::nvlink: return "nvlink";
    case LinkClass::rail: return "rail";
    case LinkClass::cross_rail: return "cross_rail";
  }
  ENSURE(false);
}

RankMap::RankMap(int world, int ranks_per_node)
    : rank_of_place_(static_cast<std::size_t>(world)), ranks_per_node_(ranks_per_node) {
  ENSURE(world >= 1 && ranks_per_node >= 1 && world % ranks_per_node == 0);
  std::iota(rank_of_place_.begin(), rank_of_place_.end(), 0);
  place_of_rank_ = rank_of_place_;
}

RankMap::RankMap(const std::vector<RankPlace>& places) {
  std::vector<std::string> hosts;  // by their lowest rank
  std::map<std::string, std::vector<int>> ranks_of;
  std::set<std::pair<std::string, std::string>> gpus;
  for (std::size_t r = 0; r < places.size(); ++r) {
    const RankPlace& at = places[r];
    if (!gpus.emplace(at.host, at.bus_id).second)
      throw std::runtime_error("rank " + std::to_string(r) + " shares GPU " + at.bus_id + " of " +
                               at.host + " with another rank; start one rank a GPU");
    if (at.gpu_name != places.front().gpu_name)
      throw std::runtime_error("rank " + std::to_string(r) + " has a " + at.gpu_name +
                               " and rank 0 a " + places.front().gpu_name +
                               "; measure one kind of GPU at a time");
    if (ranks_of[at.host].empty()) hosts.push_back(at.host);
    ranks_of[at.host].push_back(static_cast<int>(r));
  }
  for (const std::string& host : hosts) {
    const std::vector<int>& ranks = ranks_of[host];
    if (ranks.size() != ranks_of[hosts.front()].size())
      throw std::runtime_error(
          host + " has " + std::to_string(ranks.size()) + " ranks and " + hosts.front() + " " +
          std::to_string(ranks_of[hosts.front()].size()) + "; start as many on every node");
    rank_of_place_.insert(rank_of_place_.end(), ranks.begin(), ranks.end());
  }
  ranks_per_node_ = static_cast<int>(ranks_of[hosts.front()].size());
  place_of_rank_.resize(rank_of_place_.size());
  for (std::size_t p = 0; p < rank_of_place_.size(); ++p)
    place_of_rank_[static_cast<std::size_t>(rank_of_place_[p])] = static_cast<int>(p);
}

LinkClass RankMap::link(int from, int to) const {
  if (from == to) return LinkClass::self;
  if (node(from) == node(to)) return LinkClass::nvlink;
  return rail(from) == rail(to) ? LinkClass::rail : LinkClass::cross_rail;
}

std::vector<int> RankMap::all() const {
  std::vector<int> places(rank_of_place_.size());
  std::iota(places.begin(), places.end(), 0);
  return places;
}

std::vector<int> RankMap::same_node(int place) const {
  std::vector<int> places(static_cast<std::size_t>(ranks_per_node_));
  std::iota(places.begin(), places.end(), node(place) * ranks_per_node_);
  return places;
}

std::vector<int> RankMap::same_rail(int place) const {
  std::vector<int> places;
  for (int p = rail(place); p < world(); p += ranks_per_node_) places.push_back(p);
  return places;
}

std::vector<RankPlace> gather_places(Bootstrap& bootstrap, const RankPlace& own) {
  std::vector<RankPlace> places;
  for (const std::string& text : bootstrap.all_gather(
           "topology", own.host + kBetween + own.bus_id + kBetween + own.gpu_name)) {
    const std::size_t first = text.find(kBetween), second = text.find(kBetween, first + 1);
    ENSURE(second != std::string::npos);
    places.push_back({text.substr(0, first),
                      text.substr(first + 1, second - first - 1),
                      text.substr(second + 1)});
  }
  return places;
}

}  // namespace moesim::comm
