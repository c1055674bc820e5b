"""What messages about cameras and pictures advise, each with the test that obeys it; rows as in `elsewhere.py`."""

from __future__ import annotations

_SEES = "tests.train.test_task_distil:"
_RECORDED = "tests.robots.jobs.test_recorded_poses:"
TRIED: dict[str, str] = {
    "a student learns on a plant, given --plant, --robot and --student-contract": (
        f"{_SEES}test_options_of_the_other_way_are_refused"
    ),
    "goes with --env: a robot on a plant has no camera": f"{_SEES}test_options_of_the_other_way_are_refused",
    "goes with --plant: a ManiSkill environment brings its own": f"{_SEES}test_options_of_the_other_way_are_refused",
    "Name one of these with --control-mode": (
        f"{_SEES}test_what_the_environment_does_not_show_is_refused_and_nothing_is_written"
    ),
    "and --episode-steps {} asks for more; leave it out": (
        f"{_SEES}test_what_the_environment_does_not_show_is_refused_and_nothing_is_written"
    ),
    "whose sizes stand in --agent; leave --student out": f"{_SEES}test_each_remedy_leads_on",
    "counted from 0 (--episode)": f"{_RECORDED}test_what_is_not_there_is_named",
    "; name one with --camera": f"{_RECORDED}test_what_is_not_there_is_named",
    "Name another episode (--episode)": f"{_RECORDED}test_what_is_not_there_is_named",
    "has LeRobot's own numbers: give --through": f"{_RECORDED}test_what_is_not_there_is_named",
    "is for a LeRobotDataset, which": f"{_RECORDED}test_what_is_not_there_is_named",
    "which is what the arm's camera will show; leave --student-images out": (
        f"{_SEES}test_an_environment_file_says_camera_background_and_picture"
    ),
    "make it with `policy-port camera background`, which crops and resizes it": (
        "tests.tasks.test_so100_ball_env:"
        "test_looks_and_a_green_screen_change_what_lies_behind_and_not_where_the_ball_is"
    ),
    "--student-images names camera '{}' twice; name each once": f"{_SEES}test_each_remedy_leads_on",
    "give --student-images NAME=HxW, or --student-contract with its terms": f"{_SEES}test_each_remedy_leads_on",
    "states images, and --student-images names some; leave one": f"{_SEES}test_each_remedy_leads_on",
    "the contract and name the cameras by --student-images": f"{_SEES}test_each_remedy_leads_on",
    "no picture; give --student-images, or let class_name be MLPModel or RNNModel": (
        f"{_SEES}test_each_remedy_leads_on"
    ),
    "it is the teacher of another environment or controller (--control-mode)": (
        f"{_SEES}test_a_teacher_that_fails_the_task_is_refused"
    ),
    "Give --student-contract, as `policy-port contract import --env {} --obs-mode rgb` writes it": (
        f"{_SEES}test_each_remedy_leads_on"
    ),
}
_CAMERA, _ENV, _BACK = "tests.cli.test_camera:", "tests.camera.test_env_file:", "tests.camera.test_background:"
_FROM_STILLS = f"{_CAMERA}test_a_background_from_an_arm_and_from_stills"
_STORED, _NAMED = f"{_CAMERA}test_a_check_from_storing_to_accepting", f"{_CAMERA}test_an_environment_is_named_once"
_SIZED = f"{_BACK}test_a_background_of_another_size_is_refused"
TRIED |= {
    "was not looked at: that takes --robot and a camera's view": _FROM_STILLS,
    "--inpaint fills in what the arm covers": _FROM_STILLS,
    "Leave --inpaint out if it is not in the picture; else `policy-port camera solve`": (
        f"{_BACK}test_the_arm_is_filled_in"
    ),
    "take it out of the picture, or --inpaint": _FROM_STILLS,
    "was stored with another view; store it again with": "tests.camera.test_check:test_what_is_stored",
    "Put it back, or find it anew with `policy-port camera solve`": (
        "tests.camera.test_check:test_the_view_found_anew_is_right_again"
    ),
    "Look at the picture; solve the view again with": "tests.camera.test_check:test_the_view_found_anew_is_right_again",
    "does not name its environment: give --env SO100GraspCube-v1": f"{_ENV}test_their_mistakes_are_refused",
    "in files are a fork's; find the camera with `policy-port camera solve`": f"{_ENV}test_their_mistakes_are_refused",
    "into the environment file; `policy-port camera resets` prints it": f"{_ENV}test_what_is_not_known_is_asked_for",
    "the background of the environment file is not there; `policy-port": _SIZED,
    "says {}; leave --env out": _NAMED,
    "Make it with `policy-port camera background`": _SIZED,
    "give one of --robot and --source": _FROM_STILLS,
    "--emulated goes with --robot": _FROM_STILLS,
    "--emulated-view goes with a camera in the environment file": _FROM_STILLS,
    "give a folder of several stills, or more --frames": _FROM_STILLS,
    "exists already; --force replaces it": _FROM_STILLS,
    "give one of --config and --view": _STORED,
    "`policy-port camera check --store` writes it while all is right": _STORED,
    "give --env, --config, or both": _NAMED,
    "--accept {}": "tests.camera.test_check:test_what_is_accepted_is_named",
}
_SOLVED, _SHOTS, _SOLVES = "tests.camera.test_solve:", "tests.camera.test_shots:", "tests.camera.test_solve_files:"

TRIED |= {
    "it is not fixed to '{}' (name another with --board-link)": (
        "tests.camera.test_board:test_a_held_board_tells_the_pose"
    ),
    "times as large as --board says, and the": "tests.camera.test_board:test_a_held_board_tells_the_pose",
    "All of the table would be within them in degrees": f"{_SHOTS}test_units_are_strict",
    "and --through, which is for LeRobot's numbers": f"{_SHOTS}test_units_are_strict",
    "which only a joint map can turn into radians: give --through": f"{_SHOTS}test_units_are_strict",
    "the background is {}, {} is {}: photograph": f"{_SHOTS}test_masks_agree",
    "elsewhere, and a --colour is the arm's alone": f"{_SHOTS}test_masks_agree",
    "nothing says where the arm is in {}: give --background": f"{_SHOTS}test_masks_agree",
    "; or give the field of view, with --intrinsics": f"{_SOLVED}test_a_free_field_of_view_that_tells_too_little",
    "Elsewhere around the arm the overlap is {}: leave --start out": f"{_SOLVED}test_no_start_is_needed",
    "Look at what was taken for the arm: --masks FOLDER": f"{_SOLVES}test_masks_that_miss_half_of_the_arm",
    "arm on a pale table, lay a coloured cloth under it": f"{_SOLVES}test_masks_that_miss_half_of_the_arm",
    "--masks goes without --board, which needs none": f"{_SOLVES}test_bad_input_writes_nothing",
    "--whole goes without --inpaint: camera solve needs what": _FROM_STILLS,
    "the arm's zeros are off: it stands further": f"{_SOLVED}test_a_zero_that_is_off_is_told_and_solved",
    "the field of view is given as {} degrees": f"{_SOLVED}test_a_wrong_field_of_view_is_told",
    "give one of --intrinsics and --fov": f"{_SOLVES}test_the_lens_is_asked_for",
    "give the lens: --intrinsics FILE, --fov DEG, or --fov free": f"{_SOLVES}test_the_lens_is_asked_for",
}
