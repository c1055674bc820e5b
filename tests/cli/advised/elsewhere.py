"""Messages that tests of their own room obey."""

from __future__ import annotations

from tests.cli.advised import pictures

_FEATURES = "tests.plants.test_mjcf_features:test_what_a_simulator_can_t_do_it_refuses_by_name"
"""Each of its files stands in the MuJoCo plant, which the messages lead to, and the file without the feature does."""
_GAPS = "tests.cli.test_contract:test_every_gap_takes_the_flag_that_it_names"
_AGAIN = "tests.port.test_runtime:test_a_foreign_graph_plays_once_it_is_exported"
_DEGREES = "tests.robots.jobs.test_free_job:test_a_port_in_degrees_without_its_mapping"
_FOLLOWING = "tests.replay.test_following:"
_MJLAB = "tests.descriptors.test_mjlab_env"
_TABLES = "tests.checkpoints.libraries.test_skrl_expressions:test_tables_that_do_not_fit_their_names_are_refused"
_LEAPP, _HOLOSOMA = "tests.descriptors.test_leapp", "tests.descriptors.test_holosoma"
_WIRED = "tests.checkpoints.test_wiring:test_each_key_that_a_message_names_leads_on"
_TOLD = "test_what_the_user_knows_is_taken_as_the_messages_ask"

_OUTWARDS = "tests.descriptors.outwards.test_write:test_motors_are_never_numbered_by_guess"
_PAD = "tests.live.test_gamepad:"
_BUNDLE = "tests.descriptors.outwards.test_leapp_bundle_refused"
_VERSE = "tests.descriptors.test_humanoidverse:"
_COMMANDS, _LISTS = "tests.replay.test_named_commands:", "tests.descriptors.test_deploy_lists:"
_PLAYED, _SEEN = "tests.cli.test_play_scheduled:", "tests.live.test_browser:test_a_taken_port_is_refused"
_REMEDY, _VIEW = _PLAYED + "test_a_remedy_that_is_named_works", _PLAYED + "test_a_view_that_cannot_be_opened_is_refused"

_TAUGHT = "tests.train.test_distil:"
_RUNS, _TUNED = "tests.cli.test_train:", "tests.train.test_finetune:"
_IDENTIFIED = "tests.cli.test_identify:test_what_is_refused_writes_nothing_and_names_what_to_do"
_ACCEPTED = "tests.cli.test_identify:test_a_doubt_is_accepted_by_its_name"
_MAPPED = "tests.identify.test_checks:test_a_mapping_mends_what_is_named"

_DEPLOYED = "tests.cli.test_play_config:test_what_an_environment_file_goes_with"
_SEES = "tests.robots.emulator.test_view:"

_EARLY = "tests.train.test_refused_early:"

