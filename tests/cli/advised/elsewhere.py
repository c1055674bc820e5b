"""Messages that tests of their own room obey."""

from __future__ import annotations

_FEATURES = "tests.plants.test_mjcf_features:test_what_a_simulator_can_t_do_it_refuses_by_name"
"""Each of its files stands in the MuJoCo plant, which the messages lead to, and the file without the feature does."""
_GAPS = "tests.cli.test_contract:test_every_gap_takes_the_flag_that_it_names"
_AGAIN = "tests.port.test_runtime:test_a_foreign_graph_plays_once_it_is_exported"
_DEGREES = "tests.robots.jobs.test_free_job:test_a_port_in_degrees_without_its_mapping"
_FOLLOWING = "tests.replay.test_following:"
_MJLAB = "tests.descriptors.test_mjlab_env:"
_TABLES = "tests.checkpoints.libraries.test_skrl_expressions:test_tables_that_do_not_fit_their_names_are_refused"
_LEAPP, _HOLOSOMA = "tests.descriptors.test_leapp", "tests.descriptors.test_holosoma"
_WIRED = "tests.checkpoints.test_wiring:test_each_key_that_a_message_names_leads_on"
_TOLD = "test_what_the_user_knows_is_taken_as_the_messages_ask"

TRIED: dict[str, str] = {
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
    "says which output is what; leave out --output": f"{_LEAPP}:test_output_says_nothing_where_the_yaml_does",
    "to do with each other: {}. Say which with --policy FILE": f"{_LEAPP}:test_of_several_models_the_policy_is_named",
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
        f"{_MJLAB}test_driven_joints_are_named_in_the_joints_order"
    ),
    "mjlab's is the IMU's: give --layout mjlab_tracking": f"{_MJLAB}test_mjlabs_tracking_is_not_beyondmimics",
    "give the bounds that hold with --set action.terms.{}.clip": (
        f"{_MJLAB}test_a_clip_of_some_joints_may_be_given_for_all"
    ),
    "if you know what it does, state the action yourself: --set action.terms='[{term: KIND, ...}]'": (
        f"{_MJLAB}test_a_refused_term_or_action_may_be_stated_whole"
    ),
    "--layout {} was not needed": f"{_MJLAB}test_a_layout_is_not_needed_beside_env_yaml",
    "has at full precision; leave it out of --precise": f"{_MJLAB}test_a_keyframes_pose_is_the_metadatas",
    "which only its task knows{}: give its size with --size": (
        f"{_MJLAB}test_terms_of_tasks_are_external_with_their_size"
    ),
    "or name the driven joints in their order with --set action.terms.0.joints": (
        f"{_MJLAB}test_an_onnx_file_away_from_a_strange_run_is_read_by_itself"
    ),
    "--layout {} or {}, the task whose terms these are": f"{_MJLAB}test_mjlabs_tracking_is_not_beyondmimics",
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

WALKED = {
    "cli/play.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "cli/diagnose.py": "tests.cli.test_option_advice:test_diagnose_leads_somewhere",
    "cli/compare.py": "tests.cli.test_option_advice:test_compare_leads_somewhere",
    "cli/derive.py": "tests.cli.test_option_advice:test_derive_leads_somewhere_and_ignores_nothing",
    "cli/regress.py": "tests.cli.test_option_advice:test_regress_leads_somewhere",
    "cli/play_real.py": "tests.cli.test_option_advice:test_play_leads_somewhere",
    "replay/goals.py": "tests.cli.test_play_held:test_the_path_of_advice_ends_in_a_run",
}
"""File of messages about options that don't go together -> the test that walks along all of them."""
