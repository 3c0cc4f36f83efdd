"""The counting proxy: what passes is unchanged, counted, and as slow as it should."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.counting_proxy import CountingProxy

BODY = bytes(range(256)) * 4096


class Server(BaseHTTPRequestHandler):
    """Answers GET with BODY in several ways, PUT with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        ways = {"/length": ("Content-Length", str(len(BODY)))}
        ways["/chunked"] = "Transfer-Encoding", "chunked"
        ways["/short"] = "Content-Length", str(len(BODY) + 1)
        name, value = ways.get(self.path, ("Connection", "close"))
        self.send_response(200)
        self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.path == "/chunked":
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        else:
            self.wfile.write(BODY)
        self.close_connection = self.path != "/length"

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def do_PUT(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            sent = b""
            while size := int(self.rfile.readline(), 16):
                sent += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("X-Host", self.headers["Host"])
        self.send_header("X-Range", self.headers.get("Range", "-"))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_):
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Print nothing when the proxy goes away because its client did."""


@pytest.fixture
def proxy():
    with Quiet(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with CountingProxy(f"http://127.0.0.1:{server.server_address[1]}") as one:
            yield one
        server.shutdown()


@pytest.fixture
def client(proxy):
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    yield link
    link.close()


@pytest.mark.parametrize("path", ["/length", "/chunked", "/until-the-end"])
def test_an_answer_passes_whole_and_its_body_is_counted(proxy, client, path):
    client.request("GET", path, headers={"Range": "bytes=0-"})

    assert client.getresponse().read() == BODY
    assert proxy.requests == [("GET", "bytes=0-")]
    assert (proxy.down, proxy.up) == (len(BODY), 0)


def test_a_head_has_the_length_and_no_body_and_the_connection_stays(proxy, client):
    for _ in range(2):
        client.request("HEAD", "/length")
        answer = client.getresponse()
        assert (answer.headers["Content-Length"], answer.read()) == (
            str(len(BODY)),
            b"",
        )

    assert (proxy.requests, proxy.down) == ([("HEAD", None)] * 2, 0)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_sent_passes_with_its_host_and_is_counted(
    proxy, client, chunked
):
    body = iter([BODY, BODY]) if chunked else BODY * 2
    client.request(
        "PUT", "/x", body, {"Host": "signed.example"}, encode_chunked=chunked
    )
    answer = client.getresponse()

    assert answer.headers["X-Host"] == "signed.example"
    assert answer.read() == BODY * 2
    assert proxy.up == 2 * len(BODY)


def test_an_answer_that_ends_early_ends_early_for_the_client_too(client):
    client.request("GET", "/short")

    with pytest.raises(http.client.IncompleteRead):
        client.getresponse().read()


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_as_many_answers_as_asked_for_end_early(proxy, client, path):
    proxy.breaks, proxy.break_after = 1, 100_000
    client.request("GET", path)
    with pytest.raises(http.client.IncompleteRead) as broken:
        client.getresponse().read()
    assert (len(broken.value.partial), proxy.down) == (100_000, 100_000)

    client.close()
    proxy.clear()
    client.request("GET", path)
    assert client.getresponse().read() == BODY
    assert (len(proxy.gets), proxy.down) == (1, len(BODY))


@pytest.mark.parametrize("keep", [True, False])
def test_a_range_passes_or_the_whole_is_asked_for(proxy, client, keep):
    proxy.keep_range = keep
    client.request("PUT", "/x", b"", {"Range": "bytes=1-2"})

    assert client.getresponse().headers["X-Range"] == ("bytes=1-2" if keep else "-")


def test_a_client_that_goes_away_is_no_fault(proxy, capfd):
    with socket.create_connection(("127.0.0.1", proxy.port)) as link:
        link.sendall(b"GET /length HTTP/1.1\r\nHost: x\r\n\r\n")
        link.recv(10)

    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    client.request("GET", "/length")
    assert client.getresponse().read() == BODY
    client.close()
    assert capfd.readouterr().err == ""


def test_all_connections_share_the_rate(proxy):
    def get():
        link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
        link.request("GET", "/length")
        link.getresponse().read()
        link.close()

    proxy.rate = 4 * len(BODY) / 0.4
    threads = [threading.Thread(target=get) for _ in range(4)]
    began = time.monotonic()
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_refused_does_not_reach_the_server_and_the_connection_stays(
    proxy, client, chunked
):
    proxy.refusal = lambda method, path: (403, b"no") if method == "PUT" else None
    body = iter([BODY]) if chunked else BODY
    client.request("PUT", "/x", body, encode_chunked=chunked)
    answer = client.getresponse()
    assert (answer.status, answer.read(), proxy.up) == (403, b"no", 0)

    client.request("GET", "/length")
    assert client.getresponse().read() == BODY


def test_the_client_sees_the_date_that_it_is_told(proxy, client):
    other = "Thu, 01 Jan 1970 00:00:00 GMT"
    proxy.dated = lambda date: other
    client.request("GET", "/length")
    answer = client.getresponse()

    assert (answer.headers.get_all("Date"), answer.read()) == ([other], BODY)
