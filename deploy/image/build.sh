#!/bin/sh
# Build the container image: the Debian package's tree on a root of Debian's own packages, of which no script is run, so that it
# is made for any architecture on any other. The release is that of the Debian that builds, whose Python compiled the modules.
#   sh build.sh [DIRECTORY]     writes flanpy-image-VERSION-ARCH.tar.gz there (dist), prints its path: for `docker load`
# It needs root (file owners), podman (no registry is asked) and setcap. IMAGE_FROM names a Debian package that is there already,
# DEB_ARCH=arm64 another architecture, IMAGE_FORMAT=oci-archive the other layout, IMAGE_LEVEL gzip's level.
. "$(dirname "$0")/../building.sh"
. "$root/integration/apt_beside.sh"
export PATH="/usr/sbin:/usr/bin:/sbin:/bin"
python=/usr/bin/python3
tree=$work/root
minor=$("$python" -c 'import sys; print(f"3.{sys.version_info.minor}")')
arch=${DEB_ARCH:-$(dpkg --print-architecture)}
suite=$(. /etc/os-release; echo "$VERSION_CODENAME")
# What flanpy runs and reads, and what starts it. util-linux is there for setpriv alone.
wanted="python$minor libstdc++6 nftables iptables iproute2 ca-certificates netbase base-files dash util-linux libcap-ng0"
# What those need to be installed or to be used by hand, and nothing here does.
unwanted="dpkg tar debconf openssl debianutils mawk util-linux-extra libdb5.3 libpam0g libsystemd0 libudev1 libgcrypt20 libgpg-error0
 libmount1 libsmartcols1 libreadline8 readline-common libaudit1 libaudit-common libcap2-bin"
# The service's user; its number is for whoever gives it a directory of the host.
user=8472

say() { printf '%s\n' "image: $*" >&2; }
die() { say "$*"; exit 1; }

[ "$(id -u)" = 0 ] || die "run this as root: file owners have to be right"
command -v podman >/dev/null || die "podman is not installed: apt install podman"
command -v setcap >/dev/null || die "setcap is not installed: apt install libcap2-bin"

