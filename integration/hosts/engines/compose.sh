#!/bin/sh
# Fetch Docker Compose out of Debian 13, unpacked and not installed, to $FLANPY_COMPOSE, else ~/.cache/flanpy/compose.
# What is there already is left alone. apt checks the signature. Needs no root. The last line printed is the program's path.
set -eu
store=${FLANPY_COMPOSE:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/compose}
. "$(dirname "$0")/../../apt_beside.sh"

if [ ! -x "$store/docker-compose" ]; then
  work=$store/.work-$$
  mkdir -p "$work"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  apt_beside "$work" trixie update
  (cd "$work" && apt_beside "$work" trixie download docker-compose)
  unpack_all "$work" "$work/tree"
  mv "$work/tree/usr/libexec/docker/cli-plugins/docker-compose" "$store/docker-compose"
fi
printf '%s\n' "$store/docker-compose"
