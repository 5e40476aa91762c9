#!/bin/sh
# Writes the archive for a class without internet, unpacks it, and does what its README.txt
# says, where there is no network and cargo has nothing downloaded. Linux with `unshare`.
# Usage: offline-check.sh [EXAMPLE]...      tcp-echo by default
set -eu

begin=${BEGIN:-$(date +%s)}
step() { echo "[$(($(date +%s) - begin)) s] $*"; }

if [ "${1:-}" != --without-a-network ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' HUP INT TERM
    sh "$(dirname "$0")/offline.sh" "$folder/class.tar.gz"
    step "the archive is written"
    tar -xf "$folder/class.tar.gz" -C "$folder"
    step "it is unpacked: $(du -sm "$folder/network-programming" | cut -f 1) MB"
    mkdir "$folder/cargo"
    # Who is not root may make a network namespace as the root of a user namespace.
    map=$([ "$(id -u)" = 0 ] || echo --map-root-user)
    # shellcheck disable=SC2086
    BEGIN=$begin CARGO_HOME="$folder/cargo" unshare --net $map \
        sh "$0" --without-a-network "$folder/network-programming" "${@:-tcp-echo}"
    step "all went well"
    exit
fi

class=$2
shift 2
ip link set lo up
unset CARGO_TARGET_DIR MQTT_URL AMQP_URL
export CARGO_NET_RETRY=0
if [ "$(grep -c : /proc/net/dev)" != 1 ]; then
    echo "There is a network here besides lo." >&2
    exit 1
fi

# Without the setting beside the sources nothing can be built: the network is really off.
cd "$class/machines"
mv ../.cargo ../aside
if cargo build -q -p "$1" 2>/dev/null; then
    echo "It was built without the archive's dependencies." >&2
    exit 1
fi
mv ../aside ../.cargo
step "the network is off"

for example in "$@"; do
    cargo build -q -p "$example"
    step "$example is built"
    cargo test -q -p "$example"
    step "$example is tested"
    cargo lab demo "$example" </dev/null
    step "$example is played"
done

cp -r "crates/$1" ../homework
cp Cargo.lock ../homework
cd ../homework
cargo test -q
step "a copy of $1 is tested"
