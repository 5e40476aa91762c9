"""A frames server, written from the protocol and the contract in tcp-messages' README."""

import asyncio
import ipaddress
import json
import resource
import socket
import struct
import sys
import unicodedata

MAX_FRAME, MAX_KEYS, MAX_CLIENTS, PATIENCE = 32768, 100, 1000, 4

sys.stdout.reconfigure(line_buffering=True)
store = {}


class Refused(Exception):
    pass


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


def text_of(request, name):
    text = request.get(name)
    if not isinstance(text, str):
        raise Refused(f"no string '{name}'")
    text.encode()  # Half of a surrogate pair is no text.
    return text


def answer(frame):
    request = json.loads(frame.decode())
    if not isinstance(request, dict):
        raise Refused("not an object")
    match text_of(request, "do"):
        case "set":
            key, value = text_of(request, "key"), text_of(request, "value")
            if not 1 <= len(key.encode()) <= 32:
                raise Refused("a key has 1 to 32 bytes")
            if len(store) >= MAX_KEYS and key not in store:
                raise Refused("the store is full")
            store[key] = value
            return {"ok": True}
        case "get":
            key = text_of(request, "key")
            if key not in store:
                raise Refused("no such key")
            return {"value": store[key]}
        case "list":
            return {"keys": sorted(store, key=str.encode)}
        case _:
            raise Refused("no such request")


async def receive(reader):
    """Returns the next frame, or None at the end of the stream."""
    try:
        head = await reader.readexactly(4)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Refused("the stream ended in a length") from None
        return None
    (length,) = struct.unpack(">I", head)
    if length > MAX_FRAME:
        raise Refused(f"{length} bytes are more than {MAX_FRAME}")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise Refused("the stream ended in a frame") from None


async def send(writer, reply):
    reply = json.dumps(reply, separators=(",", ":"), ensure_ascii=False).encode()
    writer.write(struct.pack(">I", len(reply)) + reply)
    await asyncio.wait_for(writer.drain(), PATIENCE)


async def read_to_end(reader):
    while await reader.read(65536):
        pass


async def serve(reader, writer, peer):
    try:
        while (frame := await receive(reader)) is not None:
            print(f"Received from {peer}: {printable(frame)}")
            try:
                reply = answer(frame)
            except (Refused, ValueError, RecursionError) as error:
                reply = {"error": str(error) or "not a request"}
            await send(writer, reply)
    except Refused as error:
        await send(writer, {"error": str(error)})
    writer.write_eof()
    try:
        await asyncio.wait_for(read_to_end(reader), PATIENCE)
    except (OSError, asyncio.TimeoutError):
        pass
    print(f"Closing connection with {peer}")


async def run(connection, peer, places):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_FRAME)
    writer.transport.set_write_buffer_limits(0)
    try:
        await serve(reader, writer, peer)
    except (OSError, asyncio.TimeoutError) as error:
        print(f"Lost connection with {peer}: {error!r}", file=sys.stderr)
    finally:
        writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
        places.release()


async def main(listener):
    loop, tasks = asyncio.get_running_loop(), set()
    places = asyncio.BoundedSemaphore(MAX_CLIENTS)
    print(f"Frames server listening on {shown(listener.getsockname())}")
    while True:
        if places.locked():
            print(f"Cannot serve a client: {MAX_CLIENTS} are connected", file=sys.stderr)
        await places.acquire()
        try:
            connection, peer = await loop.sock_accept(listener)
        except OSError as error:
            places.release()
            print(f"Cannot serve a client: {error}", file=sys.stderr)
            await asyncio.sleep(0.1)
            continue
        print(f"Connected by {shown(peer)}")
        task = asyncio.create_task(run(connection, shown(peer), places))
        tasks.add(task)  # The loop itself keeps no task alive.
        task.add_done_callback(tasks.discard)


text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:65436"
try:
    family, address = parse(text)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 4096 if most == resource.RLIM_INFINITY else min(most, 4096)
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
