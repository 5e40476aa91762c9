"""A ZeroMQ replier, written from the contract in the README of zeromq-patterns."""

import sys
import unicodedata

import zmq

sys.stdout.reconfigure(line_buffering=True)


def printable(frames):
    text = " | ".join(frame.decode(errors="replace") for frame in frames)[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555"
socket = zmq.Context().socket(zmq.REP)
try:
    socket.bind(endpoint)
except zmq.ZMQError as error:
    sys.exit(f"Error: cannot listen on {endpoint}: {error}")
print(f"Replier listening on {socket.last_endpoint.decode()}")
try:
    while True:
        request = socket.recv_multipart()
        print(f"Received request: {printable(request)}")
        socket.send_multipart(request)
except KeyboardInterrupt:
    pass
