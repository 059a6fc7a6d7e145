#!/bin/sh
# etcd asks for users: root, who may do everything, and one who may read and write the overlay's keys. Runs again without
# a change. root's password and the other's are two lines on standard input: a command line, and the environment that ssh is
# given, show in the list of processes. Prints 'changed: ...' for what was, or with --dry-run would be, done.
set -eu
dry=${1:-}
IFS= read -r ROOT_PASSWORD
IFS= read -r PASSWORD || [ -n "$PASSWORD" ]

ctl() { "$ETCDCTL" "$@"; }
as_root() { ETCDCTL_USER="root:$ROOT_PASSWORD" ctl "$@"; }
as_user() { ETCDCTL_USER="$NAME:$PASSWORD" ctl "$@"; }
did() { echo "changed: $*"; }

# make_user BY NAME PASSWORD: the user is there, with this password. etcdctl takes one word only, which the role demands.
make_user() {
  if "$1" user get "$2" >/dev/null 2>&1; then
    printf '%s\n' "$3" | "$1" user passwd "$2" --interactive=false >/dev/null
  else
    printf '%s\n' "$3" | "$1" user add "$2" --interactive=false >/dev/null
  fi
}

make_overlay_user() {
  "$1" role get flanpy >/dev/null 2>&1 || "$1" role add flanpy >/dev/null
  "$1" role grant-permission flanpy readwrite --prefix=true "$PREFIX/" >/dev/null
  make_user "$1" "$NAME" "$PASSWORD"
  "$1" user grant-role "$NAME" flanpy >/dev/null
}

if as_user get "$PREFIX/config" --keys-only >/dev/null 2>&1 && ! ctl get "$PREFIX/config" --keys-only >/dev/null 2>&1; then
  exit 0
fi
if ctl get "$PREFIX/config" --keys-only >/dev/null 2>&1; then
  did "etcd asks for users"
  [ -z "$dry" ] || exit 0
  make_user ctl root "$ROOT_PASSWORD"
  ctl role get root >/dev/null 2>&1 || ctl role add root >/dev/null
  ctl user grant-role root root >/dev/null
  make_overlay_user ctl
  ctl auth enable >/dev/null
elif refusal=$(as_root user list 2>&1 >/dev/null); then
  did "user $NAME"
  [ -n "$dry" ] || make_overlay_user as_root
else
  echo "etcd cannot be reached, or asks for users and does not take flanpy_etcd_root_password: $(printf '%s' "$refusal" | tail -n 1)" >&2
  exit 1
fi
