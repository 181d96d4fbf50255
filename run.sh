#!/usr/bin/env bash
# Builds moesim on a fresh Debian 12 and simulates one training run of DeepSeek-V3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/install_packages.sh

install_packages
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release
cmake --build build --target moesim

status=0
build/moesim run scenarios/deepseek-v3-pretrain.jsonc -o out || status=$?
# 4 says that the plan does not fit, in a complete report.
if [ "$status" -ne 0 ] && [ "$status" -ne 4 ]; then exit "$status"; fi
echo
echo "The report is in $PWD/out/report.md (the same numbers for programs: out/report.json)"
exit "$status"
