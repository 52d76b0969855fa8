"""The wheel carries everything a run needs, inside one package, and takes no generic top-level name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_it_carries_nodes_workflows_models_and_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("nodes", "workflows", "models"):
        for path in (ROOT / kind).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"nodegraph/_builtin/{path.relative_to(ROOT).as_posix()}" in names
    assert "nodegraph/diffusion/data/clip_bpe.txt.gz" in names
    assert "nodegraph/py.typed" in names


def test_it_takes_one_top_level_name(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nodegraph"}


def test_it_runs_from_any_folder_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import nodegraph; assert nodegraph.__file__.startswith(sys.path[0]), nodegraph.__file__\n"
        "from nodegraph.cli.main import main; sys.exit(main(['run', 'upscale', '--quiet', '--no-cache']))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "output" / "upscale_00001.png").is_file()
