# shellcheck shell=bash
# Sourced by run.sh and test.sh: installs what the build needs and this machine lacks (Debian, apt).
# On another system, install a C++20 compiler, CMake 3.22+, Ninja, Eigen 3.4+, nlohmann-json 3.7+,
# CLI11 2.1+, Catch2 2.13+ first, and npm for the charts of HTML reports; without dpkg nothing is
# installed here.

# install_packages [for tests]: with an argument also what only tests need.
install_packages() {
  command -v dpkg-query >/dev/null || return 0
  local missing=() package wanted=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev
    libcli11-dev catch2 zlib1g-dev libzstd-dev)
  # Others' nodejs packages hold an npm, and conflict with Debian's.
  command -v npm >/dev/null || wanted+=(npm)
  # The browser that HTML reports are tested in, and a font for it.
  if [ $# -gt 0 ] && ! command -v chromium google-chrome >/dev/null; then
    wanted+=(chromium fonts-dejavu-core)
  fi
  for package in "${wanted[@]}"; do
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
