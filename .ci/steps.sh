# Sourced by `.ci/run` and `ci/long`: named steps with durations, the first failure ends the run.
# shellcheck shell=bash

passed=0
skipped=0
started=$SECONDS

close() {
    local failed=$1
    printf '\n%d minutes %02d seconds in all\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
    if ((skipped > 0)); then
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    else
        printf '%d passed, %d failed\n' "$passed" "$failed"
    fi
}

# step <name> <command...>: runs the command; a failure is the end.
step() {
    local name=$1 from=$SECONDS status
    shift
    printf '\n==> %s\n    %s\n' "$name" "$*"
    "$@"
    status=$?
    if ((status != 0)); then
        printf '<== FAILED after %ds, exit code %d: %s\n' $((SECONDS - from)) "$status" "$name"
        close 1
        exit 1
    fi
    passed=$((passed + 1))
    printf '<== ok, %ds: %s\n' $((SECONDS - from)) "$name"
}

# skip <name> <reason>: a step that this machine cannot run.
skip() {
    skipped=$((skipped + 1))
    printf '\n!!! SKIPPED: %s\n!!! %s\n' "$1" "$2"
}

# need_component <rustup component> <command that shows it is there...>
need_component() {
    local component=$1
    shift
    "$@" >/dev/null 2>&1 || rustup component add "$component"
}

# need_toolchain: compilers, a linker and make, which Kafka's library is built with, and cargo.
need_toolchain() {
    if ! command -v cc >/dev/null || ! command -v c++ >/dev/null || ! command -v make >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc g++ make libc6-dev
    fi
    if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    if ! command -v cargo >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup &&
            rustup toolchain install stable --profile default
    fi
    cargo --version && rustc --version
}

need_valgrind() {
    command -v valgrind >/dev/null ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq valgrind; } >/dev/null 2>&1
}

# need_nats: a nats-server for the tests, named by NATS_SERVER where it is not on the path. Installed with root's rights, and
# unpacked into target/ without them.
need_nats() {
    local package
    if [[ -z ${NATS_SERVER:-} ]] && ! find_nats; then
        if ((EUID == 0)); then
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nats-server
        else
            mkdir -p target/nats && (cd target/nats && apt-get download -qq nats-server) &&
                package=$(ls target/nats/nats-server_*.deb) && dpkg-deb -x "$package" target/nats &&
                export NATS_SERVER=$PWD/target/nats/usr/sbin/nats-server
        fi >/dev/null 2>&1
        find_nats || return 1
    fi
    "$NATS_SERVER" --version
}

find_nats() {
    local at
    for at in "${NATS_SERVER:-}" "$(command -v nats-server)" /usr/sbin/nats-server target/nats/usr/sbin/nats-server; do
        if [[ -n $at && -x $at ]]; then
            NATS_SERVER=$(realpath "$at") && export NATS_SERVER
            return
        fi
    done
    return 1
}

# Kafka over TLS needs OpenSSL's headers.
need_openssl() {
    pkg-config --exists openssl 2>/dev/null ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pkg-config libssl-dev; } >/dev/null 2>&1
}

# The features of the manifest, without `default` and `full`, and without the one that `full` leaves out: it needs a library.
features() {
    sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z_-]\{1,\}\) *=.*/\1/p' Cargo.toml | grep -vx -e default -e full -e kafka-tls
}

# The programs in `examples/`.
examples() {
    local path
    for path in examples/*.rs examples/*/main.rs; do
        [[ -e $path ]] || continue
        path=${path#examples/}
        path=${path%/main.rs}
        printf '%s\n' "${path%.rs}"
    done
}

# The loom test targets.
loom_targets() {
    local path
    for path in tests/loom_*.rs; do
        [[ -e $path ]] || continue
        path=${path#tests/}
        printf '%s\n' "${path%.rs}"
    done
}

# The flags of every loom build: with plants in it (they rest unless PUSHPULL_PLANT names one), so that the models and
# `ci/plants` share a build; without lints, which other steps hold; and optimised where it counts only, because the rest
# is built and never run.
loom_flags="--cfg pushpull_loom --cfg pushpull_plants -Awarnings"
loom_cargo=(
    cargo test --locked --quiet --release --target-dir target/loom
    --config 'profile.release.package."*".opt-level=0'
    --config 'profile.release.package.loom.opt-level=3'
    --config 'profile.release.package.generator.opt-level=3'
    --config 'profile.release.build-override.opt-level=0'
)

# Every model, as it is; that of the lock stands beside it.
loom() {
    local target targets=()
    for target in $(loom_targets); do
        targets+=(--test "$target")
    done
    ((${#targets[@]} > 0)) || return 1
    RUSTFLAGS="$loom_flags" "${loom_cargo[@]}" "${targets[@]}" &&
        RUSTFLAGS="$loom_flags" "${loom_cargo[@]}" --lib -- sync::lock::model | grep -E '^test result: ok. 1 passed'
}

has_miri() {
    cargo +nightly miri --version >/dev/null 2>&1
}

# What is unsafe, under Miri: the queue's ring with its two ends, and the lock. Once by the stricter rules of borrowing,
# and what runs on threads by the newer ones too, each time with another interleaving.
miri() {
    local cargo=(cargo +nightly miri test --locked --quiet --lib --target-dir target/miri --)
    "${cargo[@]}" queue::ring:: sync:: &&
        MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-many-seeds=${MIRI_SEEDS:-0..4}" "${cargo[@]}" between_threads sync::
}
