"""The known ways in which servers of this kind were attacked, and which test holds each of them off.

Numbers are those of the list of cases that this project keeps. Cases for which there is no door here say so: nothing opens addresses,
installs packs, unpacks archives or reads pickles.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from live import Live, with_server

from nodegraph.server.setup.config import ServeSettings

TESTS = Path(__file__).parent.parent
CASES: dict[str, tuple[str, ...]] = {
    "1 Origin: null": ("server/test_guard::test_a_foreign_origin_is_refused_on_every_method",),
    "2 Sec-Fetch-Site, odd letter case": ("server/test_guard::test_requests_that_other_sites_cause",),
    "3 bodies that any page can send": (
        "server/test_guard::test_json_routes_take_json_only",
        "server/test_comfy_protocol::test_forms_that_any_page_could_send_are_refused",
        "server/test_v1_assets::test_a_page_of_another_site_cannot_upload",
    ),
    "4 GET that changes something": ("server/test_user_routes::test_no_read_changes_anything",),
    "5 DNS rebinding": ("server/test_guard::test_a_foreign_host_is_refused", "server/test_guard::test_two_hosts_or_none"),
    "6 websocket from another site": (
        "server/test_guard::test_a_websocket_from_elsewhere_is_refused",
        "server/test_comfy_protocol::test_pages_of_other_sites_cannot_listen",
        "server/test_v1_runs::test_a_websocket_needs_the_same_door_as_everything_else",
    ),
    "7 preflight, wildcard with credentials": (
        "server/test_guard::test_preflights_are_never_granted",
        "server/test_config::test_no_star_and_no_path_is_an_origin",
    ),
    "8 open to others without a token": ("server/test_config::test_other_machines_are_let_in_with_a_token_only",),
    "9 smuggling, slow and oversized requests": (
        "server/test_guard::test_ambiguous_or_oversized_requests",
        "server/test_guard::test_a_slow_body_is_given_up",
        "server/test_guard::test_slow_headers_are_given_up",
        "server/test_guard::test_bodies_beyond_the_limit",
    ),
    "10 names that lead elsewhere, reading": ("server/test_files_routes::test_no_reader_leads_out",),
    "11 the same everywhere else": (
        "server/test_files_routes::test_no_writer_leads_out",
        "server/test_comfy_submission::test_names_that_lead_elsewhere_are_refused",
        "server/test_v1_workflows::test_no_name_leads_elsewhere",
        "engine/test_files::test_a_name_that_could_lead_elsewhere_is_refused_for_reading_and_writing",
    ),
    "12 symbolic links": (
        "server/test_files_routes::test_no_reader_leads_out",
        "server/test_files_routes::test_no_writer_leads_out",
        "server/test_v1_workflows::test_a_link_out_of_the_folder_is_not_listed",
        "engine/test_files::test_a_link_that_leads_out_is_neither_read_nor_written_through",
    ),
    "13 a folder whose name begins alike": (
        "server/test_files_routes::test_a_name_of_a_folder_beside_is_not_inside",
        "engine/test_files::test_a_sibling_that_begins_with_the_same_letters_is_outside",
    ),
    "14 active files, polyglots": (
        "server/test_files_routes::test_what_could_be_active_is_a_download_through_every_reader",
        "server/test_files_routes::test_a_polyglot_is_a_picture_or_nothing",
    ),
    "15 through every other reader": ("server/test_files_routes::test_what_could_be_active_is_a_download_through_every_reader",),
    "16 header injection": ("server/test_files_routes::test_no_name_breaks_out_of_the_header",),
    "17 cache poisoning": ("server/test_attack_cases::test_answers_that_depend_on_who_asks_are_kept_by_no_cache_in_between",),
    "18 overwriting": (
        "server/test_files_routes::test_an_upload_is_kept_once_and_never_replaced_unasked",
        "server/test_files_routes::test_uploads_at_the_same_time_each_get_a_name",
        "server/test_user_routes::test_nothing_is_overwritten_against_the_wish",
    ),
    "19 archives": (),
    "20 bombs": (
        "server/test_files_routes::test_pictures_that_would_be_huge_are_not_decoded",
        "server/test_guard::test_compressed_bodies_are_not_taken",
        "server/test_guard::test_hostile_json",
        "server/test_guard::test_very_many_keys_do_not_stop_others",
        "server/test_files_routes::test_weights_are_listed_and_described",
        "engine/test_media::test_text_bombs_are_refused",
    ),
    "21 filling the disk": (
        "server/test_files_routes::test_uploads_are_bounded",
        "server/test_files_routes::test_the_oldest_passing_files_make_room",
        "server/test_job_store::test_it_is_bounded_in_bytes_with_events_documents_and_outputs",
        "server/test_v1_workflows::test_what_is_kept_is_bounded",
        "server/test_user_routes::test_userdata_is_bounded",
    ),
    "22 pickles under any name": ("diffusion/test_weights::test_pickles_are_refused_under_any_name_and_never_run",),
    "25 YAML with objects": ("server/test_config::test_yaml_that_is_not_of_that_form",),
    "27 prompts of the wrong form": (
        "server/test_comfy_submission::test_a_prompt_of_the_wrong_form",
        "server/test_comfy_submission::test_a_link_of_the_wrong_form",
        "server/test_comfy_submission::test_a_link_to_nothing",
        "server/test_comfy_submission::test_circles",
        "server/test_comfy_submission::test_a_very_long_chain_is_read_in_linear_time",
        "server/test_comfy_submission::test_a_ladder_with_very_many_paths_is_read",
        "server/test_comfy_protocol::test_what_stands_twice_in_a_prompt_is_refused",
    ),
    "28 a constant that looks like a link": ("engine/test_comfy_api::test_a_list_is_a_link_unless_it_is_wrapped",),
    "29 numbers, ids and names of clients": (
        "server/test_comfy_submission::test_a_number_must_be_finite",
        "server/test_comfy_submission::test_a_client_id_must_be_a_name",
        "server/test_comfy_protocol::test_the_same_id_is_the_same_run",
    ),
    "30 choices": ("server/test_comfy_submission::test_a_choice_that_is_not_on_the_list",),
    "31 expansion without end": ("engine/test_scheduler::test_an_expansion_without_end_is_stopped",),
    "32 names of internals": ("server/test_comfy_submission::test_names_of_internals_are_no_classes",),
    "33 text that reaches an interpreter": ("server/test_v1_fuzz::test_bodies_of_json", "server/test_v1_fuzz::test_names_and_queries"),
    "34 addresses in widgets": (),
    "35 secrets": (
        "server/test_comfy_protocol::test_secrets_reach_the_node_and_nobody_else",
        "server/test_v1_runs::test_secrets_are_given_to_nodes_and_never_seen_again",
        "server/test_service::test_secrets_reach_the_worker_and_never_the_disk",
        "server/test_worker::test_a_node_that_says_a_secret_is_not_quoted",
    ),
    "36 two clients of one name": (
        "server/test_comfy_protocol::test_of_two_sockets_of_one_client_the_newer_one_is_told_and_the_older_one_neither_hears_nor_drops_out",
        "server/test_comfy_protocol::test_an_older_socket_that_goes_leaves_the_newer_one_alone",
    ),
    "37 events of others": ("server/test_comfy_protocol::test_clients_hear_of_their_own_runs_only",),
    "38 a header is no identity": ("server/test_user_routes::test_there_is_one_user_whatever_a_header_says",),
    "39 what the server tells of itself": (
        "server/test_user_routes::test_statistics_tell_no_secrets_and_no_places",
        "server/test_user_routes::test_folders_are_named_not_located",
        "server/test_guard::test_a_mistake_of_ours_tells_the_client_nothing_and_the_log_everything",
        "server/test_guard::test_faults_tell_no_paths",
    ),
    "40 lines in the log": ("server/test_guard::test_a_log_line_stays_one_line",),
    "42 scripts of packs": ("server/test_guard::test_every_answer_carries_the_headers", "server/test_user_routes::test_what_packs_bring"),
    "43 a workflow that wants something installed": (),
    "44 names of packages": (),
    "45 a node id that exists already": ("engine/test_registry::test_the_prefix_of_an_id_is_the_name_of_the_pack",),
    "46 too many, too large, too slow": (
        "server/test_guard::test_connections_are_counted",
        "server/test_comfy_protocol::test_a_frame_of_a_gigabyte_is_refused_when_it_begins",
        "server/test_comfy_socket::test_a_client_that_stops_reading_is_given_up",
        "server/test_v1_streams::test_a_reader_that_never_reads_is_given_up",
        "server/test_comfy_protocol::test_pages_of_the_history",
    ),
    "47 stopping a run of somebody else": ("server/test_comfy_protocol::test_an_interruption_of_the_run_that_is_meant",),
}
NO_DOOR = {"19 archives", "34 addresses in widgets", "43 a workflow that wants something installed", "44 names of packages"}


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_tests_that_are_there(case: str) -> None:
    assert CASES[case] or case in NO_DOOR
    for named in CASES[case]:
        file, _, name = named.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((TESTS / f"{file}.py").read_text())) if isinstance(node, ast.FunctionDef)}
        assert name in functions


PATHS = [
    "/",
    "/features",
    "/system_stats",
    "/queue",
    "/history",
    "/nothing",
    "/view?filename=a.png&type=input",
    "/api/v1/runs",
    "/icon.svg",
]


@pytest.mark.parametrize("token", [None, "a-token-of-some-length"])
def test_answers_that_depend_on_who_asks_are_kept_by_no_cache_in_between(settings: ServeSettings, token: str | None) -> None:
    """What is answered hangs on Origin, on what caused the request and on the token: nothing on the way may give it to somebody else."""

    async def work(server: Live) -> None:
        allowed = {"Authorization": f"Bearer {token}"} if token else {}
        for path in PATHS:
            for headers in ({}, allowed, {**allowed, "Origin": "http://evil.example"}, {**allowed, "Sec-Fetch-Site": "cross-site"}):
                answer = await server.get(path, headers=headers)
                kept = answer.headers["Cache-Control"]
                assert "no-store" in kept or "private" in kept, (path, headers)
                assert {"Origin", "Sec-Fetch-Site", "Sec-Fetch-Dest"} <= {name.strip() for name in answer.headers["Vary"].split(",")}
                if answer.status >= 400:
                    assert kept == "no-store", (path, headers)

    with_server(replace(settings, token=token), work)
