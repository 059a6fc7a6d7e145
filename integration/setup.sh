#!/bin/sh
# Bring a bare Debian, 12 or newer, to where `make demo` and `make test` run: system packages by name, then the virtualenv.
# What is there already is left alone, so the second run does nothing. No daemon is started by what is installed.
#   setup.sh        everything, with Docker: for the tests
#   setup.sh lab    without Docker: for the demo, the labs and the figures
#   setup.sh venv [DIRECTORY]   the virtualenv only (.venv)
# PYTHON names another Python than the system's.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
PATH=$PATH:/usr/sbin:/sbin  # where ip and nft are; a root shell got by plain su does not look there

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

is_new_enough() { [ -x "$(command -v "$1")" ] && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The system's own Python first: version switchers in PATH come and go.
find_python() {
  for python in ${PYTHON:-} /usr/bin/python3 /usr/bin/python3.[1-9][0-9] python3; do
    if is_new_enough "$python"; then command -v "$python"; return; fi
  done
}

missing_packages() {
  command -v ip >/dev/null && command -v bridge >/dev/null || echo iproute2  # namespaces, links, the lab's own eyes
  command -v ping >/dev/null || echo iputils-ping   # the pings
  command -v nft >/dev/null || echo nftables        # the faults
  command -v nsenter >/dev/null || echo util-linux  # running things inside namespaces
  python=$(find_python)
  [ -n "$python" ] || { echo python3; echo python3-venv; return; }
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# A Docker of whatever version that is there already is used and left alone.
missing_docker_packages() {
  { command -v dockerd && command -v containerd && command -v runc; } >/dev/null || echo docker.io
  { ! command -v dockerd || command -v docker; } >/dev/null || echo docker-cli  # a package of its own since Debian 13
  { command -v iptables && command -v iptables-legacy; } >/dev/null || echo iptables
  busybox=$(command -v busybox) || { echo busybox-static; return; }  # the containers' image
  ldd "$busybox" >/dev/null 2>&1 && echo busybox-static  # ldd fails on a static program
  return 0
}

# Containers that come by CNI or by Podman. They are run by Docker's runc.
missing_cni_packages() {
  [ -x /usr/lib/cni/bridge ] || echo containernetworking-plugins
  command -v podman >/dev/null || echo podman
  [ -x /usr/lib/podman/netavark ] || echo netavark
}

# Prometheus scrapes the lab in a test; its promtool judges rules and metrics.
missing_monitoring_packages() {
  { command -v prometheus && command -v promtool; } >/dev/null || echo prometheus
}

# The status page is tested in a real browser.
missing_browser_packages() {
  command -v chromium >/dev/null || { echo chromium; echo fonts-dejavu-core; }
}

# Hosts with a real systemd are made of these. Neither brings a daemon that runs by itself.
missing_host_packages() {
  command -v systemd-nspawn >/dev/null || echo systemd-container
  command -v mmdebstrap >/dev/null || echo mmdebstrap
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
  command -v rpm >/dev/null || echo rpm  # packages of that kind are installed on them from outside
  command -v ssh-keygen >/dev/null || echo openssh-client  # Ansible gets in by it
  command -v openssl >/dev/null || echo openssl
}

# Manual pages and completion are tried with what reads them.
missing_reading_packages() {
  { command -v man && command -v groff; } >/dev/null || { echo man-db; echo groff-base; }
  command -v zsh >/dev/null || echo zsh
}

# The faults: disks that hang, clocks that jump.
missing_fault_packages() {
  command -v mkfs.ext4 >/dev/null || echo e2fsprogs
  ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || echo libfaketime
}

# Packages ask this file whether their daemons may start. What the machine had comes back, also after an interrupt, and
# by the next run if this one is killed.
policy=/usr/sbin/policy-rc.d
mark='# by flanpy setup: nothing starts while packages are installed'

hold_daemons() {
  release_daemons
  [ ! -e $policy ] || mv $policy $policy.before-flanpy
  trap release_daemons EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  printf '%s\n' '#!/bin/sh' "$mark" 'exit 101' > $policy
  chmod 755 $policy
}

release_daemons() {
  ! grep -qsF "$mark" $policy || rm -f $policy
  [ ! -e $policy.before-flanpy ] || mv $policy.before-flanpy $policy
}

missing() {
  {
    missing_packages
    [ "$1" = lab ] || {
      missing_docker_packages; missing_cni_packages; missing_monitoring_packages; missing_browser_packages
      missing_host_packages; missing_reading_packages; missing_fault_packages
    }
  } | sort -u | tr '\n' ' '
}

install_packages() {
  packages=$(missing "$1")
  [ -n "$packages" ] || return 0
  command -v apt-get >/dev/null || die "missing: $packages- install them with your package tool"
  [ "$(id -u)" = 0 ] || die "missing: $packages- install them, or run this as root"
  say "installing $packages"
  export DEBIAN_FRONTEND=noninteractive
  hold_daemons
  # The lists may be absent or too old for the mirror: try first, refresh only when that fails.
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
  }
  release_daemons
  # Nor at the next boot.
  case " $packages" in *" prometheus "*) rm -f /etc/systemd/system/*.wants/prometheus.service ;; esac
  case " $packages" in *" podman "*) rm -f /etc/systemd/system/*.wants/podman* ;; esac
}

# A Python that was only unpacked looks in vain for the pip that it would bring: another virtualenv's puts it in.
make_bare_venv() {
  if "$python" -m venv --clear $venv >/dev/null 2>&1; then return; fi
  [ -x .venv/bin/python ] && [ $venv != .venv ] || die "$python has no working venv: install python3-venv"
  "$python" -m venv --clear --without-pip $venv
  .venv/bin/python -m pip --python $venv/bin/python install -qq --disable-pip-version-check --require-hashes -r deploy/locks/build.txt
}

# By this Python, and not in a checkout that was moved or copied: what is installed there can stay, and is brought up to date.
is_of_here() {
  [ "$($venv/bin/python -VV 2>/dev/null)" = "$("$1" -VV)" ] &&
    [ "$(head -n 1 $venv/bin/pip 2>/dev/null)" = "#!$(pwd)/$venv/bin/python" ]
}

# The part of pyproject.toml that decides what is installed; the settings of linters and tests do not.
installed_by() { awk '/^\[/ { skip = /^\[+tool\.(ruff|mypy|pytest|importlinter|coverage)/ } !skip' pyproject.toml; }

make_venv() {
  python=$(find_python)
  [ -n "$python" ] || die "no Python 3.11 or newer: install python3, or name one with PYTHON=/path/to/python3"
  stamp=$( { pwd; "$python" -VV; installed_by; cat deploy/locks/dev.txt deploy/locks/build.txt; } | sha256sum)
  [ "$(cat $venv/.stamp 2>/dev/null)" = "$stamp" ] && return 0
  say "making $venv with $("$python" -V) (a minute the first time)"
  is_of_here "$python" || make_bare_venv
  pip() { $venv/bin/python -m pip install -qq --disable-pip-version-check "$@"; }
  pip --require-hashes -r deploy/locks/build.txt
  pip --require-hashes -r deploy/locks/dev.txt
  pip --no-deps --no-build-isolation -e .
  printf '%s\n' "$stamp" > $venv/.stamp
}

usage() {
  sed -n '2,/^set -eu/p' "$0" | sed -n 's/^# \{0,1\}//p'
  echo
  echo "Packages of apt that this machine lacks: ${1:-none}"
  echo "Packages of PyPI: those of deploy/locks/dev.txt and build.txt, held to their hashes, in $venv"
}

[ "$(uname -s)" = Linux ] || die "this runs on Linux only"
case ${1:-all} in
  -h | --help) usage "$(missing all)"; exit 0 ;;
  all | lab) install_packages "${1:-all}"; install_packages "${1:-all}" ;;  # docker.io may have come without its client
  venv) venv=${2:-$venv} ;;
  *) die "what is $1? There are all, lab and venv" ;;
esac
make_venv
