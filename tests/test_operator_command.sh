#!/bin/sh
# test_operator_command.sh FALTUNG DEBLUR PICTURE: faltung matrix and sizes, what SciPy makes of their files, and the example.
set -u
faltung=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
deblur=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
picture=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
failures=0

fail()
{
    echo "FAILED: $what: $1"
    head -n 20 out err | sed 's/^/    /'
    failures=$((failures + 1))
}

run()
{
    expected=$1
    shift
    what=$*
    "$@" >out 2>err
    status=$?
    [ $status -eq "$expected" ] || fail "exit status $status, not $expected"
}

says()
{
    grep -qF -e "$2" "$1" || fail "nothing of '$2' in $1"
}

# The two classic cases, as in every course.
run 0 "$faltung" matrix mb1ic1iw5oc1kw3pw1
cat >expected <<'END'
mb1ic1iw5oc1ow5kw3pw1: 5 x 5, 13 nonzeros, Toeplitz
W2 W3  .  .  .
W1 W2 W3  .  .
 . W1 W2 W3  .
 .  . W1 W2 W3
 .  .  . W1 W2
END
cmp -s out expected || fail "not the classic matrix"
run 0 "$faltung" matrix mb1ic1ih3iw3oc1kh2kw2
cat >expected <<'END'
mb1ic1ih3oc1oh2kh2ph0: 4 x 9, 16 nonzeros, doubly block Toeplitz
W11 W12   . W21 W22   .   .   .   .
  . W11 W12   . W21 W22   .   .   .
  .   .   . W11 W12   . W21 W22   .
  .   .   .   . W11 W12   . W21 W22
END
cmp -s out expected || fail "not the classic matrix"
run 0 "$faltung" matrix --boundary circular mb1ic1iw3oc1kw4pw1; says out "W1+W4"
run 0 "$faltung" matrix --format csv ic2iw3oc2kw2; says out '"W1,1,1","W1,1,2",0'
run 0 "$faltung" matrix --values 1,2.5,-3 iw3kw3pw1ic1oc1; says out "2.5"
run 0 "$faltung" matrix --transposed ic1iw3oc1kw3sw2pw1; says out "columns of Toeplitz"
run 0 "$faltung" matrix --out-channel 1 --in-channel 0 ic2iw3oc2kw2; says out "W2,1,1"
run 1 "$faltung" matrix --values 1,2 iw3kw3pw1ic1oc1; says err "is not 3 numbers"
run 1 "$faltung" matrix --out-channel 2 ic2iw3oc2kw2; says err "out_channel 2"
run 1 "$faltung" matrix ic64ih56oc64kh3ph1; says err "too many"
run 1 "$faltung" matrix --format mtx ic4096ih4096oc4096kh3ph1; says err "memory"
run 2 "$faltung" matrix --format gif iw3kw3pw1ic1oc1; says err "text, csv, mtx, svg or png"
run 0 "$faltung" matrix --format svg --output a.svg mb1ic1ih3oc1kh2
grep -q '^</svg>$' a.svg && [ "$(grep -c '<rect' a.svg)" = 17 ] || fail "no picture"

# Matrix Market, read by somebody else, and multiplied there.
python= # Debian's, if another one comes first and has no SciPy
for candidate in python3 /usr/bin/python3; do
    [ -n "$python" ] || ! "$candidate" -c 'import scipy.io' 2>/dev/null || python=$candidate
done
if [ -n "$python" ]; then
    for arguments in "ic2ih4iw5oc3kh3kw3ph1pw1" "--boundary circular ic2ih4iw5oc3kh3kw3ph1pw1" "--transposed ic2iw5oc3kw3sw2" \
        "--layout nhwc g2ic4ih5oc4kh2sh2ph0dh1"; do
        run 0 "$faltung" matrix --format mtx --output a.mtx $arguments
        run 0 "$faltung" matrix --format csv --entries values --output b.csv $arguments
        run 0 "$python" -c '
