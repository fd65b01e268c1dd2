import ipaddress
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gco_stream.local.certificates import Authority, kubeconfig, write_private


def test_the_server_certificate_is_signed_by_the_authority_and_names_localhost() -> None:
    authority = Authority()
    certificate = x509.load_pem_x509_certificate(authority.server().certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)


def test_a_client_certificate_names_its_user_and_groups() -> None:
    pair = Authority().client("someone", ["system:masters", "others"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    subject = certificate.subject
    assert [a.value for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["someone"]
    groups = [a.value for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert groups == ["system:masters", "others"]
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_two_control_planes_do_not_trust_each_others_users() -> None:
    one, other = Authority(), Authority()
    issued = x509.load_pem_x509_certificate(one.client("someone").certificate)
    assert issued.issuer == x509.load_pem_x509_certificate(other.certificate).subject
    with pytest.raises(InvalidSignature):
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate))


def test_a_kubeconfig_is_self_contained_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    authority = Authority()
    data = kubeconfig("https://127.0.0.1:1", authority.certificate, "someone", authority.client("someone"))
    path = write_private(tmp_path / "kubeconfig", data)
    config = orjson.loads(path.read_bytes())
    (user,) = config["users"]
    assert config["current-context"] == config["contexts"][0]["name"]
    assert set(user["user"]) == {"client-certificate-data", "client-key-data"}
    assert path.stat().st_mode & 0o077 == 0
