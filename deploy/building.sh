# What every build here begins with, sourced: $here, $root, the $directory of the result (the first argument, else dist), and a
# $work that goes with the build. Nothing of who builds gets in, and the same commit gives the same times and so the same bytes.
set -eu
umask 022
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
export LC_ALL=C.UTF-8 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
mkdir -p "${1:-$root/dist}"
directory=$(cd "${1:-$root/dist}" && pwd)

# What is fetched is held to the hashes of deploy/locks.
locks=$root/deploy/locks
quietly() { "$@" >&2; }

# make_wheel PYTHON: $work/flanpy-VERSION-py3-none-any.whl, by tools that are locked, too.
make_wheel() {
  "$1" -m venv "$work/build"
  quietly "$work/build/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes -r "$locks/build.txt"
  cp -RL "$root/pyproject.toml" "$root/LICENSE" "$root/README.md" "$root/flanpy" "$work/"
  find "$work/flanpy" -name __pycache__ -prune -exec rm -rf {} +
  quietly "$work/build/bin/python" -m pip -qq wheel --no-deps --no-build-isolation --wheel-dir "$work" "$work"
}

# locked NAME...: these entries of run.txt.
locked() {
  awk -v names="$(printf '%s ' "$@")" 'BEGIN { split(names, list, " "); for (at in list) wanted[list[at]] = 1 }
    /^[a-z0-9]/ { name = $1; sub(/[=;].*/, "", name); keep = name in wanted } keep' "$locks/run.txt"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
