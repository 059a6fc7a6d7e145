#!/bin/sh
# What `systemctl VERB docker` is on a host with systemd: start and restart return once dockerd answers, and fail when it
# ends instead. Run inside the host's namespaces.
#   sh service.sh DIRECTORY start|stop|restart|status [docker]
# DIRECTORY/service.env has CGROUP and FLAGS. As in Debian's unit, /etc/default/docker may set DOCKER_OPTS.
set -eu
directory=$1
. "$directory/service.env"
storage=$(cat "$directory/storage-driver")
log=$directory/dockerd.log
noted=$directory/dockerd.pid

pid() { cat "$noted" 2>/dev/null || echo 0; }

# A zombie has an empty command line; a number used again, another one.
running() { tr '\0' ' ' 2>/dev/null < "/proc/$(pid)/cmdline" | grep -q "cgroup-parent=$CGROUP "; }

start() {
  running && return 0
  # dockerd refuses to start while any process has the number its predecessor left behind.
  rm -f /run/docker.pid "$noted"
  kill -USR1 "$(cat "$directory/init.pid")"
  tries=0
  until [ -s "$noted" ] && answers; do
    [ ! -s "$noted" ] || kill -0 "$(pid)" 2>/dev/null || { echo "dockerd ended: $(tail -n 3 "$log")" >&2; exit 1; }
    tries=$((tries + 1))
    [ $tries -lt 1200 ] || { echo "dockerd does not answer: $(tail -n 3 "$log")" >&2; exit 1; }
    sleep 0.1
  done
}

run_dockerd() {
  DOCKER_OPTS=
  [ ! -f /etc/default/docker ] || . /etc/default/docker
  printf '%s\n' "== $(date -u +%T) start: $FLAGS $DOCKER_OPTS" >> "$log"
  echo $$ > "$noted"
  # shellcheck disable=SC2086
  exec dockerd --cgroup-parent="$CGROUP" --storage-driver="$storage" $FLAGS $DOCKER_OPTS >> "$log" 2>&1 < /dev/null
}

answers() { [ -S /run/docker.sock ] && timeout 10 docker version >/dev/null 2>&1; }

stop() {
  running || return 0
  kill -TERM "$(pid)"
  tries=0
  while running; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || kill -KILL "$(pid)"
    sleep 0.1
  done
}

case $2 in
  start) start ;;
  stop) stop ;;
  restart) stop; start ;;
  status | is-active) running ;;
  reset-failed) ;;
  exec) run_dockerd ;;
  *) echo "usage: systemctl start|stop|restart|status|is-active|reset-failed docker" >&2; exit 2 ;;
esac
