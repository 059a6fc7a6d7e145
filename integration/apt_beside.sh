# Fetches Debian's own packages of any release and unpacks them, sourced: nothing is installed, and the system's sources, lists
# and packages stay as they are. apt checks the signatures. Needs no root.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_beside WORK SUITE VERB...: apt-get with lists of its own below WORK, as if no package were installed.
apt_beside() {
  beside=$1 suite=$2
  shift 2
  mkdir -p "$beside/lists/partial" "$beside/cache/archives/partial"
  echo "deb [signed-by=$keys] $mirror $suite main" > "$beside/sources.list"
  touch "$beside/status"
  apt-get -qq -o Dir::Etc::sourcelist="$beside/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Dir::State="$beside" -o Dir::State::lists="$beside/lists" -o Dir::State::status="$beside/status" \
    -o Dir::Cache="$beside/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Debug::NoLocking=1 "$@"
}

# unpack_all DIRECTORY TREE: every package of DIRECTORY into TREE.
unpack_all() {
  mkdir -p "$2"
  for package in "$1"/*.deb; do dpkg-deb -x "$package" "$2"; done
}