TRIED: dict[str, str] = {
    "with --resume and what the run was begun with": f"{_EARLY}test_a_run_of_another_command_names_that_command",
    "Make room, and go on with --resume": f"{_EARLY}test_a_full_disk_says_what_is_kept",
    "To go on, give --iterations with more than {}": "tests.train.test_ppo:test_a_run_holds_all_that_went_in",
    "add it there, or leave --critic-contract out": (
        "tests.train.test_told:test_a_critic_that_is_shown_less_than_its_actor_is_told"
    ),
    "beside it and --contract; a port's weights": f"{_RUNS}test_a_checkpoint_alone_needs_its_contract",
    "Leave it out of the student's contract (policy-port contract measurable writes one)": (
        _TAUGHT + "test_what_a_student_will_lack_is_told"
    ),
    "or this one calibrated anew, whose offsets are others. Begin with another --out": (
        "tests.engine.test_turning:test_another_arm_in_a_later_turn_is_refused"
    ),
    "is no recording of a plan; `policy-port collect` makes them": (
        "tests.engine.test_document:test_a_recording_is_parted_by_episode"
    ),
    "--{} goes with --emulated: {}": "tests.cli.test_camera_align:test_bad_input_is_refused_before_the_arm",
    "--emulated-view goes with --config, whose camera it is": _DEPLOYED,
    "and an SO100's links are others. Leave --model out": "tests.cli.test_emulate:test_a_misuse_says_what_is_valid",
    "--supervisor goes with a task of an arm": f"{_RUNS}test_a_supervisor_goes_with_a_task_of_its_own_arm",
    "Give that arm's robot file, or leave --supervisor out": (
        f"{_RUNS}test_a_supervisor_goes_with_a_task_of_its_own_arm"
    ),
    "nobody can press Enter here: leave --stops out": (
        "tests.robots.jobs.test_stops:test_after_a_stop_somebody_has_to_be_there"
    ),
    "this is no terminal: leave --ask out": "tests.robots.jobs.test_answers:test_an_empty_line_is_no_answer",
    "--config, --accept, --ask and --emulated-view go with --real": _DEPLOYED,
    "photograph it again with `policy-port camera background`": (
        "tests.camera.test_trained:test_a_background_of_another_crop_is_refused"
    ),
    "--accept goes with --config, whose camera is checked": _DEPLOYED,
    "--ask waits for somebody, --fast for nobody: leave --fast out": _DEPLOYED,
    "--{} goes with --env": _DEPLOYED,
    "reads no picture, so there is no camera: leave --config out": _DEPLOYED,
    "give another --port, 0 for any that is free": (
        "tests.camera.test_page:test_a_taken_port_is_refused_and_any_free_one_taken"
    ),
    "no camera is called '{}'{} Name them with --camera": f"{_SEES}test_views_and_lenses_on_the_command_line",
    "write --view NAME=FILE, and --camera for each": f"{_SEES}test_views_and_lenses_on_the_command_line",
    "stands nowhere that could change; say where with --view and a view.yaml": (
        f"{_SEES}test_a_camera_without_a_view_has_no_place_to_be_moved_from"
    ),
    "is a file, and a pipeline makes a folder; name another one in `out`, or by --out": (
        "tests.pipeline.test_stages:test_the_file_is_strict"
    ),
    "has no ending, so its folder would have its name; write `out` in it, or give --out": (
        "tests.pipeline.test_stages:test_the_file_is_strict"
    ),
    "name a new folder in `out`, or by --out": (
        "tests.pipeline.test_stages:test_a_folder_of_somebody_else_is_left_alone"
    ),
    "a pipeline is at work here; wait for it, or give another --out": (
        "tests.pipeline.test_stages:test_the_file_is_strict"
    ),
    "which says its own steps; leave --history out": (
        "tests.contract.test_measurable:test_groups_stay_or_go_with_their_terms"
    ),
    "does not say what its numbers mean; give its contract with --contract": (
        f"{_RUNS}test_a_checkpoint_alone_needs_its_contract"
    ),
    "leave --device out, and the CPU computes": "tests.train.test_ppo:test_what_does_not_fit_is_refused",
    "next: policy-port export {} --out PORT": f"{_RUNS}test_a_run_is_exported_by_its_folder",
    "next: policy-port play PORT ... --dynamics {}": "tests.cli.test_identify:test_dynamics_and_a_report_are_written",
    "is the teacher's own contract; name another file": (
        "tests.contract.test_measurable:test_the_command_reads_the_robot_and_writes_the_student"
    ),
    "next: policy-port distil TEACHER --teacher-contract {} --student-contract": (
        "tests.contract.test_measurable:test_the_command_reads_the_robot_and_writes_the_student"
    ),
    "--resume goes on with what is in --out and --force replaces it": f"{_RUNS}test_a_misuse_is_told",
    "Give what it was begun with, or begin anew: with another --out": f"{_RUNS}test_a_run_is_gone_on_with",
    "holds no checkpoint (model_N.pt); begin it anew with --force": f"{_RUNS}test_a_run_is_gone_on_with",
    "does not say what its numbers mean; give --contract, or a run": (
        f"{_TUNED}test_a_checkpoint_alone_needs_what_a_run_would_say"
    ),
    "lies in no run, which would say the {}; give --{}": f"{_TUNED}test_a_checkpoint_alone_needs_what_a_run_would_say",
    "give the one to train on as --robot": f"{_TUNED}test_a_robot_that_was_changed_is_told",
    "a memory (--student gru) or a history can tell": f"{_TAUGHT}test_what_a_student_will_lack_is_told",
    "There is nothing to learn from it: its contract is not": f"{_TAUGHT}test_what_cannot_teach_is_refused",
    "reads everything that the teacher reads: whatever no sensor": f"{_TAUGHT}test_what_a_student_will_lack_is_told",
    "and --student says {}; leave one of the two out": f"{_TAUGHT}test_a_network_is_named_once",
    "which does not say what its numbers mean; give --teacher-contract": (
        "tests.pipeline.test_commands:test_a_file_that_teaches_is_given_its_contract"
    ),
    "and is no port and no run's folder, which would; give --teacher-contract": (
        f"{_TAUGHT}test_what_cannot_teach_is_refused"
    ),
    "at most; set it to {}, or say --num-envs {}": (
        "tests.train.test_loop:test_more_steps_than_memory_holds_are_refused"
    ),
    "Leave --contract out, or name the": f"{_EARLY}test_finetune_takes_no_other_contract_than_the_runs",
    "Leave --teacher-contract out, or name the network": f"{_TAUGHT}test_a_teacher_is_the_same_from_every_kind_of_file",
    "or begin a new run with another --out": f"{_TAUGHT}test_a_teacher_that_was_exchanged_is_refused",
    "stopped; {}. Go on with --resume": "tests.train.test_loop:test_ctrl_c_keeps_the_last_checkpoint",
    "no shipped velocity task knows its links": "tests.train.test_ppo:test_what_does_not_fit_is_refused",
    "set it lower, or say a larger --num-envs": "tests.train.test_ppo:test_too_few_environments_are_told",
    "of a recurrent network; set it to a divisor, or say --num-envs": (
        "tests.train.test_ppo:test_environments_are_shared_out_whole_to_a_network_that_remembers"
    ),
    "--hold-out-after goes with a single recording": _IDENTIFIED,
    "--hold-out-after parts a single recording": _IDENTIFIED,
    "--hold-out-after {} leaves less than 20 rows": _IDENTIFIED,
    "its rows have no time stamps and its columns no names; state them with --rate HZ": _IDENTIFIED,
    "degrees. Give the unit with --mapping FILE": _IDENTIFIED,
    "where the recordings are right, go on with --accept {}": _ACCEPTED,
    "--accept {}: no doubt has this name": _ACCEPTED,
    "--accept {}: these recordings raise no such doubt; leave it out": _ACCEPTED,
    "Mend its unit in the file that --mapping names": _MAPPED,
    "State names, signs, zeros and units with --mapping FILE, the true rate with --rate HZ": _MAPPED,
    "to whose masses they may not fit. Give --robot that file": (
        "tests.dynamics.test_document:test_another_robots_dynamics_are_refused_by_joint_and_by_file"
    ),
    "so nothing says what stock is. Give the contract that states": _IDENTIFIED,
    "Give the contract of this robot with --contract FILE": _IDENTIFIED,
    "or look less far ahead with --horizon": _IDENTIFIED,
    "name more with --held-out": "tests.identify.test_learned:test_a_network_is_kept_only_where_it_helps_for_sure",
    "--actuator network goes with --plant mujoco": _IDENTIFIED,
    "readings are in degrees, a row is damaged, or time stamps are in another unit": _IDENTIFIED,
    "another joint's column, or has another zero or unit": _MAPPED,
    "tell nothing of the dynamics. Or they are in another unit than --mapping says": _MAPPED,
    "does not follow its commands (correlation": _MAPPED,
    "which the robot file has not; it has": _MAPPED,
    "Name the robot file's counterparts with --mapping FILE": _MAPPED,
    " GiB: ask for fewer with --num-envs": "tests.plants.test_capacity:test_a_thousand_million_are_refused",
    "before the robot is told any: give more --seconds": (
        "tests.contract.test_doubts:test_a_delay_longer_than_the_episode_is_refused_until_more_seconds_are_given"
    ),
    "--set {}=SECONDS": f"{_VERSE}test_the_length_is_given_once",
    "only P, joint positions, is read. Give the action with --set": f"{_VERSE}{_TOLD}",
    "nothing says which of them the policy drives; give the action with --set": f"{_VERSE}{_TOLD}",
    "is left to the robot file. State it with --set": f"{_VERSE}{_TOLD}",
    "and the contract has the policy's order alone. Name a YAML with --names": _OUTWARDS,
    "--to mjlab: its metadata stands in the policy's ONNX file; give that with --policy FILE.onnx": _OUTWARDS,
    "--{} means nothing to --to {}; leave it out": _OUTWARDS,
    "{}: is a port, which has its policy; leave --policy out": f"{_BUNDLE}:test_a_ports_folder_stands_for_both",
    "--to leapp: the network is one of its models": f"{_BUNDLE}:test_a_ports_folder_stands_for_both",
    "`policy-port export` writes it so: export it with this contract": f"{_BUNDLE}:test_a_ports_folder_stands_for_both",
    "write it anew by `policy-port contract write`, or": f"{_BUNDLE}:test_a_bundle_that_was_changed_is_refused",
    "--gamepad {}: is Linux's other interface; give": f"{_PAD}test_what_is_no_gamepad_is_refused",
    "--gamepad {}: may not be read by this user": f"{_PAD}test_what_is_no_gamepad_is_refused",
    "--gamepad {}: is no joystick of Linux's; give": f"{_PAD}test_what_is_no_gamepad_is_refused",
    "say which with --gamepad DEVICE": f"{_PAD}test_what_is_no_gamepad_is_refused",
    "--gamepad goes with --view: whoever steers": f"{_PAD}test_the_option_takes_a_device_or_none",
    "--push says when the robot is pushed, not what it does": _PLAYED + "test_a_push_alone_says_too_little",
    "--to {}: unknown{} Known: {}": _OUTWARDS,
    "s, which is played unless --timestep says otherwise": (_PLAYED + "test_ports_of_other_rates_take_turns"),
    "does not divide the shortest control period of the ports": _PLAYED + "test_ports_of_other_rates_take_turns",
    "0 for any that is free, or another --view-host": _SEEN,
    "--view needs the Python package viser": _VIEW,
    "--view mujoco opens a window, and there is no screen here": _VIEW,
    "can't change its drives while it runs; play it on --sim-backend physx_cpu": (
        "tests.plants.test_pushed_plant:test_a_gpu_is_neither_pushed_nor_changed"
    ),
    "of its robots; play it on --sim-backend physx_cpu": (
        "tests.plants.test_pushed_plant:test_a_gpu_is_neither_pushed_nor_changed"
    ),
    "is shown by MuJoCo, which reads URDF and MJCF": (
        "tests.plants.test_mujoco_twin:test_what_mujoco_cannot_read_is_refused_by_name"
    ),
    "--push takes": "tests.replay.test_schedule:test_a_push_is_read",
    "never plays: leave it out, or say in the file of --schedule when": _REMEDY,
    "comes too late: an episode is {} s long; give more --seconds": _REMEDY,
    "no port has a goal '{}'; leave --goal {} out": _REMEDY,
    "and nobody gives it one: write `command` in the schedule, or --command": _REMEDY,
    "ports take turns on one robot, and there are {}: leave out --num-envs": _REMEDY,
    "--command gives {} twice; give it once": f"{_COMMANDS}test_what_is_no_command_is_refused",
    "--command takes numbers: three such as": f"{_COMMANDS}test_what_is_no_command_is_refused",
    "reads no command element {}{} It reads {}: --command": f"{_COMMANDS}test_what_the_policy_does_not_read_is_refused",
    "--layout unitree_rl_gym or --layout openwbt": f"{_LISTS}test_the_layouts_that_messages_name_are_taken",
    "--layout {} if yours was trained on that task": f"{_LISTS}test_the_layouts_that_messages_name_are_taken",
    "--quaternion-order wxyz or xyzw": (
        "tests.descriptors.test_isaac_lab_sensed:test_a_quaternions_order_is_asked_for"
    ),
    "tells no contact forces, which an observation term reads; play it with --": (
        "tests.plants.test_sensed:test_contact_forces_on_a_gpu_are_refused"
    ),
    "state it yourself: --set action.delay=": (
        "tests.descriptors.test_isaac_lab_params:test_the_delay_of_actuators_is_stated_in_physics_steps"
    ),
    "physics steps late in training, drawn for each robot": (
        "tests.descriptors.test_isaac_lab_params:test_the_delay_of_actuators_is_stated_in_physics_steps"
    ),
    ", and --set action.filter=": (
        "tests.descriptors.test_isaac_lab_limits:test_limits_that_no_file_has_are_asked_for"
    ),
    "control steps late in training, drawn at random": (
        "tests.descriptors.test_isaac_lab_config:test_delays_of_terms_are_stated"
    ),
    "differ, and only one preprocessor is stated; give a copy of the configuration": _TABLES,
    "for which skrl took its defaults; if that is so, give a copy of the configuration": _TABLES,
    "{} from --activation{}": (
        "tests.checkpoints.libraries.test_sb3_algorithms:test_an_activation_of_anothers_module_is_refused"
    ),
    "and give a copy of the configuration with {}: false by --agent": (
        "tests.cli.test_export:test_a_clip_of_the_mean_is_the_contracts_to_state"
    ),
    "--layout NAME": _GAPS,
    "--names FILE": _GAPS,
    "--set action.terms.0.scale=NUMBER": _GAPS,
    "export it with --format torchscript and without --fold": (
        "tests.port.test_folder:test_state_that_does_not_start_at_zero_needs_torchscript"
    ),
    "actions, which a remap can't carry yet; `policy-port export`": (
        "tests.export.test_lerobot_act:test_a_chunk_is_exported_but_not_remapped"
    ),
    "policy-port diagnose, {}": "tests.cli.test_diagnose:test_without_a_trace_a_flipped_sign_is_found_and_mended",
    "such links never touch in SAPIEN. Take the pair out, or use": _FEATURES,
    "{}: the robot can touch the {}{} of body '{}', and in SAPIEN": _FEATURES,
    "is neither sphere, box, cylinder, capsule nor mesh, which URDF can't say": _FEATURES,
    "joints, which URDF can't say; put a body between them": _FEATURES,
    "<option solver> is PGS, which Newton does not have": _FEATURES,
    "Newton reads it otherwise than MuJoCo: {}{}. Take it out": _FEATURES,
    "by a curve or by a constant; SAPIEN couples joints by straight lines": _FEATURES,
    "Put it there, or leave meshes and textures out with --no-meshes": (
        "tests.plants.test_mujoco_file:test_a_missing_picture_is_left_out_with_the_meshes"
    ),
    "on CUDA steps all environments in one batch; leave out --processes": (
        "tests.plants.test_process_plant:test_cuda_is_not_shared_out"
    ),
    "reads URDF and MJCF; USD is read by --plant newton": "tests.plants.test_newton_plant:test_usd_is_for_newton_alone",
    "export it again with `policy-port export`": _AGAIN,
    "to NAME{} for its memory. Write it with `policy-port export`": _AGAIN,
    "which a suite's baselines do not hold; use `policy-port play`": (
        "tests.regress.test_pilots:test_images_and_chunks_are_refused"
    ),
    "--rerun needs the Python package rerun-sdk": "tests.cli.test_play:test_a_recording_for_rerun",
    "put the arm into its check pose and run `policy-port robot check": (
        "tests.cli.test_robot:test_confirm_notes_what_it_saw_and_a_wrong_sign_is_refused"
    ),
    "The arm does not do what the policy says: look at units": (
        "tests.robots.arm.test_session:test_a_policy_that_asks_for_a_thousand_radians_is_stopped"
    ),
    "Name the joints as LeRobot does ({}), export again, and add --through": _DEGREES,
    "A port in LeRobot's degrees needs --through and its mapping": _DEGREES,
    "End it, hold the arm, and run `policy-port robot release": "tests.cli.test_robot:test_release_switches_torque_off",
    "move this joint by hand and see with `policy-port robot check`": (
        "tests.robots.arm.test_before_motion:test_two_exchanged_ids_are_not_confirmed"
    ),
    "says which output is what; leave out --output": f"{_LEAPP}_refused:test_output_says_nothing_where_the_yaml_does",
    "with each other: {}. Say which with --policy FILE": f"{_LEAPP}_joined:test_of_several_models_the_policy_is_named",
    "of the run has them, or give --set": f"{_LEAPP}:test_gains_of_zero_are_left_out_and_said",
    "network reads it. If you know what it is, say --set": f"{_LEAPP}:test_a_height_scan_stays_with_its_task",
    "default=NUMBER, or one by one --set": f"{_LEAPP}:test_targets_with_a_memory_are_the_action_themselves",
    "MuJoCo: of the link's origin); say which with --set": f"{_HOLOSOMA}:{_TOLD}",
    "if you know what it does, --set observation.terms.{}=": f"{_HOLOSOMA}:{_TOLD}",
    "is no {}; state it: --set action.terms='[...]'": f"{_HOLOSOMA}:{_TOLD}",
    "--precise FILE, a YAML with default_joint_pos": (
        f"{_HOLOSOMA}:test_what_is_missing_is_asked_for_with_options_that_work"
    ),
    "--dataset needs the Python packages {}": (
        "tests.cli.test_play_real:test_what_a_dataset_needs_is_said_before_anything_moves"
    ),
    # A run of mjlab.
    "mjlab acts in the order of its joints, of which these are": (
        "tests.descriptors.test_mjlab_drives:test_driven_joints_are_named_in_the_joints_order"
    ),
    "mjlab's is the IMU's: give --layout mjlab_tracking": f"{_MJLAB}:test_mjlabs_tracking_is_not_beyondmimics",
    "give the bounds that hold with --set action.terms.{}.clip": (
        f"{_MJLAB}_refused:test_a_clip_of_some_joints_may_be_given_for_all"
    ),
    "if you know what it does, state the action yourself: --set action.terms='[{term: KIND, ...}]'": (
        f"{_MJLAB}_refused:test_a_refused_term_or_action_may_be_stated_whole"
    ),
    "--layout {} was not needed": f"{_MJLAB}:test_a_layout_is_not_needed_beside_env_yaml",
    "has at full precision; leave it out of --precise": f"{_MJLAB}:test_a_keyframes_pose_is_the_metadatas",
    "which only its task knows{}: give its size with --size": (
        f"{_MJLAB}:test_terms_of_tasks_are_external_with_their_size"
    ),
    "or name the driven joints in their order with --set action.terms.0.joints": (
        f"{_MJLAB}:test_an_onnx_file_away_from_a_strange_run_is_read_by_itself"
    ),
    "--layout {} or {}, the task whose terms these are": f"{_MJLAB}:test_mjlabs_tracking_is_not_beyondmimics",
    "If you know it better, give it with --set observation.terms": (
        "tests.descriptors.test_onnx_terms:test_rounding_of_a_scale_or_bound_is_told"
    ),
    "or env.yaml alone with --names": (
        "tests.descriptors.test_isaac_lab_traces:test_a_contract_of_env_yaml_alone_is_what_the_run_recorded"
    ),
    "reads no reference motion; leave --motion out": f"{_FOLLOWING}test_a_clip_for_a_policy_that_reads_none",
    "so it can't follow one: leave --motion out": f"{_FOLLOWING}test_a_clip_for_a_policy_that_reads_none",
    "which the contract asks for; write it anew with --update": (
        "tests.regress.test_base_point:test_a_place_that_the_baseline_lacks_is_asked_for"
    ),
    "make the port again with `--motion` and {} under motion.files": (
        "tests.verdict.test_motion:test_a_clip_that_was_read_wrong_is_named"
    ),
    "nobody says which was played: export the port with --motion FILE": (
        "tests.verdict.test_motion:test_a_trace_without_a_clip_is_no_evidence"
    ),
    "take the mean of every random number with --mean": (
        "tests.checkpoints.onnx.test_operators:test_random_numbers_are_refused_or_their_mean_is_taken"
    ),
    "the mean stands in place of random numbers, as --mean says": (
        "tests.checkpoints.torchscript.test_graphs:test_random_numbers_are_refused_or_their_mean_is_taken"
    ),
    "; a contract's groups and terms are known with its --contract alone": _WIRED,
    " Here --NAME is `NAME` under the part, and --output STATE=NAME": _WIRED,
    "whose width only a --contract says; give its columns": _WIRED,
    "reads several vectors: {}. Which numbers of the observation each is": (
        "tests.checkpoints.onnx.test_state_ports:test_vectors_are_filled_by_the_contracts_names"
    ),
}
"""Part of the message, as it stands in the source -> the test."""

