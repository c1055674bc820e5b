"""ManiSkill's scripts for policies that see: ppo_rgb, which lerobot-sim2real shares, and sac_rgbd."""

from __future__ import annotations

from torch import Tensor, nn

from policy_port.checkpoints.actor import ImageSpec
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Told
from policy_port.checkpoints.networks.layers import Rescale, linear, perceptron
from policy_port.checkpoints.networks.vision import Eye, ImageActor, Pixels, convolution, settle_size
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

RGB = "rgb"
"""The scripts' name for the colour images of all cameras, one behind the other on the channels."""

NATURE_STRIDES = {0: 4, 2: 2, 4: 1}
"""Stride of each convolution of ppo_rgb by its index; the file does not hold them."""

_ENCODER = "feature_net.extractors"
_SAC_ENCODER = "actor.encoder.encoder"


def is_ppo_rgb(source: Source) -> bool:
    """Whether the file is of the ppo_rgb script, or of lerobot-sim2real, which shares it."""
    return any(name.startswith(f"{_ENCODER}.") for name in source.tree)


def is_sac_rgbd(source: Source) -> bool:
    """Whether the file is of the sac_rgbd script."""
    actor = source.tree.get("actor")
    return isinstance(actor, dict) and {"fc_mean.weight", "encoder.encoder.cnn.0.weight"} <= set(actor)


