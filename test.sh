#!/usr/bin/env bash
# Builds everything and runs every test. The last line says how many passed.
#   BUILD_DIR   where to build (build)
#   MOE_WERROR  ON makes compiler warnings errors (OFF)
#   MOESIM_REFERENCE_DIR  real data that some tests compare with; they are skipped without it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/install_packages.sh
source .ci/count_tests.sh

build=${BUILD_DIR:-build}
if [ -z "${MOESIM_REFERENCE_DIR:-}" ] && [ -d ../shared/reference ]; then
  MOESIM_REFERENCE_DIR=$(realpath ../shared/reference)
fi
export MOESIM_REFERENCE_DIR=${MOESIM_REFERENCE_DIR:-}

if install_packages for_tests &&
   cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
     -DMOE_WERROR="${MOE_WERROR:-OFF}" &&
   cmake --build "$build"; then
  count_tests "$build"
else
  echo "The build failed; it counts as one failed test."
  num_failed=1
fi
print_counts
[ "$num_failed" -eq 0 ]
