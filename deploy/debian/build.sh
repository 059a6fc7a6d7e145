#!/bin/sh
# Build the Debian package: flanpy and every library it needs, as deploy/locks has them, in a virtualenv of its own under
# /opt/flanpy. It is for every Python that flanpy is for: the compiled modules of all stand side by side.
#   sh build.sh [DIRECTORY]     writes flanpy_VERSION_ARCH.deb there (dist), prints its path
# The same commit gives the same bytes. DEB_VERSION names another version, DEB_COMPRESSION (zstd) another compressor,
# DEB_EXTRAS extras to take along: udp-bulk is numpy, 50 MB installed and for each Python, for the user-space plane of the udp
# backend. DEB_ARCH=arm64 builds for another architecture than this machine's, on which nothing of it is run. A package for one
# Python alone is less than half: DEB_PYTHON=3.13 names it, and DEB_COMPILED=no leaves compiling to the installation.
. "$(dirname "$0")/../building.sh"
export PATH="/usr/sbin:/usr/bin:/sbin:/bin"
python=/usr/bin/python3

say() { printf '%s\n' "deb: $*" >&2; }
die() { say "$*"; exit 1; }

command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: packages are built on Debian or Ubuntu"
"$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  die "$python is older than 3.11 or has no venv: install python3 and python3-venv"

own=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$root/flanpy/__init__.py")
version=${DEB_VERSION:-$(printf '%s' "$own" | sed -E 's/\.?(a|b|rc|dev)([0-9]+)$/~\1\2/')}
arch=${DEB_ARCH:-$(dpkg --print-architecture)}
case $arch in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) die "no libraries are known for $arch: there are amd64 and arm64" ;;
esac
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
known=$(sed -n 's/.*Python :: 3\.\([0-9]*\).*/\1/p' "$root/pyproject.toml")
minors=${DEB_PYTHON:-$known}
minors=${minors#3.}
case " $(echo $known) " in *" $(echo $minors) "*) ;; *) die "DEB_PYTHON=$DEB_PYTHON: there are $(echo $known | sed 's/[0-9]*/3.&/g')" ;; esac

tree=$work/tree
home=$tree/opt/flanpy
site=$home/lib/python3/site-packages

# For C libraries as old as that of RHEL 8.
fetch_wheels() {
  cat "$locks/run.txt" > "$work/wanted.txt"
  for extra in $(printf '%s' "${DEB_EXTRAS:-}" | tr , ' '); do cat "$locks/extra-$extra.txt" >> "$work/wanted.txt"; done
  # As a wheel, too: installed from its sources it would lose its licence.
  keep_library etcd3 < "$work/wanted.txt" > "$work/sources.txt"
  keep_library '!etcd3' < "$work/wanted.txt" > "$work/ready.txt"
  set -- "$work/build/bin/python" -m pip --disable-pip-version-check -qq
  quietly "$@" wheel --no-deps --wheel-dir "$work/wheels" --require-hashes -r "$work/sources.txt"
  for each in $minors; do
    quietly "$@" download --no-deps --require-hashes -r "$work/ready.txt" --dest "$work/wheels" --only-binary :all: \
      --implementation cp --python-version "3.$each" --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
      --platform "manylinux2014_$machine"
  done
}

# keep_library [!]NAME: that entry of a lock, or all others.
keep_library() {
  awk -v wanted="$1" '/^[a-z0-9]/ { name = $1; sub(/[=;].*/, "", name); keep = name == wanted || "!" name != wanted && wanted ~ /^!/ } keep'
}

