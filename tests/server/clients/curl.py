"""What `curl` does with the options that the server's page uses, for machines that have none.

-s quiet; -N as it comes; -X method; -H header; -d, --data-binary body or @file; -o file; -D - headers to the output
"""

from __future__ import annotations

import http.client
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

WITH_VALUE = ("-X", "-H", "-d", "-o", "-D", "--data-binary")


def parsed(words: Iterator[str]) -> tuple[str, dict[str, list[str]]]:
    """(address, values by option)"""
    found: dict[str, list[str]] = {}
    address = ""
    for word in words:
        if word in WITH_VALUE:
            found.setdefault(word, []).append(next(words))
        elif word.startswith("-"):
            assert set(word[1:]) <= set("sN"), word
        else:
            address = word
    return address, found


def body_of(options: dict[str, list[str]]) -> bytes | None:
    for name in ("-d", "--data-binary"):
        for text in options.get(name, ()):
            data = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
            return data.replace(b"\r", b"").replace(b"\n", b"") if name == "-d" and text.startswith("@") else data
    return None


def main() -> None:
    address, options = parsed(iter(sys.argv[1:]))
    parts, body = urlsplit(address), body_of(options)
    connection = http.client.HTTPConnection(parts.netloc, timeout=600)
    headers = {"User-Agent": "curl/8.0", "Accept": "*/*"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    for line in options.get("-H", ()):
        name, _, value = line.partition(":")
        headers[name.strip()] = value.strip()
    method = options.get("-X", ["GET" if body is None else "POST"])[0]
    connection.request(method, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", body, headers)
    answer = connection.getresponse()
    out = sys.stdout.buffer
    if options.get("-D") == ["-"]:
        out.write(f"HTTP/1.1 {answer.status} {answer.reason}\r\n".encode() + bytes(answer.msg) + b"\r\n")
    if "-o" in options:
        with open(options["-o"][0], "wb") as file:
            shutil.copyfileobj(answer, file)
    else:
        while piece := answer.read1():
            out.write(piece)
            out.flush()


if __name__ == "__main__":
    main()
