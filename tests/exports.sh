#!/bin/sh
# exports.sh NM LIBRARY HEADER: the shared library exports the functions that the header declares, and nothing else.
set -eu
LC_ALL=C
export LC_ALL
declared=$(sed -n 's/^FALT_API .*[ *]\(falt_[a-z_0-9]*\)(.*/\1/p' "$3" | sort)
exported=$("$1" -D --defined-only "$2" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort)
[ -n "$declared" ]
if [ "$declared" != "$exported" ]; then
    echo "declared in $3:" $declared
    echo "exported by $2:" $exported
    exit 1
fi
