#!/bin/sh
# Run all tests; those that failed once more, alone. Shared machines stand still for ten seconds at times, which no
# deadline of a real etcd, kernel or Docker outlives. What passes only then is named as FLAKY, and what fails twice fails.
set -u
python=$1
shift
# The order of the directories, not of sizes: what has the longest files (ansible, docs, engines) begins, and nobody waits.
"$python" -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder "$@"
status=$?
[ "$status" = 1 ] || exit "$status"
echo "tests: looking again, one by one, at what failed"
"$python" -m pytest -q -p tests.flaky --show-capture=no --last-failed --last-failed-no-failures none --maxfail 5 "$@"
