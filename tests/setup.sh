# Sourced by tests/run, perf/run and .ci/run from the top of the tree: packages, builds for this machine and for others, and the sum
# of a test log.

base_packages="gcc g++ meson ninja-build pkg-config libcmocka-dev libbenchmark-dev libcjson-dev libpng-dev"
peer_packages="libdnnl-dev"

# name, cross file, CMocka, packages. Where the emulator runs a CMocka suite, the C library, libgomp and CMocka are all Debian's for
# that architecture, of one release: it runs against them, not against the cross compiler's copy.
# CMocka is auto where Debian has none: what is tested there is the command and an example.
cross_targets="
    aarch64 aarch64-linux-gnu enabled qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross libc6:arm64 libgomp1:arm64 libcmocka-dev:arm64
    aarch64-clang aarch64-linux-gnu-clang enabled qemu-user clang gcc-aarch64-linux-gnu libc6-dev-arm64-cross libc6:arm64 libcmocka-dev:arm64
    riscv64 riscv64-linux-gnu auto qemu-user gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
    s390x s390x-linux-gnu enabled qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross libc6:s390x libgomp1:s390x libcmocka-dev:s390x
    armhf arm-linux-gnueabihf enabled qemu-user gcc-arm-linux-gnueabihf libc6-dev-armhf-cross libc6:armhf libgomp1:armhf libcmocka-dev:armhf
    mingw x86_64-w64-mingw32 auto wine wine64 gcc-mingw-w64-x86-64-posix
"

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

# Installs those of the packages that are missing, having said which; a foreign one, NAME:ARCHITECTURE, makes dpkg know of its
# architecture.
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
    for package in $missing; do
        case $package in
        *:*) as_root dpkg --add-architecture "${package#*:}" || return 1 ;;
        esac
    done
    # A mirror that is being synchronised lacks the index of some architecture; whether that matters, the next line tells.
    as_root apt-get update -qq || echo "$0: going on with the package lists that are there" >&2
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

# build_default [MESON OPTION...]: the two builds everybody starts with are one: optimised, with all the options that do not depend
# on the machine.
build_default()
{
    need $base_packages
    build build -Dtools=enabled -Dtests=enabled -Djson=enabled -Dopenmp=enabled "$@"
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

# cross_names: of all targets of the table.
cross_names()
{
    echo "$cross_targets" | awk 'NF { print $1 }'
}

# build_cross TARGET DIR [MESON OPTION...]: a target of the table, with its packages.
build_cross()
{
    target=$1
    directory=$2
    shift 2
    line=$(echo "$cross_targets" | awk -v name="$target" '$1 == name { $1 = ""; print }')
    if [ -z "$line" ]; then
        echo "$0: no target is called $target; there are:" $(cross_names) >&2
        return 1
    fi
    read -r file cmocka packages <<END
$line
END
    need meson ninja-build pkg-config $packages || return 1
    build "$directory" --cross-file "arch/cross/$file.ini" -Dtools=enabled -Dtests="$cmocka" -Dbenchmark=disabled -Djson=disabled \
        -Dpng=disabled -Donednn=disabled "$@"
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
