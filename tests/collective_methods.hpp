// Every pair of kind and algorithm with more than one message, for tests that hold for all of them.
#pragma once

#include "model/collective/rounds.hpp"

namespace moesim {

struct CollectiveMethodName {
  CollectiveKind kind;
  CollectiveAlgorithm algorithm;
};
inline constexpr CollectiveMethodName kCollectiveMethods[] = {
    {CollectiveKind::all_reduce, CollectiveAlgorithm::ring},
    {CollectiveKind::all_reduce, CollectiveAlgorithm::tree},
    {CollectiveKind::all_reduce, CollectiveAlgorithm::hierarchical},
    {CollectiveKind::reduce_scatter, CollectiveAlgorithm::ring},
    {CollectiveKind::reduce_scatter, CollectiveAlgorithm::hierarchical},
    {CollectiveKind::all_gather, CollectiveAlgorithm::ring},
    {CollectiveKind::all_gather, CollectiveAlgorithm::hierarchical},
    {CollectiveKind::broadcast, CollectiveAlgorithm::tree},
    {CollectiveKind::broadcast, CollectiveAlgorithm::hierarchical},
    {CollectiveKind::all_to_all, CollectiveAlgorithm::pairwise},
    {CollectiveKind::all_to_all, CollectiveAlgorithm::hierarchical},
    {CollectiveKind::all_to_all, CollectiveAlgorithm::direct}};

}  // namespace moesim
