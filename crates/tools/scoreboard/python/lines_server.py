"""A key-value store behind lines, with a thread per client: the twin of lines-server."""

import re
import socket
import sys
import threading

sys.stdout.reconfigure(line_buffering=True)
store = {}
lock = threading.Lock()

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(text):
    return CONTROL.sub("\ufffd", text)


def answer(line):
    with lock:
        match line.split(" ", 2):
            case ["set", key, value]:
                if not 1 <= len(key) <= 32:
                    return "error a key has 1 to 32 bytes"
                if len(store) >= 100 and key not in store:
                    return "error store full"
                store[key] = value
                return "ok"
            case ["get", key] if key in store:
                return f"value {store[key]}"
            case ["get", _]:
                return "error no such key"
            case ["list"]:
                return " ".join(["keys", *sorted(store)])
            case ["quit"]:
                return "bye"
            case _:
                return "error unknown request"


# A line is written together with its end, else those of two threads could mix.
def serve(conn, peer):
    print(f"Connected by {peer}\n", end="")
    try:
        with conn, conn.makefile("rb") as lines:
            while line := lines.readline(4096):
                request = line.decode().rstrip("\r\n")
                print(f"Received from {peer}: {printable(request)[:200]}\n", end="")
                reply = answer(request)
                conn.sendall(f"{reply}\n".encode())
                if reply == "bye":
                    break
        print(f"Closing connection with {peer}\n", end="")
    except (OSError, UnicodeDecodeError) as error:
        print(f"Lost connection with {peer}: {error}\n", end="", file=sys.stderr)


host, port = sys.argv[1].rsplit(":", 1)
with socket.create_server((host, int(port)), backlog=4096) as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("Lines server listening on {}:{}".format(*s.getsockname()))
    while True:
        conn, addr = s.accept()
        peer = "{}:{}".format(*addr)
        threading.Thread(target=serve, args=(conn, peer), daemon=True).start()
