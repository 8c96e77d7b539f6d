#!/bin/sh
# Usage: test_planner.sh FALTUNG
# The planner's promise: what it predicts to be fastest is within 10 % of the best candidate, measured, on nine layers of ten of the
# built-in networks. A machine that does other work meanwhile may need more than one try.
set -u
[ -z "${FALTUNG_TEST_QUICK-}" ] || exit 77
for try in 1 2 3; do
    said=$("$1" explain --measure --net all --layout nhwc --threads 1 --min-time 0.02 --format csv | tail -n 1) || exit 1
    echo "$said"
    set -- "$1" $(echo "$said" | sed -n 's/.*on \([0-9]*\) of \([0-9]*\) layers.*/\1 \2/p')
    [ $# = 3 ] || exit 1
    [ $((10 * $2)) -lt $((9 * $3)) ] || exit 0
done
exit 1
