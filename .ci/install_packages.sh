# shellcheck shell=bash
# Sourced by run.sh and test.sh: installs what the build needs and this machine lacks (Debian, apt).
# On another system, install a C++20 compiler, CMake 3.22+, Ninja, Eigen 3.4+, nlohmann-json 3.7+,
# CLI11 2.1+, Catch2 2.13+ first; without dpkg nothing is installed here.

install_packages() {
  command -v dpkg-query >/dev/null || return 0
  local missing=() package
  for package in g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libcli11-dev catch2 \
    zlib1g-dev libzstd-dev; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Please install as root: ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}
