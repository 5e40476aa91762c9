"""A TCP echo server with a thread a client: the twin of threaded-tcp-server."""

import argparse
import re
import resource
import socket
import sys
import threading
import time

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


# A line is written together with its end, else those of two threads could mix.
def serve(conn, peer):
    print(f"Connected by {peer}\n", end="")
    try:
        with conn:
            while data := conn.recv(1024):
                print(f"Received from {peer}: {printable(data)[:200]}\n", end="")
                conn.sendall(data)
        print(f"Closing connection with {peer}\n", end="")
    except OSError as error:
        print(f"Lost connection with {peer}: {error}\n", end="", file=sys.stderr)
    finally:
        room.release()


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("--max-clients", type=int, default=1000)
args = parser.parse_args()
host, port = args.address.rsplit(":", 1)

# Each client is an open file: as many as the system allows.
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

room = threading.Semaphore(args.max_clients)
said_full = False
with socket.create_server((host, int(port)), backlog=4096) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("Threaded TCP server listening on {}:{}".format(*s.getsockname()))
    while True:
        if not room.acquire(blocking=False):
            if not said_full:
                print(f"Full at {args.max_clients} clients: others wait", file=sys.stderr)
                said_full = True
            room.acquire()
        try:
            conn, addr = s.accept()
            peer = "{}:{}".format(*addr)
            threading.Thread(target=serve, args=(conn, peer), daemon=True).start()
        except (OSError, RuntimeError) as error:
            # No more open files, or no more threads.
            print(f"Cannot accept a client: {error}", file=sys.stderr)
            room.release()
            time.sleep(0.1)
