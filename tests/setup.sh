# Sourced by tests/run, perf/run and .ci/run from the top of the tree: packages, builds, and the sum of a test log.

base_packages="gcc g++ meson ninja-build pkg-config libcmocka-dev libbenchmark-dev libcjson-dev libpng-dev"
peer_packages="libdnnl-dev"

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$0: need to be root, or sudo, for: $*" >&2
        return 1
    fi
}

# Installs those of the packages that are missing, having said which.
need()
{
    if ! command -v dpkg-query >/dev/null; then
        echo "$0: not a Debian; going on in the hope that these are there: $*" >&2
        return 0
    fi
    missing=
    native=$(dpkg --print-architecture)
    for package; do
        case $package in
        *:*) architecture=${package#*:} ;;
        *) architecture="($native|all)" ;;
        esac
        dpkg-query -W -f='${db:Status-Status} ${Architecture}\n' "$package" 2>/dev/null |
            grep -Eqx "installed $architecture" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "Going to install with apt-get:$missing"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
}

# build DIR [MESON OPTION...]: sets DIR up the first time, then compiles what changed.
build()
{
    directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        rm -rf "$directory"
        meson setup "$directory" "$@"
    fi
    ninja -C "$directory"
}

# The two builds everybody starts with are one: optimised, with all the options that do not depend on the machine.
build_default()
{
    need $base_packages
    build build -Dtools=enabled -Dtests=enabled -Djson=enabled -Dopenmp=enabled
}

# The same with oneDNN to compare with, which a build made before it was installed has to be told of.
build_with_peer()
{
    need $peer_packages
    build_default
    if ! grep -q peer_onednn.c build/build.ninja; then
        meson setup --wipe build -Donednn=enabled # a mere reconfiguration remembers that the header was missing
        ninja -C build
    fi
}

# count LOG: "passed failed skipped" of a Meson test log. A CMocka program counts by its cases, one that was running when the
# program died as failed; any other test counts as one.
count()
{
    awk '
        function finish() {
            if (name == "") return
            if (!run) { p = ok; s = result == "exit status 77"; f = !ok && !s }
            else if (!ok && f == 0 && run == p + s) f = 1
            else if (run > p + s + f) f = run - p - s
            passed += p; skipped += s; failed += f
        }
        /^test: / { finish(); name = $0; result = ""; ok = run = p = s = f = 0; split("", seen) }
        /^result: / { result = $0; sub(/^result: */, "", result); ok = result == "exit status 0" }
        /test\(s\)/ { next }
        /^\[ RUN      \]/ { run++ }
        /^\[       OK \]/ { p++ }
        /^\[  SKIPPED \]/ && !seen[$NF]++ { s++ } # these two are listed once more at the end
        /^\[  FAILED  \]/ && !seen[$NF]++ { f++ }
        END { finish(); print passed + 0, failed + 0, skipped + 0 }' "$1"
}
