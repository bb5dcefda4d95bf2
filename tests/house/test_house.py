"""The house: what is public is documented, what is documented exists, imports stay lazy, examples run."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from benchmarks import figures

import headstart as hs
from headstart.cli import app

from ..conftest import Said

ROOT = Path(__file__).parents[2]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()[-2000:])


HEAVY = {"torch", "timm", "transformers", "sklearn", "pandas", "scipy", "fastapi"}


def test_importing_headstart_loads_nothing_heavy() -> None:
    assert not loaded_after("import headstart") & HEAVY


def test_help_loads_nothing_heavy() -> None:
    run = "from headstart.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
    assert not loaded_after(f"exec({run!r})") & HEAVY


def test_learning_loads_nothing_that_only_proving_needs() -> None:
    loaded = loaded_after("from headstart import adapt")
    assert "torch" in loaded
    assert not loaded & {"sklearn", "statsmodels", "matplotlib"}


def test_a_saved_model_answers_without_what_only_learning_needs(tmp_path: Path) -> None:
    rows = [("a good film", "yes"), ("a bad film", "no"), ("a fine play", "yes"), ("a dull play", "no")]
    hs.adapt(hs.read(rows), backbone="wordllama").save(tmp_path / "m")
    loaded = loaded_after(f"import headstart as hs; hs.load({str(tmp_path / 'm')!r}).predict(['a film'])")
    assert "torch" in loaded
    assert "sklearn" not in loaded


def test_that_the_tests_above_can_fail() -> None:
    assert "torch" in loaded_after("import headstart; headstart.load_backbone")


def test_every_public_name_is_there_documented_and_in_the_docs() -> None:
    words = (ROOT / "docs" / "api.md").read_text()
    for name in hs.__all__:
        thing = getattr(hs, name)
        assert inspect.getdoc(thing), name
        assert f"`{name}`" in words, name
    assert set(re.findall(r"^\| `(\w+)`", words, flags=re.MULTILINE)) == set(hs.__all__)
    assert dir(hs) == sorted([*hs.__all__, "__version__"])


def test_no_function_has_a_modules_name() -> None:
    modules = {path.stem for path in (ROOT / "src" / "headstart").rglob("*.py")}
    assert not modules & set(hs.__all__)
    assert not modules & {"utils", "helpers", "common", "misc", "base", "core", "manager", "handler", "config"}


def commands_page() -> str:
    """Write docs/commands.md from the commands themselves."""
    lines = ["# The commands", "", "Made from `headstart COMMAND --help`; a test compares.", ""]
    for name, command in COMMANDS.items():
        lines += [f"## headstart {name}", "", " ".join(command.help.split()), "", "| what | means |", "| --- | --- |"]
        for parameter in command.params:
            written = " ".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name.upper()
            default = parameter.default
            shown = (
                f" Default: {default}." if isinstance(default, str | int | float) and default not in (False, "") else ""
            )
            lines.append(f"| `{written}` | {parameter.help or 'Show the help.'}{shown} |")
        lines.append("")
    return "\n".join(lines)


def test_the_commands_are_documented() -> None:
    assert (ROOT / "docs" / "commands.md").read_text() == commands_page()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert "Example: `headstart " + name in " ".join(command.help.split())
    assert any("--json" in parameter.opts for parameter in command.params)


def documented(schema: str) -> set[str]:
    """Return the fields that docs/json.md names for a schema."""
    page = (ROOT / "docs" / "json.md").read_text()
    section = page.split(f"## {schema}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def test_json_fields_are_documented_in_both_directions(
    headstart: Callable[..., Said], reviews: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.headstart"
    answers = [
        headstart("fit", reviews, "--backbone", "wordllama", "--out", out, "--json"),
        headstart("evaluate", out, reviews, "--json"),
        headstart("predict", out, "a film", "--json"),
        headstart("rank", reviews, "--backbones", "wordllama", "--json"),
        headstart("compare", reviews, "--backbone", "wordllama", "--json"),
        headstart("backbones", "--json"),
        headstart("cache", "--json"),
        headstart("fit", "nowhere", "--json"),
    ]
    for answer in answers:
        assert documented(answer.json["schema"]) == set(answer.json), answer.json["schema"]
    assert documented("headstart.demo/1") == {"schema", "results"}


def test_the_codes_of_findings_are_documented_in_both_directions() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    raised = set(re.findall(r'Finding\(\s*"(\w+)"', sources))
    page = (ROOT / "docs" / "json.md").read_text().split("## Codes of warnings")[1]
    assert raised == set(re.findall(r"`(\w+)`", page))


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_real_options_and_calls() -> None:
    words = (ROOT / "README.md").read_text()
    options = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z]+", words)) <= options
    for name in re.findall(r"hs\.(\w+)", words):
        assert name in hs.__all__
    for block in re.findall(r"```python\n(.*?)```", words, flags=re.DOTALL):
        ast.parse(block)


def test_the_readmes_python_runs(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in (("a.jpg", "red/0.png"), ("b.jpg", "blue/0.png")):
        (tmp_path / name).write_bytes((photos / source).read_bytes())
    words = (ROOT / "README.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", words, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})


def test_the_readmes_figures_of_speed_are_the_measured_ones() -> None:
    _, block, _ = figures.parts((ROOT / "README.md").read_text())
    if not figures.RESULTS.is_file():
        pytest.skip("nothing is measured")
    assert block == figures.block(figures.RESULTS)


def test_that_the_readme_has_a_place_for_the_figures() -> None:
    before, block, after = figures.parts((ROOT / "README.md").read_text())
    assert figures.BEGIN not in before + after
    assert before
    assert after
    assert "{" not in block


def test_the_changelog_and_the_citation_name_this_version() -> None:
    assert f"## {hs.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {hs.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_functions_and_modules_stay_small() -> None:
    long = []
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 420, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                documentation = len((ast.get_docstring(node) or "").splitlines())
                if node.end_lineno - node.lineno - documentation > 60:
                    long.append(f"{path.name}:{node.name}")
    assert not long


def test_the_shipped_plans_are_the_catalogues() -> None:
    plans = json.loads((ROOT / "src" / "headstart" / "backbones" / "plans.json").read_text())
    assert set(plans) == {one.card.name for one in hs.list_backbones()}


if __name__ == "__main__":
    (ROOT / "docs" / "commands.md").write_text(commands_page())
