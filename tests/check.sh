#!/bin/sh
# Run the tests that need neither root nor an etcd, on every supported Python that is found: in PATH, in pyenv's and in what
# `make pythons` fetched. The first is the one of .venv; each other has a virtualenv of its own, .venv-3.N.
#   sh check.sh [PYTEST WORDS]      PYTHON=/path/to/python3 in the environment: on that one alone
set -u
cd "$(dirname "$0")/.."
store=${FLANPY_PYTHONS:-${XDG_CACHE_HOME:-$HOME/.cache}/flanpy/pythons}

minor_of() { "$1" -c 'import sys; print(sys.version_info.minor)'; }

find_minor() {
  for python in "/usr/bin/python3.$1" "$(command -v "python3.$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$1".*/bin/python3."$1" \
    "$store/3.$1/usr/bin/python3.$1"
  do
    # A version switcher's program may be there and lead to none.
    [ -x "$python" ] && "$python" -c '' 2>/dev/null && { printf '%s\n' "$python"; return; }
  done
}

run() { # VENV WORDS...
  venv=$1
  shift
  echo "check: $("$venv/bin/python" -V)"
  "$venv/bin/python" -m pytest -q -m 'not netns and not etcd and not lab' "$@" || status=1
}

status=0
own=$(minor_of .venv/bin/python)
run .venv "$@"
[ -z "${PYTHON:-}" ] || exit $status
for minor in $(sed -n 's/.*Python :: 3\.\([0-9]*\).*/\1/p' pyproject.toml); do
  [ "$minor" != "$own" ] || continue
  python=$(find_minor "$minor")
  [ -n "$python" ] || { echo "check: no Python 3.$minor here: see 'make pythons'"; continue; }
  PYTHON=$python sh integration/setup.sh venv ".venv-3.$minor" && run ".venv-3.$minor" "$@" || status=1
done
exit $status
