#!/bin/sh
# Build flanpyctl as one file, for a jump host on which nothing is to be installed: dist/flanpyctl-VERSION-cp3N-MACHINE.pyz.
# It needs the Python minor version it was built with (grpc, which speaks to etcd, is compiled). Shared libraries cannot be
# loaded from inside a zip: the first run unpacks the file to the user's cache, the next ones start from there.
#   sh build.sh [DIRECTORY]     PYTHON names another Python than /usr/bin/python3
. "$(dirname "$0")/../building.sh"
python=${PYTHON:-/usr/bin/python3}
site=$work/zip/site
# What flanpyctl imports, with what that needs; the daemon's other libraries (aiohttp, ...) are left out.
libraries="certifi charset-normalizer docker etcd3 grpcio idna markdown-it-py mdurl msgspec protobuf pygments pyroute2 requests
 rich shtab six structlog tenacity typing-extensions urllib3"

install_library() {
  make_wheel "$python"
  # shellcheck disable=SC2086
  locked $libraries > "$work/libraries.txt"
  set -- "$work/build/bin/python" -m pip --disable-pip-version-check -qq install --no-compile --no-deps --target "$site"
  quietly "$@" --require-hashes -r "$work/libraries.txt"
  quietly "$@" "$work"/flanpy-*.whl
}

# What nobody imports.
strip_library() {
  cd "$site"
  rm -rf bin flanpy/page/static flanpy/units
  find . -type d \( -name tests -o -name '*.dist-info' -o -name __pycache__ \) -prune -exec rm -rf {} +
  find . -type f \( -name '*.pyi' -o -name '*.px[di]' -o -name '*.pyx' -o -name '*.h' -o -name '*.c' \) -delete
  find . -depth -type d -empty -delete
}

# MADE_FOR: what it runs on, and a digest that names the directory it is unpacked to.
write_label() {
  cd "$work/zip"
  digest=$(find site -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
  tag=$("$python" -c 'import platform, sys; print(sys.version_info.major, sys.version_info.minor, platform.machine())')
  printf '%s %s\n' "$tag" "$digest" > MADE_FOR
}

install_library
"$python" -I "$root/deploy/notices.py" "$site" "$work/zip"
strip_library
cp "$here/start.py" "$work/zip/__main__.py"
cp "$root/LICENSE" "$work/zip/LICENSE"
write_label
find "$work/zip" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$root/flanpy/__init__.py")
name=$("$python" -c 'import platform, sys; print(f"cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}")')
archive=$directory/flanpyctl-$version-$name.pyz
"$python" -m zipapp --compress --python '/usr/bin/env python3' --output "$archive" "$work/zip"
printf '%s\n' "zipapp: $(du -h "$archive" | cut -f1)" >&2
printf '%s\n' "$archive"
