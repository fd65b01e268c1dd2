import pytest

from gco_stream.cluster.api.proxy import proxy_for

PROXY = "http://proxy.test:3128"
EKS = "https://0123456789abcdef.gr7.us-east-1.eks.example"


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("10.0.0.0/8", "https://10.1.2.3"),
        ("10.0.0.0/8,172.20.0.1", "https://172.20.0.1:443"),
        ("172.20.0.1:6443", "https://172.20.0.1:6443"),
        (" 172.20.0.1:443 ", "https://172.20.0.1"),
        ("fd00::/8", "https://[fd00::1]:443"),
        ("[fd00::1]:443", "https://[fd00::1]"),
        ("[fd00::1]", "https://[fd00::1]:6443"),
        ("fd00::1", "https://[fd00::1]"),
        ("10.0.0.1", "https://[::ffff:10.0.0.1]"),
        ("*", EKS),
        ("a,*,b", EKS),
        ("eks.example", EKS),
        (".eks.example", EKS),
        ("*.eks.example", EKS),
        ("EKS.Example", EKS),
        ("eks.example:443", EKS),
        ("api.test", "https://api.test.:443"),
        # Never through a proxy.
        ("", "https://127.0.0.1:6443"),
        ("", "https://127.8.0.1"),
        ("", "https://[::1]:6443"),
        ("", "https://localhost:6443"),
    ],
)
def test_the_server_is_asked_directly(no_proxy: str, url: str) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", EKS),
        (",", EKS),
        ("10.0.0.0/8", "https://11.1.2.3"),
        ("10.0.0.0/8", "https://10.example"),
        ("10.0.0.0/99,10.0.0.0/x", "https://10.1.2.3"),
        ("172.20.0.1:6443", "https://172.20.0.1"),
        ("172.20.0.1", "https://172.20.0.11"),
        ("fd00::/8", "https://10.0.0.1"),
        ("example", "https://notexample"),
        (".api.test", "https://api.test"),
        ("*.api.test", "https://api.test"),
        ("eks.example:8443", EKS),
        (":443", EKS),
    ],
)
def test_the_proxy_is_used(no_proxy: str, url: str) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == PROXY


def test_the_variables_may_be_in_lower_case_and_the_upper_case_wins() -> None:
    assert proxy_for(EKS, {"https_proxy": PROXY}) == PROXY
    assert proxy_for(EKS, {"https_proxy": PROXY, "no_proxy": "eks.example"}) is None
    assert proxy_for(EKS, {"https_proxy": "http://other", "HTTPS_PROXY": PROXY}) == PROXY
    assert proxy_for("http://api.test", {"HTTPS_PROXY": PROXY}) is None
    assert proxy_for("http://api.test", {"HTTP_PROXY": PROXY}) == PROXY
    assert proxy_for(EKS, {"HTTPS_PROXY": "proxy.test:3128"}) == PROXY
