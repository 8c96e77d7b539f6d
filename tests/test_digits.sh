#!/bin/sh
# test_digits.sh DIGITS: the example learns, finds the same weights with any number of threads, and draws its loss.
# With FALTUNG_TEST_QUICK it only begins to.
set -eu
digits=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

if [ -n "${FALTUNG_TEST_QUICK:-}" ]; then
    "$digits" --twice --steps 10 --test 2 --quiet --svg loss.svg
else
    "$digits" --twice --expect 97 --quiet --svg loss.svg
fi
[ "$(wc -c <loss.svg)" -lt 5000 ]
if command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.etree.ElementTree as tree; assert len(tree.parse(sys.argv[1]).getroot()) > 5' loss.svg
fi
if "$digits" --steps 2 --test 1 --expect 100 >out 2>err; then
    echo "reads everything after two steps"
    exit 1
fi
for wrong in --steps "--steps 0" "--steps x" --frozen more; do
    status=0
    "$digits" $wrong >out 2>err || status=$?
    [ $status = 2 ]
done
"$digits" --help >out
grep -q usage out
