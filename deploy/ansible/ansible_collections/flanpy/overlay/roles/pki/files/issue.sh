#!/bin/sh
# One certificate of a small authority in a directory of its own, made when it is missing, when it soon ends, when it is
# for other names, or when asked to. The authority is made with the first one; its key never leaves the directory.
#   issue.sh [--dry-run] [--renew] [--ca CA] DIRECTORY NAME SANS DAYS CA_DAYS RENEW_WITHIN_DAYS
# CA (ca) names the authority: each has only its own certificates believed. SANS are openssl's (IP:192.0.2.7,DNS:h1); an empty one means a client. Prints one line: 'kept NAME ...' or 'issued NAME: why'.
# Certificates bear no common name: etcd takes one for the name of a user.
set -eu
umask 077
dry= renew= authority=ca
while :; do
  case ${1:-} in
    --dry-run) dry=yes ;;
    --renew) renew=yes ;;
    --ca) authority=$2; shift ;;
    *) break ;;
  esac
  shift
done
directory=$1 name=$2 sans=$3 days=$4 ca_days=$5 within=$6
cert=$directory/$name.pem key=$directory/$name-key.pem ca=$directory/$authority.pem ca_key=$directory/$authority-key.pem

names_in() { openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null | sed -n 's/ //g; s/IPAddress:/IP:/g; /:/{/^X509v3/!p;}'; }
sorted() { printf '%s\n' "$1" | tr , '\n' | sort -u | tr '\n' ,; }

why() {
  if [ ! -s "$cert" ] || [ ! -s "$key" ]; then echo 'there was none'
  elif [ -n "$renew" ]; then echo 'as asked'
  elif ! openssl x509 -in "$cert" -noout -checkend $((within * 86400)) >/dev/null; then echo "it ended within $within days"
  elif [ "$(sorted "$(names_in "$cert")")" != "$(sorted "$sans")" ]; then echo 'its names were others'
  elif ! openssl verify -partial_chain -CAfile "$ca" "$cert" >/dev/null 2>&1; then echo 'another authority had signed it'
  fi
}

make_ca() {
  [ ! -s "$ca" ] || return 0
  openssl ecparam -name prime256v1 -genkey -noout -out "$ca_key"
  openssl req -x509 -new -key "$ca_key" -sha256 -days "$ca_days" -subj "/O=flanpy/OU=etcd/CN=flanpy etcd authority $authority" \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$ca.new"
  mv "$ca.new" "$ca"
}

make_cert() {
  [ -s "$ca_key" ] || { echo "issue.sh: $ca_key is not there: without the authority's key nothing can be issued; give the certificates yourself" >&2; exit 1; }
  openssl ecparam -name prime256v1 -genkey -noout -out "$key.new"
  usage=clientAuth
  [ -z "$sans" ] || usage=serverAuth,clientAuth
  {
    echo 'basicConstraints=critical,CA:FALSE'
    echo 'keyUsage=critical,digitalSignature'
    echo "extendedKeyUsage=$usage"
    [ -z "$sans" ] || echo "subjectAltName=$sans"
  } > "$cert.ext"
  openssl req -new -key "$key.new" -sha256 -subj "/O=flanpy/OU=$name" -out "$cert.request"
  openssl x509 -req -in "$cert.request" -CA "$ca" -CAkey "$ca_key" -set_serial "0x$(openssl rand -hex 16 | sed 's/^[89a-f]/1/')" -sha256 \
    -days "$days" -extfile "$cert.ext" -out "$cert.new" 2>/dev/null
  rm -f "$cert.ext" "$cert.request"
  mv "$key.new" "$key"
  mv "$cert.new" "$cert"
}

reason=$(why)
if [ -z "$reason" ]; then
  echo "kept $name: it ends $(openssl x509 -in "$cert" -noout -enddate | cut -d= -f2)"
  exit 0
fi
if [ -z "$dry" ]; then
  mkdir -p "$directory"
  make_ca
  make_cert
fi
echo "issued $name: $reason"
