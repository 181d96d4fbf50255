# shellcheck shell=bash
# Sourced by test.sh and .ci/run: runs CTest in a build folder and counts.

num_passed=0
num_failed=0
num_skipped=0

# count_tests FOLDER [ctest options]: adds to the three numbers above.
count_tests() {
  local folder=$1 junit=$1/ctest-junit.xml status=0
  shift
  rm -f "$junit"
  ctest --test-dir "$folder" --parallel 2 --output-on-failure --no-tests=error \
    --output-junit "$(realpath "$folder")/ctest-junit.xml" "$@" || status=$?

  # One element a test, on a line of its own; a "<" in test output is escaped, so it cannot match.
  local passed=0 failed=0 skipped=0 total=0
  if [ -s "$junit" ]; then
    total=$(grep -c '<testcase ' "$junit" || true)
    passed=$(grep -c '<testcase .*status="run"' "$junit" || true)
    # "notrun" alone would count a test whose program is missing.
    skipped=$(grep -cE '<skipped message="SKIP_|<testcase .*status="disabled"' "$junit" || true)
    failed=$((total - passed - skipped))
  fi
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi  # no test at all, for example
  num_passed=$((num_passed + passed))
  num_failed=$((num_failed + failed))
  num_skipped=$((num_skipped + skipped))
}

print_counts() {
  local line="$num_passed passed, $num_failed failed"
  [ "$num_skipped" -gt 0 ] && line+=", $num_skipped skipped"
  echo "$line"
}
