"""A ZeroMQ puller, written from the contract in the README of zeromq-patterns."""

import argparse
import sys
import time
import unicodedata

import zmq
from zmq.utils.monitor import recv_monitor_message

sys.stdout.reconfigure(line_buffering=True)


def printable(frames):
    text = " | ".join(frame.decode(errors="replace") for frame in frames)[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def connect():
    """connect() itself returns at once: only the monitor tells when it has happened."""
    socket = context.socket(zmq.PULL)
    monitor = socket.get_monitor_socket()
    socket.connect(args.endpoint)
    while True:
        if not monitor.poll(1000):
            print(f"Waiting for a pusher at {args.endpoint}", file=sys.stderr)
        elif recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            print(f"Connected to {args.endpoint}")
            return socket, monitor


def work(socket, monitor):
    global left
    while left > 0:
        ready = dict(zmq.zmq_poll([(socket, zmq.POLLIN), (monitor, zmq.POLLIN)], -1))
        if socket in ready:
            print(f"Received: {printable(socket.recv_multipart())}")
            time.sleep(args.work)
            left -= 1
        elif recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED:
            print("Lost the pusher: it closed the connection", file=sys.stderr)
            socket.disable_monitor()
            socket.close(linger=0)
            return


parser = argparse.ArgumentParser()
parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5557")
parser.add_argument("--count", type=int, default=sys.maxsize)
parser.add_argument("--work", type=float, default=0)
args = parser.parse_args()
left = args.count
context = zmq.Context()
try:
    while left > 0:
        work(*connect())
except KeyboardInterrupt:
    pass
