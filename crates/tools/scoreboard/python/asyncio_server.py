"""An asyncio TCP echo server on the library's streams: the twin of async-tcp-server."""

import asyncio
import re
import resource
import signal
import socket
import sys

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


async def handle_client(reader, writer):
    addr = "{}:{}".format(*writer.get_extra_info("peername"))
    print(f"Connected by {addr}")
    try:
        while data := await reader.read(1024):
            print(f"Received from {addr}: {printable(data)[:200]}")
            writer.write(data)
            await writer.drain()
        print(f"Closing connection with {addr}")
    except OSError as error:
        print(f"Lost connection with {addr}: {error}", file=sys.stderr)
    except asyncio.CancelledError:
        pass  # The server ends.
    finally:
        writer.close()


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    # Each client is an open file: as many as the system allows.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(handle_client, host, int(port), backlog=4096)
    listener = server.sockets[0]
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    print("Async TCP server listening on {}:{}".format(*listener.getsockname()))
    async with server:
        await stop.wait()


asyncio.run(main())
