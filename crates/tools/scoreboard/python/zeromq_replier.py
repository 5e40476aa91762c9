"""A ZeroMQ replier on pyzmq: the twin of zeromq-replier."""

import re
import signal
import sys

import zmq

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context, context.socket(zmq.REP) as socket:
    socket.bind(sys.argv[1])
    print(f"Replier listening on {socket.last_endpoint.decode()}")
    while True:
        request = socket.recv_multipart()
        print(f"Received request: {printable(b' | '.join(request))[:200]}")
        socket.send_multipart(request)
