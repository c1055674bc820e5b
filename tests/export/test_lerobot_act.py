"""ACT folders that LeRobot itself wrote, against LeRobot's own processors and networks; nothing is downloaded."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from policy_port.checkpoints import inspect_file, load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract, RobotMapping
from policy_port.errors import CheckpointError, MissingDependencyError, PortError
from policy_port.export.write import write_port
from policy_port.port.folder import Port, load_port
from policy_port.port.format import metadata
from policy_port.remap import build_remap, identity_remap

pytest.importorskip("lerobot")
# LeRobot's video reader looks for libraries of the system when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

STATE, ENVIRONMENT = "observation.state", "observation.environment_state"
CAMERAS = ("top", "wrist")
ACTIONS, CHUNK = 4, 5


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """ACT's pictures go through a ResNet-18 with an eighth of its channels; all else about it is torchvision's."""
    import torchvision
    from torchvision.models.resnet import BasicBlock, ResNet

    class Narrow(ResNet):
        def __init__(self, weights: None = None, **settings: Any) -> None:
            super().__init__(BasicBlock, [2, 2, 2, 2], **settings)
            self.fc = torch.nn.Linear(64, 1)

        def _make_layer(self, block: Any, planes: int, *settings: Any, **more: Any) -> torch.nn.Sequential:
            return super()._make_layer(block, planes // 8, *settings, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "resnet18", Narrow)
        yield


def write_folder(folder: Path, *, cameras: bool, normalisation: str = "MEAN_STD", **changes: Any) -> Path:
    """A small ACT policy with random weights and statistics, saved by LeRobot."""
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.act.processor_act import make_act_pre_post_processors

    torch.manual_seed(0)
    inputs = {STATE: PolicyFeature(type=FeatureType.STATE, shape=(ACTIONS,))}
    if cameras:
        shape = (3, 64, 64)
        inputs |= {f"observation.images.{n}": PolicyFeature(type=FeatureType.VISUAL, shape=shape) for n in CAMERAS}
    else:
        inputs[ENVIRONMENT] = PolicyFeature(type=FeatureType.ENV, shape=(3,))
    mode = NormalizationMode(normalisation)
    config = ACTConfig(
        input_features=inputs,
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(ACTIONS,))},
        normalization_mapping={"STATE": mode, "ENV": mode, "ACTION": mode, "VISUAL": NormalizationMode.MEAN_STD},
        pretrained_backbone_weights=None,
        device="cpu",
        chunk_size=CHUNK,
        dim_model=32,
        n_heads=4,
        dim_feedforward=48,
        n_encoder_layers=2,
        latent_dim=8,
        **{"n_action_steps": CHUNK, **changes},
    )
    policy = ACTPolicy(config).eval()
    stats = {}
    for key, size in ((STATE, ACTIONS), (ENVIRONMENT, 3), ("action", ACTIONS)):
        low = torch.randn(size)
        stats[key] = {"mean": torch.randn(size), "std": torch.rand(size) + 0.3, "min": low, "max": low + 2.0}
    for name in CAMERAS:
        stats[f"observation.images.{name}"] = {"mean": torch.rand(3, 1, 1), "std": torch.rand(3, 1, 1) + 0.2}
    policy.save_pretrained(folder)
    for processor in make_act_pre_post_processors(config, dataset_stats=stats):
        processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A folder that sees, and one that reads the environment's state."""
    base = tmp_path_factory.mktemp("act")
    return {cameras: write_folder(base / str(cameras), cameras=cameras) for cameras in (True, False)}


@pytest.fixture(scope="module")
def ported(made: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Port]:
    """A port of each folder, written when it is first asked for."""
    base = tmp_path_factory.mktemp("ports")

    @functools.cache
    def write(cameras: bool) -> Port:
        return write_port(base / str(cameras), load_policy(made[cameras]), identity_remap(contract_of(cameras)))

    return write


def shown(cameras: bool, rows: int = 3) -> dict[str, torch.Tensor]:
    """Observations as a data set gives them."""
    generator = torch.Generator().manual_seed(1)
    batch = {STATE: torch.randn(rows, ACTIONS, generator=generator)}
    if not cameras:
        return batch | {ENVIRONMENT: torch.randn(rows, 3, generator=generator)}
    return batch | {f"observation.images.{n}": torch.rand(rows, 3, 64, 64, generator=generator) for n in CAMERAS}


