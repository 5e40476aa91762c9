"""A blocking TCP echo server, one client at a time: the twin of tcp-server."""

import re
import socket
import sys
import time

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


def serve(conn, peer):
    print(f"Connected by {peer}")
    try:
        with conn:
            while data := conn.recv(1024):
                print(f"Received: {printable(data)[:200]}")
                conn.sendall(data)
        print(f"Closing connection with {peer}")
    except OSError as error:
        print(f"Lost connection with {peer}: {error}", file=sys.stderr)


host, port = sys.argv[1].rsplit(":", 1)
with socket.create_server((host, int(port)), backlog=128) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("TCP server listening on {}:{}".format(*s.getsockname()))
    while True:
        try:
            conn, addr = s.accept()
        except OSError as error:
            print(f"Cannot accept a client: {error}", file=sys.stderr)
            time.sleep(0.1)
            continue
        serve(conn, "{}:{}".format(*addr))
