"""A blocking UDP echo server, one socket for all clients: the twin of udp-server."""

import re
import socket
import sys
import time

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


host, port = sys.argv[1].rsplit(":", 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind((host, int(port)))
    own_port = s.getsockname()[1]
    print(f"UDP server listening on {host}:{own_port}")
    while True:
        try:
            data, addr = s.recvfrom(65535)
        except OSError as error:
            print(f"Cannot receive: {error}", file=sys.stderr)
            time.sleep(0.1)
            continue
        peer = "{}:{}".format(*addr)
        # A forged sender: an answer to our own port would go round for ever.
        if addr[1] in (0, own_port):
            print(f"Ignored a datagram that claims to be from {peer}", file=sys.stderr)
            continue
        print(f"Received {printable(data)[:200]} from {peer}")
        try:
            s.sendto(data, addr)
        except OSError as error:
            print(f"Cannot answer {peer}: {error}", file=sys.stderr)
