"""TLS settings: files must exist and match, and no setting is ignored silently."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from fastcoord.config import Tls, load_config, parse_config
from support.inputs.config_texts import problems_of, read, the_problem, toml
from support.servers.certificates import Certificates


def written(**files: Path) -> str:
    return "".join(
        f"tls.{key.replace('_', '-')} = {json.dumps(str(file))}\n" for key, file in files.items()
    )


def test_tls_files_become_absolute(certificates: Certificates) -> None:
    pair = certificates.client
    files = written(ca_file=certificates.ca, cert_file=pair.cert, key_file=pair.key)
    assert read("tls.enable = true\n" + files).nats.tls == Tls(
        enable=True,
        ca_file=str(certificates.ca),
        cert_file=str(pair.cert),
        key_file=str(pair.key),
    )


def test_relative_tls_files_resolve(tmp_path: Path, certificates: Certificates) -> None:
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    (tmp_path / "node.toml").write_text(toml('tls = { enable = true, ca-file = "ca.pem" }'))
    assert load_config(tmp_path / "node.toml").nats.tls.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("key", ["cert-file", "key-file"])
def test_client_certificate_needs_key(key: str, certificates: Certificates) -> None:
    pair = certificates.client
    file, other = (pair.cert, "key-file") if key == "cert-file" else (pair.key, "cert-file")
    problem = the_problem(toml(f'tls.enable = true\ntls.{key} = "{file}"'))
    assert (problem.key, problem.line) == (f'store."nats".tls.{key}', 5)
    assert f'store."nats".tls.{other} is missing' in problem.message


@pytest.mark.parametrize("key", ["ca-file", "cert-file", "key-file"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [("missing.pem", "no such file"), (".", "not a regular file"), ("a\\u0000b", "no such file")],
)
def test_unreadable_tls_file_is_problem(key: str, path: str, expected: str) -> None:
    both = 'tls.cert-file = "x"\ntls.key-file = "x"\n' if key != "ca-file" else ""
    text = toml("tls.enable = true\n" + both + f'tls."{key}" = "{path}"')
    text = text.replace(f'tls.{key} = "x"\n', "")
    found = {problem.key: problem for problem in problems_of(text)}
    message = found[f'store."nats".tls.{key}'].message
    assert "a file that can be read is needed" in message
    assert expected in message


def test_ca_file_needs_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificate")
    problem = the_problem(toml("tls.enable = true\n" + written(ca_file=tmp_path / "ca.pem")))
    assert "has no certificate in PEM form" in problem.message


def test_mismatched_key_is_refused(certificates: Certificates) -> None:
    files = written(cert_file=certificates.client.cert, key_file=certificates.server.key)
    problem = the_problem(toml("tls.enable = true\n" + files))
    assert problem.key == 'store."nats".tls.cert-file'
    assert "the key must belong to the certificate" in problem.message


def test_encrypted_key_never_prompts(tmp_path: Path, certificates: Certificates) -> None:
    key = serialization.load_pem_private_key(certificates.client.key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    (tmp_path / "key.pem").write_bytes(encrypted)
    files = written(cert_file=certificates.client.cert, key_file=tmp_path / "key.pem")
    problem = the_problem(toml("tls.enable = true\n" + files))
    assert problem.key == 'store."nats".tls.key-file'
    assert "encrypted" in problem.message


@pytest.mark.parametrize("enable", ["", "tls.enable = false\n"])
def test_tls_files_need_tls(enable: str, certificates: Certificates) -> None:
    pair = certificates.client
    files = written(ca_file=certificates.ca, cert_file=pair.cert, key_file=pair.key)
    found = problems_of(toml(enable + files + "tls.handshake-first = true"))
    assert [problem.key.rpartition(".")[2] for problem in found] == [
        "ca-file",
        "cert-file",
        "key-file",
        "handshake-first",
    ]
    for problem in found:
        assert 'no effect without TLS; set store."nats".tls.enable to true' in problem.message


def test_tls_scheme_enables_tls(certificates: Certificates) -> None:
    files = written(ca_file=certificates.ca) + "tls.handshake-first = true"
    config = parse_config(toml(files, address='address = ["plain", "tls://secure"]'))
    assert config.nats.tls == Tls(ca_file=str(certificates.ca), handshake_first=True)
    assert [address.tls for address in config.nats.address] == [False, True]


def test_handshake_first_may_be_false() -> None:
    assert not read("tls.handshake-first = false").nats.tls.handshake_first


def test_tls_mistake_is_one_problem() -> None:
    assert the_problem(toml("tls.enable = 1\ntls.handshake-first = true")).message.startswith("1 ")
    for address in ('"tls://a:0"', '["plain", "tls://a:0"]'):
        wrong = toml("tls.handshake-first = true", address=f"address = {address}")
        assert "port" in the_problem(wrong).message
