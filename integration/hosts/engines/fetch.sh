#!/bin/sh
# Fetch Docker engines newer than this Debian's: Debian's own packages of later releases, unpacked and not installed.
#   sh fetch.sh [VERSION...]        (all: 26.1 28.5)
# They go to $FLANPY_ENGINES, else ~/.cache/flanpy/engines; what is there already is left alone. apt checks the signatures,
# with lists of its own. Needs no root.
set -eu
store=${FLANPY_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/engines}
. "$(dirname "$0")/../../apt_beside.sh"

say() { printf '%s\n' "engines: $*"; }
die() { printf '%s\n' "engines: $*" >&2; exit 1; }

suite_of() {
  case $1 in
    26.1) echo trixie ;;
    28.5) echo forky ;;
    *) die "no Debian release with Docker $1 is known; there are 26.1 and 28.5" ;;
  esac
}

fetch() {
  version=$1
  suite=$(suite_of "$version")
  [ ! -x "$store/$version/usr/sbin/dockerd" ] || return 0
  say "fetching docker.io $version and containerd of Debian $suite to $store/$version (60 MB)"
  work=$store/.work-$version-$$
  mkdir -p "$work"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  apt_beside "$work" "$suite" update
  (cd "$work" && apt_beside "$work" "$suite" download docker.io containerd)
  unpack_all "$work" "$work/tree"
  case $(ls "$work"/docker.io_*.deb) in
    */docker.io_"$version".*) ;;
    *) die "Debian $suite has another Docker by now: $(cd "$work" && ls docker.io_*.deb)" ;;
  esac
  rm -f "$work/tree/usr/bin/runc" "$work/tree/usr/sbin/runc"  # the system's, which fits the system's C library
  rm -rf "$work/tree/usr/share" "${store:?}/$version"
  mv "$work/tree" "$store/$version"
  rm -rf "$work"
}

[ $# -gt 0 ] || set -- 26.1 28.5
for wanted; do fetch "$wanted"; done
say "in $store: $*"
