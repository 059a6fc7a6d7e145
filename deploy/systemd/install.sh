#!/bin/sh
# Put the files of this directory where systemd and its friends look for them, or take them away.
#   install.sh [DESTDIR]            a tree for a package, or / (then `install.sh --activate`)
#   install.sh --activate           on a host, after the files and the program are there: user, directories, units
#   install.sh --deactivate         before they go: nothing runs or starts any more; Docker and its containers stay
#   install.sh --uninstall          take the files away
#   install.sh --list               where they go
# What operators write (/etc/flanpy, /etc/default/flanpyd, /etc/credstore) the lease in /var/lib/flanpy and the store in
# /var/lib/flanpy-store stay.
set -eu
here=$(dirname "$0")
units='flanpyd.service flanpy-docker.service flanpy-docker.path flanpy-docker-networks.path flanpy-docker-links.path'

places() {
  cat <<END
flanpyd.service /usr/lib/systemd/system/flanpyd.service
flanpy-store.service /usr/lib/systemd/system/flanpy-store.service
flanpy-renew.service /usr/lib/systemd/system/flanpy-renew.service
flanpy-renew.timer /usr/lib/systemd/system/flanpy-renew.timer
flanpy-docker.service /usr/lib/systemd/system/flanpy-docker.service
flanpy-docker-changed.service /usr/lib/systemd/system/flanpy-docker-changed.service
flanpy-docker.path /usr/lib/systemd/system/flanpy-docker.path
flanpy-docker-networks.service /usr/lib/systemd/system/flanpy-docker-networks.service
flanpy-docker-networks.path /usr/lib/systemd/system/flanpy-docker-networks.path
flanpy-docker-names.service /usr/lib/systemd/system/flanpy-docker-names.service
flanpy-docker-links.service /usr/lib/systemd/system/flanpy-docker-links.service
flanpy-docker-links.path /usr/lib/systemd/system/flanpy-docker-links.path
docker.conf /usr/lib/systemd/system/docker.service.d/10-flanpy.conf
sysusers.conf /usr/lib/sysusers.d/flanpy.conf
tmpfiles.conf /usr/lib/tmpfiles.d/flanpy.conf
sysctl.conf /usr/lib/sysctl.d/60-flanpy.conf
device.link /usr/lib/systemd/network/10-flanpy.link
device.network /usr/lib/systemd/network/10-flanpy.network
networkd.conf /usr/lib/systemd/networkd.conf.d/10-flanpy.conf
networkmanager.conf /usr/lib/NetworkManager/conf.d/10-flanpy.conf
kernel-udp.conf /usr/share/flanpy/kernel-udp.conf
flanpyd.default /usr/share/flanpy/flanpyd.default
flanpy-store.default /usr/share/flanpy/flanpy-store.default
END
}

put() {
  places | while read -r file place; do
    mkdir -p "$1$(dirname "$place")"
    install -m 644 "$here/$file" "$1$place"
  done
}

activate() {
  systemd-sysusers /usr/lib/sysusers.d/flanpy.conf
  systemd-tmpfiles --create /usr/lib/tmpfiles.d/flanpy.conf
  for program in flanpyd flanpy-store; do
    [ -e /etc/default/$program ] || install -D -m 640 /usr/share/flanpy/$program.default /etc/default/$program
  done
  # shellcheck disable=SC2086
  systemctl --quiet enable $units
  [ -d /run/systemd/system ] || return 0  # an image is being made
  /lib/systemd/systemd-sysctl /usr/lib/sysctl.d/60-flanpy.conf || true
  udevadm control --reload 2>/dev/null || true
  systemctl daemon-reload
}

deactivate() {
  # shellcheck disable=SC2086
  systemctl --quiet disable --now $units flanpy-docker-changed.service \
    flanpy-docker-networks.service flanpy-docker-names.service flanpy-docker-links.service flanpy-store.service \
    flanpy-renew.timer \
    2>/dev/null || true
}

take_away() {
  places | while read -r _ place; do
    rm -f "$place"
    rmdir -p --ignore-fail-on-non-empty "$(dirname "$place")" 2>/dev/null || true
  done
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
  rm -rf /run/flanpy /run/flanpy-docker /run/flannel
}

case ${1:-/} in
  --activate) activate ;;
  --deactivate) deactivate ;;
  --uninstall) take_away ;;
  --list) places | cut -d ' ' -f 2 ;;
  -*) echo "install.sh: what is $1? See the top of this file" >&2; exit 2 ;;
  *) put "${1:-}" ;;
esac
