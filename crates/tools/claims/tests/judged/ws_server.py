"""A WebSocket chat server, written from the contract in the README of ws-chat."""

import argparse
import asyncio
import signal
import sys
import unicodedata
from pathlib import Path

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

PAGE = Path(__file__).parents[4] / "ws-chat/chat.html"

sys.stdout.reconfigure(line_buffering=True)
clients = set()


def printable(text):
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_foreign(headers):
    origin = headers.get("Origin")
    return origin not in [None, f"http://{headers.get('Host')}", *args.allow_origin]


def answer(connection, request):
    """Returns None where the connection is to become a WebSocket."""
    if request.path.split("?")[0] != "/":
        return connection.respond(404, "Nothing is here")
    if "Sec-WebSocket-Version" in request.headers:
        if is_foreign(request.headers):
            origin = printable(request.headers["Origin"])
            print(f"Refused {origin}: --allow-origin {origin}", file=sys.stderr)
            return connection.respond(403, "No")
        return connection.respond(503, "Full") if len(clients) >= 1000 else None
    page = connection.respond(200, PAGE.read_text())
    del page.headers["Content-Type"]
    page.headers["Content-Type"] = "text/html; charset=utf-8"
    return page


async def chat(client):
    peer = shown(client.remote_address)
    clients.add(client)
    print(f"Client connected: {peer}")
    try:
        while True:
            text = await client.recv(decode=True)
            print(f"Received from {peer}: {printable(text[:200])}")
            broadcast(clients - {client}, f"[{client.remote_address[1]}]: {text}")
    except ConnectionClosed as error:
        if not error.rcvd:
            print(f"Lost connection with {peer}: {error}", file=sys.stderr)
    finally:
        clients.remove(client)
        print(f"Client disconnected: {peer}")


async def main():
    host, port = args.address.rsplit(":", 1)
    # A client that has said goodbye may be slow to hang up.
    limits = {"max_size": 64 * 1024, "open_timeout": 8, "close_timeout": 0.5}
    async with serve(
        chat, host.strip("[]"), int(port), process_request=answer, compression=None, **limits
    ) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, server.close)
        print(f"WebSocket server on ws://{shown(server.sockets[0].getsockname())}")
        await server.wait_closed()


parser = argparse.ArgumentParser()
parser.add_argument("address", nargs="?", default="127.0.0.1:8765")
parser.add_argument("--allow-origin", action="append", default=[])
args = parser.parse_args()
asyncio.run(main())
