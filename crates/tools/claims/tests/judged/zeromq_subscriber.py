"""A ZeroMQ subscriber, written from the contract in the README of zeromq-patterns."""

import argparse
import sys
import unicodedata

import zmq
from zmq.utils.monitor import recv_monitor_message

sys.stdout.reconfigure(line_buffering=True)


def printable(frames):
    text = " | ".join(frame.decode(errors="replace") for frame in frames)
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def connect():
    """connect() itself returns at once: only the monitor tells when it has happened."""
    socket = context.socket(zmq.SUB)
    for topic in args.topic or [""]:
        socket.subscribe(topic)
    monitor = socket.get_monitor_socket()
    socket.connect(args.endpoint)
    while True:
        if not monitor.poll(1000):
            print(f"Waiting for a publisher at {args.endpoint}", file=sys.stderr)
        elif recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            print(f"Connected to {args.endpoint}")
            return socket, monitor


def print_messages(socket, monitor):
    while True:
        ready = dict(zmq.zmq_poll([(socket, zmq.POLLIN), (monitor, zmq.POLLIN)], -1))
        if socket in ready:
            print(f"Received: {printable(socket.recv_multipart())}")
        elif recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED:
            print("Lost the publisher: it closed the connection", file=sys.stderr)
            socket.disable_monitor()
            socket.close(linger=0)
            return


parser = argparse.ArgumentParser()
parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5556")
parser.add_argument("--topic", action="append")
args = parser.parse_args()
context = zmq.Context()
try:
    while True:
        print_messages(*connect())
except KeyboardInterrupt:
    pass
