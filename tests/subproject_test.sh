#!/bin/sh
# subproject_test.sh SOURCE: a project that has this one under subprojects/, as README.md tells, builds, and its program runs.
# With FALTUNG_TEST_QUICK it is skipped: it builds the library once more.
set -eu
[ -z "${FALTUNG_TEST_QUICK-}" ] || exit 77
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/subprojects"
ln -s "$source" "$work/subprojects/faltung"
cat >"$work/meson.build" <<'MESON'
project('embedder', 'c')
faltung = dependency('faltung', fallback: 'faltung')
executable('embedder', 'embedder.c', dependencies: faltung)
MESON
cat >"$work/embedder.c" <<'C'
#include <faltung.h>
#include <stdio.h>

int main(void)
{
    const float x = 3, w = 5;
    float y = 0;
    falt_conv conv = FALT_CONV_INIT;
    falt_plan *plan;
    if (falt_plan_create(&plan, &conv, FALT_FORWARD, NULL) != FALT_OK ||
        falt_execute(plan, &(falt_tensors){.src = &x, .weights = &w, .dst = &y}) != FALT_OK)
        return fprintf(stderr, "%s\n", falt_last_error()), 1;
    falt_plan_destroy(plan);
    return y != 15;
}
C

# An installed faltung must not answer for the one under test; Meson needs no more than it finds anyway. The second kind takes the
# objects of the first.
meson setup "$work/build" "$work" --force-fallback-for=faltung >"$work/log" || { cat "$work/log"; exit 1; }
for kind in shared static; do
    meson configure "$work/build" -Ddefault_library=$kind
    ninja -C "$work/build" >"$work/log" || { cat "$work/log"; exit 1; }
    "$work/build/embedder"
done
if find "$work/build" -name 'test_*' | grep .; then
    echo "a subproject builds tests that nobody asked for" >&2
    exit 1
fi
