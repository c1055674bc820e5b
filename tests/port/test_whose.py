"""All files of a port are of one policy: one of another is named, whether or not the manifest was summed anew."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, RobotMapping, load_contract
from policy_port.errors import PortError
from policy_port.export.write import write_port
from policy_port.files import sha256
from policy_port.port.folder import load_port
from policy_port.port.format import CONTRACT_KEY, FILES, MANIFEST, OWN_SUM
from policy_port.port.manifest import write_manifest
from policy_port.remap import build_remap
from tests.samples import contract_data
from tests.small_networks import JOINTS

NETWORKS = ("policy.onnx", "policy.pt", "deploy.onnx")
ANY = (*NETWORKS, "parity.json", "sample.npz", "deploy_sample.csv")
DOCUMENTS = ("contract.yaml", "source_contract.yaml", "mapping.yaml")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def made(kept: Path, tmp_path: Path, make_actor, make_policy, contract, mapping):
    """Copies a port of one checkpoint or another, with one contract or another, proved as ever; each is written once,
    or anew.
    """

    def make(name: str, seed: int, scale: float = 0.3, sign: int = -1, *, anew: bool = False) -> Path:
        written = kept / f"{seed} {scale} {sign}"
        if anew or not written.exists():
            write(tmp_path / name if anew else written, seed, scale, sign)
        return tmp_path / name if anew else Path(shutil.copytree(written, tmp_path / name))

    def write(folder: Path, seed: int, scale: float, sign: int) -> None:
        stated = contract_data(
            name="four",
            joints={joint: {"default": 0.1 + 0.2 * i} for i, joint in enumerate(JOINTS)},
            observation=contract.observation.model_dump(exclude_none=True),
            action={"terms": [{"term": "joint_position", "scale": scale, "offset": "default"}]},
        )
        through = RobotMapping.model_validate(
            {
                "source_joint_names": JOINTS,
                "target_joint_names": mapping.target_joint_names,
                "joints": {"knee": {"sign": sign}, "toe": {"offset": 0.2}},
            }
        )
        policy = make_policy(make_actor(seed=seed))
        policy.path.write_bytes(f"checkpoint {seed}".encode())
        policy = replace(policy, sha256=sha256(policy.path))
        remap = build_remap(Contract.model_validate(stated), through)
        write_port(folder, policy, remap)

    return make


def put(port: Path, name: str, other: Path, *, summed: bool) -> None:
    """Put another port's file in the place of this one's."""
    assert (port / name).read_bytes() != (other / name).read_bytes()
    shutil.copy(other / name, port / name)
    if summed:
        summed_anew(port)


def summed_anew(port: Path) -> None:
    about = json.loads((port / MANIFEST).read_text())
    (port / MANIFEST).unlink()
    write_manifest(port, {key: value for key, value in about.items() if key not in (FILES, OWN_SUM)})


@pytest.mark.parametrize("summed", [False, True])
def test_each_file_of_another_checkpoint_is_named(made, summed: bool) -> None:
    """Networks, report and samples of another checkpoint are each refused by their own name."""
    one, other = made("one", 0), made("other", 1)
    load_port(one, whole=True)
    for name in ANY:
        kept = {file.name: file.read_bytes() for file in one.iterdir()}
        put(one, name, other, summed=summed)
        with pytest.raises(PortError, match=f"one/{name}: "):
            load_port(one)
        for file, data in kept.items():
            (one / file).write_bytes(data)
    load_port(one, whole=True)


def test_a_manifest_of_another_checkpoint_is_named(made) -> None:
    """Another port's manifest, summed over this one's files, is refused by its name."""
    one, other = made("one", 0), made("other", 1)
    put(one, MANIFEST, other, summed=True)
    with pytest.raises(PortError, match="one/manifest.json: belongs to another policy"):
        load_port(one)


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize(("change", "files"), [("scale", DOCUMENTS[:2]), ("sign", DOCUMENTS[2:])])
def test_each_document_of_another_port_is_named(made, change: str, files: tuple[str, ...], summed: bool) -> None:
    """Contracts and mapping of another port of the same checkpoint are refused by name."""
    one = made("one", 0)
    other = made("other", 0, **{"scale": {"scale": 0.4}, "sign": {"sign": 1}}[change])
    for name in files:
        copy = shutil.copytree(one, one.parent / f"copy_{name}")
        put(copy, name, other, summed=summed)
        with pytest.raises(PortError, match=name):
            load_port(copy)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_lies_about_its_checkpoint_is_named(made, make_policy, tmp_path: Path, name: str) -> None:
    """A network with other weights under the same checkpoint's sum, as of another agent.yaml, fails the sample."""
    one = made("one", 0)
    sha = json.loads((one / MANIFEST).read_text())["policy"]["sha256"]
    other = made("other", 1)
    source = json.loads((other / MANIFEST).read_text())["policy"]["sha256"]
    data = (other / name).read_bytes()
    if name == "policy.pt":
        whole, changed = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
        with zipfile.ZipFile(changed, "w") as file:
            for entry in whole.infolist():
                content = whole.read(entry)
                file.writestr(entry.filename, content.replace(source.encode(), sha.encode()))
        data = changed.getvalue()
    else:
        data = data.replace(source.encode(), sha.encode())
    (one / name).write_bytes(data)
    summed_anew(one)
    with pytest.raises(PortError, match=f"one/{name}: (computes something else|does not compute)"):
        load_port(one, whole=True)
    shown = CliRunner().invoke(app, ["inspect", str(one)])
    assert shown.exit_code == 2, shown.output
    assert name in shown.output


def test_the_whole_port_again_is_of_one_policy(made, tmp_path: Path) -> None:
    """Copied again from where it came, or written again as `policy-port remap` and `export` do it."""
    one, other = made("one", 0), made("other", 1)
    shutil.copytree(one, tmp_path / "kept")
    for again in (lambda: shutil.copytree(tmp_path / "kept", one), lambda: made("one", 0, anew=True)):
        put(one, "policy.onnx", other, summed=True)
        with pytest.raises(PortError, match="Copy the whole port again from where it came, or write it again with"):
            load_port(one, whole=True)
        shutil.rmtree(one)
        again()
        load_port(one, whole=True)


def as_before(text: str, moved: float) -> str:
    """A contract as an older version wrote it: no sources, nothing that is by default, a number reckoned otherwise."""
    data = Contract.model_validate_json(text).model_dump(mode="json", exclude_defaults=True, exclude={"sources"})
    data["joints"]["knee"]["default"] *= 1.0 + moved
    return json.dumps(data)


@pytest.mark.parametrize(("moved", "passes"), [(1e-15, True), (1e-9, False)])
def test_a_port_of_an_older_version_still_loads(made, moved: float, passes: bool) -> None:
    """What a contract said less of, and the last bit of a number, make no other policy of it; another number does."""
    port = made("one", 0)
    (port / "policy.pt").unlink()
    target = load_contract(port / "contract.yaml")
    (port / "contract.yaml").write_text(as_before(target.model_dump_json(), moved))
    source = load_contract(port / "source_contract.yaml")
    (port / "source_contract.yaml").write_text(as_before(source.model_dump_json(), 0.0))
    for name in ("policy.onnx", "deploy.onnx"):
        model = onnx.load(port / name)
        for entry in model.metadata_props:
            if entry.key == CONTRACT_KEY:
                entry.value = as_before(entry.value, moved)
        onnx.save(model, port / name)
    summed_anew(port)
    if passes:
        assert load_port(port).contract == load_contract(port / "contract.yaml")
        return
    with pytest.raises(PortError, match="another contract than contract.yaml"):
        load_port(port)
