#!/bin/sh
# Brings the programs named, if they are missing: by the system's package manager, or,
# without root on Debian and Ubuntu, unpacked under target/tools. What cannot be had is
# named with the command to ask an administrator for; the exit status is then 1.
# Usage: install.sh PROGRAM...
#        install.sh --report PROGRAM...    lists the tests that need what is missing
# Lists of programs and packages are words here, and meant to be split.
# shellcheck disable=SC2046,SC2086
set -eu

cd "$(dirname "$0")/../../.."
tools=$PWD/target/tools
PATH=$tools/bin:$PATH:/usr/sbin:/usr/local/sbin:/usr/lib/rabbitmq/bin
for prefix in /opt/homebrew/opt /usr/local/opt; do
    PATH=$PATH:$prefix/mosquitto/sbin:$prefix/rabbitmq/sbin
done

is_here() {
    case $1 in
        # Debian has the part of it that makes virtual environments in another package.
        python3) python3 -c 'import ensurepip' 2>/dev/null ;;
        node) command -v node >/dev/null && command -v npm >/dev/null ;;
        # A library, which programs in C are compiled with.
        libzmq) echo '#include <zmq.h>' | cc -E - >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# The programs among these that are missing.
missing() {
    for program in "$@"; do
        if ! is_here "$program"; then printf ' %s' "$program"; fi
    done
}

# What a package manager calls it, where that is not the program's name.
package() {
    case $manager:$1 in
        apt-get:python3) echo python3 python3-venv ;;
        apt-get:cc) echo gcc libc6-dev ;;
        *:cc) echo gcc ;;
        apt-get:libzmq) echo libzmq3-dev ;;
        dnf:libzmq) echo zeromq-devel ;;
        *:libzmq) echo zeromq ;;
        apt-get:nc) echo netcat-openbsd ;;
        dnf:nc) echo nmap-ncat ;;
        pacman:nc) echo openbsd-netcat ;;
        brew:nc) echo netcat ;;
        apt-get:mosquitto_*) echo mosquitto-clients ;;
        *:mosquitto_*) echo mosquitto ;;
        dnf:shellcheck) echo ShellCheck ;;
        dnf:tshark | pacman:tshark) echo wireshark-cli ;;
        brew:tshark) echo wireshark ;;
        brew:node) echo node ;;
        *:node) echo nodejs npm ;;
        pacman:python3 | brew:python3) echo python ;;
        pacman:rabbitmq-server | brew:rabbitmq-server) echo rabbitmq ;;
        *) echo "$1" ;;
    esac
}

packages() {
    for program in "$@"; do printf ' %s' "$(package "$program")"; done
}

# The files of tests that name a program, or what starts it.
tests_with() {
    case $1 in
        cc | cmake) echo crates/mqtt-temperature/tests/*.rs && return ;;
        libzmq) echo crates/tools/scoreboard/tests/measuring.rs && return ;;
        mosquitto) names='Kind::Mosquitto|MQTT_URL' ;;
        rabbitmq-server) names='Kind::RabbitMq|AMQP_URL' ;;
        python3) names='start_python|python::environment' ;;
        *) names="\"$1\"" ;;
    esac
    grep -rlE --include='*.rs' "$names" crates/*/tests crates/tools/*/tests | tr '\n' ' '
}

# Debian starts a server as soon as it is installed, on all addresses, and at each boot.
# A policy-rc.d that says 101 forbids the first, and what it has enabled is disabled.
# It must not outlive this script: nobody would know why no server starts any more. So it
# is removed however the script ends, and forbids nothing once the script has ended. Some
# shells run what is trapped on EXIT only for an end that is not a signal's.
install_with_apt() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 129' HUP
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\n! kill -0 %s 2>/dev/null || exit 101\n' $$ >$policy
        chmod 755 $policy
    fi
    servers='mosquitto rabbitmq-server epmd epmd.socket'
    enabled=
    for server in $servers; do
        if is_enabled "$server"; then enabled="$enabled $server "; fi
    done
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
    for server in $servers; do
        case $enabled in
            *" $server "*) ;; # It was before.
            *)
                systemctl disable "$server" >/dev/null 2>&1 || true
                update-rc.d "$server" disable >/dev/null 2>&1 || true
                ;;
        esac
    done
}

# At boot, by systemd or by what was there before it.
is_enabled() {
    systemctl is-enabled "$1" >/dev/null 2>&1 ||
        ls /etc/rc[2-5].d/S[0-9][0-9]"$1" >/dev/null 2>&1
}

# A package manager's state of our own is all that apt needs to work without root.
apt_without_root() {
    apt-get -o "Dir::State=$tools/apt" -o "Dir::State::Lists=$tools/apt/lists" \
        -o "Dir::Cache=$tools/apt/cache" -o Dir::State::status=/var/lib/dpkg/status \
        -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}

# Takes programs, not packages.
unpack_with_apt() {
    mkdir -p "$tools/bin" "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
    apt_without_root -q update
    # What packages ask for, less what only an installed one would use.
    wanted=$(apt_without_root install -s --no-install-recommends $(packages "$@") |
        awk '/^Inst / && $2 !~ /^(lib)?python3|^(cron.*|logrotate|media-types|socat)$/ {print $2}')
    (cd "$tools/apt" && apt_without_root -q download $wanted)
    for archive in "$tools"/apt/*.deb; do dpkg-deb -x "$archive" "$tools/root"; done
    rm -rf "$tools/apt"
    # Erlang's scripts know where they were to be installed.
    erlang=$tools/root/usr/lib/erlang
    for script in "$erlang"/bin/erl "$erlang"/bin/start "$erlang"/erts-*/bin/erl; do
        if [ -f "$script" ]; then sed -i "s|ROOTDIR=/usr/lib/erlang$|ROOTDIR='$erlang'|" "$script"; fi
    done
    for program in "$@"; do wrap "$program"; done
    if [ -d "$erlang" ]; then wrap epmd; fi
}

