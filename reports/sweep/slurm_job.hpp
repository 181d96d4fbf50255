// A sweep as a job of the Slurm workload manager: a shell script that submits an array, a shard
// each, and a job that merges their files once all are done. Tasks that are preempted or requeued
// go on from what their file has.
//
// Left out: everything a site decides (partition, account, time limit). What the script is called
// with is passed on to sbatch: sh sweep.sh --partition=cpu --time=1:00:00
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moesim {

struct SlurmSweep {
  std::string program;             // its path, on every node
  std::vector<std::string> words;  // of the command line after it, without -o and --shard
  std::string output;              // of the merged sweep
  std::int64_t num_shards = 1;
};

std::string slurm_script(const SlurmSweep& sweep);

// As one word of a POSIX shell.
std::string shell_quoted(const std::string& word);

}  // namespace moesim
