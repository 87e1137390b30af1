#!/usr/bin/env bash
# From a fresh clone to a running pipeline: ./bootstrap.sh help
set -euo pipefail
export LC_ALL=C.UTF-8
export CCACHE_NOHASHDIR=true # clones of this repository share what is compiled
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

# Debian and Ubuntu package names. Without the optional ones the build leaves a feature out and says so.
build_packages=(build-essential cmake ninja-build pkg-config ccache libfmt-dev libspdlog-dev nlohmann-json3-dev
                libcli11-dev)
optional_packages=(openmpi-bin libopenmpi-dev libpmix-dev libucx-dev libfabric-dev libtrilinos-kokkos-dev libcpp-httplib-dev
                   libhdf5-dev libhdf5-openmpi-dev libhwloc-dev liblz4-dev libzstd-dev zlib1g-dev)
test_packages=(libgtest-dev libgmock-dev python3 python3-jsonschema hdf5-tools python3-h5py python3-matplotlib
               python3-zmq spin groff-base man-db bash-completion environment-modules dpkg-dev slurm-wlm munge
               iproute2 python3-yaml shellcheck strace)
check_packages=(git clang-14 clang libclang-rt-14-dev llvm-14 clang-format-14)
dev_packages=(clang-tidy-14 gcovr libbenchmark-dev)

usage() {
    cat <<'TEXT'
usage: ./bootstrap.sh COMMAND

  demo          build and stream 100 000 records through four processes; check the result
  test [--ci]   build with warnings as errors and run every test
                --ci: also the formatting, clang, the unit tests under sanitizers, each fuzz target for a few seconds
  build         build the program: build/release/bin/penstock
  deps          install what build and test need

For developers:
  dev           install the developers' tools and the pre-commit hook
  asan, tsan    unit tests under the address (and undefined behaviour) or the thread sanitizer
  fuzz [S]      every fuzz target for S seconds, 60 if not given
  coverage      all tests with coverage; the report is build/coverage/report/index.html
  tidy [FILE]   clang-tidy over src/, or over some files

Every command can be repeated; what is there already is not done again. Missing packages are installed with apt-get, as
root or through sudo.
TEXT
}

say() { printf '\n== %s\n' "$*"; }
warn() { printf 'bootstrap.sh: %s\n' "$*" >&2; }
fail() {
    warn "$*"
    exit 1
}

# --- packages ---------------------------------------------------------------------------------------------------------

is_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }

# Prints those of the packages that are not installed.
missing_packages() {
    local installed package
    installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p' || true)
    for package in "$@"; do
        grep -qxF -- "$package" <<<"$installed" || echo "$package"
    done
}

# Prints how to become root ("" when already there); fails when there is no way.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    elif command -v sudo >/dev/null && [ -t 0 ]; then
        echo "sudo"
    else
        return 1
    fi
}

apt_get() {
    # shellcheck disable=SC2086 # the prefix is a command and its option
    $1 env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq "${@:2}"
}

