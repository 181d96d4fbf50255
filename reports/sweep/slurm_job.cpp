#include "reports/sweep/slurm_job.hpp"

#include <algorithm>
#include <utility>

namespace moesim {
std::string shell_quoted(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string slurm_script(const SlurmSweep& sweep) {
  const std::string n = std::to_string(sweep.num_shards);
  // The task's number stands outside the quotes, so that the task's shell fills it in.
  const std::string shard = shell_quoted(sweep.output + ".shard-"), of = "-of-" + n;
  std::string command = shell_quoted(sweep.program);
  for (const std::string& word : sweep.words) command += " " + shell_quoted(word);
  std::string merge = shell_quoted(sweep.program) + " merge -o " + shell_quoted(sweep.output);
  for (std::int64_t i = 1; i <= sweep.num_shards; ++i)
    merge += " \\\n  " + shard + std::to_string(i) + of;
  const std::string script = R"(#!/bin/sh
# Submits a sweep as @N@ array tasks, and a job that merges their results when all have succeeded.
# What this is called with goes to sbatch, both times: sh SCRIPT --partition=cpu --time=1:00:00
set -eu
array=$(sbatch --parsable --array=1-@N@ --job-name=moesim-sweep --requeue --open-mode=append "$@" <<'TASK'
#!/bin/sh
exec @COMMAND@ \
  -o @SHARD@"$SLURM_ARRAY_TASK_ID"@OF@ --shard "$SLURM_ARRAY_TASK_ID/@N@" \
  --threads "${SLURM_CPUS_PER_TASK:-1}" --quiet
TASK
)
array=${array%%;*}  # the name of a cluster may follow
sbatch --dependency="afterok:$array" --job-name=moesim-merge "$@" <<'MERGE'
#!/bin/sh
exec @MERGE@
MERGE
)";
  const std::pair<const char*, const std::string*> parts[] = {{"@N@", &n},
                                                              {"@COMMAND@", &command},
                                                              {"@SHARD@", &shard},
                                                              {"@OF@", &of},
                                                              {"@MERGE@", &merge}};
  std::string filled;
  for (std::size_t at = 0; at < script.size();) {
    const auto* part = std::find_if(std::begin(parts), std::end(parts), [&](const auto& p) {
      return script.compare(at, std::string(p.first).size(), p.first) == 0;
    });
    if (part == std::end(parts)) {
      filled += script[at++];
      continue;
    }
    filled += *part->second;
    at += std::string(part->first).size();
  }
  return filled;
}

}  // namespace moesim