TRIED |= {
    "one of each: `policy-port play` with --dynamics FILE and without": (
        "tests.cli.test_dynamics:test_compare_tells_the_gap_before_and_after"
    ),
    "writes one of what the recordings tell; or write names, mean and covariance under posterior": (
        "tests.cli.test_identify:test_dynamics_and_a_report_are_written"
    ),
    "reach it through another contract. Give the contract that was played with --contract FILE": (
        "tests.identify.test_walks:test_wrong_recordings_are_named"
    ),
    "--plant maniskill": "tests.identify.test_walks:test_what_a_walk_cant_have_is_refused",
    "Record it with `policy-port play --plant mujoco`, or from a motion capture": (
        "tests.identify.test_walks:test_wrong_recordings_are_named"
    ),
    "--randomise draws from a dynamics.yaml; give it with --dynamics FILE": (
        "tests.train.test_posterior:test_draws_from_nothing_are_refused"
    ),
    "leave the joint's own damping out, or use --plant mujoco": (
        "tests.plants.test_dynamic:test_physx_damps_a_drive_to_velocities_towards_its_target"
    ),
    "Take the others out of the dynamics, or play on a plant with --plant maniskill": (
        "tests.cli.test_dynamics:test_what_does_not_fit_is_refused"
    ),
    "and the model is {}; write --model mujoco": (
        "tests.cli.test_dynamics:test_dynamics_go_with_an_arm_that_is_not_there"
    ),
}

