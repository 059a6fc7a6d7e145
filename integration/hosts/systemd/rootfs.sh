#!/bin/sh
# Build, once, the file system that the systemd hosts of the lab stand on: this machine's Debian with systemd, Docker, an ssh server and
# what Ansible needs on a host.
#   sh rootfs.sh        prints its directory; DEBIAN_SUITE names another Debian, or an Ubuntu: jammy (22.04) or noble (24.04),
#                       ROOTFS_ALSO packages besides, with commas
# It goes to $FLANPY_ROOTFS, else ~/.cache/flanpy/rootfs; what is there already is left alone, and of two that build at once
# the second waits for the first. apt checks the signatures.
set -eu
store=${FLANPY_ROOTFS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/rootfs}
. "$(dirname "$0")/../../apt_beside.sh"
# What is installed on a host is built here, for the Python of this Debian.
suite=${DEBIAN_SUITE:-$(. /etc/os-release; [ "$ID" = debian ] && echo "$VERSION_CODENAME" || echo bookworm)}
packages=systemd,systemd-sysv,dbus,udev,kmod,procps,ca-certificates,openssl
packages=$packages,iproute2,iptables,nftables,iputils-ping,network-manager
packages=$packages,python3,python3-venv,python3-apt,openssh-server,sudo
packages=$packages,docker.io,etcd-server,etcd-client,ufw,firewalld
# What another system calls otherwise, or has besides.
case $suite in
  bookworm | noble) ;;
  jammy) packages=$packages,python3.11,python3.11-venv ;;  # its python3 is 3.10
  *) packages=$packages,docker-cli ;;  # a package of its own since Debian 13
esac
packages=$packages${ROOTFS_ALSO:+,$ROOTFS_ALSO}
# What a test has to start itself: they would be in the way of the others.
asleep="NetworkManager.service NetworkManager-wait-online.service NetworkManager-dispatcher.service wpa_supplicant.service etcd.service ufw.service firewalld.service
 apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service"
edition=1

say() { printf '%s\n' "rootfs: $*" >&2; }
die() { say "$*"; exit 1; }

# Another recipe makes another tree; the old one is left for whoever uses it now.
name=$suite-$(printf '%s' "$packages $asleep $edition" | sha256sum | cut -c1-8)
tree=$store/$name

is_ubuntu() { [ "$suite" = jammy ] || [ "$suite" = noble ]; }

# apt's lines for the suite. Ubuntu's keys are a package of Debian's, of a later release than this machine's.
sources() {
  is_ubuntu || { echo "deb [signed-by=$keys] $mirror $suite main"; return; }
  (
    apt_beside "$work/apt" trixie update
    cd "$work/apt"
    apt_beside "$work/apt" trixie download ubuntu-keyring
    unpack_all "$work/apt" "$work/keys"
  ) >&2
  for pocket in "$suite" "$suite-updates"; do
    echo "deb [signed-by=$work/keys/usr/share/keyrings/ubuntu-archive-keyring.gpg] ${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} $pocket main universe"
  done
}

is_built() { [ -x "$tree/lib/systemd/systemd" ]; }

build() {
  [ "$(id -u)" = 0 ] || die "run this as root: file owners have to be right"
  command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed: run 'sh integration/setup.sh'"
  work=$(mktemp -d "$store/.work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  say "building $tree (a minute, 900 MB)"
  sources > "$work/sources"
  mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$work/tree" - < "$work/sources" >&2
  # shellcheck disable=SC2086
  systemctl --quiet --root="$work/tree" mask $asleep >&2
  # A machine id per host is made at its first boot.
  : > "$work/tree/etc/machine-id"
  rm -f "$work/tree/etc/resolv.conf" "$work/tree/var/lib/dbus/machine-id"
  rm -rf "$work/tree/var/cache/apt" "$work/tree/var/lib/apt/lists"
  chmod 755 "$work" "$work/tree"
  mv -T "$work/tree" "$tree"
}

if ! is_built; then
  mkdir -p "$store"
  exec 9>"$store/.lock"
  flock 9
  is_built || build
fi
printf '%s\n' "$tree"
