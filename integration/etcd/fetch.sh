#!/bin/sh
# Fetch the etcds of Debian's releases: its own packages, unpacked and not installed.
#   sh fetch.sh [SUITE...]        (all: bookworm trixie forky)
# They go to $FLANPY_ETCDS, else ~/.cache/flanpy/etcds, one directory a suite for FLANPY_ETCD; what is there already is left
# alone. apt checks the signatures, with lists of its own. Needs no root.
set -eu
store=${FLANPY_ETCDS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/etcds}
. "$(dirname "$0")/../apt_beside.sh"

say() { printf '%s\n' "etcds: $*"; }

fetch() {
  suite=$1
  if [ ! -x "$store/$suite/etcd" ]; then
    say "fetching the etcd of Debian $suite to $store/$suite (15 MB)"
    work=$store/.work-$suite-$$
    mkdir -p "$work"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    apt_beside "$work" "$suite" update
    (cd "$work" && apt_beside "$work" "$suite" download etcd-server etcd-client)
    unpack_all "$work" "$work/tree"
    rm -rf "${store:?}/$suite"
    mv "$work/tree/usr/bin" "$store/$suite"
    # etcd 3.4 has no etcdutl: etcdctl did its work.
    [ -x "$store/$suite/etcdutl" ] || ln -s etcdctl "$store/$suite/etcdutl"
    rm -rf "$work"
  fi
  say "$store/$suite: $("$store/$suite/etcd" --version | head -n 1)"
}

[ $# -gt 0 ] || set -- bookworm trixie forky
for wanted; do fetch "$wanted"; done