install_packages() { # required package...
    local missing_required missing_optional package prefix wanted
    if ! is_debian; then
        warn "this is not Debian or Ubuntu; needed are the equivalents of: $*"
        warn "and, for all features: ${optional_packages[*]}"
        return
    fi
    mapfile -t missing_required < <(missing_packages "$@")
    mapfile -t missing_optional < <(missing_packages "${optional_packages[@]}")
    wanted=(${missing_required[@]+"${missing_required[@]}"} ${missing_optional[@]+"${missing_optional[@]}"})
    [ ${#wanted[@]} -gt 0 ] || return 0
    if ! prefix=$(root_prefix); then
        warn "these packages are missing, and you are neither root nor able to use sudo: ${wanted[*]}"
        warn "ask somebody who is to run: apt-get install ${wanted[*]}"
        [ ${#missing_required[@]} -eq 0 ] || exit 1
        warn "going on without them, as they are optional"
        return 0
    fi

    say "installing ${#wanted[@]} packages: ${wanted[*]}"
    apt_get "$prefix" update || warn "apt-get update failed; trying with the package lists that are there"
    wanted=(${missing_required[@]+"${missing_required[@]}"})
    for package in ${missing_optional[@]+"${missing_optional[@]}"}; do
        if [ -n "$(apt-cache policy "$package" 2>/dev/null | sed -n '/Candidate: (none)/d;/Candidate:/p')" ]; then
            wanted+=("$package")
        else
            warn "this release has no package \"$package\"; going on without it"
        fi
    done
    apt_get "$prefix" install -y --no-install-recommends ${wanted[@]+"${wanted[@]}"} >/dev/null ||
        fail "apt-get could not install: ${wanted[*]}"
}

# A package list does not say that the tool is new enough.
check_tools() {
    local tool version
    for tool in cmake ninja c++; do
        command -v "$tool" >/dev/null || fail "\"$tool\" is missing; install it and try again"
    done
    version=$(cmake --version | sed -n 's/^cmake version //p')
    if [ "$(printf '3.25\n%s\n' "$version" | sort -V | head -n 1)" != 3.25 ]; then
        fail "cmake $version is too old; 3.25 or newer is needed (for example: pip install cmake)"
    fi
}

deps() {
    install_packages "${build_packages[@]}" "$@"
    check_tools
}

# --- building ---------------------------------------------------------------------------------------------------------

# One compiler a core, and 1.5 GiB of memory for each.
parallel() {
    local cores memory_kib by_memory
    cores=$(nproc)
    memory_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    by_memory=$((${memory_kib:-1572864} / 1572864))
    [ "$by_memory" -ge 1 ] || by_memory=1
    echo $((cores < by_memory ? cores : by_memory))
}

configure() { # preset
    local cache=build/$1/CMakeCache.txt options=()
    # The Python packages belong to the system's Python, which need not be the first one on the path.
    if is_debian; then options+=(-DPython3_EXECUTABLE=/usr/bin/python3); fi
    # A build folder that came along with a moved or copied checkout cannot be used.
    if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then
        rm -rf "build/$1"
    fi
    mkdir -p "build/$1"
    if ! cmake --preset "$1" ${options[@]+"${options[@]}"} >"build/$1/configure.log" 2>&1; then
        cat "build/$1/configure.log" >&2
        fail "cmake could not configure the preset \"$1\"; the lines above say why"
    fi
    sed -n 's/^-- \(Penstock .*\|  [A-Z0-9]*: .*\)/\1/p' "build/$1/configure.log"
}

build() { # preset [target...]
    local preset=$1
    shift
    say "building: $preset"
    configure "$preset"
    cmake --build "build/$preset" -j "$(parallel)" ${1+--target "$@"}
}

run_tests() { # preset
    ctest --preset "$1" -j "$(parallel)"
}

# --- commands ---------------------------------------------------------------------------------------------------------

demo() {
    deps
    build release
    say "running jobs/streaming-demo.json"
    local log=build/release/demo.log run_dir
    build/release/bin/penstock run jobs/streaming-demo.json | tee "$log"
    run_dir=$(sed -n 's/^run directory: //p' "$log")
    check_demo "$run_dir/results/results.csv"
}

# Every id once, every value three times its id: 1.5 from the producer, doubled by the processors.
check_demo() { # results file
    [ -f "$1" ] || fail "the run left no results: \"$1\" is missing"
    awk -F, -v file="$1" '
        NR == 1 { if ($0 != "record_id,value,timestamp") bad = "its header is \"" $0 "\""; next }
        NF != 3 || $2 != 3 * $1 { bad = "line " NR " is \"" $0 "\"" }
        seen[$1]++ { bad = "record " $1 " is there twice" }
        END {
            if (!bad && NR != 100001) bad = "it has " NR - 1 " records instead of 100000"
            if (bad) { print "bootstrap.sh: " file " is wrong: " bad > "/dev/stderr"; exit 1 }
            printf "checked: 100000 records, every id once, every value right\nresults: %s\n", file
        }' "$1"
}

test_all() {
    local status=0 log=build/gcc/ctest.log
    deps "${test_packages[@]}"
    if [ "${1-}" = --ci ]; then check_all; fi
    build gcc
    say "testing: gcc"
    run_tests gcc 2>&1 | tee "$log" || status=$?
    say "$(grep -E '^[0-9]+% tests passed' "$log" || echo 'ctest did not finish')"
    [ "$status" = 0 ] || run_failed_again "$log"
}

# Tests of real processes can be late where many run on few processors. What fails alone, too, is broken.
run_failed_again() { # log
    say "testing once more, one after the other: what failed"
    ctest --preset gcc --rerun-failed || return
    warn "passed only when run again, alone:"
    grep -E '^\s+[0-9]+ - .*\)$' "$1" | grep -v '(Skipped)$' >&2
}

# What the tests of the gcc build do not show.
check_all() {
    deps "${test_packages[@]}" "${check_packages[@]}"
    say "formatting"
    configure gcc
    cmake --build build/gcc --target check-format
    # One build by clang is enough for its warnings, and this one is needed anyway.
    fuzz 5 penstock_cli_commands penstock_verify_interface_header_sets
    sanitize asan
}

sanitize() { # preset
    deps "${test_packages[@]}"
    build "$1" tests/unit/all penstock_cli
    say "testing: $1"
    run_tests "$1"
}

fuzz() { # seconds for each fuzz target, [build target...]
    deps "${test_packages[@]}" "${check_packages[@]}"
    build fuzz tests/fuzz/all "${@:2}"
    cmake -DPENSTOCK_FUZZ_SECONDS="$1" build/fuzz >/dev/null
    say "fuzzing: $1 s for each target"
    run_tests fuzz
}

coverage() {
    deps "${test_packages[@]}" "${dev_packages[@]}"
    build coverage
    find build/coverage -name '*.gcda' -delete
    run_tests coverage
    mkdir -p build/coverage/report
    gcovr --root . --filter src/ --filter include/ --exclude-throw-branches --html-details build/coverage/report/index.html \
        --print-summary build/coverage
}

tidy() { # [file...]
    deps "${test_packages[@]}" "${check_packages[@]}" "${dev_packages[@]}"
    cmake --preset clang -B build/tidy -DCMAKE_UNITY_BUILD=OFF >/dev/null
    run-clang-tidy-14 -quiet -p build/tidy -j "$(parallel)" "${@:-$PWD/src/}"
}

dev() {
    deps "${test_packages[@]}" "${check_packages[@]}" "${dev_packages[@]}"
    git config core.hooksPath .githooks
    echo "tools and pre-commit hook: ready"
}

case "${1-help}" in
    demo) demo ;;
    test) test_all "${2-}" ;;
    build) deps && build release ;;
    deps) deps "${test_packages[@]}" && echo "all packages are there" ;;
    dev) dev ;;
    asan | tsan) sanitize "$1" ;;
    fuzz) fuzz "${2-60}" ;;
    coverage) coverage ;;
    tidy) tidy "${@:2}" ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        fail "unknown command \"$1\""
        ;;
esac
