"""Through a proxy that the environment names, if the config says so; else never."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from imagemill.errors import SourceError
from tests.forward import Forward, forwarding
from tests.test_urls import failure, fetched
from tests.web import Page, Web

NAMES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forward]:
    """A forward proxy that the environment names for every scheme."""
    for name in NAMES:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    with forwarding() as running:
        monkeypatch.setenv("http_proxy", running.url)
        monkeypatch.setenv("https_proxy", running.url)
        yield running


def behind(web: Web, path: str) -> str:
    """Make a path answer, and return its address by a name that only the proxy knows."""
    return web.put(path).replace("127.0.0.1", "photos.invalid")


def test_names_that_only_the_proxy_knows_are_asked_through_it(web: Web, forward: Forward):
    urls = [behind(web, f"{n}.jpg") for n in range(20)]
    found = fetched(*urls, proxy="environment", allow_private=False)
    assert found == dict.fromkeys(urls, Page().body)
    assert sorted(forward.asked) == sorted(("GET", url) for url in urls)


def test_without_a_word_in_the_config_no_proxy_is_asked(web: Web, forward: Forward):
    url = web.put("x.jpg")
    assert fetched(url, proxy="none") == {url: Page().body}
    assert forward.asked == []


def test_hosts_of_no_proxy_are_asked_straight_and_their_addresses_checked(
    web: Web, forward: Forward, monkeypatch
):
    url = web.put("x.jpg")
    monkeypatch.setenv("no_proxy", "elsewhere.example,127.0.0.1")
    assert fetched(url, proxy="environment") == {url: Page().body}
    assert failure(url, proxy="environment", allow_private=False)[0] == "private_address"
    assert forward.asked == []
    assert len(web.asked) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::1]"])
def test_a_private_address_in_numbers_is_not_asked_through_a_proxy_either(
    web: Web, forward: Forward, host: str
):
    url = web.url("x.jpg", host)
    assert failure(url, proxy="environment", allow_private=False)[0] == "private_address"
    assert forward.asked == []


def test_a_redirect_is_followed_through_the_proxy(web: Web, forward: Forward):
    web.put("photo.jpg")
    target = web.url("photo.jpg", "other.invalid")
    url = behind(web, "x")
    web.put("x", Page(b"moved", 302, {"Location": target}))
    assert fetched(url, proxy="environment") == {url: Page().body}
    assert forward.asked == [("GET", url), ("GET", target)]


def test_a_proxy_may_ask_for_a_login_which_nobody_is_shown(web: Web, forward: Forward, monkeypatch):
    url = behind(web, "x.jpg")
    forward.login = "me:s3cret%"
    assert failure(url, proxy="environment") == ("denied", "status 407")
    monkeypatch.setenv("http_proxy", forward.url.replace("%", "%25"))
    assert fetched(url, proxy="environment") == {url: Page().body}


@pytest.mark.parametrize("named", ["socks5://me:s3cret@127.0.0.1:9", "http://me:s3cret@host:port"])
def test_a_proxy_of_another_kind_stops_the_build(monkeypatch, named: str):
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(SourceError, match=r"^sources.web.proxy: http_proxy in the env") as caught:
        fetched("http://a.example/x.jpg", proxy="environment")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dead_proxy_is_a_reason_without_its_login(monkeypatch, web: Web, forward: Forward):
    monkeypatch.setattr("imagemill.sources.web.PAUSE", 0.01)
    with forwarding() as gone:
        gone.login = "me:s3cret"
        monkeypatch.setenv("http_proxy", gone.url)
    reason, said = failure(behind(web, "x.jpg"), proxy="environment")
    assert reason == "failed"
    assert "Connection refused" in said
    assert "s3cret" not in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_https_goes_through_a_tunnel_and_its_certificate_is_checked(
    web: Web, forward: Forward, tmp_path, monkeypatch
):
    monkeypatch.setattr("imagemill.sources.web.PAUSE", 0.01)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=photos.invalid"
    names = ["-addext", "subjectAltName=DNS:photos.invalid", "-keyout", key, "-out", certificate]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = behind(web, "x.jpg").replace("http:", "https:")
    assert failure(url, proxy="environment")[1].startswith("not trusted: ")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(url, proxy="environment") == {url: Page().body}
    assert set(forward.asked) == {("CONNECT", f"photos.invalid:{web.server_port}")}
