"""Distillation in a ManiSkill task: who sees what and when, what is learnt from, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")

from mani_skill.sensors.camera import CameraConfig
from mani_skill.utils import sapien_utils
from mani_skill.utils.registration import register_env

from policy_port.cli.app import app
from policy_port.cli.distil import DistilOptions, read_scene
from policy_port.contract import Contract, load_contract
from policy_port.errors import PolicyPortError, TaskError, TrainError
from policy_port.replay.open_env import columns
from policy_port.tasks.so100_ball_env import CAMERA, SO100ReachBallEnv
from policy_port.train import task_distil as module
from policy_port.train.ppo import Plan
from policy_port.train.run import open_run
from policy_port.train.settings import DistilAgent, read_agent
from policy_port.train.task_distil import TaskLesson, distil_task, open_lesson_in, pictures
from policy_port.train.task_environment import TaskEnvironment
from policy_port.train.task_place import TaskPlace
from policy_port.train.teacher import Taught, Teacher, open_teacher, teacher_config

SHIPPED = Path(__file__).resolve().parents[2] / "policy_port" / "assets" / "so100_reach"
ENV_ID = "TestTwoCameras-v1"
STEPS = 8

pytestmark = pytest.mark.filterwarnings("ignore")


@register_env(ENV_ID, max_episode_steps=STEPS)
class TwoCameras(SO100ReachBallEnv):
    """The ball seen from the front, and before that by a camera that looks at the sky."""

    @property
    def _default_sensor_configs(self) -> list[CameraConfig]:
        sky = sapien_utils.look_at([0.0, -0.5, 0.4], [0.0, -0.6, 3.0])
        return [CameraConfig("sky", sky, 16, 16, 0.8, 0.01, 10.0), *super()._default_sensor_configs]


@pytest.fixture(scope="module")
def taught() -> Taught:
    return open_teacher(SHIPPED / "model.pt", load_contract(SHIPPED / "contract.yaml"))


def place(**changes: Any) -> TaskPlace:
    return TaskPlace(**{"env_id": ENV_ID, "num_envs": 2, "seed": 3, **changes})


@pytest.fixture(scope="module")
def environment(taught: Taught) -> Iterator[TaskEnvironment]:
    lesson = TaskLesson(teacher=taught, images=pictures([f"{CAMERA}=24x32"]))
    made = open_lesson_in(lesson, place())
    yield made
    made.close()


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def worlds(environment: TaskEnvironment) -> list[Any]:
    return environment._worlds.envs


def test_each_group_is_what_its_contract_says_of_one_moment(environment: TaskEnvironment) -> None:
    """The teacher reads joints, targets and goal, the student joints and targets, the picture is the one of now."""
    environment.begin(5)
    before = environment.get_observations()[CAMERA]
    for _ in range(6):
        seen, _, dones, _ = environment.step(torch.ones(2, 6))
    assert not dones.any()
    for row, env in enumerate(worlds(environment)):
        joints = torch.cat([env.agent.robot.get_qpos()[0], env.joint_target[0]])
        assert torch.equal(seen["student"][row], joints)
        assert torch.equal(seen["teacher"][row], torch.cat([joints, env.goal[0]]))
        now = env.get_obs(env.get_info())["sensor_data"][CAMERA]["rgb"][0]
        assert seen[CAMERA].shape[1:] == (3, 24, 32)
        assert torch.allclose(seen[CAMERA][row], now.permute(2, 0, 1) / 255.0, atol=1e-6)
        assert not torch.equal(seen[CAMERA][row], before[row])
        # An orange ball lies in it: red is red, and it is not the sky that is shown.
        red, _, blue = seen[CAMERA][row]
        assert (red - blue).max() > 0.3


def test_a_teacher_labels_by_its_own_group(environment: TaskEnvironment, taught: Taught) -> None:
    """The label is what the teacher's network says of the state; shown the student's group, a teacher refuses."""
    environment.begin(6)
    seen = environment.get_observations()
    said = teacher_config(taught, {})
    del said["class_name"]
    label = Teacher(seen, {"teacher": ["teacher"]}, "teacher", 6, **said)(seen)
    state = torch.cat([torch.cat([e.agent.robot.get_qpos(), e.joint_target, e.goal], 1) for e in worlds(environment)])
    assert torch.allclose(label, taught.policy.actor(state)[0].clamp(-1, 1), atol=1e-6)
    with pytest.raises(PolicyPortError, match="reads 15 numbers, and the environment shows it 12"):
        Teacher(seen, {"teacher": ["student"]}, "teacher", 6, **said)


def test_an_episode_that_ends_begins_another_one(environment: TaskEnvironment) -> None:
    """After its last step an environment shows its next episode; the other one goes on with its own."""
    environment.begin(7)
    environment.episode_length_buf = torch.tensor([STEPS - 1, 0])
    goals = [env.goal[0].clone() for env in worlds(environment)]
    seen, _, dones, extras = environment.step(torch.zeros(2, 6))
    assert dones.tolist() == [1, 0]
    assert extras["time_outs"].tolist() == [1, 0]
    assert extras["log"] == {"episode/success": 0.0}
    assert not torch.equal(worlds(environment)[0].goal[0], goals[0])
    assert torch.equal(seen["teacher"][0, 12:], worlds(environment)[0].goal[0])
    assert torch.equal(worlds(environment)[1].goal[0], goals[1])


def test_episodes_are_those_of_their_seeds(environment: TaskEnvironment, taught: Taught) -> None:
    """A seed is the same episode in whatever row, and the teacher's are those that the task's own evaluation has."""
    ended = module.perform(environment, taught.policy.actor, [0, 1, 2], group="teacher")
    again = module.perform(environment, taught.policy.actor, [2], group="teacher")
    assert ended[2] == again[0]
    env = worlds(environment)[0]
    with torch.inference_mode():
        env.reset(seed=1)
        for _ in range(STEPS):
            state = torch.cat([env.agent.robot.get_qpos(), env.joint_target, env.goal], 1)
            info = env.step(taught.policy.actor(state)[0].clamp(-1, 1))[4]
    assert ended[1].distance == pytest.approx(float(info["distance"][0]), abs=1e-6)


TINY: dict[str, Any] = {
    "num_steps_per_env": 4,
    "max_iterations": 2,
    "save_interval": 1,
    "student": {"cnn_cfg": {"output_channels": [4], "kernel_size": [3], "stride": [2]}, "hidden_dims": [8]},
    "algorithm": {"num_learning_epochs": 2, "gradient_length": 2},
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two short iterations, each checkpoint measured in one episode; any teacher is good enough."""
    monkeypatch.setattr(module, "EPISODES", range(1))
    monkeypatch.setattr(module, "FINAL", range(1))
    monkeypatch.setattr(module, "LOST", 0.0)
    file = tmp_path / "agent.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


