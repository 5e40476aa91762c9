"""A ZeroMQ replier on pyzmq: the twin of zeromq-replier."""

import signal
import sys

import zmq

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data[:804].decode(errors="backslashreplace")
    return text if len(text) <= 200 else f"{text[:200]}... ({len(data)} bytes)"


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context, context.socket(zmq.REP) as socket:
    socket.bind(sys.argv[1])
    print(f"Replier listening on {socket.last_endpoint.decode()}")
    while True:
        request = socket.recv_multipart()
        print(f"Received request: {printable(b' | '.join(request))}")
        socket.send_multipart(request)