def answered(folder: Path, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """LeRobot's own chunk of actions, from the folder."""
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    policy = ACTPolicy.from_pretrained(folder).eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(folder))
    with torch.no_grad():
        chunk = policy.predict_action_chunk(before(dict(batch)))
        return torch.stack([after(step) for step in chunk.unbind(1)], dim=1)


def inputs_of(batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    vectors = torch.cat([value for key, value in batch.items() if "images" not in key], dim=1)
    return [vectors, *(value for key, value in batch.items() if "images" in key)]


def contract_of(cameras: bool) -> Contract:
    image = {"height": 64, "width": 64, "channels": 3, "layout": "nchw", "dtype": "float32", "scale": 1.0}
    terms: list[dict[str, Any]] = [{"term": "joint_pos"}]
    if not cameras:
        terms.append({"term": "external", "name": "environment", "size": 3})
    return Contract.model_validate(
        {
            "contract_version": 1,
            "name": "act",
            "robot": "arm",
            "trained_in": "a test",
            "quaternion_order": "none",
            "timestep": 1 / 30,
            "decimation": 1,
            "base": {"floating": False},
            "actuation": {"kind": "explicit"},
            "joints": {f"joint_{i}": {"default": 0.0, "lower": -2.0, "upper": 2.0} for i in range(ACTIONS)},
            "observation": {"terms": terms},
            "action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
            "images": [{"name": name, **image} for name in CAMERAS] if cameras else [],
        }
    )


@pytest.mark.parametrize("cameras", [True, False])
def test_the_actor_is_lerobots_policy(made, cameras):
    """Pre-processor, network and post-processor in one: the whole chunk, in the data set's units."""
    batch = shown(cameras)
    actions = load_policy(made[cameras]).actor(*inputs_of(batch))[0]
    expected = answered(made[cameras], batch)
    assert actions.shape == (3, CHUNK, ACTIONS)
    torch.testing.assert_close(actions, expected, atol=1e-5 * float(expected.abs().max()), rtol=0.0)


@pytest.mark.parametrize("cameras", [pytest.param(True, marks=pytest.mark.slow), False])
def test_both_exports_are_lerobots_policy(made, ported, cameras):
    """Written, proven and run again at two batch sizes, both files answer LeRobot's own chunks."""
    port = ported(cameras)
    assert port.parity["passed"]
    assert metadata(onnx.load(port.onnx))["chunk"] == str(CHUNK) == str(load_port(port.path).chunk)
    session, module = onnxruntime.InferenceSession(port.onnx), torch.jit.load(port.torchscript)
    names = [node.name for node in session.get_inputs()]
    assert names == ["obs", *(CAMERAS if cameras else ())]
    [output] = session.get_outputs()
    assert (output.name, output.shape[1:]) == ("actions", [CHUNK, ACTIONS])
    for rows in (3, 1):
        batch = shown(cameras, rows)
        expected, inputs = answered(made[cameras], batch).numpy(), inputs_of(batch)
        allowed = 1e-5 * np.abs(expected).max()
        actions = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]
        np.testing.assert_allclose(actions, expected, atol=allowed)
        np.testing.assert_allclose(module(*inputs).numpy(), expected, atol=allowed)


@pytest.mark.parametrize("normalisation", ["MIN_MAX", "IDENTITY"])
@pytest.mark.parametrize("changes", [{"pre_norm": True, "feedforward_activation": "gelu"}, {"n_decoder_layers": 2}])
def test_other_settings_are_lerobots_too(tmp_path, normalisation, changes):
    """Other normalisations, activations and depths give LeRobot's actions."""
    folder = write_folder(tmp_path / "act", cameras=False, normalisation=normalisation, **changes)
    batch = shown(False)
    expected = answered(folder, batch)
    actions = load_policy(folder).actor(*inputs_of(batch))[0]
    torch.testing.assert_close(actions, expected, atol=1e-5 * float(expected.abs().max()), rtol=0.0)


def stepped(folder: Path, name: str, **config: Any) -> Path:
    """The same folder with other settings of one step of its pre-processor."""
    file = folder / "policy_preprocessor.json"
    told = json.loads(file.read_text())
    [step] = [step for step in told["steps"] if step["registry_name"] == name]
    step["config"] |= config
    file.write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("keys", [[STATE], [ENVIRONMENT], []])
