"""Every name and key of a port: of its files, its graph, its metadata, its sample and its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

# The files of the folder.
TORCHSCRIPT = "policy.pt"
ONNX = "policy.onnx"
CONTRACT = "contract.yaml"
SOURCE_CONTRACT = "source_contract.yaml"
MAPPING = "mapping.yaml"
PARITY = "parity.json"
SAMPLE = "sample.npz"
MOTION = "motion.npz"
"""The clip that the policy follows, in the parsing of the port's contract; only where one was given."""
DEPLOY = "deploy.onnx"
"""The whole control step as one graph; only where all of it can be in a graph, and in no port of before."""
DEPLOY_SAMPLE = "deploy_sample.csv"
"""Signals and the targets that the deploy graph made of them."""
MANIFEST = "manifest.json"

# The graph's inputs and outputs; images go by their names in the contract.
OBSERVATION = "obs"
ACTIONS = "actions"
STATE_IN, STATE_OUT = "_in", "_out"
"""What follows the name of a recurrent state where it goes in and comes out."""

# The deploy graph's outputs; its inputs are signals by name, and states.
DEPLOY_OBSERVATION, DEPLOY_ACTION, DEPLOY_TARGET = "observation", "action", "joint_target"
INSIDE = "policy/"
"""Goes before every name of the policy's own graph in it."""

# The metadata of an ONNX file.
DEPLOY_KEY = "deploy"
"""What a deploy graph says of itself, as JSON at full precision."""
DEPLOY_STATES_KEY = "deploy_states"
"""Input and output of each of its states, tab between, a line each: for programs that read no JSON."""
DEPLOY_JOINTS_KEY = "deploy_joints"
"""What is plausible of each joint, likewise; see `deploy.describe.checks`."""
CONTRACT_KEY = "contract"
"""The contract, as JSON at full precision."""
VERSION_KEY = "policy_port_version"
SOURCE_KEY = "source_sha256"
MOTION_KEY = "motion_sha256"
"""SHA-256 of the clip in the port; only where there is one."""
PRODUCER_KEY = "producer"
CHUNK = "chunk"
CHUNK_STEPS = "chunk_steps"
TEMPORAL_ENSEMBLE = "temporal_ensemble"
CHUNKING = (CHUNK, CHUNK_STEPS, TEMPORAL_ENSEMBLE)
"""The manifest has these too, and the actor has them as attributes."""

# Texts inside a TorchScript file.
CONTRACT_TEXT = "contract.json"
ABOUT_TEXT = "policy_port.json"

# The arrays of the sample that are no names of the graph.
SAMPLE_RESET = "reset"
SAMPLE_IMAGE = "image_"
"""Goes before the name of an image."""

# The manifest.
POLICY = "policy"
WITHOUT_DEPLOY = "without_deploy"
"""Why there is no deploy graph."""
LEARNED_ON = "dynamics_calibration_sha256"
"""Under it: the arm whose dynamics the policy was trained under, by its calibration; beside the dynamics' own hash,
both as traces have them, where some were given that say so."""
FILES = "files"
OWN_SUM = "sha256_of_the_rest"


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the graph's metadata by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the initializers by name."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