import numpy, scipy.io
a = scipy.io.mmread("a.mtx").tocsr()
b = numpy.atleast_2d(numpy.genfromtxt("b.csv", delimiter=","))
x = numpy.arange(a.shape[1], dtype=float)
assert a.shape == b.shape and (a.toarray() == b).all() and abs(a @ x - b @ x).max() < 1e-9 and a.nnz > 0
'
    done
    # A of one channel is what SciPy calls correlation.
    run 0 "$faltung" matrix --format mtx --output a.mtx --values 1,2,3,4,5,6,7,8,9 ic1ih5iw4oc1kh3kw3ph1pw1
    run 0 "$python" -c '
import numpy, scipy.io, scipy.signal, scipy.ndimage
x = numpy.arange(20.0).reshape(5, 4) ** 2
w = numpy.arange(1.0, 10.0).reshape(3, 3)
a = scipy.io.mmread("a.mtx")
assert (a @ x.ravel() == scipy.signal.correlate2d(x, w, "same").ravel()).all()'
    run 0 "$faltung" matrix --boundary circular --format mtx --output a.mtx --values 1,2,3,4,5,6,7,8,9 ic1ih5iw4oc1kh3kw3ph1pw1
    run 0 "$python" -c '
import numpy, scipy.io, scipy.ndimage
x = numpy.arange(20.0).reshape(5, 4) ** 2
w = numpy.arange(1.0, 10.0).reshape(3, 3)
assert (scipy.io.mmread("a.mtx") @ x.ravel() == scipy.ndimage.correlate(x, w, mode="wrap").ravel()).all()'
else
    echo "SKIPPED: SciPy, which is not here (python3-scipy)"
fi

# sizes
run 0 "$faltung" sizes mb1ic3ih224oc64kh7sh2ph3; says out "224x224 -> 112x112"; says out "output padding 1x1"
says out "zeros inserted: 223x223, padding 3x3 and 4x4 -> 224x224"
run 0 "$faltung" sizes --transposed mb1ic4ih5oc4kh3sh2ph1; says out "5x5 -> 9x9"; says out "convolution 9x9 -> 5x5"
run 0 "$faltung" sizes --net resnet50; says out "conv1"
run 2 "$faltung" sizes mb1ic1ih3oc1kh5; says err "'mb1ic1ih3oc1kh5'"
run 1 "$faltung" sizes --transposed mb1ic1iw5oc1ow13kw3sw2pw0; says err "not less than the stride"

# The example: blurred, a picture is no longer itself; deblurred, it is nearly.
run 0 "$deblur" --blur --kernel gaussian:1.5 --compare "$picture" "$picture" blurred.pgm
run 0 "$deblur" --kernel gaussian:1.5 --compare "$picture" --iterations 60 blurred.pgm sharp.pgm
awk '/^PSNR/ { exit !($5 > $2 + 3) }' out || fail "not sharper"
for boundary in zero circular; do
    run 0 "$deblur" --blur --kernel motion:5 --boundary $boundary "$picture" blurred.pgm
    run 0 "$deblur" --kernel motion:5 --boundary $boundary --compare "$picture" blurred.pgm sharp.pgm
    awk '/^PSNR/ { exit !($5 > $2 + 4) }' out || fail "not sharper"
done
run 1 "$deblur" nothing.pgm sharp.pgm; says err "nothing.pgm"
run 1 "$deblur" expected sharp.pgm; says err "not a binary PGM"
run 2 "$deblur"
if "$deblur" --help | grep -q PNG; then
    run 0 "$deblur" --blur "$picture" blurred.png
    run 0 "$deblur" --compare "$picture" --quiet blurred.png sharp.png; says out "dB"
    run 0 "$faltung" matrix --format png --output a.png ic1ih6oc1kh3ph1
    run 0 "$deblur" --blur --kernel motion:1 a.png b.pgm # which reads it
fi

[ $failures -eq 0 ] && echo "all of the operator's command tests passed"
exit $((failures > 0))