def test_a_step_normalises_what_it_names(tmp_path, keys):
    """What normalize_observation_keys leaves out goes in as it is, as in LeRobot."""
    folder = stepped(write_folder(tmp_path, cameras=False), "normalizer_processor", normalize_observation_keys=keys)
    batch = shown(False)
    expected, policy = answered(folder, batch), load_policy(folder)
    actions = policy.actor(*inputs_of(batch))[0]
    torch.testing.assert_close(actions, expected, atol=1e-5 * float(expected.abs().max()), rtol=0.0)
    assert (policy.normaliser is None) == (STATE not in keys)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("normalizer_processor", {"normalize_observation_keys": STATE}, "expected a list of names"),
        (
            "normalizer_processor",
            {"features": {STATE: {"type": "ENV", "shape": [4]}}},
            "takes observation.state for ENV, and config.json for STATE",
        ),
        ("device_processor", {"float_dtype": "float16"}, "computes in 'float16'; only float32"),
    ],
)
def test_steps_of_other_settings_are_refused(tmp_path, name, config, message):
    """Names that are no list, a feature of another type, and another precision are named."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(stepped(write_folder(tmp_path, cameras=False), name, **config))


def test_inspect_shows_images_and_chunks(made):
    """The inputs, the chunk, what only training needed, and how the observation is put together."""
    found = inspect_file(made[True])
    assert [port["name"] for port in found["inputs"]] == ["obs", *CAMERAS]
    assert found["outputs"] == [{"name": "actions", "shape": ["batch", CHUNK, ACTIONS]}]
    assert found["library"] == "lerobot"
    assert any("chunks of 5 actions" in note for note in found["notes"])
    assert all("vae_encoder" in name for name in found["leftovers"])
    assert found["normaliser"]["formula"] == "(observation.state - mean) / (std + 1e-08)"
    result = CliRunner().invoke(app, ["inspect", str(made[True])])
    assert "actions [batch, 5, 4]" in result.stdout


def test_a_chunk_is_exported_but_not_remapped(made, tmp_path):
    """remap says that it can't carry chunks, and what can."""
    contract = contract_of(False)
    names = list(contract.joints)
    mapping = RobotMapping.model_validate({"source_joint_names": names, "target_joint_names": names[::-1]})
    with pytest.raises(PortError, match="chunks of 5 actions.*`policy-port export`"):
        write_port(tmp_path / "port", load_policy(made[False]), build_remap(contract, mapping))


def performed(folder: Path, batches: list[dict[str, torch.Tensor]], resets: tuple[int, ...]) -> np.ndarray:
    """What LeRobot's own select_action performs, step by step."""
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    policy = ACTPolicy.from_pretrained(folder).eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(folder))
    actions = []
    for step, batch in enumerate(batches):
        if step in resets:
            policy.reset()
        actions.append(after(policy.select_action(before(dict(batch)))).numpy())
    return np.stack(actions)


@pytest.mark.parametrize(
    ("cameras", "changes"),
    [
        (False, {"n_action_steps": 3}),
        (False, {"n_action_steps": 1, "temporal_ensemble_coeff": 0.1}),
        pytest.param(True, None, marks=pytest.mark.slow),
    ],
    ids=["3 of 5", "ensemble", "images"],
)
def test_steps_are_performed_as_lerobot_does(made, ported, tmp_path, cameras, changes):
    """Twelve steps with a reset in the middle of a chunk: LeRobot's select_action and the port do the same."""
    if changes is None:
        folder, port = made[cameras], ported(cameras)
    else:
        folder = write_folder(tmp_path / "act", cameras=cameras, **changes)
        contract = contract_of(cameras)
        port = write_port(tmp_path / "port", load_policy(folder), identity_remap(contract), formats=("onnx",))
    assert port.manifest["policy"]["chunk_steps"] == (changes or {"n_action_steps": CHUNK})["n_action_steps"]
    generator = torch.Generator().manual_seed(1)
    batches, frames = [], []
    for _ in range(12):
        frames.append(torch.randint(0, 256, (2, 64, 64, 3), generator=generator, dtype=torch.uint8))
        batch = {STATE: torch.randn(1, ACTIONS, generator=generator)}
        if cameras:
            seen = frames[-1].permute(0, 3, 1, 2).float() / 255
            batch |= {f"observation.images.{name}": seen[i : i + 1] for i, name in enumerate(CAMERAS)}
        else:
            batch |= {ENVIRONMENT: torch.randn(1, 3, generator=generator)}
        batches.append(batch)
    expected = performed(folder, batches, resets=(7,))

    policy = port.pilot().open()
    found = []
    for step, (batch, shown) in enumerate(zip(batches, frames, strict=True)):
        if step == 7:
            policy.reset()
        policy.observation[...] = inputs_of(batch)[0].numpy()
        for name, frame in zip(CAMERAS if cameras else (), shown, strict=False):
            policy.images[name].show(frame.numpy())
        found.append(policy.act().copy())
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    receding = np.stack([answered(folder, batch)[:, 0].numpy() for batch in batches])
    assert np.abs(receding - expected).max() > 0.01, "asking at every step would be another policy"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("diffusion", "draws noise"), ("smolvla", "language"), ("pi0", "language"), ("newest", "not known here")],
)
def test_other_policies_are_named_and_refused(tmp_path, kind, reason):
    """Another LeRobot policy is refused by name, with the reason."""
    (tmp_path / "config.json").write_text(json.dumps({"type": kind, "input_features": {}, "output_features": {}}))
    with pytest.raises(CheckpointError, match=f"LeRobot policy of type {kind}: .*{reason}.*Only act"):
        load_policy(tmp_path)


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """A folder of its own."""
    return Path(shutil.copytree(made[False], tmp_path / "act"))