WALKED = {
    "cli/collect.py": "tests.cli.test_collect:test_options_that_do_not_go_together_are_named",
    "cli/play.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "cli/play_options.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "cli/arm_options.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "cli/diagnose.py": "tests.cli.test_option_advice:test_diagnose_leads_somewhere",
    "cli/compare.py": "tests.cli.test_option_advice:test_compare_leads_somewhere",
    "cli/derive.py": "tests.cli.test_option_advice:test_derive_leads_somewhere_and_ignores_nothing",
    "cli/regress.py": "tests.cli.test_option_advice:test_regress_leads_somewhere",
    "cli/play_real.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "replay/goals.py": "tests.cli.test_play_held:test_the_path_of_advice_ends_in_a_run",
}
"""File of messages about options that don't go together -> the test that walks along all of them."""

_SWEPT = "tests.sweep.test_scores:test_results_of_something_else_are_not_written_over"
TRIED |= {
    "Copy the whole port again from where it came, or write it again with": (
        "tests.port.test_whose:test_the_whole_port_again_is_of_one_policy"
    ),
    "is there and no sweep's results; name another folder with --out": _SWEPT,
    "holds the results of {}; name another folder with --out": _SWEPT,
}

TRIED |= {
    "--no-trace has the whole loop on Newton's device, and": (
        "tests.device.test_device_replay:test_what_needs_the_host_stays_there"
    ),
    "which is what runs there; export it with --format torchscript,onnx": (
        "tests.device.test_device_replay:test_a_port_without_torchscript_is_told_what_to_do"
    ),
    "--trace and --no-trace go with --plant newton, not with": (
        "tests.device.test_device_replay:test_the_option_goes_with_newton"
    ),
}

TRIED |= pictures.TRIED
