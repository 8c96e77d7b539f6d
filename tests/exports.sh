#!/bin/sh
# exports.sh NM LIBRARY HEADER...: the shared library exports the functions that the headers declare, and nothing else.
set -eu
LC_ALL=C
export LC_ALL
nm=$1
library=$2
shift 2
declared=$(sed -n 's/^FALT_API .*[ *]\(falt_[a-z_0-9]*\)(.*/\1/p' "$@" | sort)
case $library in
*.dll) exported=$("$nm" --defined-only "${library%-[0-9]*.dll}.dll.a" | awk '$2 == "T" { print $NF }' | sort) ;;
*) exported=$("$nm" -D --defined-only "$library" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort) ;;
esac
[ -n "$declared" ]
if [ "$declared" != "$exported" ]; then
    echo "declared in $*:" $declared
    echo "exported by $library:" $exported
    exit 1
fi
