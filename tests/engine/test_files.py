"""Names from a workflow lead into their folder and nowhere else; what is saved is there whole, under a new name, or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodegraph.errors import FileMissing, ModelNotFound, UnsafePath, WriteFailed
from nodegraph.files import Files, fill_pattern, inside, is_unchanged, listing, safe_parts, temporary, write_atomic

ATTACKS = [
    "",
    ".",
    "..",
    "../secret.txt",
    "a/../../secret.txt",
    "a/..",
    "..\\secret.txt",
    "a\\..\\..\\secret.txt",
    "a/..\\../secret.txt",
    "/etc/passwd",
    "\\etc\\passwd",
    "//server/share/x",
    "\\\\server\\share\\x",
    "\\\\?\\C:\\x",
    "C:\\Windows\\x",
    "C:/Windows/x",
    "C:x",
    "c:",
    "file.png:stream",
    "file.png::$DATA",
    "~/x",
    "~root/x",
    "a\0.png",
    "\0",
    "a\nb",
    "a\x7fb",
    "a\x1bb",
    "name.",
    "name ",
    "dir./x",
    "dir /x",
    "...",
    "a/. ./b",
    "CON",
    "con.png",
    "a/NUL",
    "aux.tar.gz",
    "COM1",
    "com¹.txt",
    "LPT9.x",
    "CONIN$",
    "con .txt",
    "x" * 201,
    "ü" * 101,
    "a/" + "x" * 300 + "/b",
    "a/" * 600,
    "a*b",
    "a?b",
    "a|b",
    "a<b>",
    'a"b',
    "\ud800.png",
    "a\udcff.png",
]

HARMLESS = [
    "cat.png",
    "cats/tabby.png",
    "cats\\tabby.png",
    "./cats//tabby.png",
    "..cat.png",
    "a..b/c",
    ".hidden",
    "ü ✓ 狐.png",
    " leading",
    "con-figure.png",
    "x" * 200,
    "100% real.png",
    "$HOME/`id`;rm -rf.png",
    "-rf",
]


@pytest.fixture
def secret(tmp_path: Path, files: Files) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    return path


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("name", ATTACKS, ids=lambda name: ascii(name)[:40])
def test_a_name_that_could_lead_elsewhere_is_refused_for_reading_and_writing(files: Files, secret: Path, name: str) -> None:
    for use in (
        lambda: safe_parts(name),
        lambda: files.find_input(name),
        lambda: files.find_model("loras", name),
        lambda: files.save("output", name + "/x" if len(name) > 1 else "../x", ".png", lambda stream: stream.write(b"x")),
    ):
        with pytest.raises(UnsafePath) as caught:
            use()
        assert caught.value.hint
        caught.value.render().encode()
    assert not files.output.exists() or not list(files.output.rglob("*.png"))


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_name_stays_inside(files: Files, name: str) -> None:
    path = inside(files.input, name)
    assert path.is_relative_to(files.input)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    assert files.find_input(name) == path


def test_encoded_dots_are_plain_characters(files: Files, secret: Path) -> None:
    for name in (quote("../secret.txt", safe=""), "%2e%2e/secret.txt", "..%2fsecret.txt", "%252e%252e/secret.txt", "..%c0%afsecret.txt"):
        with pytest.raises((FileMissing, UnsafePath)):
            files.find_input(name)


@given(st.text(max_size=40))
def test_no_name_leads_out(name: str) -> None:
    root = Path("/some/root")
    try:
        path = inside(root, name)
    except UnsafePath:
        return
    assert os.path.normpath(path).startswith("/some/root/")


def test_a_sibling_that_begins_with_the_same_letters_is_outside(tmp_path: Path) -> None:
    root, sibling = tmp_path / "out", tmp_path / "out-secret"
    root.mkdir()
    sibling.mkdir()
    (sibling / "x").write_text("secret")
    (root / "link").symlink_to(sibling)
    for name in ("../out-secret/x", "link/x"):
        with pytest.raises(UnsafePath):
            inside(root, name)


def test_a_link_that_leads_out_is_neither_read_nor_written_through(files: Files, secret: Path) -> None:
    (files.input / "leak.txt").symlink_to(secret)
    (files.input / "up").symlink_to(secret.parent)
    for name in ("leak.txt", "up/secret.txt"):
        with pytest.raises(UnsafePath, match="a link that leads out"):
            files.find_input(name)
    files.output.mkdir()
    (files.output / "up").symlink_to(secret.parent)
    with pytest.raises(UnsafePath):
        files.save("output", "up/x", ".txt", lambda stream: stream.write(b"x"))
    assert sorted(p.name for p in secret.parent.iterdir()) == ["input", "models", "output", "secret.txt"]


def test_a_link_inside_the_folder_is_followed(files: Files) -> None:
    (files.input / "real.txt").write_text("x")
    (files.input / "alias.txt").symlink_to("real.txt")
    assert files.find_input("alias.txt").read_text() == "x"


def test_links_in_a_circle_are_no_file(files: Files) -> None:
    (files.input / "a").symlink_to("b")
    (files.input / "b").symlink_to("a")
    with pytest.raises((FileMissing, UnsafePath)):
        files.find_input("a")


# ------------------------------------------------------------------------------------------------ reading


def test_a_missing_input_is_told_with_what_is_there(files: Files) -> None:
    for i in range(10):
        (files.input / f"cat{i}.png").write_text("x")
    (files.input / ".hidden").write_text("x")
    with pytest.raises(FileMissing, match=r"there is no 'cta3.png' in the input folder") as caught:
        files.find_input("cta3.png")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean `cat3.png`")
    assert caught.value.hint.endswith("and 2 more")
    assert "hidden" not in caught.value.hint


def test_an_empty_folder_says_so(files: Files) -> None:
    with pytest.raises(FileMissing) as caught:
        files.find_input("x.png")
    assert caught.value.hint == "the folder is empty; put the file there"


def test_a_folder_is_no_file(files: Files) -> None:
    (files.input / "d").mkdir()
    with pytest.raises(FileMissing):
        files.find_input("d")


def test_a_path_longer_than_the_system_allows_is_only_missing(files: Files) -> None:
    with pytest.raises(FileMissing):
        files.find_input("/".join(["狐" * 60] * 16))


def test_shipped_examples_are_found_after_the_files_of_the_user(files: Files, tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "examples" / name).write_text("shipped")
    (files.input / "a.png").write_text("mine")
    both = Files(files.input, files.output, files.temp, (), tmp_path / "examples")
    assert both.find_input("a.png").read_text() == "mine"
    assert both.find_input("b.png").read_text() == "shipped"
    with pytest.raises(FileMissing) as caught:
        both.find_input("c.png")
    assert "a.png, b.png" in (caught.value.hint or "")


def models(files: Files, *names: str, root: Path | None = None) -> None:
    for name in names:
        path = (root or files.models[0]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_a_model_is_found_by_name_by_other_slashes_and_by_a_unique_base_name(files: Files) -> None:
    models(files, "loras/sd15/ink.safetensors", "loras/plain.safetensors", "loras/a/two.safetensors", "loras/b/two.safetensors")
    assert files.find_model("loras", "plain.safetensors").read_text() == "loras/plain.safetensors"
    assert files.find_model("loras", "sd15\\ink.safetensors").read_text() == "loras/sd15/ink.safetensors"
    assert files.find_model("loras", "ink.safetensors").read_text() == "loras/sd15/ink.safetensors"
    assert files.find_model("loras", "elsewhere/ink.safetensors").read_text() == "loras/sd15/ink.safetensors"
    with pytest.raises(ModelNotFound, match=r"there is no 'two.safetensors'") as caught:
        files.find_model("loras", "two.safetensors")
    assert "a/two.safetensors" in (caught.value.hint or "")


def test_the_first_models_folder_wins(tmp_path: Path) -> None:
    files = Files(tmp_path, tmp_path, tmp_path, (tmp_path / "mine", tmp_path / "shipped"))
    models(files, "vae/x.safetensors", root=tmp_path / "shipped")
    models(files, "vae/x.safetensors", root=tmp_path / "mine")
    models(files, "vae/y.sft", root=tmp_path / "shipped")
    assert files.find_model("vae", "x.safetensors").is_relative_to(tmp_path / "mine")
    assert files.list_models("vae") == ["x.safetensors", "y.sft"]


def test_only_weights_are_listed(files: Files) -> None:
    models(files, "loras/a.safetensors", "loras/b.ckpt", "loras/readme.txt", "loras/.c.safetensors", "loras/.git/d.safetensors")
    assert files.list_models("loras") == ["a.safetensors"]


def test_weights_may_be_links_to_another_disk(files: Files, tmp_path: Path) -> None:
    models(files, "big.safetensors", root=tmp_path / "elsewhere")
    (files.models[0] / "loras").mkdir()
    (files.models[0] / "loras" / "big.safetensors").symlink_to(tmp_path / "elsewhere" / "big.safetensors")
    assert files.list_models("loras") == ["big.safetensors"]
    assert files.find_model("loras", "big.safetensors").read_text() == "big.safetensors"


def test_a_folder_under_its_former_name_is_looked_into_after_the_present_one(tmp_path: Path) -> None:
    for name in ("unet/a", "unet/b", "diffusion_models/a", "clip/c"):
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    files = Files(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (tmp_path,))
    assert files.list_models("diffusion_models") == ["a.safetensors", "b.safetensors"]
    assert files.find_model("diffusion_models", "a.safetensors").parent.name == "diffusion_models"
    assert files.find_model("diffusion_models", "b.safetensors").parent.name == "unet"
    assert files.list_models("text_encoders") == ["c.safetensors"]
    assert files.list_models("checkpoints") == []


def test_a_dangling_link_is_a_missing_model(files: Files) -> None:
    (files.models[0] / "loras").mkdir()
    (files.models[0] / "loras" / "gone.safetensors").symlink_to("nowhere")
    with pytest.raises(ModelNotFound):
        files.find_model("loras", "gone.safetensors")
    with pytest.raises(ModelNotFound):
        files.find_model("loras", "sub/gone.safetensors")


def test_without_a_models_folder_that_is_what_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no models folder is set"):
        Files(tmp_path, tmp_path, tmp_path).find_model("loras", "x.safetensors")


def test_an_input_names_a_file_of_its_folder(files: Files) -> None:
    (files.input / "x.png").write_text("picture")
    models(files, "loras/x.png")
    assert files.find("input", "x.png").read_text() == "picture"
    assert files.find("loras", "x.png").read_text() == "loras/x.png"


def test_a_listing_is_bounded_and_in_order(files: Files) -> None:
    for i in range(5):
        (files.input / f"{4 - i}.png").write_text("x")
    assert list(listing(files.input, limit=3)) == ["0.png", "1.png", "2.png"]
    assert list(listing(files.input / "nowhere")) == []


def test_a_place_for_several_files_lies_in_its_folder(files: Files) -> None:
    assert files.place("output", "run/7") == files.output / "run" / "7"
    for name in ("../x", "/etc", ""):
        with pytest.raises(UnsafePath):
            files.place("temp", name)


# ------------------------------------------------------------------------------------------------ saving


def save(files: Files, pattern: str = "picture", data: bytes = b"data", suffix: str = ".png") -> Any:
    return files.save("output", pattern, suffix, lambda stream: stream.write(data))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_file_gets_the_next_free_number(files: Files) -> None:
    saved = [save(files) for _ in range(3)]
    assert [s.name for s in saved] == ["picture_00001.png", "picture_00002.png", "picture_00003.png"]
    (files.output / "picture_00002.png").unlink()
    assert save(files).name == "picture_00004.png"
    assert save(files, suffix=".jpg").name == "picture_00005.jpg"
    assert save(files, "pic").name == "pic_00001.png"
    assert save(files, "day/pic").name == "day/pic_00001.png"


def test_what_is_saved_is_described(files: Files) -> None:
    saved = save(files, data=b"12345")
    assert saved.path.read_bytes() == b"12345"
    assert saved.to_json() == {
        "name": "picture_00001.png",
        "root": "output",
        "path": str(files.output / "picture_00001.png"),
        "size": 5,
        "mtime_ns": saved.path.stat().st_mtime_ns,
    }


def test_a_saved_file_is_known_again_until_something_happens_to_it(files: Files, tmp_path: Path) -> None:
    saved = save(files).to_json()
    assert is_unchanged(saved, files)
    assert not is_unchanged(saved, Files(files.input, tmp_path / "elsewhere", files.temp))
    Path(saved["path"]).write_bytes(b"other")
    assert not is_unchanged(saved, files)
    Path(saved["path"]).unlink()
    assert not is_unchanged(saved, files)


@pytest.mark.parametrize(
    "saved", [{}, {"path": 3}, {"path": "x", "root": "nope", "name": "x"}, {"path": "\0", "root": "output", "name": "\0"}]
)
def test_a_description_of_something_else_is_not_a_known_file(files: Files, saved: dict[str, Any]) -> None:
    assert not is_unchanged(saved, files)


def test_files_that_are_there_are_never_overwritten(files: Files) -> None:
    files.output.mkdir()
    (files.output / "picture_00001.png").write_bytes(b"mine")
    (files.output / "picture_99999.png").write_bytes(b"mine")
    assert save(files).name == "picture_100000.png"
    assert (files.output / "picture_00001.png").read_bytes() == b"mine"


def save_from_many_threads(files: Files) -> list[str]:
    begin = threading.Barrier(8)
    found: list[str] = []

    def work(number: int) -> None:
        begin.wait()
        for turn in range(10):
            found.append(save(files, data=f"{number}.{turn}".encode()).name)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_eight_threads_at_once_do_not_overwrite_each_other(files: Files) -> None:
    found = save_from_many_threads(files)
    assert len(found) == len(set(found)) == 80
    assert names(files.output) == sorted(found)
    assert len({(files.output / name).read_bytes() for name in found}) == 80


def test_it_is_the_same_where_there_are_no_hard_links(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    found = save_from_many_threads(files)
    assert len(set(found)) == 80
    assert names(files.output) == sorted(found)
    assert len({(files.output / name).read_bytes() for name in found}) == 80


def test_a_write_that_fails_leaves_nothing(files: Files) -> None:
    def half(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        files.save("output", "picture", ".png", half)
    assert names(files.output) == []


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from nodegraph.errors import WriteFailed
from nodegraph.files import Files, write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
base = Path(sys.argv[1])
files = Files(base, base, base)
write_atomic(base / "kept.json", lambda stream: stream.write(b"old"))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for save in (
    lambda: files.save("output", "a/picture", ".png", lambda stream: stream.write(bytes(5000))),
    lambda: write_atomic(base / "kept.json", lambda stream: stream.write(bytes(5000))),
):
    try:
        save()
    except WriteFailed as error:
        print(error.code, "cannot write" in error.message, error.hint is not None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_disk_that_takes_no_more_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["E408 True True"] * 2
    assert names(tmp_path) == ["kept.json"]
    assert (tmp_path / "kept.json").read_bytes() == b"old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_words(files: Files) -> None:
    def full(stream: IO[bytes]) -> None:
        with open("/dev/full", "wb", buffering=0) as other:
            other.write(b"x")

    with pytest.raises(WriteFailed, match="No space left on device") as caught:
        files.save("output", "x", ".png", full)
    assert "free some space" in (caught.value.hint or "")
    assert names(files.output) == []


def test_a_file_in_the_way_of_a_folder_is_told(files: Files) -> None:
    files.output.write_text("a file")
    with pytest.raises(WriteFailed, match="cannot write"):
        save(files)


def test_writing_replaces_the_whole_file_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "w.json"
    write_atomic(path, lambda stream: stream.write(b"one"))
    write_atomic(path, lambda stream: stream.write(b"two"))
    assert path.read_bytes() == b"two"

    def half(stream: IO[bytes]) -> None:
        stream.write(b"thr")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, half)
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["new/w.json"]


def test_a_link_to_a_file_stays_a_link_when_the_file_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("one")
    (tmp_path / "link.json").symlink_to("real.json")
    write_atomic(tmp_path / "link.json", lambda stream: stream.write(b"two"))
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "two"


def test_a_temporary_file_is_hidden_and_removed(tmp_path: Path) -> None:
    with temporary(tmp_path) as (stream, path):
        stream.write(b"x")
        assert path.name.startswith(".")
        assert list(listing(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ patterns

NOON = time.struct_time((2024, 3, 9, 12, 5, 7, 5, 69, 0))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("picture", "picture"),
        ("%date%/%time%", "2024-03-09/12-05-07"),
        ("%year%%month%%day%_%hour%%minute%%second%", "20240309_120507"),
        ("%KSampler.seed%", "7"),
        ("100% %unknown% %", "100% %unknown% %"),
        ("%evil%", "etc_passwd"),
        ("%dots%/x", "_/x"),
        ("%empty%/x", "_/x"),
        ("%long%/x", "a" * 59 + "/x"),
        ("%ctrl%", "ab"),
    ],
)
def test_a_pattern_is_filled_with_harmless_values(pattern: str, name: str) -> None:
    values = {
        "KSampler.seed": "7",
        "evil": "../../etc/passwd",
        "dots": "..",
        "empty": "",
        "long": "a" * 59 + ". and more",
        "ctrl": "a\0\x1b:b",
    }
    assert fill_pattern(pattern, values, NOON) == name


@given(st.text(max_size=80))
def test_a_value_in_a_pattern_never_adds_a_folder_or_leaves_one(value: str) -> None:
    filled = fill_pattern("a/%x%/b", {"x": value}, NOON)
    assert len(filled.split("/")) == 3
    assert ".." not in filled.split("/")
