"""An asyncio UDP echo server, written from the contract in the README of async-udp-echo."""

import asyncio
import ipaddress
import socket
import sys
import unicodedata

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")[:200] or "(empty)"
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse(text):
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    return family, (str(address), int(port))


async def main(server):
    # The transports of asyncio send no empty datagram before Python 3.13.
    loop, own = asyncio.get_running_loop(), server.getsockname()
    print(f"Async UDP server listening on {shown(own)}")
    while True:
        data, peer = await loop.sock_recvfrom(server, 65535)
        if peer[1] in (0, own[1]):
            whose = shown(peer)
            print(f"Ignored a datagram that claims to be from {whose}", file=sys.stderr)
            continue
        print(f"Received {printable(data)} from {shown(peer)}")
        try:
            await loop.sock_sendto(server, data, peer)
        except OSError as error:
            print(f"Cannot answer {shown(peer)}: {error}", file=sys.stderr)


text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65432"
try:
    family, address = parse(text)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
server = socket.socket(family, socket.SOCK_DGRAM)
server.setblocking(False)
try:
    server.bind(address)
except OSError as error:
    sys.exit(f"Error: cannot listen on {text}: {error}")
try:
    asyncio.run(main(server))
except KeyboardInterrupt:
    pass
