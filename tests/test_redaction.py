import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.redaction import redacted

SECRET = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="/?#&;"), min_size=1)
SCHEMES = st.sampled_from(["rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https", "socks5", "RTSP"])


@given(scheme=SCHEMES, user=SECRET, password=SECRET, before=st.text(), after=st.text())
def test_no_user_and_no_password_is_left(scheme: str, user: str, password: str, before: str, after: str) -> None:
    # Marked, for a password may be a part of anything.
    shown = redacted(f"{before} {scheme}://<{user}:{password}>@host.example {after}")
    assert f"<{user}:{password}>" not in shown
    assert "host.example" in shown


@given(scheme=st.sampled_from(["rtsp", "rtmp", "rtmps", "srt"]), key=SECRET)
def test_no_key_of_a_stream_is_left(scheme: str, key: str) -> None:
    assert redacted(f"{scheme}://host:1935/app/{key}?a={key} was lost") == f"{scheme}://host:1935 was lost"


@given(name=st.sampled_from(["key", "api_key", "access-token", "sig", "X-Amz-Signature", "password"]), key=SECRET)
def test_no_key_of_a_query_is_left(name: str, key: str) -> None:
    assert redacted(f"https://host/a?b=1&{name}={key}&c=2") == f"https://host/a?b=1&{name}=...&c=2"


@pytest.mark.parametrize(
    "text",
    [
        "data/clips/street.mp4 holds no picture",
        "https://api.example.org/artworks?page=2&limit=100: status 500",
        "open http://127.0.0.1:8000/ in a browser",
        "https://example.org/@somebody/a.jpg",
        "write to you@example.org",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redacted(text) == text


def test_an_address_that_is_misspelt_is_one_too() -> None:
    assert redacted("rtsp:/user:secret@host/live is not a file") == "rtsp:/host is not a file"
