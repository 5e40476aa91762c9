"""A TCP echo server, written from the contract in the README of tcp-echo."""

import ipaddress
import socket
import sys
import unicodedata

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, str(address), int(port)


def serve(connection, peer):
    print(f"Connected by {shown(peer)}")
    try:
        with connection:
            while data := connection.recv(1024):
                print(f"Received: {printable(data)}")
                connection.sendall(data)
        print(f"Closing connection with {shown(peer)}")
    except OSError as error:
        print(f"Lost connection with {shown(peer)}: {error}", file=sys.stderr)


text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65432"
try:
    family, host, port = parse(text)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
listener = socket.socket(family, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
try:
    listener.bind((host, port))
    listener.listen(128)
except OSError as error:
    print(f"Error: cannot listen on {text}: {error}", file=sys.stderr)
    sys.exit(1)
print(f"TCP server listening on {shown(listener.getsockname())}")
while True:
    serve(*listener.accept())
