#!/bin/sh
# Writes one archive for a class without internet: the sources as they are committed, the
# sources of every dependency, for every system, and a setting that makes cargo use them.
# Usage: offline.sh [ARCHIVE]      target/network-programming.tar.gz by default
set -eu

archive=${1:-target/network-programming.tar.gz}
case $archive in
    /*) ;;
    *) archive=$PWD/$archive ;;
esac
cd "$(dirname "$0")/../../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' HUP INT TERM
class=$folder/network-programming
mkdir -p "$class/.cargo" "$class/machines" "$(dirname "$archive")"

# The setting lies beside the sources, and not in them: it also holds for an example that
# is copied out and lies beside them.
git archive HEAD | tar -x -C "$class/machines"
if [ -e slides/dist/index.html ]; then cp slides/dist/*.html slides/dist/*.pdf "$class"; fi
cargo vendor -q --locked "$class/vendor" >/dev/null
cat >"$class/.cargo/config.toml" <<'END'
# The dependencies come from the folder vendor, never from the internet.
[source.crates-io]
replace-with = "vendor"

[source.vendor]
directory = "vendor"
END
cat >"$class/README.txt" <<'END'
Network programming in Rust, for a class without internet

You need Rust 1.89 or later and its linker, and nothing else:
  Windows    Visual Studio's build tools, as Rust's installer says
  macOS      xcode-select --install
  Linux      a C compiler, such as the package gcc

Copy this folder to your disk; programs run slowly from a USB stick. Then:
  cd network-programming/machines
  cargo run -p tcp-echo                          in one terminal
  cargo run -p tcp-echo --bin tcp-client         in another
  cargo test -p tcp-echo
  cargo lab demo tcp-echo

machines/README.md is the table of the lecture. For an assignment, copy an example beside
it, where cargo still finds its dependencies:
  cd network-programming
  cp -r machines/crates/tcp-echo homework        Windows: xcopy /e /i ...
  cp machines/Cargo.lock homework
  cd homework
  cargo test
END
tar -czf "$archive" -C "$folder" network-programming
size=$(($(wc -c <"$archive") / 1000000))
echo "$archive: $size MB. Copy it to a USB stick; unpack it by: tar -xf FILE"
