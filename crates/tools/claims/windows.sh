#!/bin/sh
# Builds the examples for Windows, runs their tests under Wine, and plays their scenes: a
# second best for those who have no Windows at hand. Debian or Ubuntu on x86_64, 4 GB of
# disk, rustup.
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
mkdir -p "$WINEPREFIX"
# One server for all: a program that starts while the server of the last one ends fails,
# and so does this one while a server of before still runs.
server=$(command -v wineserver || echo "$(dirname "$wine")/wineserver")
"$server" -k || true
"$server" -p
trap '"$server" -k' EXIT
trap 'exit 130' HUP INT TERM
"$wine" wineboot >/dev/null 2>&1 # Else Wine's services would hold a pipe open below.
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
# The judge would run this system's cargo.
printf '#!/bin/sh\nunset CARGO\nexec timeout 900 "%s" "$@"\n' "$wine" >"$work/wine"
chmod +x "$work/wine"
step "Wine is ready"

# 3. Everything is built at once: each package alone would get other features of its
# dependencies, and those would be built anew.
export CARGO_TARGET_DIR="$work/target"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$work/wine"
programs=$CARGO_TARGET_DIR/$target/debug
# What is built, as words. The tests of lab play a scene of tcp-echo.
packages="-p lab -p wiretap -p tcp-echo $(printf -- '-p %s ' "$@")"
# shellcheck disable=SC2086
cargo build -q -j 2 --bins --examples --target $target $packages
# shellcheck disable=SC2086
cargo test -q -j 2 --no-run --message-format=json-render-diagnostics --target $target \
    $packages >"$work/tests.json"
step "all is built"

# 4. There is no cargo for Wine: this one runs what is built.
cat >"$work/cargo.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>
static BOOL WINAPI go_on(DWORD event) { return event == CTRL_C_EVENT; }
/* cargo run -q -p PACKAGE [--bin PROGRAM | --example DRAFT] [-- ARGUMENTS], and for the
   judge: cargo test ... -p PACKAGE, which prints what the real cargo has printed. */
int wmain(int count, wchar_t **words)
{
    static wchar_t line[32768];
    const wchar_t *package = L"", *program = NULL, *folder = L"default\\";
    const wchar_t *arguments = wcsstr(GetCommandLineW(), L" -- ");
    STARTUPINFOW startup = {sizeof startup};
    PROCESS_INFORMATION child;
    DWORD status;
    if (count > 1 && !wcscmp(words[1], L"build")) return 0;
    for (int i = 1; i + 1 < count && wcscmp(words[i], L"--"); i++) {
        if (!wcscmp(words[i], L"-p")) package = words[i + 1];
        if (!wcscmp(words[i], L"--bin")) folder = L"", program = words[i + 1];
        if (!wcscmp(words[i], L"--example")) folder = L"examples\\", program = words[i + 1];
    }
    if (count > 1 && !wcscmp(words[1], L"test")) {
        swprintf(line, 32768, L"%ls\\tests-%ls.json", _wgetenv(L"PROGRAMS"), package);
        FILE *file = _wfopen(line, L"rb");
        for (int c; file && (c = getc(file)) != EOF;) putchar(c);
        return file ? 0 : 101;
    }
    swprintf(line, 32768, L"%ls\\%ls%ls.exe %ls", _wgetenv(L"PROGRAMS"),
             folder, program ? program : package,
             arguments ? arguments + 4 : L"");
    SetConsoleCtrlHandler(go_on, TRUE);
    GetStartupInfoW(&startup);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child))
        return 101;
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &status);
    return status;
}
END
mkdir -p "$work/bin" "$programs/default"
x86_64-w64-mingw32-gcc -municode -O -o "$work/bin/cargo.exe" "$work/cargo.c"
for manifest in crates/*/Cargo.toml crates/tools/wiretap/Cargo.toml; do
    folder=${manifest%/Cargo.toml}
    package=${folder##*/}
    program=$(sed -n 's/^default-run = "\(.*\)"/\1/p' "$manifest")
    program=$programs/${program:-$package}.exe
    if [ -e "$program" ]; then cp "$program" "$programs/default/$package.exe"; fi
    grep -F "crates/$package#" "$work/tests.json" >"$programs/tests-$package.json" || true
done
export WINEPATH="Z:$work/bin" PROGRAMS="Z:$programs"

# 5. The tests. Wine's own exit status says little, so their last lines judge. What these
# tests need is not Wine's: it ends a connection in order before it resets it, does not
# tell a waiting UDP socket that a port is closed, stalls while much goes both ways, and is
# slow with a thousand connections of one program.
not_by_wine="an_idle_a_resetting_and_a_never_reading_client_harm_nobody_else
    a_closed_port_is_noticed_at_once
    eight_mebibytes_come_back_unchanged_to_a_client_that_reads_slowly
    the_thousand_and_first_client_is_refused_until_another_leaves
    three_hundred_clients_talk_at_once_and_each_hears_all_the_others"
skip=
for test in $not_by_wine; do skip="$skip --skip $test"; done
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-2}"
log=$work/log.txt
# Both hold several words.
# shellcheck disable=SC2086
cargo test -j 2 --no-fail-fast --target $target $packages -- $skip 2>&1 |
    tee "$log" |
    grep --line-buffered -E "^(error|test .* FAILED|test result)|panicked at|^ +Running" ||
    true

# 6. The scenes, but for two that need the same: a closed UDP port, and a thousand
# connections.
step "the scenes"
scenes=$("$wine" "$programs/lab.exe" demo --list "$@" | tr -d '\r' | cut -d ' ' -f 1 |
    sed 's,^[^/]*$,&/1,' | grep -vxE 'async-udp-echo/1|async-tcp-echo/1')
# shellcheck disable=SC2086
timeout 900 "$wine" "$programs/lab.exe" demo $scenes </dev/null >"$work/scenes.txt" 2>&1 || true
sed -n '/^Played /,$p' "$work/scenes.txt"

count() { grep -cE "$1" "$log" || true; }
started=$(count '^ +(Running|Doc-tests) ')
well=$(count '^test result: ok')
step "$(count '^test .* ok$') tests passed, $(count '^test .* FAILED$') failed;" \
    "$well of $started files of tests went well"
echo "All that they printed: ${log#"$PWD"/}, ${work#"$PWD"/}/scenes.txt"
grep -q '^Played ' "$work/scenes.txt" && ! grep -q '^Error' "$work/scenes.txt" &&
    [ "$(count 'could not compile')" = 0 ] && [ "$started" -gt 0 ] &&
    [ "$well" = "$started" ]