def test_a_killed_run_goes_on_to_a_port_that_plays(settings: Path, taught: Taught, tmp_path: Path) -> None:
    """Cut and resumed, a run has the curve of one that was not; its student is exported, and plays in the task."""
    lesson = TaskLesson(teacher=taught, images=pictures([f"{CAMERA}=16x16"]))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    told: list[str] = []
    run = distil_task(lesson, place(), Plan(out=whole, agent=settings), told.append)
    assert any("16 steps in all" in note and "base_camera 16x16" in note for note in told)
    assert any(note.startswith("no noise is added here to joint_pos, ") for note in told)
    assert "without its pictures in 0" in run.result()[1]
    distil_task(lesson, place(), Plan(out=cut, agent=settings, minutes=0.0), told.append)
    assert max(open_run(cut).checkpoints()) == 1
    with pytest.raises(TrainError, match="num_envs was 2, now 3"):
        distil_task(lesson, place(num_envs=3), Plan(out=cut, agent=settings, resume=True), told.append)
    with pytest.raises(TrainError, match=r"environment\.yaml is another file now"):
        distil_task(lesson, place(episode_steps=7), Plan(out=cut, agent=settings, resume=True), told.append)
    distil_task(lesson, place(), Plan(out=cut, agent=settings, resume=True), told.append)
    assert open_run(cut).rows() == run.rows()
    assert open_run(cut).scores() == run.scores()

    assert run.contract().observation.terms == taught.contract.observation.terms[:2]
    port = tmp_path / "port"
    assert invoke("export", whole, "--format", "onnx", "--out", port).exit_code == 0
    played = invoke("play", port, "--env", ENV_ID, "--episodes", 1, "--seed", 0, "--out", tmp_path / "played")
    assert played.exit_code == 0, played.output
    assert (tmp_path / "played" / "first_frames.png").is_file()


