"""A key-value store behind frames of JSON, on asyncio: the twin of frames-server."""

import asyncio
import json
import re
import resource
import socket
import struct
import sys

sys.stdout.reconfigure(line_buffering=True)
MAX_FRAME = 32 * 1024
store = {}

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


def answer(frame):
    try:
        match json.loads(frame):
            case {"do": "set", "key": str(key), "value": str(value)}:
                if not 1 <= len(key) <= 32:
                    return {"error": "a key has 1 to 32 bytes"}
                if len(store) >= 100 and key not in store:
                    return {"error": "store full"}
                store[key] = value
                return {"ok": True}
            case {"do": "get", "key": str(key)} if key in store:
                return {"value": store[key]}
            case {"do": "list"}:
                return {"keys": sorted(store)}
            case _:
                return {"error": "unknown request, or no such key"}
    except ValueError as error:
        return {"error": str(error)}


async def serve(reader, writer):
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = "{}:{}".format(*writer.get_extra_info("peername"))
    print(f"Connected by {peer}")
    try:
        while True:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            if length > MAX_FRAME:
                break
            frame = await reader.readexactly(length)
            print(f"Received from {peer}: {printable(frame)[:200]}")
            reply = json.dumps(answer(frame), separators=(",", ":")).encode()
            writer.write(struct.pack(">I", len(reply)) + reply)
            await writer.drain()
    except asyncio.IncompleteReadError:
        print(f"Closing connection with {peer}")
    except OSError as error:
        print(f"Lost connection with {peer}: {error}", file=sys.stderr)
    finally:
        writer.close()


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.start_server(serve, host, int(port), backlog=4096)
    address = server.sockets[0].getsockname()
    print("Frames server listening on {}:{}".format(*address))
    await server.serve_forever()


asyncio.run(main())
