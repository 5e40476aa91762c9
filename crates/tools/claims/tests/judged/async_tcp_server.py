"""An asyncio TCP echo server, written from the contract in the README of async-tcp-echo."""

import asyncio
import ipaddress
import resource
import socket
import sys
import unicodedata

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, (str(address), int(port))


async def serve(connection, peer):
    loop = asyncio.get_running_loop()
    print(f"Connected by {peer}")
    try:
        with connection:
            while data := await loop.sock_recv(connection, 1024):
                print(f"Received from {peer}: {printable(data)}")
                await loop.sock_sendall(connection, data)
            print(f"Closing connection with {peer}")
    except OSError as error:
        print(f"Lost connection with {peer}: {error}", file=sys.stderr)


async def main(listener):
    loop, tasks = asyncio.get_running_loop(), set()
    print(f"Async TCP server listening on {shown(listener.getsockname())}")
    while True:
        try:
            connection, peer = await loop.sock_accept(listener)
        except OSError as error:
            print(f"Cannot accept: {error}", file=sys.stderr)
            await asyncio.sleep(0.1)
            continue
        task = asyncio.create_task(serve(connection, shown(peer)))
        tasks.add(task)  # The loop itself keeps no task alive.
        task.add_done_callback(tasks.discard)


text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65432"
try:
    family, address = parse(text)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 16384 if most == resource.RLIM_INFINITY else min(most, 16384)
resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
listener = socket.socket(family, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
try:
    listener.bind(address)
    listener.listen(4096)
except OSError as error:
    sys.exit(f"Error: cannot listen on {text}: {error}")
listener.setblocking(False)
try:
    asyncio.run(main(listener))
except KeyboardInterrupt:
    pass
