"""TLS settings: files that exist and fit, and nothing that is silently without effect."""

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


def test_files_that_fit_are_taken_with_their_absolute_paths(certificates: Certificates) -> None:
    pair = certificates.client
    files = written(ca_file=certificates.ca, cert_file=pair.cert, key_file=pair.key)
    assert read("tls.enable = true\n" + files).nats.tls == Tls(
        enable=True,
        ca_file=str(certificates.ca),
        cert_file=str(pair.cert),
        key_file=str(pair.key),
    )


def test_relative_files_are_looked_for_beside_the_configuration(
    tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    (tmp_path / "node.toml").write_text(toml('tls = { enable = true, ca-file = "ca.pem" }'))
    assert load_config(tmp_path / "node.toml").nats.tls.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("key", ["cert-file", "key-file"])
def test_a_client_certificate_needs_its_key(key: str, certificates: Certificates) -> None:
    pair = certificates.client
    file, other = (pair.cert, "key-file") if key == "cert-file" else (pair.key, "cert-file")
    problem = the_problem(toml(f'tls.enable = true\ntls.{key} = "{file}"'))
    assert (problem.key, problem.line) == (f'store."nats".tls.{key}', 5)
    assert f'store."nats".tls.{other} is missing' in problem.message


@pytest.mark.parametrize("key", ["ca-file", "cert-file", "key-file"])
@pytest.mark.parametrize(
    ("path", "said"),
    [("missing.pem", "there is none"), (".", "no regular file"), ("a\\u0000b", "there is none")],
)
def test_a_file_that_cannot_be_read_is_a_problem(key: str, path: str, said: str) -> None:
    both = 'tls.cert-file = "x"\ntls.key-file = "x"\n' if key != "ca-file" else ""
    text = toml("tls.enable = true\n" + both + f'tls."{key}" = "{path}"')
    text = text.replace(f'tls.{key} = "x"\n', "")
    found = {problem.key: problem for problem in problems_of(text)}
    message = found[f'store."nats".tls.{key}'].message
    assert "a file that can be read is needed" in message
    assert said in message


def test_a_file_without_certificates_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificate")
    problem = the_problem(toml("tls.enable = true\n" + written(ca_file=tmp_path / "ca.pem")))
    assert "holds no certificate in PEM form" in problem.message


def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    files = written(cert_file=certificates.client.cert, key_file=certificates.server.key)
    problem = the_problem(toml("tls.enable = true\n" + files))
    assert problem.key == 'store."nats".tls.cert-file'
    assert "the key must be the certificate's" in problem.message


def test_an_encrypted_key_is_refused_and_never_asked_for_on_the_terminal(
    tmp_path: Path, certificates: Certificates
) -> None:
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
def test_tls_settings_without_tls_are_refused(enable: str, certificates: Certificates) -> None:
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


def test_an_address_that_asks_for_tls_is_enough(certificates: Certificates) -> None:
    files = written(ca_file=certificates.ca) + "tls.handshake-first = true"
    config = parse_config(toml(files, address='address = ["plain", "tls://secure"]'))
    assert config.nats.tls == Tls(ca_file=str(certificates.ca), handshake_first=True)
    assert [address.tls for address in config.nats.address] == [False, True]


def test_handshake_first_may_be_off_without_tls() -> None:
    assert not read("tls.handshake-first = false").nats.tls.handshake_first


def test_one_mistake_is_one_problem() -> None:
    assert the_problem(toml("tls.enable = 1\ntls.handshake-first = true")).message.startswith("1 ")
    for address in ('"tls://a:0"', '["plain", "tls://a:0"]'):
        wrong = toml("tls.handshake-first = true", address=f"address = {address}")
        assert "port" in the_problem(wrong).message
