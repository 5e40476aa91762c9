"""A REST client, written from the contract in the README of rest-items."""

import argparse
import http.client
import json
import sys
from urllib.parse import urlsplit

MOST_BYTES = 16 << 20
CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")


def printable(text):
    return text.translate(CONTROL)


def number(text):
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(text)
    return value


def arguments():
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument("--server", default=argparse.SUPPRESS)
    parser = argparse.ArgumentParser(parents=[server])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ["list", "get", "create", "replace", "delete"]:
        verb_parser = verbs.add_parser(verb, parents=[server])
        if verb in ("get", "replace", "delete"):
            verb_parser.add_argument("id", type=int)
        if verb in ("create", "replace"):
            verb_parser.add_argument("name")
            verb_parser.add_argument("price", type=number)
    return parser.parse_args()


def host_and_port(url):
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts = urlsplit("")
    plain = parts.path in ("", "/") and not (parts.query or parts.username)
    if parts.scheme != "http" or not parts.hostname or not plain:
        sys.exit("Error: --server takes http://HOST:PORT")
    return parts.hostname, port


def ask(connection, method, path, item):
    headers = {} if item is None else {"Content-Type": "application/json"}
    body = None if item is None else json.dumps(item)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise http.client.HTTPException("the answer is larger than 16 MiB")
    if answer.length:
        raise http.client.IncompleteRead(text, answer.length)
    return answer, text


given = arguments()
host, port = host_and_port(getattr(given, "server", "http://127.0.0.1:8000"))
server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
item = {"name": given.name, "price": given.price} if "name" in given else None
path = f"/items/{given.id}" if "id" in given else "/items"
methods = {"create": "POST", "replace": "PUT", "delete": "DELETE"}
connection = http.client.HTTPConnection(host, port, timeout=5)
try:
    connection.connect()
except OSError as error:
    refused = isinstance(error, ConnectionRefusedError)
    hint = " (is the server running?)" if refused else ""
    sys.exit(f"Error: cannot connect to {server}{hint}: {error}")
try:
    answer, text = ask(connection, methods.get(given.verb, "GET"), path, item)
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"Error: no answer from {server}: {error!r}")
version = {10: "HTTP/1.0", 11: "HTTP/1.1"}[answer.version]
print(f"{version} {answer.status} {printable(answer.reason)}")
try:
    value, is_json = json.loads(text), True
    shown = json.dumps(value, indent=2, ensure_ascii=False)
except ValueError:
    shown, is_json = text.decode(errors="replace"), False
for line in shown.splitlines():
    print(printable(line))
if not is_json and answer.status != 204:
    sys.exit("Error: the answer is not JSON")
sys.exit(0 if 200 <= answer.status < 300 else 1)