def test_rollouts_are_learnt_from_until_the_next_checkpoint(environment: TaskEnvironment, taught: Taught) -> None:
    """In an iteration the student learns from each step since the last checkpoint as often as epochs say, mixed;
    pictures are those of the step to the last bit.
    """
    from policy_port.train.loop import make_runner

    agent = read_agent(DistilAgent, "distil_pictures", None, TINY)
    settings = agent.runner_settings(student=["student", CAMERA], teacher=["teacher"])
    settings["teacher"] = teacher_config(taught, {})
    settings["algorithm"]["class_name"] = module.AGGREGATED
    runner = make_runner("DistillationRunner", environment, settings, seed=0, device="cpu", where="-")
    algorithm, storage = runner.alg, runner.alg.storage
    # Colours are bytes of 255.
    first, second = torch.tensor([51.0, 102.0]) / 255.0
    for value in (first, second):
        storage.observations[CAMERA][:] = value
        storage.privileged_actions[:] = value
        algorithm.update()
    batches = list(storage.generator())
    shown = torch.cat([batch.observations[CAMERA].flatten(1)[:, 0] for batch in batches])
    assert sorted(shown.tolist()) == [first] * 8 + [second] * 8
    assert torch.equal(shown, torch.cat([batch.privileged_actions[:, 0] for batch in batches]))
    assert len({tuple(batch.observations[CAMERA][:, 0, 0, 0].tolist()) for batch in batches}) > 2
    algorithm.load(algorithm.save(), None, True)
    algorithm.update()
    assert len(list(storage.generator())) == 4


def test_a_student_of_part_of_the_state_reads_the_columns_of_its_terms(taught: Taught) -> None:
    """Terms are found by name, ManiSkill's own proprioception under both of its names, and no other one is taken."""
    parts = [("qpos", 6), ("target_qpos", 6), ("obj_pose", 7), ("goal", 3)]
    contract = taught.contract
    assert columns("E", contract, parts).tolist() == [*range(12), 19, 20, 21]
    assert columns("E", contract, [("a", 10), ("b", 5)]).tolist() == list(range(15))
    with pytest.raises(TaskError, match="Of 'goal', 3 wide, there is none among qpos 6.*. Play another"):
        columns("E", contract, [*parts[:3], ("goal", 4)])


def without_goal(contract: Contract) -> Contract:
    terms = contract.observation.terms[:2]
    return contract.model_copy(update={"observation": contract.observation.model_copy(update={"terms": terms})})


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (["base_camera"], "is no NAME=HxW"),
        (["base_camera=64"], "is no NAME=HxW"),
        (["base_camera=64xx64"], "is no NAME=HxW"),
        (["base camera=64x64"], "is no NAME=HxW"),
        (["base_camera=4x64"], "rows and columns of 8 to 1024"),
        (["a=8x8", "a=16x16"], "names camera 'a' twice"),
    ],
)
def test_pictures_that_are_written_otherwise_are_refused(stated: list[str], says: str) -> None:
    """--student-images says what it can't read, and how to write it."""
    with pytest.raises(TrainError, match=says):
        pictures(stated)


