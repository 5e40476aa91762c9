"""The ZeroMQ examples' twins on pyzmq: the same messages, the same lines."""

import os
import sys
import time

import zmq

role, endpoint, count, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
context = zmq.Context()

if role == "replier":
    socket = context.socket(zmq.REP)
    socket.bind(endpoint)
    while True:
        request = socket.recv_string()
        print(f"Received request: {request}")
        socket.send_string(request)
elif role == "requester":
    socket = context.socket(zmq.REQ)
    socket.connect(endpoint)
    times = []
    for number in range(1, count + 1):
        start = time.perf_counter()
        socket.send_string(text)
        reply = socket.recv_string()
        times.append((time.perf_counter() - start) * 1000)
        print(f"Received reply {number}: {reply}")
    times.sort()
    p50, p99 = (times[-(-len(times) * percent // 100) - 1] for percent in (50, 99))
    print(f"Replies: {count}, p50 {p50:.3f} ms, p99 {p99:.3f} ms")
elif role == "pusher":
    socket = context.socket(zmq.PUSH)
    socket.bind(endpoint)
    for number in range(1, count + 1):
        task = f"{os.getpid()}-{number} {text}"
        socket.send_string(task)
        print(f"Sent: {task}")
elif role == "puller":
    socket = context.socket(zmq.PULL)
    socket.connect(endpoint)
    for _ in range(count):
        print(f"Received: {socket.recv_string()}")
