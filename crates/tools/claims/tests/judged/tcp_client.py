"""A TCP client, written from the contract in the README of tcp-echo."""

import argparse
import socket
import sys
import time
import unicodedata


def printable(data):
    text = data.decode(errors="replace")[:200]
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


def receive(connection, most):
    data = b""
    while len(data) < most and (piece := connection.recv(most - len(data))):
        data += piece
    return data


parser = argparse.ArgumentParser()
parser.add_argument("server", nargs="?", default="127.0.0.1:65432")
parser.add_argument("message", nargs="?", default="Hello, world")
parser.add_argument("--hold", type=int, default=0)
arguments = parser.parse_args()
message = arguments.message.encode()
with connect(arguments.server) as connection:
    print(f"Connected to {shown(connection.getpeername())}", flush=True)
    time.sleep(arguments.hold)
    connection.settimeout(30)
    try:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        echo = receive(connection, len(message) + 1)
    except OSError as error:
        sys.exit(f"Error: no whole echo: {error}")
if echo != message:
    sys.exit(f"Error: a wrong echo: {printable(echo)}")
print(f"Received echo: {printable(echo)}")