def test_students_that_are_stated_twice_or_not_at_all_are_refused(taught: Taught) -> None:
    """A student has pictures or a contract, a network that fits them, and names that no group has."""
    seen = pictures(["base_camera=16x16"])
    seeing = taught.contract.model_copy(update={"images": seen})
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({}, "give --student-images NAME=HxW, or --student-contract"),
        ({"student": seeing, "images": seen}, "leave one of the two out"),
        ({"images": seen, "network": "gru"}, "leave --student out"),
        ({"images": pictures(["teacher=16x16"])}, "no image can be called 'teacher'"),
    ]
    for said, why in mistakes:
        with pytest.raises(TrainError, match=why):
            TaskLesson(teacher=taught, **said)


def test_what_the_environment_does_not_show_is_refused_and_nothing_is_written(taught: Taught, tmp_path: Path) -> None:
    """An environment without cameras, a camera that is not there, and another robot's teacher: each is named."""
    out = tmp_path / "run"
    lesson = TaskLesson(teacher=taught, images=pictures(["base_camera=16x16"]))
    for changes, name, says in (
        ({"env_id": "PolicyPortSO100Reach-v1"}, "base_camera", "shows no camera images"),
        ({}, "front", "from camera 'front'. The environment's cameras are sky, base_camera"),
        ({"control_mode": "pd_joint_vel"}, "base_camera", "pd_joint_vel not in supported modes.* with --control-mode"),
        ({"episode_steps": 99}, "base_camera", "its episodes have 8 steps, and --episode-steps 99 asks for more"),
    ):
        wrong = TaskLesson(teacher=taught, images=pictures([f"{name}=16x16"]))
        with pytest.raises(PolicyPortError, match=says):
            distil_task(wrong, place(**changes), Plan(out=out), str)
    short = Taught(policy=taught.policy, contract=without_goal(taught.contract))
    with pytest.raises(TrainError, match="--student-images"):
        TaskLesson(teacher=short)
    assert lesson.seen
    assert not out.exists()