unpack_debian() {
  set -- -o APT::Architecture="$arch" -o APT::Architectures="$arch"
  apt_beside "$work/apt" "$suite" "$@" update >&2
  # shellcheck disable=SC2086
  apt_beside "$work/apt" "$suite" "$@" --no-install-recommends -y -d install $wanted >&2
  mkdir -p "$tree/usr/bin" "$tree/usr/sbin" "$tree/usr/lib" "$tree/usr/lib64" "$tree/var/lib/dpkg/status.d"
  ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree/"
  for package in "$work"/apt/cache/archives/*.deb; do
    name=$(dpkg-deb -f "$package" Package)
    case " $(echo $unwanted) " in *" $name "*) continue ;; esac
    # Through the links of the merged /usr, which dpkg-deb -x would put directories in place of.
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --same-permissions -C "$tree"
    # Where scanners look for what an image without dpkg is made of.
    dpkg-deb -f "$package" > "$tree/var/lib/dpkg/status.d/$name"
  done
}

# What the packages' scripts would have done.
finish_debian() {
  ln -s "python$minor" "$tree/usr/bin/python3"
  ln -sf dash "$tree/usr/bin/sh"
  ln -s /run "$tree/var/run"
  for tool in iptables ip6tables; do
    for verb in '' -save -restore; do ln -sf "$tool-nft$verb" "$tree/usr/sbin/$tool$verb"; done
  done
  mkdir -p "$tree/etc/ssl/certs"
  (cd "$tree/usr/share/ca-certificates" && find . -name '*.crt' | sort | xargs cat) > "$tree/etc/ssl/certs/ca-certificates.crt"
  printf '%s\n' root:x:0:0:root:/root:/usr/sbin/nologin "flanpy:x:$user:$user:flanpy:/var/lib/flanpy:/usr/sbin/nologin" > "$tree/etc/passwd"
  printf '%s\n' root:x:0: "flanpy:x:$user:" > "$tree/etc/group"
}

strip_debian() {
  find "$tree/usr/bin" "$tree/usr/sbin" -xdev -type f -perm /6000 -delete
  dpkg-deb --fsys-tarfile "$work"/apt/cache/archives/util-linux_*.deb | tar -t | grep -E '/s?bin/.' | grep -v /setpriv |
    while read -r name; do rm -f "$tree/$name"; done
  find "$tree/usr/share/doc" -mindepth 2 ! -name copyright ! -type d -delete
  cd "$tree/usr/share"
  rm -rf man locale info lintian bash-completion bug menu applications pixmaps binfmts zsh fish man-db
  for unused in ensurepip lib2to3 test pydoc_data; do rm -rf "$tree/usr/lib/python$minor/$unused"; done
  rm -rf "$tree/usr/lib/systemd" "$tree/etc/cron.daily" "$tree"/usr/lib/*-linux-gnu/gconv
}

unpack_flanpy() {
  dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --same-permissions -C "$tree"
  find "$tree/opt/flanpy/lib" -name '*.cpython-3*.so' ! -name "*.cpython-$(echo "$minor" | tr -d .)-*" -delete
  find "$tree/opt/flanpy/lib" -mindepth 1 -maxdepth 1 -name 'python3.*' ! -name "python$minor" -exec rm -rf {} +
  # The units' settings, users and the purge: an image has none of them.
  rm -rf "$tree/etc/default" "$tree/usr/lib/sysusers.d" "$tree/usr/lib/tmpfiles.d" "$tree/usr/lib/sysctl.d" "$tree/usr/lib/NetworkManager" \
    "$tree/usr/share/flanpy"
  rm "$tree/usr/bin/flanpyd" "$tree/usr/sbin/flanpyd"
  install -m 755 "$here/flanpyd" "$tree/usr/bin/flanpyd"
  setcap cap_net_admin,cap_net_raw=ep "$tree/usr/bin/setpriv"
  for place in var/lib/flanpy run/flanpy run/flannel; do install -d -m 755 -o $user -g $user "$tree/$place"; done
}

# Nobody may write these later: the root is read-only.
compile_python() {
  "$python" -m compileall -q -s "$tree" --invalidation-mode unchecked-hash "$tree/usr/lib/python$minor" >&2 || true
}

pack_root() {
  tar -c --sort=name --mtime="@$SOURCE_DATE_EPOCH" --numeric-owner --format=pax --pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime \
    --xattrs --xattrs-include=security.capability -C "$tree" -f "$work/context/root.tar" .
}

podman_here() { podman --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

write_image() {
  cp "$here/Containerfile" "$work/context/"
  podman_here build -q --format oci --network none --timestamp "$SOURCE_DATE_EPOCH" --platform "linux/$arch" --build-arg "VERSION=$version" \
    --tag "localhost/flanpy:$version" "$work/context" >&2
  podman_here save -q --format "${IMAGE_FORMAT:-docker-archive}" --output "$work/image.tar" "localhost/flanpy:$version" >&2
  podman_here rmi -f "localhost/flanpy:$version" >&2
}

deb=${IMAGE_FROM:-$(sh "$root/deploy/debian/build.sh" "$work/deb")}
[ "$(dpkg-deb -f "$deb" Architecture)" = "$arch" ] || die "$deb is not for $arch"
version=$(dpkg-deb -f "$deb" Version | tr '~+' '--')
mkdir "$work/context"
unpack_debian
finish_debian
strip_debian
unpack_flanpy "$deb"
compile_python
pack_root
write_image
image=$directory/flanpy-image-$version-$arch.tar.gz
gzip -n "-${IMAGE_LEVEL:-9}" < "$work/image.tar" > "$image"
say "$(du -h "$image" | cut -f1) packed, $(du -sm --apparent-size "$tree" | cut -f1) MB unpacked"
printf '%s\n' "$image"