# A program that was unpacked finds its libraries and helpers only when told.
wrap() {
    found=
    for folder in usr/bin usr/sbin usr/lib/rabbitmq/bin; do
        # Debian's own wrapper of RabbitMQ, in usr/sbin, starts a server as the system.
        if [ -e "$tools/root/$folder/$1" ]; then found=$tools/root/$folder/$1; fi
    done
    if [ -z "$found" ]; then
        echo "The packages have no $1" >&2
        return 1
    fi
    libraries=$(find "$tools/root" -name '*.so*' -exec dirname {} + | sort -u | tr '\n' :)
    {
        echo '#!/bin/sh'
        echo "export PATH='$tools/root/usr/bin':\$PATH"
        echo "export LD_LIBRARY_PATH='$libraries'\$LD_LIBRARY_PATH"
        echo "exec '$found' \"\$@\""
    } >"$tools/bin/$1"
    chmod 755 "$tools/bin/$1"
}

manager=
for known in apt-get dnf pacman brew; do
    if command -v $known >/dev/null; then manager=$known && break; fi
done

# The parts that this script asks itself for below.
case ${1:-} in
    --report)
        shift
        missing=$(missing "$@")
        for program in $missing; do
            echo "Missing: $program. These tests need it: $(tests_with "$program")"
        done
        [ -z "$missing" ] || exit 1
        exit
        ;;
    --as-root)
        shift
        case $manager in
            apt-get) install_with_apt "$@" ;;
            dnf) dnf install -y "$@" ;;
            pacman) pacman -S --noconfirm "$@" ;;
        esac
        exit
        ;;
    --unpack)
        shift
        unpack_with_apt "$@"
        exit
        ;;
esac

missing=$(missing "$@")
[ -n "$missing" ] || exit 0
packages=$(packages $missing)

case $manager in
    brew) exec brew install $packages ;;
    apt-get) command="apt-get install --no-install-recommends" ;;
    dnf) command="dnf install" ;;
    pacman) command="pacman -S" ;;
    *)
        echo "Missing:$missing. No package manager that is known here was found:" >&2
        echo "install them, and try again." >&2
        exit 1
        ;;
esac
echo "Missing:$missing. The system's packages bring them: $command$packages"
this=crates/tools/brokers/install.sh
if [ "$(id -u)" = 0 ]; then
    exec sh $this --as-root $packages
fi
# Without a terminal nobody can type sudo's password.
if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    if sudo sh $this --as-root $packages; then exit 0; fi
fi
if [ "$manager" = apt-get ]; then
    some=
    for program in $missing; do
        case $program in
            cc | libzmq | python3 | node | chromium) ;; # They need more than a folder.
            *) some="$some $program" ;;
        esac
    done
    if [ -n "$some" ]; then
        echo "Nobody is root here: unpacking under target/tools:$some"
        sh $this --unpack $some || true
    fi
    missing=$(missing $missing)
    [ -n "$missing" ] || exit 0
    packages=$(packages $missing)
fi
echo "Still missing:$missing. Ask an administrator for: $command$packages" >&2
exit 1