def test_a_teacher_that_fails_the_task_is_refused(
    environment: TaskEnvironment, taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like a teacher and never arrives has nothing to teach."""
    monkeypatch.setattr(module, "FINAL", range(2))
    monkeypatch.setattr(module, "perform", lambda *_, **__: [module.Ended(False, True, 0.3)] * 2)
    lesson = TaskLesson(teacher=taught, images=pictures([f"{CAMERA}=16x16"]))
    with pytest.raises(TrainError, match="succeeds in 0 % .* of TestTwoCameras-v1.* teacher of another environment or"):
        module.look_at_teacher(lesson, environment)


def test_each_remedy_leads_on(taught: Taught, environment: TaskEnvironment, tmp_path: Path) -> None:
    """What the messages about students say to leave out or to give is enough, each alone."""
    seen = pictures(["base_camera=16x16"])
    with pytest.raises(TrainError, match="whose sizes stand in --agent; leave --student out"):
        TaskLesson(teacher=taught, images=seen, network="gru")
    with pytest.raises(TrainError, match="give --student-images NAME=HxW, or --student-contract with its terms"):
        TaskLesson(teacher=taught)
    stated: list[dict[str, Any]] = [{"images": seen}, {"student": taught.contract}]
    for said in (*stated, {**stated[0], **stated[1]}):
        assert TaskLesson(teacher=taught, **said).seen == said.get("images", ())
    sees = tmp_path / "agent.yaml"
    sees.write_text(
        yaml.safe_dump({"student": read_agent(DistilAgent, "distil_pictures", None).model_dump()["student"]})
    )
    with pytest.raises(TrainError, match="reads no picture; give --student-images, or let class_name be MLPModel"):
        module.settings_of(None, [], Plan(out=tmp_path, agent=sees))
    assert module.settings_of(None, ["base_camera"], Plan(out=tmp_path, agent=sees))
    assert module.settings_of(None, [], Plan(out=tmp_path)).student.class_name == "RNNModel"

    # A teacher whose contract calls the parts otherwise: the student's own contract says what they are.
    terms = [term.model_copy(update={"name": f"my_{term.label}"}) for term in taught.contract.observation.terms]
    other = taught.contract.model_copy(
        update={"observation": taught.contract.observation.model_copy(update={"terms": tuple(terms)})}
    )
    named = TaskLesson(teacher=Taught(policy=taught.policy, contract=other), images=seen)
    with pytest.raises(TaskError, match="shows joint_pos, joint_target beside its pictures.* Give --student-contract"):
        module.student_of(named, environment._worlds, "PolicyPortSO100ReachBall-v1")
    file = tmp_path / "student.yaml"
    words = ("contract", "import", "--env", "PolicyPortSO100ReachBall-v1", "--obs-mode", "rgb", "--out", file)
    made = invoke(*words, "--control-mode", "pd_joint_target_delta_pos")
    assert made.exit_code == 0, made.output
    with pytest.raises(TrainError, match="Leave the images out of the contract and name the cameras by"):
        TaskLesson(teacher=named.teacher, student=load_contract(file))
    told = load_contract(file).model_copy(update={"images": ()})
    student = module.student_of(TaskLesson(teacher=named.teacher, student=told, images=seen), environment._worlds, "E")
    assert [term.label for term in student.observation.terms] == ["joint_pos", "joint_target"]


def test_an_environment_file_says_camera_background_and_picture(taught: Taught, tmp_path: Path) -> None:
    """--config gives training the file's camera and green screen, and the student its picture; a background that
    changed since is another training, and a picture of another size is refused.
    """
    green, file = tmp_path / "green.png", tmp_path / "env.yaml"
    Image.new("RGB", (32, 24), (10, 200, 30)).save(green)
    camera = "camera: {pos: [0.1, -0.7, 0.5], target: [0.0, -0.2, 0.05], fov: 0.9}\n"
    file.write_text(f"env: {ENV_ID}\n{camera}image: {{size: [24, 32]}}\nbackground: green.png\nrandomise: false\n")
    out = tmp_path / "run"
    options = DistilOptions(teacher=SHIPPED, out=out, config=file)
    scene, images = read_scene(options)
    assert [(image.name, image.height, image.width) for image in images] == [(CAMERA, 24, 32)]
    made = open_lesson_in(TaskLesson(teacher=taught, images=images), place(num_envs=1, **scene))
    try:
        assert worlds(made)[0]._camera_mount.pose.p[0].tolist() == pytest.approx([0.1, -0.7, 0.5])
        assert worlds(made)[0].scene.sensors[CAMERA].config.fov == 0.9
        seen = made.get_observations()[CAMERA][0]
        assert (seen[1] == np.float32(200 / 255)).float().mean() > 0.7
    finally:
        made.close()
    before = place(**scene).document()["background_sha256"]
    Image.new("RGB", (32, 24), (20, 200, 30)).save(green)
    assert place(**scene).document()["background_sha256"] != before
    told = invoke(
        "distil", SHIPPED / "model.pt", "--config", file, "--student-images", "base_camera=16x16", "--out", out
    )
    assert told.exit_code == 2, told.output
    assert "leave --student-images out" in " ".join(told.output.split())
    assert not out.exists()


def test_options_of_the_other_way_are_refused(tmp_path: Path) -> None:
    """A plant has no camera, an environment brings its robot: exit 2, no folder, and each way goes on alone."""
    common = ["distil", SHIPPED / "model.pt", "--out", tmp_path / "run"]
    for more, says in (
        (["--plant", "mujoco", "--student-images", "a=8x8"], "goes with --env"),
        (["--env", ENV_ID, "--robot", "r.xml"], "goes with --plant"),
        (["--plant", "mujoco"], "given --env"),
        (["--plant", "mujoco", "--robot", "r.xml", "--student-contract", "s.yaml"], "give --teacher-contract"),
        (["--env", ENV_ID, "--student-images", "a=8"], "is no NAME=HxW"),
        (["--env", ENV_ID, "--student-images", "a=8x8"], "give --teacher-contract"),
    ):
        result = invoke(*common, *more)
        assert result.exit_code == 2, result.output
        assert says in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


def test_figures_leave_out_what_is_not_told() -> None:
    """An environment without a distance has none in its scores."""
    found = module.figures([module.Ended(True, True, np.nan), module.Ended(False, True, np.nan)])
    assert found == {"success": 0.5, "once": 1.0}
