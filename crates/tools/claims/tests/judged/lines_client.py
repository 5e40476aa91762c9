"""A lines client, written from the protocol and the contract in tcp-messages' README."""

import socket
import sys
import unicodedata

REQUESTS = ["set greeting Hello, world", "get greeting", "list"]
AT_ONCE, MAX_LINE = 10, 4096

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text):
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        sys.exit(f"Error: cannot connect to {text}: it must be HOST:PORT")
    return host.strip("[]"), int(port)


def connect(text):
    try:
        return socket.create_connection(parse(text), timeout=5)
    except OSError as error:
        refused = isinstance(error, ConnectionRefusedError)
        hint = " (is the server running?)" if refused else ""
        sys.exit(f"Error: cannot connect to {text}{hint}: {error}")


def send(connection, request):
    if "\n" in request:
        sys.exit("Error: cannot send: a request with a line end would be two")
    connection.sendall(f"{request}\n".encode())
    print(f"Sent: {request}")


def receive(reader):
    line = reader.readline(MAX_LINE)
    if not line:
        sys.exit("Error: no reply: the server has ended the stream")
    if not line.endswith(b"\n"):
        sys.exit(f"Error: no reply: no line end after {len(line)} bytes")
    reply = printable(line[:-1].removesuffix(b"\r"))
    print(f"Received: {reply}")
    return reply


if any(argument.startswith("--") for argument in sys.argv[1:]):
    print("usage: lines_client.py [HOST:PORT] [REQUEST]...", file=sys.stderr)
    sys.exit(2)
server = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65435"
requests = sys.argv[2:] or REQUESTS
errors = 0
with connect(server) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(f"Connected to {shown(connection.getpeername())}")
    reader = connection.makefile("rb")
    try:
        for start in range(0, len(requests), AT_ONCE):
            some = requests[start : start + AT_ONCE]
            for request in some:
                send(connection, request)
            for _ in some:
                errors += receive(reader).startswith("error ")
    except OSError as error:
        sys.exit(f"Error: no reply: {error}")
if errors:
    sys.exit(f"Error: {errors} of {len(requests)} replies say error")
