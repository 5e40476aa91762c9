"""A ZeroMQ requester, written from the contract in the README of zeromq-patterns."""

import argparse
import sys
import time
import unicodedata

import zmq

sys.stdout.reconfigure(line_buffering=True)


def printable(frames):
    text = " | ".join(frame.decode(errors="replace") for frame in frames)[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def connect():
    print(f"Connecting to {args.endpoint}")
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.rcvtimeo = socket.sndtimeo = 5000
    socket.connect(args.endpoint)
    return socket


def ask():
    """Asks three times at most: a socket whose reply does not come is not kept."""
    global socket
    for number in 1, 2, 3:
        socket = socket or connect()
        try:
            socket.send_string(args.message)
            return socket.recv_multipart()
        except zmq.Again:
            socket.close()
            socket = None
            print(f"No reply, try {number} of 3: silence for 5 s", file=sys.stderr)
    sys.exit(f"Error: no reply from {args.endpoint} (is the replier running?)")


parser = argparse.ArgumentParser()
parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5555")
parser.add_argument("message", nargs="?", default="Hello, world")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("--interval", type=float, default=0)
args = parser.parse_args()
context, socket = zmq.Context(), None
for number in range(1, args.count + 1):
    print(f"Received reply {number}: {printable(ask())}")
    if number < args.count:
        time.sleep(args.interval)
