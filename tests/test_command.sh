#!/bin/sh
# The command as users and programs see it: test_command.sh FALTUNG
set -u
case $1 in
/*) faltung=$1 ;;
*) faltung=$PWD/$1 ;;
esac
[ -x "$faltung" ] || { echo "no command $faltung"; exit 1; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
tiny=mb1ic8ih6oc8oh6kh3ph1
failures=0

# run STATUS ARGUMENT...: runs the command into files `out` and `err`, and expects the exit status.
run()
{
    expected=$1
    shift
    what="faltung $*"
    "$faltung" "$@" >out 2>err
    status=$?
    [ $status -eq "$expected" ] || fail "exit status $status, not $expected"
}

fail()
{
    echo "FAILED: $what: $1"
    sed 's/^/    out: /' out | head -n 20
    sed 's/^/    err: /' err | head -n 20
    failures=$((failures + 1))
}

# says FILE TEXT: the file has this fixed text.
says()
{
    grep -qF -e "$2" "$1" || fail "nothing of '$2' in $1"
}

silent()
{
    [ ! -s "$1" ] || fail "$1 is not empty"
}

# Help and version
run 0 --version; says out "faltung 0."
run 0 --help; says out "explain"
for command in info bench check explain matrix sizes; do
    run 0 $command --help; says out "usage: faltung $command"; silent err
done
run 0 bench --net list; says out "resnet50"

# A usage error says what and where, in two lines on stderr and nothing on stdout, and ends with status 2.
wrong()
{
    text=$1
    shift
    run 2 "$@"
    says err "$text"
    silent out
    [ "$(wc -l <err)" -le 2 ] || fail "more than two lines"
}
wrong "unknown command 'sing'" sing
wrong "nothing to do" bench
wrong "'--colour'" bench --colour $tiny
wrong "'-x'" check -x $tiny
wrong "'--mb' needs an argument" bench $tiny --mb
wrong "'--mb=x'" info --mb=x
wrong "no argument may be given to option '--transposed=1'" bench --transposed=1 $tiny
wrong "--pass: 'up' is not fwd, bwd_d, bwd_w or all" bench --pass up $tiny
wrong "--layout: 'hcwn'" check --layout hcwn $tiny
wrong "--weights-layout: 'io'" check --weights-layout io $tiny
wrong "--algo: 'magic'" explain --algo magic $tiny
wrong "--algo: 'each'" bench --algo each $tiny
wrong "--isa: 'mmx'" bench --isa mmx $tiny
wrong "--threads: '-1'" bench --threads -1 $tiny
wrong "--threads: '2x'" bench --threads 2x $tiny
wrong "--mb: '0'" bench --mb 0 $tiny
wrong "--mb: '99999999999999999999'" bench --mb 99999999999999999999 $tiny
wrong "--min-time: 'soon'" bench --min-time soon $tiny
wrong "--act: 'leaky'" bench --act leaky $tiny
wrong "--act: 'clamp:1'" bench --act clamp:1 $tiny
wrong "--act: 'relu:1'" bench --act relu:1 $tiny
wrong "--act: 'leaky:inf'" check --act leaky:inf $tiny
wrong "--act: 'clamp:2:1' is an empty range" check --act clamp:2:1 $tiny
wrong "--format: 'xml'" bench --format xml $tiny
wrong "no network 'resnet51'" bench --net resnet51
wrong "nowhere" bench --batch nowhere
wrong "'mb1ic8ih6oc8kq3'" bench mb1ic8ih6oc8kq3
wrong "unexpected argument 'more'" info more
printf '# two\n%s\n\nmb1ic8ih6zz3\n' $tiny >bad
wrong "bad:4" check --batch bad

# check: header, rows, last line
run 0 check --format csv $tiny
[ "$(head -n 1 out)" = "problem,pass,layout,algo,isa,threads,max_error,error_bound,status" ] || fail "header"
[ "$(tail -n 1 out)" = "$(($(wc -l <out) - 2)) passed, 0 failed" ] || fail "last line"
says out ",nchw,"; says out ",nhwc,"; says out ",scalar,"; silent err
run 0 check --isa scalar --layout nhwc --pass all --algo each --threads 2 $tiny
[ "$(grep -c passed out)" -gt 3 ] || fail "passes"
tail -n 1 out | grep -qx '[0-9]* passed, 0 failed' || fail "last line"
for act in relu relu6 clamp:-1:1.5 leaky:0.25 sigmoid silu hardswish; do
    run 0 check --act $act --mb 2 $tiny
done
run 0 check --transposed --pass all --layout all mb1ic8ih4oc4oh8kh4sh2ph1; says out "0 failed"
run 0 check --pass all mb2ic3iw20oc4ow18kw3 g2mb1ic4id4ih5iw6oc6kd2kh2kw2pd0ph0pw0 --weights-layout ohwi; says out "0 failed"
run 0 check --pass fwd --layout nhwc --isa scalar --crop 8 --net vgg16; says err "--crop 8 cropped"

# A batch file: comments, several problems, and one that is refused does not stop the rest.
printf '# three\n%s # the first\n\nmb2ic4ih5oc4oh5kh1ph0n"named*2"\n' $tiny >good
run 0 check --isa scalar --layout nhwc --batch good --format csv
[ "$(wc -l <out)" -eq 4 ] || fail "rows"
run 1 explain --mb 4000000000000000000 --batch good; silent out; [ "$(wc -l <err)" -eq 2 ] || fail "a reason for each"
run 1 check --algo winograd --layout nhwc --isa scalar mb1ic8ih6oc8oh3kh1sh2ph0 $tiny
says out " failed"; says err "winograd"

# bench: header, one row a layer, nothing for a terminal in a pipe
run 0 bench --min-time 0.001 --format csv --pass all --batch good
header=problem,pass,layout,algo,kernel,isa,threads,plan_us,min_ms,median_ms,gflops,peak_gflops,percent_of_peak,workspace_bytes
[ "$(head -n 1 out)" = $header ] || fail "header"
[ "$(wc -l <out)" -eq 7 ] || fail "rows"
awk -F, 'NF != 14 { exit 1 }' out || fail "fields"
silent err
run 0 bench --min-time 0.001 --batch good
says out "named"; says out "total"; silent err
escape=$(printf '\033'); return=$(printf '\r')
if grep -q "[$escape$return]" out; then fail "control characters"; fi

for state in "--weights cold" "--pages small"; do
    run 0 bench --min-time 0.001 --format csv $state $tiny
    [ "$(head -n 1 out)" = $header ] || fail "header"
done
run 0 bench --min-time 0.001 --error --format csv --pass all --algo direct --batch good
[ "$(head -n 1 out)" = $header,l2_error,direct_l2_error ] || fail "header"
awk -F, 'NF != 16 || (NR > 1 && ($15 != $16 || $15 > 1e-6)) { exit 1 }' out || fail "fields"
awk -F, '{ sum += $15 } END { exit !(sum > 0) }' out || fail "no errors at all"
run 0 bench --min-time 0.001 --error --batch good
says out "x direct"; says out "1.00"; silent err
wrong "--pages: 'tiny' is not huge or small" bench --pages tiny $tiny
wrong "--weights: 'frozen' is not warm or cold" bench --weights frozen $tiny
wrong "--versus: 'itself' is not onednn" bench --versus itself $tiny
wrong "--versus-algo: 'magic' is not best, direct or winograd" bench --versus-algo magic $tiny
wrong "--versus-layout: 'none' is not same or any" bench --versus-layout none $tiny

# Another library, where the build has one: both agree on everything it can do; what it cannot has no ratio and is no failure.
if "$faltung" bench --min-time 0 --versus onednn $tiny >out 2>err; then
    printf '%s\n' $tiny g4mb2ic8ih7oc12oh7kh3ph2dh1 g6mb1ic6iw20oc6ow10kw3sw2pw0 mb1ic3id5oc4kd3pd1 mb1ic5iw9oc7ow9kw3pw2 >versus
    versus="bench --min-time 0.001 --algo direct --versus onednn --batch versus --format csv --layout all"
    run 0 $versus
    silent err
    [ "$(head -n 1 out)" = $header,peer,peer_kernel,peer_min_ms,peer_median_ms,ratio ] || fail "header"
    [ "$(wc -l <out)" -eq 13 ] || fail "rows"
    awk -F, 'NF != 19 || (NR > 1 && ($15 != "onednn" || !($19 > 0)))  { exit 1 }' out || fail "fields"
    [ "$(grep -c '^geomean versus,fwd,n[ch].*,,' out)" -eq 2 ] || fail "means"
    run 0 $versus --weights cold --weights-layout ohwi --versus-layout any --versus-algo direct --isa avx2; silent err
    if grep -q avx512 out; then fail "a cap that one side does not know"; fi
    run 0 $versus --algo auto --pass bwd_d; silent err
    run 0 $versus --algo auto --pass bwd_w; silent err
    for pass in fwd bwd_d bwd_w; do
        run 0 bench --min-time 0.001 --versus onednn --transposed --pass $pass --layout all \
            mb1ic8ih6oc8kh3ph1 g2mb2ic6ih5oc4oh10kh3sh2ph1 mb1ic5iw9oc7kw3sw2 mb1ic4id3oc2kd2sd2 g4mb1ic4ih5oc8kh3dh1
        silent err; says out "geometric mean"
    done
    for act in relu relu6 clamp:-1:1.5 leaky:0.25 sigmoid silu hardswish; do
        run 0 bench --min-time 0.001 --versus onednn --act $act $tiny; silent err
    done
    run 0 bench --min-time 0.001 --versus onednn --versus-algo winograd mb1ic8ih9oc8kh1 g2mb1ic8ih9oc8kh1
    says out "(unimplemented)"; silent err
    if grep -q geom out; then fail "a mean of nothing"; fi
else
    what="bench --versus onednn"
    grep -qF "this faltung was built without it" err || fail "no reason"
fi

# explain and info
run 0 explain $tiny; says out "direct"
wrong "--measure has csv" explain --format csv $tiny
run 0 explain --measure --min-time 0.001 --pass all --layout all --batch good
says out "% of the best"; says out "chosen"; says out "there are no transforms"; silent err
[ "$(tail -n 1 out | sed 's/on [0-9]* of/on N of/')" = "planner: within 10 % of the best on N of 12 layers" ] || fail "last line"
run 0 explain --measure --min-time 0.001 --format csv --weights cold --transposed --pass bwd_w $tiny; silent err
[ "$(head -n 1 out)" = problem,pass,layout,algo,kernel,isa,threads,predicted_ms,measured_ms,percent_of_best,chosen,refused ] ||
    fail "header"
# A reason may hold a comma, and is quoted then.
sed -e '$d' -e 's/"[^"]*"/reason/' out | awk -F, 'NF != 12 || ($9 != "" && !($10 > 0)) { exit 1 }' || fail "rows"
[ "$(grep -c ',chosen,$' out)" -eq 1 ] || fail "the chosen"
run 0 info --format csv; says out "isa,"; says out "scalar,"

# json, where there is a judge for it
run 0 explain --format json $tiny "$tiny"; cp out explain.json
if "$faltung" check --format json $tiny >check.json 2>err; then
    run 0 bench --min-time 0.001 --format json $tiny; cp out bench.json; says out '"percent_of_peak"'
    run 0 info --format json; cp out info.json
    run 0 explain --measure --min-time 0.001 --format json $tiny; cp out measured.json; says out '"within_10_percent"'
    for file in explain check bench info measured; do
        what="json of $file"
        if command -v python3 >/dev/null; then
            python3 -m json.tool $file.json >out 2>err || fail "invalid"
        fi
    done
else
    what="json"
    says err "built without cJSON"
fi

# What cannot be written is no success.
if [ -c /dev/full ]; then
    for arguments in --help --version "check --help" "explain $tiny" "check --format csv $tiny"; do
        what="faltung $arguments >/dev/full"
        : >out
        "$faltung" $arguments >/dev/full 2>err
        [ $? -eq 1 ] || fail "the exit status is not 1"
        says err "cannot write to standard output"
    done
fi

[ $failures -eq 0 ] && echo "all of the command's tests passed"
exit $((failures > 0))
