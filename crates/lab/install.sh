#!/bin/sh
# Installs the programs named, if they are missing, by the system's package manager.
# Usage: install.sh PROGRAM...
set -eu

missing=
for program in "$@"; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null; then
    install="apt-get update && apt-get install -y --no-install-recommends$missing"
elif command -v dnf >/dev/null; then
    install="dnf install -y$missing"
elif command -v pacman >/dev/null; then
    # Arch calls it python.
    install="pacman -S --noconfirm$(echo "$missing" | sed 's/python3/python/')"
elif command -v brew >/dev/null; then
    exec brew install $missing
else
    echo "Missing:$missing. No package manager that is known here was found: install them." >&2
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    run="sh -c"
elif command -v sudo >/dev/null; then
    run="sudo sh -c"
else
    echo "Missing:$missing. Ask an administrator for: $install" >&2
    exit 1
fi
echo "Installing what the tests need: $install"
$run "$install"
