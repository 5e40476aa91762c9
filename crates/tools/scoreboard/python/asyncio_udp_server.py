"""An asyncio UDP echo server, a DatagramProtocol: the twin of async-udp-server."""

import asyncio
import re
import signal
import sys

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


class EchoServerProtocol(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        host, self.port = transport.get_extra_info("sockname")
        print(f"Async UDP server listening on {host}:{self.port}")

    def datagram_received(self, data, addr):
        peer = "{}:{}".format(*addr)
        # A forged sender: an answer to our own port would go round for ever.
        if addr[1] in (0, self.port):
            print(f"Ignored a datagram that claims to be from {peer}", file=sys.stderr)
            return
        print(f"Received {printable(data)[:200]} from {peer}")
        self.transport.sendto(data, addr)

    def error_received(self, exc):
        print(f"Cannot receive or answer: {exc}", file=sys.stderr)


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    transport, _ = await loop.create_datagram_endpoint(
        EchoServerProtocol, local_addr=(host, int(port))
    )
    await stop.wait()
    transport.close()


asyncio.run(main())
