"""A store that gives every request the same answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def scripted_store(status: int, code: str = "", *, only_puts: bool = False, but_head: bool = False) -> Iterator[str]:
    """Start an S3 server on a free port that answers with a status and an error code, and yield its endpoint.

    status:    0 closes the connection without an answer
    only_puts: other requests find an empty store
    but_head:  HEAD finds a file of nine megabytes
    """
    content = f"<Error><Code>{code}</Code><Message>status 403, says a message</Message></Error>" if code else ""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # for clients that wait for 100-continue

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if but_head and self.command == "HEAD":
                self.answer(200, " " * (9 << 20))
            elif not only_puts or self.command == "PUT":
                self.answer(status, content)
            elif "list-type" in self.path:
                self.answer(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
            else:
                self.answer(404, "<Error><Code>NoSuchKey</Code></Error>")

        do_PUT = do_HEAD = do_POST = do_GET  # noqa: N815

        def answer(self, status: int, content: str) -> None:
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("ETag", '"0"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content.encode())

        def log_message(self, *arguments: object) -> None:
            """No line on stderr for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
