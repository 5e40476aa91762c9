"""A WebSocket chat server on the websockets library: the twin of ws-server."""

import asyncio
import re
import resource
import signal
import sys

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

sys.stdout.reconfigure(line_buffering=True)
connected_clients = set()

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(text):
    return CONTROL.sub("\ufffd", text)


async def chat_handler(websocket):
    host, port = websocket.remote_address
    connected_clients.add(websocket)
    print(f"Client connected: {host}:{port}")
    try:
        while True:
            # Binary messages are passed on as text, too.
            text = await websocket.recv(decode=True)
            print(f"Received from {host}:{port}: {printable(text)[:200]}")
            broadcast(connected_clients - {websocket}, f"[{port}]: {text}")
    except ConnectionClosed as error:
        print(f"Client disconnected: {host}:{port}")
        if not isinstance(error, ConnectionClosedOK):
            print(f"Lost connection with {host}:{port}: {error}", file=sys.stderr)
    finally:
        connected_clients.remove(websocket)


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    # Each client is an open file: as many as the system allows.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with serve(
        chat_handler,
        host,
        int(port),
        compression=None,
        max_size=64 * 1024,
        ping_interval=10,
        ping_timeout=10,
        close_timeout=0.5,
    ) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.close)
        address = server.sockets[0].getsockname()
        print("WebSocket server on ws://{}:{}".format(*address))
        await server.wait_closed()


asyncio.run(main())
