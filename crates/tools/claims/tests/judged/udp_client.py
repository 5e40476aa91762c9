"""A UDP client, written from the contract in the README of udp-echo."""

import argparse
import socket
import sys
import time
import unicodedata


def printable(data):
    text = data.decode(errors="replace")[:200] or "(empty)"
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def look_up(text):
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        sys.exit(f"Error: cannot look up {text}: it must be HOST:PORT")
    try:
        return socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        sys.exit(f"Error: cannot look up {text}: {error}")


def ask(family, server, message):
    """Returns the echo, or prints what it got instead and returns None."""
    hint = "is the server running?"
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        for attempt in range(1, 4):
            client.sendto(message, server)
            deadline = time.monotonic() + 1
            while (left := deadline - time.monotonic()) > 0:
                client.settimeout(left)
                try:
                    data, peer = client.recvfrom(65535)
                except TimeoutError:
                    break
                if peer[:2] == server[:2]:
                    return data, None
                print(f"Ignored a datagram from {shown(peer)}", file=sys.stderr)
                hint = f"{shown(peer)} has answered; if it is the server, ask it there"
            print(f"No reply in 1 s to try {attempt} of 3", file=sys.stderr)
    return None, hint


parser = argparse.ArgumentParser()
parser.add_argument("server", nargs="?", default="127.0.0.1:65432")
parser.add_argument("message", nargs="?", default="Hello, UDP!")
arguments = parser.parse_args()
message = arguments.message.encode()
for family, _, _, _, server in look_up(arguments.server):
    try:
        echo, reason = ask(family, server, message)
    except OSError as error:
        echo, reason = None, error
    if echo is not None:
        break
if echo is None:
    sys.exit(f"Error: no echo from {arguments.server}: {reason}")
if echo != message:
    sys.exit(f"Error: no echo from {arguments.server}: a wrong echo: {printable(echo)}")
print(f"Received echo: {printable(echo)} from {shown(server)}")
