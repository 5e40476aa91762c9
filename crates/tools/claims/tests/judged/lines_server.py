"""A lines server, written from the protocol and the contract in tcp-messages' README."""

import ipaddress
import resource
import socket
import struct
import sys
import threading
import time
import unicodedata

MAX_LINE, MAX_KEYS, MAX_CLIENTS = 4096, 100, 1000
PATIENCE = struct.pack("@ll", 4, 0)

store, lock = {}, threading.Lock()


class Refused(Exception):
    pass


def say(text, stream=sys.stdout):
    stream.write(text + "\n")  # With `print`, two threads may share a line.
    stream.flush()


def is_control(character):
    return unicodedata.category(character) == "Cc"


def printable(data):
    text = data.decode(errors="replace")[:200]
    return "".join("\ufffd" if is_control(c) else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, (str(address), int(port))


def words(line):
    if not line.endswith(b"\n"):
        raise Refused("a line that is too long or has no end")
    line = line[:-1].removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    if any(map(is_control, text)):
        raise Refused("control characters are not allowed")
    return text.split(" ", 2)


def answer(line):
    match words(line):
        case ["set", key, value]:
            if not 1 <= len(key.encode()) <= 32:
                raise Refused("a key has 1 to 32 bytes")
            with lock:
                if len(store) >= MAX_KEYS and key not in store:
                    raise Refused("the store is full")
                store[key] = value
            return "ok"
        case ["get", key]:
            with lock:
                if key not in store:
                    raise Refused("no such key")
                return f"value {store[key]}"
        case ["list"]:
            with lock:
                return " ".join(["keys", *sorted(store, key=str.encode)])
        case ["quit"]:
            return "bye"
        case _:
            raise Refused("no such request")


def serve(connection, peer):
    reader = connection.makefile("rb")
    while line := reader.readline(MAX_LINE):
        say(f"Received from {peer}: {printable(line.rstrip())}")
        try:
            reply = answer(line)
        except Refused as error:
            reply = f"error {error}"
        connection.sendall(f"{reply}\n".encode())
        if reply == "bye" or not line.endswith(b"\n"):
            break
    connection.shutdown(socket.SHUT_WR)
    # Closing with bytes unread would send a reset, which may destroy the last replies.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
    try:
        while reader.read1(65536):
            pass
    except OSError:
        pass
    say(f"Closing connection with {peer}")


def run(connection, peer, places):
    try:
        with connection:
            serve(connection, peer)
    except OSError as error:
        say(f"Lost connection with {peer}: {error}", sys.stderr)
    finally:
        places.release()


def main():
    text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65435"
    try:
        family, address = parse(text)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if most == resource.RLIM_INFINITY else min(most, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    threading.stack_size(128 * 1024)
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A send gives up after four seconds in which it sent nothing.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PATIENCE)
    try:
        listener.bind(address)
        listener.listen(4096)
    except OSError as error:
        sys.exit(f"Error: cannot listen on {text}: {error}")
    say(f"Lines server listening on {shown(listener.getsockname())}")
    places = threading.BoundedSemaphore(MAX_CLIENTS)
    while True:
        if not places.acquire(blocking=False):
            say(f"Cannot serve a client: {MAX_CLIENTS} are connected", sys.stderr)
            places.acquire()
        try:
            connection, peer = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            say(f"Connected by {shown(peer)}")
            arguments = (connection, shown(peer), places)
            threading.Thread(target=run, args=arguments, daemon=True).start()
        except OSError as error:
            places.release()
            say(f"Cannot serve a client: {error}", sys.stderr)
            time.sleep(0.1)


main()
