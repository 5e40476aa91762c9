"""A REST server, written from the contract in the README of rest-items."""

import ipaddress
import json
import math
import re
import socket
import sys
import threading
import time
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES, MOST_ITEMS, MOST_ID = 1 << 20, 10_000, (1 << 64) - 1

items = {1: {"name": "Laptop", "price": 1200}, 2: {"name": "Mouse", "price": 50}}
lock = threading.Lock()
last = 2


class Failed(Exception):
    """A status, the words of the error, and more headers."""


def say(text, stream=sys.stdout):
    stream.write(text + "\n")  # With `print`, two threads may share a line.
    stream.flush()


def printable(text):
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def shown(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def is_item(item):
    if not isinstance(item, dict) or item.keys() != {"name", "price"}:
        return False
    name, price = item["name"], item["price"]
    is_number = isinstance(price, (int, float)) and not isinstance(price, bool)
    return (
        isinstance(name, str)
        and 1 <= len(name) <= 100
        and is_number
        and 0 <= price < math.inf
    )


def with_id(id, item):
    return {"id": id, **item}


def create(item):
    global last
    if len(items) >= MOST_ITEMS:
        raise Failed(507, "there is no room for more items")
    last += 1
    items[last] = item
    return 201, with_id(last, item), {"Location": f"/items/{last}"}


def find(id):
    if id not in items:
        raise Failed(404, "Item not found")
    return items[id]


def route(method, path, item):
    """Returns the status, the JSON and more headers; `item` reads the body's item."""
    if path == "/":
        if method in ("GET", "HEAD"):
            return 200, {"message": "Hello, API!"}, {}
        raise Failed(405, "only GET, HEAD", {"Allow": "GET, HEAD"})
    if path == "/items":
        if method in ("GET", "HEAD"):
            return 200, [with_id(id, items[id]) for id in sorted(items)], {}
        if method == "POST":
            return create(item())
        raise Failed(405, "only GET, HEAD, POST", {"Allow": "GET, HEAD, POST"})
    if not path.startswith("/items/"):
        raise Failed(404, "no such path")
    id = path.removeprefix("/items/")
    allowed = "DELETE, GET, HEAD, PUT"
    if not re.fullmatch("[0-9]+", id) or int(id) > MOST_ID:
        raise Failed(422, "an id is a number")
    id = int(id)
    if method in ("GET", "HEAD"):
        return 200, find(id), {}
    if method == "PUT":
        new = item()
        find(id)
        items[id] = new
        return 200, new, {}
    if method == "DELETE":
        find(id)
        del items[id]
        return 204, None, {}
    raise Failed(405, f"only {allowed}", {"Allow": allowed})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    timeout = 8

    def parse_request(self):
        while self.raw_requestline in (b"\r\n", b"\n"):
            self.raw_requestline = self.rfile.readline(65537)
        if not super().parse_request():
            return False
        # The library makes one slash of two at the beginning.
        self.path = self.requestline.split()[1]
        return True

    def handle_expect_100(self):
        return True  # `body` says it, once it knows that it will read one.

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def send_error(self, code, message=None, explain=None):
        self.close_connection = True
        self.command = self.command or "GET"
        code = {414: 431, 505: 400, 501: 400}.get(code, code)
        self.answer(code, {"error": message or "not understood"}, {})

    def check_headers(self):
        if any(unicodedata.category(c) == "Cc" for v in self.headers.values() for c in v):
            raise Failed(400, "control characters in a header")
        hosts = self.headers.get_all("Host") or []
        valid = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]*)?"
        is_valid = len(hosts) == 1 and re.fullmatch(valid, hosts[0])
        if self.request_version != "HTTP/1.0" and not is_valid:
            raise Failed(400, "it takes one valid Host")

    def chunks(self):
        body = b""
        while True:
            size = self.rfile.readline(1024).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]+", size):
                raise self.closing(400, "a broken chunk")
            size = int(size, 16)
            if size == 0:
                while self.rfile.readline(65536).strip():
                    pass
                return body
            if len(body) + size > MOST_BYTES:
                raise self.closing(413, "the body is larger than 1 MiB")
            body += self.rfile.read(size)
            if self.rfile.readline(3) != b"\r\n":
                raise self.closing(400, "a broken chunk")

    def closing(self, status, why):
        self.close_connection = True
        return Failed(status, why)

    def go_on(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()

    def body(self):
        lengths = self.headers.get_all("Content-Length") or []
        coding = self.headers.get("Transfer-Encoding")
        if coding is not None:
            if coding.lower() != "chunked" or lengths:
                raise self.closing(400, "not one length")
            self.go_on()
            return self.chunks()
        if not lengths:
            return b""
        if len(lengths) > 1 or not re.fullmatch("[0-9]{1,19}", lengths[0]):
            raise self.closing(400, "not one length")
        if int(lengths[0]) > MOST_BYTES:
            raise self.closing(413, "the body is larger than 1 MiB")
        self.go_on()
        return self.rfile.read(int(lengths[0]))

    def item_in(self, body):
        kind = (self.headers.get("Content-Type") or "").split(";")[0].strip()
        if kind.lower() != "application/json":
            raise Failed(415, "an item is application/json")
        try:
            item = json.loads(body.decode(), parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            raise Failed(400, f"malformed JSON: {error}") from None
        if not is_item(item):
            raise Failed(422, "name: 1 to 100 characters, price: a number from 0")
        return item

    def serve(self):
        path = self.path.split("?")[0]
        if path.startswith("http://"):
            path = "/" + path.split("/", 3)[-1]
        try:
            body = self.body()
            self.check_headers()
            with lock:
                status, value, headers = route(
                    self.command, path, lambda: self.item_in(body)
                )
        except Failed as error:
            status, why, *more = error.args
            value, headers = {"error": why}, more[0] if more else {}
        peer = shown(self.client_address)
        say(f"{peer} {self.command:.200} {printable(path)[:200]}: {status}")
        self.answer(status, value, headers)

    def answer(self, status, value, headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        for name, content in headers.items():
            self.send_header(name, content)
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "keep-alive")
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(text)
        if self.close_connection:
            self.read_to_end()

    def read_to_end(self):
        """Closing while the client sends would reset the connection under the answer."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self.timeout
        try:
            while time.monotonic() < deadline and self.rfile.read1(65536):
                pass
        except OSError:
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        try:
            return super().get_request()
        except OSError as error:
            say(f"Cannot accept: {error}", sys.stderr)
            time.sleep(0.1)
            raise

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        say(f"Lost connection with {shown(client_address)}: {error}", sys.stderr)


text = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
try:
    host, port = text.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    port = int(port)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
if address.version == 6:
    Server.address_family = socket.AF_INET6
try:
    server = Server((str(address), port), Handler)
except OSError as error:
    sys.exit(f"Error: cannot listen on {text}: {error}")
say(f"REST server on http://{shown(server.socket.getsockname())}")
server.serve_forever()
