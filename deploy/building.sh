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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
