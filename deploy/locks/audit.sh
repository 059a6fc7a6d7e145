#!/bin/sh
# Ask for known vulnerabilities of everything in the locks. Ends with 0 when there are none, with 1 when there are, and with 3 when
# nobody could be asked: a silent pass would look like a clean one. pip-audit is installed apart, into build/.
set -eu
cd "$(dirname "$0")/../.."
tools=build/audit-tools
[ -x $tools/bin/pip-audit ] || { ${PYTHON:-/usr/bin/python3} -m venv $tools && $tools/bin/pip install -qq --disable-pip-version-check pip-audit; }

judge() {
  $tools/bin/python - "$1" <<'END'
import json, sys
try:
    found = json.load(open("build/audit.json"))["dependencies"]
except (OSError, ValueError):
    found = [{"name": "everything", "skip_reason": open("build/audit.log").read().strip().rpartition("\n")[2]}]
holes = [(one, hole) for one in found for hole in one.get("vulns", ())]
for one, hole in holes:
    fixed = ", ".join(hole["fix_versions"]) or "no version"
    print("audit:", one["name"], one["version"], hole["id"], *hole["aliases"], "fixed in", fixed)
skipped = [one for one in found if "skip_reason" in one]
if skipped:
    one = skipped[0]
    print(f"audit: {sys.argv[1]}: {len(skipped)} of {len(found)} packages were not judged, the first is {one['name']}: {one['skip_reason']}")
if not holes and not skipped:
    print(f"audit: {sys.argv[1]}: nothing is known against {len(found)} packages")
sys.exit(1 if holes else 3 if skipped else 0)
END
}

status=0
for lock in dev build extra-aws extra-gce; do
  rm -f build/audit.json
  $tools/bin/pip-audit --progress-spinner off --disable-pip --no-deps --requirement "deploy/locks/$lock.txt" \
    --format json --output build/audit.json 2> build/audit.log || true
  judge "$lock.txt" || { last=$?; [ $status = 1 ] || status=$last; }
done
exit $status
