#!/bin/sh
# Builds the examples for Windows and runs their tests under Wine: a second best for
# those who have no Windows at hand. Debian or Ubuntu on x86_64, 4 GB of disk, rustup.
# Usage: windows.sh                 every example
#        windows.sh tcp-echo ...    some of them
# MQTT_URL and AMQP_URL name brokers, as `cargo lab brokers -- windows.sh` sets them.
set -eu

cd "$(dirname "$0")/../../.."
work=$PWD/target/windows
target=x86_64-pc-windows-gnu
begin=$(date +%s)
step() { echo "[$(($(date +%s) - begin)) s] $*"; }

if [ $# = 0 ]; then
    for folder in crates/*/tests/program; do
        folder=${folder#crates/}
        set -- "$@" "${folder%/tests/program}"
    done
fi

# 1. A linker for Windows, Wine, and Rust's standard library.
find_wine() { command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine; }
if ! command -v x86_64-w64-mingw32-gcc >/dev/null || ! find_wine >/dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get -q update
    $sudo apt-get -q install -y --no-install-recommends \
        gcc-mingw-w64-x86-64-posix wine64 cmake
fi
wine=$(find_wine)
if ! ls "$(rustc --print target-libdir --target $target)"/libstd-* >/dev/null 2>&1; then
    rustup target add $target
fi
step "MinGW, $("$wine" --version) and Rust for Windows are here"

# 2. Wine in a folder of its own. Older ones lack a library that Rust's programs ask for
# random numbers.
export WINEPREFIX="$work/prefix" WINEDEBUG=-all
system=$WINEPREFIX/drive_c/windows/system32
mkdir -p "$work"
[ -d "$system" ] || "$wine" wineboot -i >/dev/null 2>&1
if [ ! -e "$system/bcryptprimitives.dll" ]; then
    cat >"$work/bcryptprimitives.c" <<'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    return SystemFunction036(buffer, (ULONG)length);
}
END
    x86_64-w64-mingw32-gcc -shared -O -o "$system/bcryptprimitives.dll" \
        "$work/bcryptprimitives.c" -ladvapi32
fi
printf '#!/bin/sh\nexec timeout 300 "%s" "$@"\n' "$wine" >"$work/wine"
chmod +x "$work/wine"
step "Wine is ready"

# 3. The tests. Wine's own exit status says little, so their last lines judge.
export CARGO_TARGET_DIR="$work/target"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$work/wine"
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"
log=$work/log.txt
: >"$log"
for example in "$@"; do
    step "$example"
    cargo test -j 2 --no-fail-fast --target $target -p "$example" 2>&1 | tee -a "$log" |
        grep --line-buffered -E "^(error|test .* FAILED|test result)|panicked at|^ +Running" ||
        true
done
count() { grep -cE "$1" "$log" || true; }
started=$(count '^ +Running ')
well=$(count '^test result: ok')
step "$(count '^test .* ok$') tests passed, $(count '^test .* FAILED$') failed;" \
    "$well of $started files of tests went well"
echo "All that they printed: ${log#"$PWD"/}"
[ "$(count 'could not compile')" = 0 ] && [ "$started" -gt 0 ] && [ "$well" = "$started" ]
