#!/bin/sh
# Certificates of the authority `ca` that are no longer good: etcd refuses them by crl.der, which it reads at every handshake.
#   revoke.sh [--dry-run] DIRECTORY DAYS [NAME...]
# Without a NAME it only makes the list where there is none. A revoked certificate and its key are removed from the directory,
# so that the next run issues others. Prints 'changed: ...' for what was, or with --dry-run would be, done.
set -eu
umask 077
dry=
[ "$1" != --dry-run ] || { dry=yes; shift; }
directory=$1 days=$2
shift 2
[ -d "$directory" ] || exit 0
cd "$directory"
[ -s ca-key.pem ] || exit 0  # somebody else's authority
config=$(mktemp ./crl.XXXXXX)
trap 'rm -f "$config" revoked.txt.old revoked.txt.attr.old revoked.number.old' EXIT

# With a number the list is of version 2, the only one that newer etcds read; and they read DER only.
printf '%s\n' '[ca]' 'default_ca = own' '[own]' 'database = revoked.txt' 'crlnumber = revoked.number' 'unique_subject = no' \
  'default_md = sha256' > "$config"
ca() { openssl ca -config "$config" -batch -keyfile ca-key.pem -cert ca.pem "$@" 2>/dev/null; }

write_list() {
  ca -gencrl -crldays "$days" -out crl.pem
  openssl crl -in crl.pem -outform DER -out crl.der.new
  rm -f crl.pem
  mv crl.der.new crl.der
}

if [ ! -s crl.der ]; then
  echo 'changed: made the list of revoked certificates'
  if [ -z "$dry" ]; then
    [ -e revoked.txt ] || : > revoked.txt
    [ -s revoked.number ] || echo 01 > revoked.number
    write_list
  fi
fi
for name; do
  [ -s "$name.pem" ] || continue
  echo "changed: revoked $name"
  [ -z "$dry" ] || continue
  ca -revoke "$name.pem"
  write_list
  rm -f "$name.pem" "$name-key.pem"
done
