"""A WebSocket chat client, written from the contract in the README of ws-chat."""

import argparse
import asyncio
import signal
import sys
import threading
import unicodedata

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def show(mark, first, headers):
    for line in [first] + [f"{name}: {value}" for name, value in headers.raw_items()]:
        print(f"{mark} {printable(line)}")


def read_lines(loop, lines):
    """Reading standard input blocks, so it has a thread of its own."""
    for line in sys.stdin.buffer:
        text = line.decode(errors="replace").rstrip("\r\n")
        loop.call_soon_threadsafe(lines.put_nowait, text)
    loop.call_soon_threadsafe(lines.put_nowait, None)


async def send_lines(server):
    lines = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=read_lines, args=(loop, lines), daemon=True).start()
    while (line := await lines.get()) is not None:
        await server.send(line)


async def print_messages(server):
    try:
        while True:
            print(printable(await server.recv()))
    except ConnectionClosed as error:
        # The server ended it, unless this client has said goodbye.
        if not (isinstance(error, ConnectionClosedOK) and not error.rcvd_then_sent):
            sys.exit(f"Error: lost the connection, or the server ended it: {error}")


async def main():
    async with connect(args.server, proxy=None, max_size=1024 * 1024) as server:
        if args.show_upgrade:
            answer = server.response
            first = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"
            show(">", "GET / HTTP/1.1", server.request.headers)
            show("<", first, answer.headers)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        print("Connected to server")
        printing = asyncio.create_task(print_messages(server))
        ends = [asyncio.create_task(stop.wait()), printing]
        if not args.listen:
            ends.append(asyncio.create_task(send_lines(server)))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await server.close()
        await printing
    print("Disconnected")


parser = argparse.ArgumentParser()
parser.add_argument("server", nargs="?", default="ws://127.0.0.1:8765")
parser.add_argument("--listen", action="store_true")
parser.add_argument("--show-upgrade", action="store_true")
args = parser.parse_args()
try:
    asyncio.run(main())
except OSError as error:
    sys.exit(f"Error: cannot connect to {args.server} (is the server running?): {error}")
