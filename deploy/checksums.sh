#!/bin/sh
# Write SHA256SUMS of the artefacts in a directory, and sign it with an SSH key, which every host can verify.
#   sh checksums.sh [DIRECTORY]     (dist); SIGNING_KEY names the private key, or the public one of a key that an agent has
# Without SIGNING_KEY nothing is signed, and an older signature is removed.
set -eu
directory=${1:-$(dirname "$0")/../dist}
cd "$directory"
rm -f SHA256SUMS SHA256SUMS.sig
set --
for artefact in flanpy*.deb flanpy*.rpm flanpy*.whl flanpy*.pyz flanpy*.tar.gz; do
  [ ! -f "$artefact" ] || set -- "$@" "$artefact"
done
[ $# -gt 0 ] || { echo "checksums: no artefact in $(pwd): run 'make deb' or another one first" >&2; exit 1; }
sha256sum -- "$@" > SHA256SUMS
printf '%s\n' "$(pwd)/SHA256SUMS"
[ -n "${SIGNING_KEY:-}" ] || { echo "checksums: not signed, as SIGNING_KEY names no key" >&2; exit 0; }
command -v ssh-keygen >/dev/null || { echo "checksums: ssh-keygen is not installed: apt install openssh-client" >&2; exit 1; }
ssh-keygen -q -Y sign -f "$SIGNING_KEY" -n flanpy SHA256SUMS
printf '%s\n' "$(pwd)/SHA256SUMS.sig"
