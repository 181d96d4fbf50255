// What happens to a training run besides its steps: what breaks and how long it takes to be back,
// checkpoints, evaluation pauses, slow nodes, planned maintenance. In a scenario this is the
// optional object "operations", or the name of a file that holds it; without it nothing of this
// happens. sim/goodput says what it costs.
//
//   {"failures": [{"component": "GPU", "per": "gpu", "mtbf": "50000 h", "source": "..."},
//                 {"component": "HBM", "per": "gpu", "source": "...",
//                  "observed": {"count": 72, "units": 16384, "time": "54 d"}}],
//    "recovery": {"detection": "10 min", "reschedule": "2 min", "warm_up": "30 s", "source":
//    "..."}, "spares": {"nodes": 4, "swap": "5 min", "repair": "24 h", "source": "..."},
//    "checkpoint": {"interval": "optimal", "size": "derived", "per": "cluster",
//                   "write_bandwidth": "1 TB/s", "read_bandwidth": "1 TB/s",
//                   "asynchronous": true, "copy_bandwidth": "25 GB/s", "source": "..."},
//    "evaluation": {"every_steps": 1000, "pause": "5 min", "source": "..."},
//    "stragglers": {"share": 0.01, "slowdown": 1.1, "source": "..."},   or {"sigma": 0.02, ...}
//    "maintenance": {"pauses_per_month": 2, "pause": "4 h", "source": "..."}}
//
// Failures need recovery and a checkpoint; everything else may be left out on its own. `source`
// says where the figures are from, or that they are assumed.
//
// Left out: failures that only slow the run down (those are stragglers), failures that spoil a
// checkpoint or go unnoticed for longer than the detection time, several components that fail
// together, failure rates that change as a cluster ages.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/json_reader.hpp"
#include "model/model_spec.hpp"

namespace moesim {

// What there is one of: a GPU, a node, a switch of the fabric, the whole cluster.
enum class FailureUnit { gpu, node, network_switch, cluster };
inline constexpr std::array<const char*, 4> kFailureUnits = {"gpu", "node", "switch", "cluster"};

struct ComponentFailures {
  std::string component;
  FailureUnit per = FailureUnit::gpu;
  Seconds mtbf;  // of one unit: mean time between its failures, which come at a constant rate
  std::string source;
  // Takes its node out of the run, which needs a spare. Switches are repaired or routed around, and
  // what belongs to the cluster (software) takes no node with it.
  bool takes_node() const { return per == FailureUnit::gpu || per == FailureUnit::node; }
};
double units_in(const ClusterSpec& cluster, FailureUnit unit);

// From the failure to the first new step, without loading the checkpoint.
struct Recovery {
  Seconds detection;  // until the failure is noticed and located; nothing else can fail meanwhile
  Seconds
      reschedule;   // until all processes run again; may itself be interrupted, like what follows
  Seconds warm_up;  // first step slower than others, communicators, data loaders
  std::string source;
};

// Nodes that are paid for and idle. A failed node is back among them after `repair`.
struct Spares {
  std::int64_t nodes = 0;
  Seconds swap;  // to bring a spare in
  Seconds repair;
  std::string source;
};

enum class CheckpointInterval { steps, time, optimal };

struct Checkpoints {
  CheckpointInterval kind = CheckpointInterval::optimal;
  std::int64_t steps = 0;      // of CheckpointInterval::steps
  Seconds time;                // of CheckpointInterval::time: of work, pauses not counted
  std::string interval_place;  // in its file, for refusals that need the simulated step
  Bytes size;
  bool size_is_derived = false;
  Bandwidth write, read;          // of the whole cluster
  std::optional<Bandwidth> copy;  // of one GPU to its host; given: the write itself is asynchronous
  std::string source;

  bool asynchronous() const { return copy.has_value(); }
  // Training stops for the whole write, or until every GPU has copied its equal part to its host.
  Seconds pause(std::int64_t num_gpus) const;
  Seconds write_time() const { return size / write; }
  // After its pause, until a checkpoint can be gone back to.
  Seconds settling() const { return asynchronous() ? write_time() : Seconds(); }
  Seconds load_time() const { return size / read; }
};

struct Evaluation {
  std::int64_t every_steps = 0;
  Seconds pause;
  std::string source;
};

// Nodes are slow independently of each other, and anew in every step. Either a node is `slowdown`
// times slower with probability `share`, or its compute time is lognormal: exp(sigma Z) times what
// the simulated step has.
struct Stragglers {
  double share = 0, slowdown = 1;
  std::optional<double> sigma;
  std::string source;
};

// Announced: the run writes a checkpoint first, so that nothing is computed twice.
struct Maintenance {
  double pauses_per_month = 0;
  Seconds pause;  // from the last step before it to the first one after it
  std::string source;
  double share_of_time() const;
};
// A twelfth of 365.25 days.
inline constexpr Seconds kMonth = 730.5 * hour;

struct Operations {
  std::vector<ComponentFailures> failures;
  std::optional<Recovery> recovery;
  std::optional<Spares> spares;
  std::optional<Checkpoints> checkpoint;
  std::optional<Evaluation> evaluation;
  std::optional<Stragglers> stragglers;
  std::optional<Maintenance> maintenance;
};

// Of a checkpoint: weights in BF16, master weights in FP32 and Adam's two moments of every
// parameter, MTP modules included, each kept once.
Bytes checkpoint_size(const ModelSpec& model, double moment_bytes);

// `num_steps`: of all simulated phases of the run.
Operations read_operations(const JsonNode& node,
                           const ModelSpec& model,
                           const ClusterSpec& cluster,
                           double moment_bytes,
                           double num_steps);

}  // namespace moesim
