#!/bin/sh
# etcd asks for users: root, who may do everything, and one who may read and write the overlay's keys. Runs again without
# a change; passwords come by the environment. Prints 'changed: ...' for what was, or with --dry-run would be, done.
set -eu
dry=${1:-}

ctl() { "$ETCDCTL" "$@"; }
as_root() { ETCDCTL_USER="root:$ROOT_PASSWORD" ctl "$@"; }
as_user() { ETCDCTL_USER="$NAME:$PASSWORD" ctl "$@"; }
did() { echo "changed: $*"; }

asks() { ! ctl get "$PREFIX/config" --keys-only >/dev/null 2>&1; }

if asks; then
  as_root user list >/dev/null 2>&1 || { echo "etcd asks for users and does not take etcd_root_password, or cannot be reached: $(as_root user list 2>&1 | tail -n 1)"; exit 1; }
  if ! as_user get "$PREFIX/config" --keys-only >/dev/null 2>&1; then
    did "user $NAME"
    [ -z "$dry" ] || exit 0
    as_root role get flanpy >/dev/null 2>&1 || as_root role add flanpy >/dev/null
    as_root role grant-permission flanpy readwrite --prefix=true "$PREFIX/" >/dev/null
    as_root user get "$NAME" >/dev/null 2>&1 || as_root user add "$NAME:$PASSWORD" >/dev/null
    printf '%s\n' "$PASSWORD" | as_root user passwd "$NAME" --interactive=false >/dev/null
    as_root user grant-role "$NAME" flanpy >/dev/null
  fi
  exit 0
fi

did "etcd asks for users"
[ -z "$dry" ] || exit 0
ctl user get root >/dev/null 2>&1 || ctl user add "root:$ROOT_PASSWORD" >/dev/null
printf '%s\n' "$ROOT_PASSWORD" | ctl user passwd root --interactive=false >/dev/null
ctl role get root >/dev/null 2>&1 || ctl role add root >/dev/null
ctl user grant-role root root >/dev/null
ctl role get flanpy >/dev/null 2>&1 || ctl role add flanpy >/dev/null
ctl role grant-permission flanpy readwrite --prefix=true "$PREFIX/" >/dev/null
ctl user get "$NAME" >/dev/null 2>&1 || ctl user add "$NAME:$PASSWORD" >/dev/null
printf '%s\n' "$PASSWORD" | ctl user passwd "$NAME" --interactive=false >/dev/null
ctl user grant-role "$NAME" flanpy >/dev/null
ctl auth enable >/dev/null
