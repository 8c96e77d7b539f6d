#!/bin/sh
# Usage: one_symbol.sh libkernels_avx2.a ...
# Each archive defines exactly one symbol that others can link to, its table. A second one could be the copy of a shared helper
# that the linker keeps for everybody, with instructions that not everybody's CPU has.
set -eu
failed=0
for archive in "$@"; do
    isa=$(basename "$archive" .a)
    isa=${isa#libkernels_}
    symbols=$(${NM:-nm} --defined-only --extern-only "$archive" | awk 'NF == 3 { print $3 }')
    if [ "$symbols" != "falt_kernels_$isa" ] && [ "$symbols" != "_falt_kernels_$isa" ]; then
        echo "$archive: expected falt_kernels_$isa alone, got:" $symbols >&2
        failed=1
    fi
done
exit $failed