def edit(path: Path, change: Any) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _extra_step(data: dict[str, Any]) -> None:
    data["steps"].append({"registry_name": "delta_action_processor", "config": {}})


def _escape(data: dict[str, Any]) -> None:
    for step in data["steps"]:
        if "state_file" in step:
            step["state_file"] = "../statistics.safetensors"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("policy_preprocessor.json", _extra_step, "has the step delta_action_processor"),
        ("policy_preprocessor.json", _escape, "no file name of this folder"),
        ("config.json", lambda data: data.update(dim_model=10**9), "dim_model is 1000000000"),
        ("config.json", lambda data: data.update(n_heads=5), "can't be built or filled"),
        ("config.json", lambda data: data["input_features"].update(text={"shape": [3]}), "reads .*text"),
        ("config.json", lambda data: data.update(chunk_size=6), "can't be built or filled"),
        ("config.json", lambda data: data.update(n_action_steps=6), "n_action_steps is 6; expected 1 to chunk_size"),
        ("config.json", lambda data: data.pop("n_action_steps"), "n_action_steps is None; expected 1"),
        ("config.json", lambda data: data.update(temporal_ensemble_coeff=0.01), "ensembling .* n_action_steps 1"),
    ],
)
def test_what_can_not_be_read_rightly_is_refused(copied, file, change, message):
    """Unknown steps, names that leave the folder, and configurations of another network are errors."""
    edit(copied / file, change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(copied)


def test_missing_statistics_are_refused(copied):
    """LeRobot leaves a feature without statistics as it is; here that is an error."""
    for file in copied.glob("policy_preprocessor*normalizer_processor.safetensors"):
        tensors = load_file(file)
        del tensors[f"{STATE}.mean"]
        save_file(tensors, file)
    with pytest.raises(CheckpointError, match=r"no statistic observation\.state\.mean"):
        load_policy(copied)
    (copied / "policy_preprocessor.json").unlink()
    with pytest.raises(CheckpointError, match=r"policy_preprocessor\.json: is missing"):
        load_policy(copied)


def test_a_tensor_beside_the_network_stops_an_export(copied, tmp_path):
    """A normaliser inside the weights, as older LeRobot kept it, may be needed; the variational encoder is not."""
    weights = copied / "model.safetensors"
    save_file(load_file(weights) | {"normalize_inputs.buffer_observation_state.mean": torch.ones(ACTIONS)}, weights)
    policy = load_policy(copied)
    assert [str(leftover) for leftover in policy.unexplained] == ["normalize_inputs.buffer_observation_state.mean (4,)"]
    with pytest.raises(CheckpointError, match="--ignore 'normalize_inputs"):
        write_port(tmp_path / "port", policy, identity_remap(contract_of(False)))


@pytest.mark.parametrize("kind", ["STATE", "ENV", "ACTION"])
def test_another_normalisation_in_the_configuration_is_refused(copied, kind):
    """What config.json states of a feature's normalisation is what the processors do."""
    edit(copied / "config.json", lambda data: data["normalization_mapping"].update({kind: "MIN_MAX"}))
    with pytest.raises(CheckpointError, match=f"normalises {kind} by MEAN_STD, and config.json states MIN_MAX"):
        load_policy(copied)


def test_without_lerobot_the_extra_is_named(copied, monkeypatch):
    """Where LeRobot is not installed, the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, "lerobot.policies.act.modeling_act", None)
    with pytest.raises(MissingDependencyError, match=r"policy-port\[real\]"):
        load_policy(copied)
