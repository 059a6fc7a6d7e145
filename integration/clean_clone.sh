#!/bin/sh
# Run a command in a fresh clone of this checkout inside a bare Debian, as whoever has just cloned it on such a machine does: apt
# installs there what is missing, not here. As root; the network is this machine's.
#   sh clean_clone.sh SUITE COMMAND...      sh clean_clone.sh trixie make demo
# The root stays in $FLANPY_CLEAN, else ~/.cache/flanpy/clean, so that a second command finds what the first installed; it is made again
# when it is gone. CA_CERTIFICATES names a file of authorities for pip, where the way to PyPI has one of its own.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
suite=${1:?which Debian? sh clean_clone.sh trixie make demo}
shift
[ $# -gt 0 ] || { echo "clean_clone: which command? sh clean_clone.sh $suite make demo" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "clean_clone: run this as root" >&2; exit 1; }
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
store=${FLANPY_CLEAN:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/clean}
tree=$store/$suite

if [ ! -e "$tree/flanpy" ]; then
  rm -rf "$tree"
  mkdir -p "$store"
  mmdebstrap --quiet --variant=minbase --include=git,make,ca-certificates "$suite" "$tree" \
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >&2
  [ -z "${CA_CERTIFICATES:-}" ] || cp "$CA_CERTIFICATES" "$tree/etc/ssl/certs/ca-certificates.crt"
  git clone -q "$here" "$tree/flanpy"
fi
# What ends this ends all that runs in it, and its mounts are seen by nobody else.
exec unshare --mount --pid --fork --kill-child sh -euc '
  tree=$1; shift
  mount --make-rprivate /
  mount --rbind "$tree" "$tree"
  cd "$tree"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs tmpfs run
  mkdir -m 755 run/lock run/netns
  cp -L /etc/resolv.conf /etc/hosts etc/
  # Not chroot: what enters the mounts of a process of ours (nsenter) finds itself in their root, which is the tree then.
  pivot_root . .
  umount --lazy .
  exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -c "cd /flanpy && exec \"\$@\"" sh "$@"
' sh "$tree" "$@"
