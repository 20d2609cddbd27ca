"""An issuer that tests can have say anything."""

import contextlib
import http.server
import json
import threading


class Issuer:
    """A loopback HTTP server that answers as it is told, and counts."""

    def __init__(self):
        self.asked = []
        self.status, self.body, self.headers = 200, b"{}", {}
        self.drip = self.drip_head = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if outer.drip_head is not None:
                    with contextlib.suppress(OSError):
                        outer.drip_head(self.wfile)
                    return
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    if outer.drip is not None:
                        outer.drip(self.wfile)
                    self.wfile.write(outer.body)

            def log_message(self, *args):
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, auth, *extra):
        """Serve the key set of *auth*, and more keys."""
        self.body = json.dumps({"keys": [*extra, *auth.jwks()["keys"]]}).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
