#!/bin/sh
# Build, once, the file system that the systemd hosts of the lab stand on: Debian 12 with systemd and Docker.
#   sh rootfs.sh        prints its directory
# It goes to $FLANPY_ROOTFS, else ~/.cache/flanpy/rootfs; what is there already is left alone. apt checks the signatures.
set -eu
store=${FLANPY_ROOTFS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/rootfs}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
packages=systemd,systemd-sysv,dbus,udev,iproute2,iptables,nftables,python3,iputils-ping,kmod,procps,docker.io

say() { printf '%s\n' "rootfs: $*" >&2; }
die() { say "$*"; exit 1; }

# Another list of packages makes another tree; the old one is left for whoever uses it now.
name=bookworm-$(printf '%s' "$packages" | sha256sum | cut -c1-8)
tree=$store/$name
if [ ! -x "$tree/lib/systemd/systemd" ]; then
  [ "$(id -u)" = 0 ] || die "run this as root: file owners have to be right"
  command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed: run 'sh integration/setup.sh hosts'"
  mkdir -p "$store"
  work=$(mktemp -d "$store/.work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  say "building $tree (a minute, 800 MB)"
  mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$work/tree" "deb [signed-by=$keys] $mirror bookworm main" >&2
  # A machine id per host is made at its first boot. Docker starts when a test says so, or by what we ship.
  : > "$work/tree/etc/machine-id"
  rm -f "$work/tree/etc/resolv.conf" "$work/tree/var/lib/dbus/machine-id"
  rm -rf "$work/tree/var/cache/apt" "$work/tree/var/lib/apt/lists"
  chmod 755 "$work" "$work/tree"
  mv -T "$work/tree" "$tree" 2>/dev/null || [ -x "$tree/lib/systemd/systemd" ] || die "cannot put $tree in its place"
fi
printf '%s\n' "$tree"
