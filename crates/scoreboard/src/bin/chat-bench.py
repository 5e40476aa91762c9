"""The slide's chat with the library's own broadcast(), its fastest way to all clients."""

import asyncio
import logging
import sys

from websockets.asyncio.server import broadcast, serve

# Whoever connects and leaves is no news.
logging.disable()
connected_clients = set()


async def chat_handler(websocket):
    connected_clients.add(websocket)
    print(f"Client connected: {websocket.remote_address}")
    try:
        async for message in websocket:
            print(f"Received from {websocket.remote_address}: {message}")
            others = connected_clients - {websocket}
            broadcast(others, f"[{websocket.remote_address[1]}]: {message}")
    finally:
        connected_clients.remove(websocket)


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    async with serve(chat_handler, host, int(port)):
        await asyncio.Future()


asyncio.run(main())
