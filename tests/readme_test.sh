#!/bin/sh
# readme_test.sh SOURCE BUILD: the first C program of README.md, exactly as printed, compiled in the ways that README.md tells
# and run; it has to print what README.md says it prints (the first block marked ```text after it).
set -eu
source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The first fenced block of a language, at or after the first C program.
block()
{
    awk -v language="$1" '
        /^```c$/ { seen = 1 }
        seen && $0 == "```" language { inside = 1; next }
        inside && /^```$/ { exit }
        inside' "$source/README.md"
}
block c >"$work/first.c"
block text >"$work/expected"
[ -s "$work/first.c" ] && [ -s "$work/expected" ]

verify()
{
    echo "-- $1"
    shift
    "$@" >"$work/printed"
    diff -u "$work/expected" "$work/printed"
}

DESTDIR=$work/stage meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/stage" -name faltung.pc)
lib=$(dirname "$(dirname "$pc")")
if find "$work/stage" -name '*kernels*' -o -name '*internal*' | grep .; then
    echo "installs what is internal" >&2
    exit 1
fi
cc=${CC:-cc}

$cc "$work/first.c" -I"$source/include" -L"$build/src" -lfaltung -o "$work/plain"
verify "against the build directory" env LD_LIBRARY_PATH="$build/src" "$work/plain"

export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$work/stage"
$cc "$work/first.c" $(pkg-config --cflags --libs faltung) -o "$work/shared"
verify "installed, shared, through pkg-config" env LD_LIBRARY_PATH="$lib" "$work/shared"

# Without the shared library next to it, -lfaltung takes the archive, which has to be complete in itself.
rm -f "$lib"/libfaltung.so*
$cc "$work/first.c" $(pkg-config --static --cflags --libs faltung) -o "$work/static"
verify "installed, static, through pkg-config" "$work/static"
