#!/bin/sh
# Fetch what runs programs of arm64 here: Debian's qemu-user, and the Python of this Debian's arm64, unpacked and not installed.
#   sh arm64.sh        prints the directory: bin/qemu and root
# It goes to $FLANPY_PYTHONS, else ~/.cache/flanpy/pythons; what is there already is left alone.
set -eu
. "$(dirname "$0")/../apt_beside.sh"
store=${FLANPY_PYTHONS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/pythons}
place=$store/arm64
suite=bookworm

fetch() {
  printf '%s\n' "arm64: fetching qemu-user and Python 3.11 of Debian $suite's arm64 to $place (60 MB)" >&2
  mkdir -p "$store"
  work=$(mktemp -d "$store/.work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  apt_beside "$work/own" $suite update
  (cd "$work/own" && apt_beside "$work/own" $suite download qemu-user-static)
  set -- -o APT::Architecture=arm64 -o APT::Architectures=arm64
  apt_beside "$work/other" $suite "$@" update
  apt_beside "$work/other" $suite "$@" --no-install-recommends -y -d install python3.11 libstdc++6
  unpack_all "$work/own" "$work/qemu"
  unpack_all "$work/other/cache/archives" "$work/tree/root"
  install -D "$work/qemu/usr/bin/qemu-aarch64-static" "$work/tree/bin/qemu"
  mv "$work/tree" "$place"
}

[ -x "$place/bin/qemu" ] || fetch >&2
printf '%s\n' "$place"
