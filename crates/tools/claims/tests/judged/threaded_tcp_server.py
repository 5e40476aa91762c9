"""A threaded TCP echo server, written from the contract in threaded-tcp-echo's README."""

import argparse
import ipaddress
import socket
import sys
import threading
import time
import unicodedata


def say(text, stream=sys.stdout):
    stream.write(text + "\n")  # With `print`, two threads may share a line.
    stream.flush()


def printable(data):
    text = data.decode(errors="replace")[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, (str(address), int(port))


def count(text):
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def serve(connection, peer):
    say(f"Connected by {peer}")
    while data := connection.recv(1024):
        say(f"Received from {peer}: {printable(data)}")
        connection.sendall(data)
    say(f"Closing connection with {peer}")


def run(connection, peer, places):
    try:
        with connection:
            serve(connection, peer)
    except OSError as error:
        say(f"Lost connection with {peer}: {error}", sys.stderr)
    finally:
        places.release()


parser = argparse.ArgumentParser()
parser.add_argument("address", nargs="?", type=endpoint, default="127.0.0.1:65432")
parser.add_argument("--max-clients", type=count, default=1000)
arguments = parser.parse_args()
family, address = arguments.address
listener = socket.socket(family, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
try:
    listener.bind(address)
    listener.listen(4096)
except OSError as error:
    sys.exit(f"Error: cannot listen on {shown(address)}: {error}")
say(f"Threaded TCP server listening on {shown(listener.getsockname())}")
places = threading.BoundedSemaphore(arguments.max_clients)
while True:
    places.acquire()
    try:
        connection, peer = listener.accept()
    except OSError as error:
        places.release()
        say(f"Cannot accept: {error}", sys.stderr)
        time.sleep(0.1)
        continue
    arguments = (connection, shown(peer), places)
    threading.Thread(target=run, args=arguments, daemon=True).start()
