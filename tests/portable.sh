#!/bin/sh
# Usage: portable.sh SOURCE_ROOT
# Outside of arch/ no C code knows an architecture: no macro of one, no header of its intrinsics.
set -eu
cd "$1"
words='__(x86_64|amd64|i[3-6]86|aarch64|arm|riscv|s390x?|powerpc\w*|mips|loongarch\w*)(__|\b)|__(ARM|AVX|SSE|FMA|F16C|BMI)\w*'
words="$words|_M_(X64|AMD64|IX86|ARM\w*)|\w+mmintrin\.h|immintrin\.h|arm_(neon|sve)\.h|cpuid\.h|__builtin_(ia32|cpu|neon|aarch64)\w*"
grep -rnE "$words" --include='*.[ch]' --include='*.cc' include src perf tests || exit 0
echo "the lines above belong into arch/" >&2
exit 1
