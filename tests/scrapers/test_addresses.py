"""Where a crawl must not go, by whatever way it is led there."""

import asyncio
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.utils.test import get_crawler

from scrapers.addresses import PrivateAddressError, PublicAddresses, PublicResolver, is_public
from tests.conftest import ROOT

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *(
        "224.0.0.1",
        "255.255.255.255",
        "0.1.2.3",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:127.0.0.1",
        "ff02::1",
    ),
]
PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]


def test_private_and_public_addresses() -> None:
    assert not [address for address in PRIVATE if is_public(address)]
    assert not [address for address in PUBLIC if not is_public(address)]


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=6, network="fc00::/7"))
def test_no_address_of_a_private_network_is_public(address: object) -> None:
    assert not is_public(str(address))


@pytest.mark.parametrize(
    "url", [*(f"http://{address}/" for address in ("127.0.0.1", "169.254.169.254")), "http://[::1]/"]
)
def test_request_for_a_private_address_is_refused(url: str) -> None:
    addresses = PublicAddresses(get_crawler())
    with pytest.raises(PrivateAddressError):
        addresses.process_request(Request(url))
    addresses.process_request(Request("http://8.8.8.8/"))
    addresses.process_request(Request("http://a.example/"))


def _resolve(
    monkeypatch: pytest.MonkeyPatch, answers: list[list[str]], host: str = "museum.example", port: int = 443
) -> list[str]:
    """What the resolver makes of a name that the system resolves to ``answers``, one after the other."""
    found = iter(answers)

    def getaddrinfo(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(found)]

    async def resolve() -> list[str]:
        resolver = PublicResolver()
        for _ in answers:
            results = await resolver.resolve(host, port)
        return [result["host"] for result in results]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asyncio.run(resolve())


def test_name_that_is_public_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _resolve(monkeypatch, [PUBLIC[:2]]) == PUBLIC[:2]


@pytest.mark.parametrize("answers", [[["10.0.0.1"]], [["8.8.8.8", "127.0.0.1"]], [["8.8.8.8"], ["127.0.0.1"]]])
def test_name_that_is_private_or_becomes_so_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answers: list[list[str]]
) -> None:
    with pytest.raises(OSError, match="not a public address"):
        _resolve(monkeypatch, answers)
    assert caplog.text.count("museum.example leads to") == 1


def test_proxy_of_the_user_may_be_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")
    assert _resolve(monkeypatch, [["10.0.0.1"]], host="proxy.lan", port=3128) == ["10.0.0.1"]
    with pytest.raises(OSError, match="not a public address"):
        _resolve(monkeypatch, [["10.0.0.1"]], host="proxy.lan", port=80)


CRAWL = """
import sys, asyncio, logging
from scrapy import Request, Spider
from scrapy.settings import Settings
from scrapy.crawler import AsyncCrawlerProcess
import scrapers.addresses as addresses
from scrapers.spiders.images import _reason
if "trusting" in sys.argv: addresses.is_public = lambda address: True
class One(Spider):
    name = "one"
    async def start(self):
        try:
            response = await self.crawler.engine.download_async(Request(sys.argv[1], meta={"dont_retry": True}))
            print(response.status)
        except Exception as error:
            print(_reason(error))
        return
        yield
settings = Settings({"LOG_LEVEL": "CRITICAL", "BACKOFF_S": 1, "PATIENCE_S": 1, "MAX_REFUSALS": 1})
settings.setmodule("scrapers.settings")
settings.set("ROBOTSTXT_OBEY", False)
process = AsyncCrawlerProcess(settings)
process.crawl(One)
process.start()
"""


def _outcome(url: str, *arguments: str) -> str:
    command = [sys.executable, "-c", CRAWL, url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True).stdout.strip()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f000001", "[::1]"])
def test_crawler_does_not_connect_to_this_machine(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        reason = _outcome(f"http://{host}:{server.getsockname()[1]}/")
        assert reason in ("private-address", "bad-address")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    _sign_for_oneself(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve_and_ask() -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await asyncio.to_thread(_outcome, f"https://localhost:{port}/", "trusting")

    assert asyncio.run(serve_and_ask()) == "tls"


def _sign_for_oneself(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, pem, plain))
