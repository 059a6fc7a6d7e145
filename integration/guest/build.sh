#!/bin/sh
# Build the guest's kernel: User-Mode Linux from Debian's own source package, with WireGuard and ipip, as a program of this
# machine. Needs gcc, make and bc, 1.6 GB of room for as long as it takes, and no root; about 13 minutes of a processor, once.
#   sh build.sh
# It goes to $FLANPY_GUESTS, else ~/.cache/flanpy/guests, named by version and configuration; what is there already is left
# alone. apt checks the signatures, with lists of its own. Prints the kernel's path.
set -eu
version=${FLANPY_GUEST_LINUX:-7.2}
here=$(cd "$(dirname "$0")" && pwd)
store=${FLANPY_GUESTS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/guests}
name=linux-$version-$(sha256sum < "$here/uml.config" | cut -c1-8)
. "$here/../apt_beside.sh"

say() { printf '%s\n' "guest: $*" >&2; }

# Tools that this machine lacks, of its own release: unpacked beside the source, not installed.
tools() {
  ! { command -v flex && command -v bison; } > /dev/null || return 0
  (cd "$work" && mkdir -p tools && cd tools && suite=$(. /etc/os-release && echo "$VERSION_CODENAME") &&
    apt_beside "$work/own" "$suite" update && apt_beside "$work/own" "$suite" download flex bison m4 libsigsegv2)
  unpack_all "$work/tools" "$work/tools/tree"
  tree=$work/tools/tree/usr
  export PATH="$tree/bin:$PATH" BISON_PKGDATADIR="$tree/share/bison" M4="$tree/bin/m4"
  LD_LIBRARY_PATH=$(dirname "$(find "$tree/lib" -name 'libsigsegv.so*' | head -n 1)")
  export LD_LIBRARY_PATH
}

build() {
  work=$store/.work-$$
  mkdir -p "$work"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  say "building $store/$name: 164 MB to fetch, then about 13 minutes of a processor, once"
  apt_beside "$work" forky update
  (cd "$work" && apt_beside "$work" forky download "linux-source-$version")
  tools
  dpkg-deb --fsys-tarfile "$work"/linux-source-*.deb | tar x -C "$work"
  tar xJf "$work/usr/src/linux-source-$version.tar.xz" -C "$work"
  cd "$work/linux-source-$version"
  { make ARCH=um defconfig && cat "$here/uml.config" >> .config && make ARCH=um olddefconfig; } > "$work/log" 2>&1 &&
    make ARCH=um -j"${FLANPY_GUEST_JOBS:-$(nproc)}" linux >> "$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; exit 1; }
  strip linux
  cp .config "$store/$name.config"
  mv linux "$store/$name"
  cd "$here"
}

began=$(date +%s)
if [ ! -x "$store/$name" ]; then
  build
  say "built in $(($(date +%s) - began)) s"
fi
echo "$store/$name"