install_programs() {
  make_wheel "$python"
  fetch_wheels
  "$python" -I "$here/gather.py" "$site" "$work"/wheels/*.whl "$work"/flanpy-*.whl
  mkdir "$home/bin"
  ln -s python3 "$home/bin/python"
  for each in $minors; do
    mkdir -p "$home/lib/python3.$each/site-packages"
    echo ../../python3/site-packages > "$home/lib/python3.$each/site-packages/flanpy.pth"
  done
}

# What no program of ours reads: installers, tests, sources and headers for compilers, records of where this was built.
# Of the terminal's library what colours sources and sets Markdown is left out.
strip_programs() {
  cd "$site"
  rm -rf pygments pygments-*.dist-info markdown_it markdown_it_py-*.dist-info mdurl mdurl-*.dist-info
  "$python" -I "$root/deploy/notices.py" "$site" "$tree/usr/share/doc/flanpy"
  rm -rf flanpy/units  # the package's stand in the system's directories
  rm -rf numpy/f2py numpy/distutils numpy/_pyinstaller numpy/_core/include numpy/_core/lib numpy/random/lib
  find . -type d \( -name tests -o -name _examples \) -prune -exec rm -rf {} +
  find . -type f \( -name '*.pyi' -o -name '*.px[di]' -o -name '*.pyx' -o -name '*.h' -o -name '*.c' -o -name '*.exe' \) -delete
  find . -type f -path '*.dist-info/*' \( -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name direct_url.json \) -delete
  find . -depth -type d -empty -delete
  printf '%s\n' 'home = /usr/bin' 'include-system-site-packages = false' > "$home/pyvenv.cfg"
  ln -s /usr/bin/python3 "$home/bin/python3"
}

# -I: what stands in the caller's directory or environment is not imported.
write_programs() {
  for program in flanpyd:flanpy.daemon.main flanpyctl:flanpy.cli.main flanpy-store:flanpy.storeserver.main; do
    printf '%s\n' '#!/opt/flanpy/bin/python -I' "from ${program#*:} import main" 'raise SystemExit(main())' > "$home/bin/${program%:*}"
    chmod 755 "$home/bin/${program%:*}"
  done
  mkdir -p "$tree/usr/bin" "$tree/usr/sbin"
  ln -s /opt/flanpy/bin/flanpyctl "$tree/usr/bin/flanpyctl"
  ln -s /opt/flanpy/bin/flanpyd "$tree/usr/bin/flanpyd"
  ln -s /opt/flanpy/bin/flanpy-store "$tree/usr/bin/flanpy-store"
  ln -s /opt/flanpy/bin/flanpyd "$tree/usr/sbin/flanpyd"
}

# The daemon runs as a user who may not write these, so they come along, for the Python of the machine that builds; for another
# one postinst makes them. Unchecked: dpkg puts both or neither.
compile_programs() {
  [ "${DEB_COMPILED:-yes}" != no ] || return 0
  "$python" -m compileall -q -s "$tree" --invalidation-mode unchecked-hash "$site" ||
    die "some module does not compile"
}

# What a purge runs, when all the rest is gone: cleanup needs plain Python only.
write_cleanup() {
  mkdir -p "$work/cleanup" "$tree/usr/share/flanpy"
  cp -R "$site/flanpy" "$site/pyroute2" "$site/structlog" "$work/cleanup/"
  find "$work/cleanup" -name __pycache__ -prune -exec rm -rf {} +
  rm -rf "$work/cleanup/flanpy/page/static"
  cp "$here/cleanup.py" "$work/cleanup/__main__.py"
  find "$work/cleanup" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
  "$python" -m zipapp --compress --output "$tree/usr/share/flanpy/cleanup.pyz" "$work/cleanup"
}

# Units and their like go where install.sh of theirs puts them; the settings file, which may hold a
# password, is the operator's from the first day on.
install_units() {
  sh "$root/deploy/systemd/install.sh" "$tree"
  for program in flanpyd flanpy-store; do
    install -D -m 640 "$root/deploy/systemd/$program.default" "$tree/etc/default/$program"
    rm -f "$tree/usr/share/flanpy/$program.default"
  done
}

# What programs of ours write is the same for every architecture and Python; the package's libraries may be for others.
fetch_own_libraries() {
  ours=$site
  case " $(echo $minors) " in
    *" $minor "*) [ "$arch" != "$(dpkg --print-architecture)" ] || return 0 ;;
  esac
  ours=$work/own
  quietly "$work/build/bin/python" -m pip --disable-pip-version-check -qq install --no-compile --no-deps --target "$ours" \
    --require-hashes -r "$locks/run.txt"
}
run_ours() { (cd "$root" && PYTHONPATH=$ours "$python" "$@"); }

install_completion() {
  put_completion bash /usr/share/bash-completion/completions/flanpyctl
  put_completion zsh /usr/share/zsh/vendor-completions/_flanpyctl
  put_completion fish /usr/share/fish/vendor_completions.d/flanpyctl.fish
}

put_completion() {
  mkdir -p "$tree${2%/*}"
  run_ours -c 'from flanpy.cli.main import main; main()' completion "$1" > "$tree$2"
}

install_papers() {
  run_ours -m docs.generate man "$work/man"
  for page in "$work"/man/*; do
    directory_of="$tree/usr/share/man/man${page##*.}"
    mkdir -p "$directory_of"
    gzip -9n < "$page" > "$directory_of/${page##*/}.gz"
  done
  install -D -m 644 "$here/copyright" "$tree/usr/share/doc/flanpy/copyright"
  install -m 644 "$root/LICENSE" "$tree/usr/share/doc/flanpy/LICENSE"
  install -m 644 "$root/README.md" "$tree/usr/share/doc/flanpy/README.md"
  gzip -9n < "$root/CHANGELOG.md" > "$tree/usr/share/doc/flanpy/changelog.gz"
}

# Where python3 is another, one beside it will do: the newest that there is.
pythons_beside() { for each in $minors; do printf ' | python3.%s\n' "$each"; done | sort -r | tr -d '\n'; }

write_control() {
  mkdir -p "$tree/DEBIAN"
  size=$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@FIRST@/${minors%%[!0-9]*}/" -e "s/@NEXT@/$((${minors##*[!0-9]} + 1))/" \
    -e "s/@BESIDE@/$(pythons_beside)/g" "$here/control.in" > "$tree/DEBIAN/control"
  install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$tree/DEBIAN/"
  install -m 644 "$here/triggers" "$tree/DEBIAN/"
  cd "$tree"
  find etc -type f 2>/dev/null | sed 's|^|/|' | sort > DEBIAN/conffiles
  find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums
  chmod 644 DEBIAN/control DEBIAN/conffiles DEBIAN/md5sums
}

install_programs
strip_programs
write_programs
compile_programs
write_cleanup
install_units
fetch_own_libraries
install_completion
install_papers
write_control
find "$tree" -type d -exec chmod 755 {} +
package=$directory/flanpy_${version}_$arch.deb
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" -z"${DEB_LEVEL:-9}" --build "$tree" "$package" >&2
say "$(du -h "$package" | cut -f1) packed, $(($(sed -n 's/^Installed-Size: //p' "$tree/DEBIAN/control") / 1024)) MB installed"
printf '%s\n' "$package"
