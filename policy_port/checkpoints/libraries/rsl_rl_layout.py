"""Where each version of RSL-RL keeps the tensors of an actor, a student or a teacher."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.policy import LoadOptions, Source
from policy_port.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where one version keeps one role's tensors."""

    role: str
    """"actor", "student" or "teacher": the key of its section in agent.yaml from version 4 on."""
    version: str
    stack: str
    """Prefix of the perceptron's layers."""
    memory: str
    """Prefix of the recurrent layers."""
    normaliser: str
    """Prefix of the observation statistics."""
    deviations: tuple[str, ...]
    """Names under which a deviation that does not depend on the observation may be stored."""
    convolutions: str
    """Prefix of convolutional encoders."""
    training: tuple[str, ...]
    """Places of what belongs to the roles beside this one."""


def layout_of(source: Source, bag: TensorBag, options: LoadOptions) -> Layout:
    """Tell the version, and with it where everything is."""
    tree = source.tree
    role = "teacher" if options.teacher else "student"
    if "actor_state_dict" in tree or "student_state_dict" in tree:
        distilled = "student_state_dict" in tree
        role = role if distilled else "actor"
        prefix = f"{role}_state_dict"
        newer = any(name.startswith(f"{prefix}.distribution.") for name in bag.names)
        layout = Layout(
            role=role,
            version="5.x" if newer else "4.x or 5.x",
            stack=f"{prefix}.mlp",
            memory=f"{prefix}.rnn.rnn",
            normaliser=f"{prefix}.obs_normalizer",
            deviations=tuple(
                f"{prefix}.{name}"
                for name in ("distribution.std_param", "distribution.log_std_param", "std", "log_std")
            ),
            convolutions=f"{prefix}.cnns.",
            training=tuple(f"{other}_state_dict" for other in ("student", "teacher") if distilled and other != role),
        )
    else:
        prefix = "model_state_dict"
        distilled = any(name.startswith(f"{prefix}.student.") for name in bag.names)
        role = role if distilled else "actor"
        inside = f"{prefix}.{role}_obs_normalizer"
        outside = "obs_norm_state_dict"
        newer = any(name.startswith((inside, f"{prefix}.critic_obs_normalizer")) for name in bag.names)
        old = any(name.startswith(outside) for name in bag.names)
        if distilled and role == "teacher" and old:
            outside = "privileged_obs_norm_state_dict"
        layout = Layout(
            role=role,
            version="3.x" if newer else "2.x" if old else "2.x or 3.x",
            stack=f"{prefix}.{role}",
            memory=f"{prefix}.memory_{role[0]}.rnn",
            normaliser=inside if newer else outside,
            deviations=(f"{prefix}.std", f"{prefix}.log_std"),
            convolutions=f"{prefix}.{role}_cnns.",
            training=_others(role),
        )
    if options.teacher and not distilled:
        raise CheckpointError(
            f"{source.path}: has no teacher; it is no distillation checkpoint, so leave --teacher out"
        )
    return layout


def _others(role: str) -> tuple[str, ...]:
    """Places of the other roles in files until version 3; the critic or the teacher has the privileged observations."""
    other = {"actor": "", "student": "teacher", "teacher": "student"}[role]
    own = [f"model_state_dict.{name}" for name in (other, f"{other}_*", f"memory_{other[:1]}")] if other else []
    return (*own, "obs_norm_state_dict" if role == "teacher" else "privileged_obs_norm_state_dict")