def load_ppo_rgb(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor: image features, then a linear map of the state without activation, then actor_mean."""
    where = str(source.path)
    bag = TensorBag(source.tree, where)
    others = sorted({name.split(".")[2] for name in bag.names if name.startswith(f"{_ENCODER}.")} - {RGB, "state"})
    if others or not bag.has(f"{_ENCODER}.{RGB}.0.0.weight"):
        raise CheckpointError(
            f"{where}: its feature_net reads {', '.join(others) or 'no rgb'}; known is rgb with a state. Depth images "
            "are whole millimetres in 16 bits, which a contract can't state yet"
        )
    if not bag.has(f"{_ENCODER}.state.weight"):
        raise CheckpointError(
            f"{where}: its feature_net reads images only, without a state; a port needs a vector beside them"
        )
    _fixed_activation(options, "ppo_rgb")
    convolutions: list[nn.Module] = []
    for index, stride in NATURE_STRIDES.items():
        convolutions += [convolution(bag, f"{_ENCODER}.{RGB}.0.{index}", stride=stride), nn.ReLU()]
    encoder = nn.Sequential(*convolutions, nn.Flatten())
    return _image_actor(
        bag,
        options,
        Told(
            version="ppo_rgb script, or lerobot-sim2real",
            distribution="Gaussian, deviation in actor_logstd; the actor returns the mean",
            notes=("the script clips sampled actions to the action space; the actor returns the mean unclipped",),
        ),
        encoder=encoder,
        projection=f"{_ENCODER}.{RGB}.1.0",
        vector=linear(*bag.take_linear(f"{_ENCODER}.state")),
        stack=bag.take_stack("actor_mean"),
        head=[],
    )


def load_sac_rgbd(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor: image features, then the state as it is, then the layers, tanh, and the action space."""
    where = str(source.path)
    bag = TensorBag(source.tree, where)
    _fixed_activation(options, "sac_rgbd")
    channels = bag.take_weight(f"{_SAC_ENCODER}.cnn.0.weight").shape[1]
    if channels % 3 or channels % 4 == 0:
        raise CheckpointError(
            f"{where}: its encoder reads {channels} channels, which may hold depth beside colour. Depth images are "
            "whole millimetres in 16 bits, which a contract can't state yet; only colour alone is supported"
        )
    outputs = bag.take_linear("actor.fc_mean")
    stack = [*bag.take_stack("actor.mlp"), outputs]
    head, notes = squashed(bag)
    first_pool = 4 if options.image_sizes.get(RGB, (128, 128)) == (128, 128) else 2
    modules: list[nn.Module] = []
    for index, padding, pool in ((0, 1, first_pool), (3, 1, 2), (6, 1, 2), (9, 1, 2), (12, 0, 0)):
        modules += [convolution(bag, f"{_SAC_ENCODER}.cnn.{index}", stride=1, padding=(padding, padding)), nn.ReLU()]
        modules += [nn.MaxPool2d(pool, pool)] if pool else []
    notes.append("the script pools images of 128 x 128 by 4 first and others by 2, which the weights do not show")
    return _image_actor(
        bag,
        options,
        Told(
            version="sac_rgbd script",
            distribution="squashed Gaussian; the actor returns tanh of the mean, rescaled to the action space",
            notes=tuple(notes),
        ),
        encoder=nn.Sequential(*modules, nn.Flatten()),
        projection=f"{_SAC_ENCODER}.fc.0",
        vector=nn.Identity(),
        stack=stack,
        head=head,
    )


def squashed(bag: TensorBag) -> tuple[list[nn.Module], list[str]]:
    """What follows the mean in both sac scripts: tanh, then the action space where the file has it; and notes."""
    if not bag.has("actor.action_scale"):
        return [nn.Tanh()], ["the action space is not in the file: actions lie in [-1, 1]"]
    scale, bias = (bag.take_weight(f"actor.action_{name}").reshape(-1) for name in ("scale", "bias"))
    return [nn.Tanh(), Rescale(scale, bias)], []


def _image_actor(
    bag: TensorBag,
    options: LoadOptions,
    told: Told,
    *,
    encoder: nn.Sequential,
    projection: str,
    vector: nn.Module,
    stack: list[tuple[Tensor, Tensor | None]],
    head: list[nn.Module],
) -> Loaded:
    first = encoder[0]
    assert isinstance(first, nn.Conv2d)
    project = linear(*bag.take_linear(projection))
    height, width, sized = settle_size(
        encoder, first.in_channels, project.in_features, RGB, options.image_sizes, bag.where
    )
    layers = perceptron(stack, nn.ReLU)
    # Behind the image stands the state, as it is or through a linear map.
    state = stack[0][0].shape[1] - project.out_features
    obs_size = vector.in_features if isinstance(vector, nn.Linear) else state
    joined = project.out_features + (vector.out_features if isinstance(vector, nn.Linear) else state)
    if joined != stack[0][0].shape[1] or obs_size < 1:
        raise CheckpointError(
            f"{bag.where}: image and state give {joined} features and the next layer reads {stack[0][0].shape[1]}"
        )
    if bag.has("actor_logstd"):
        bag.take("actor_logstd")
    size = {"height": height, "width": width, "channels": first.in_channels}
    image = ImageSpec(name=RGB, layout="nhwc", dtype="uint8", scale=1.0 / 255.0, **size)
    actor = ImageActor(
        eyes=[Eye(image, Pixels(channels_last=True, divisor=255.0), nn.Sequential(encoder, project, nn.ReLU()))],
        vector=vector,
        vector_first=False,
        layers=layers,
        head=nn.Sequential(*head) if head else nn.Identity(),
        obs_size=obs_size,
        action_size=stack[-1][0].shape[0],
    )
    architecture = [f"{image}, divided by 255", *map(str, encoder), str(project), "ReLU()"]
    return Loaded(
        version=told.version,
        actor=actor,
        architecture=(
            *architecture,
            f"state: {vector}",
            *map(str, layers),
            *(type(module).__name__ for module in head),
        ),
        distribution=told.distribution,
        rest=bag.rest(),
        leftovers=bag.optimisers(),
        notes=("the script's activation, ReLU, is implied", sized, *told.notes),
    )


def _fixed_activation(options: LoadOptions, script: str) -> None:
    if options.activation is not None and activation_named(options.activation, "--activation") is not nn.ReLU:
        raise CheckpointError(f"--activation {options.activation}: ManiSkill's {script} has ReLU; leave it out")
