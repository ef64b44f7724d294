"""Specs, detection, settings and plugins: what is wrong is named, with a way out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator, model_validator
from safetensors.numpy import save_file

from conftest import Cli
from jrv3_eval.console import print_family, print_models
from jrv3_eval.errors import CheckpointError, MissingExtraError, UsageError
from jrv3_eval.rerankers import (
    Reranker,
    RerankerInfo,
    RerankerSettings,
    families,
    open_reranker,
    parse_settings,
    plugins,
)
from jrv3_eval.rerankers.settings import read_pairs, settings_of
from models import write_json

HERE = "test_registry"


MINILM = "package:all-MiniLM-L6-v2"  # a bi-encoder


@pytest.fixture
def cross(tmp_path: Path) -> Path:
    """What is read of a cross-encoder before its weights are."""
    return write_config(tmp_path / "cross", architectures=["BertForSequenceClassification"])


def write_config(folder: Path, **changes: Any) -> Path:
    """Write or change a config.json, beside weights without a tensor."""
    path = folder / "config.json"
    known = json.loads(path.read_text()) if path.exists() else {"num_labels": 1}
    write_json(path, {**known, **changes})
    save_file({}, folder / "model.safetensors")
    return folder


# --- specs


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("orcale", "did you mean 'oracle'"),
        ("all-MiniLM-L6-v2", "did you mean 'package:all-MiniLM-L6-v2'"),
        ("bi-encodr:./ckpt", "Unknown reranker family 'bi-encodr'.*did you mean 'bi-encoder'"),
        ("bi-encoder:", "names a family but no target.*bi-encoder:TARGET, where TARGET is a check"),
        ("", "Unknown reranker"),
        ("package:all-MiniLM", "Unknown packaged model"),
    ],
)
def test_unknown_specs(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        open_reranker(spec)


@pytest.mark.parametrize("spec", ["./ckpt", "cross-encoder:./ckpt", "/no/such/folder"])
def test_missing_folders(spec: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        open_reranker(spec)


# --- detection


def test_family_comes_from_the_checkpoint_not_the_name(tmp_path: Path) -> None:
    misleading = tmp_path / "bi-encoder-MiniLM"
    write_config(misleading, architectures=["BertForSequenceClassification"])
    # sentence-transformers 6 writes a modules.json for its cross-encoders too.
    write_json(misleading / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "x.Y"}])
    assert open_reranker(str(misleading)).info.family == "cross-encoder"


def test_what_no_family_recognises_lists_them_all(cross: Path) -> None:
    write_config(cross, architectures=["SomeForRanking"])
    with pytest.raises(UsageError, match=r"by no family \(architectures: .*SomeForR") as caught:
        open_reranker(str(cross))
    step = str(caught.value.next_step)
    assert step.startswith(f"force a family, FAMILY:{cross}, with one of:\n")
    for name, family in families().items():
        assert f" {name} " in step
        assert f"  {family.models}" in step


def test_remote_code_is_refused_whatever_the_architecture(cross: Path) -> None:
    write_config(cross, architectures=["SomeForRanking"], auto_map={"AutoModel": "modeling.X"})
    with pytest.raises(CheckpointError, match="needs remote code"):
        open_reranker(str(cross))
    write_config(cross, architectures=["BertForSequenceClassification"])
    for spec in (f"cross-encoder:{cross}", str(cross)):
        with pytest.raises(CheckpointError, match="needs remote code"):
            open_reranker(spec)


# --- plugins


class GreedySettings(RerankerSettings):
    """Settings of every kind that a plugin may have."""

    window: int | None = Field(20, ge=2, description="documents in a window")
    temperature: float = Field(0.0, ge=0)
    cached: bool = Field(True, description="whether answers are kept")
    mode: Literal["none", "fast"] | None = None
    prompt: str | None = Field(None, description="the words before a query")
    stride: int = Field(10, description="how far a window moves")

    @model_validator(mode="after")
    def _moves_within(self) -> GreedySettings:
        if self.window is not None and self.stride > self.window:
            raise ValueError("stride is more than window")
        return self


class Greedy:
    """A plugin family that takes every checkpoint."""

    name = "greedy"
    models = "anything at all"
    listwise = True
    extra: str | None = None
    settings: type[RerankerSettings] = GreedySettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        return True

    def open(self, target: str, settings: RerankerSettings) -> Reranker:
        info = RerankerInfo(target, self.name, True, None, "0")
        return type("Nothing", (), {"info": info, "score": lambda self, requests: []})()


class Crashing(Greedy):
    name = "crashing"

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        raise KeyError("hidden_size")


class Ending(Greedy):
    name = "ending"

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        sys.exit(3)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Failing(Greedy):
    """Its `open` fails as its target says."""

    name = "failing"
    failures: Mapping[str, BaseException] = {
        "value": ValueError("hidden_size\nis 3"),
        "exit": SystemExit(3),
        "import": ModuleNotFoundError("No module named 'kernels'"),
        "unspeakable": UnspeakableError(),
        "ours": CheckpointError("The weights are torn.", where="model.safetensors"),
    }

    def open(self, target: str, settings: RerankerSettings) -> Reranker:
        if target == "no-info":
            return cast(Reranker, Greedy())
        raise self.failures[target]


class RaisingSettings(RerankerSettings):
    mode: str = "a"

    @field_validator("mode")
    @classmethod
    def _fails(cls, value: str) -> str:
        raise KeyError(value)


class Unvalidated(Greedy):
    name = "unvalidated"
    settings = RaisingSettings


class Once(Greedy):
    """Each member is right when it is first read, and fails from then on."""

    name = "once"

    def __init__(self) -> None:
        self._read: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        read = object.__getattribute__(self, "_read") if name != "_read" else set()
        if name in read and name in ("models", "listwise", "extra", "settings", "needs"):
            raise RuntimeError(f"{name} was read twice")
        read.add(name)
        return object.__getattribute__(self, name)


def family_with(**members: Any) -> Any:
    """A family `odd`; a member that is an exception is raised when it is read."""

    def of(value: Any) -> Any:
        if not isinstance(value, BaseException):
            return value

        def fail(self: object) -> Any:
            raise value

        return property(fail)

    return type("Odd", (Greedy,), {"name": "odd", **{k: of(v) for k, v in members.items()}})()


class Settingless(Greedy):
    name = "settingless"
    settings = dict  # type: ignore[assignment]


class Baseline(Greedy):
    name = "oracle"


greedy, crashing, settingless, oracle = Greedy(), Crashing(), Settingless(), Baseline()
ending, failing, unvalidated, once = Ending(), Failing(), Unvalidated(), Once()
odd: Any = None  # set by a test
not_a_family = object()


def plug(monkeypatch: pytest.MonkeyPatch, **added: str) -> None:
    """Add entry points, name=value, to the installed ones."""
    real = list(plugins.entry_points(group=plugins.GROUP))
    points = [EntryPoint(name, value, plugins.GROUP) for name, value in added.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: real + points)


def test_every_family_of_the_package_itself_can_be_used() -> None:
    own = [p for p in plugins.plugins() if p.package == "jrv3-eval"]
    assert {"bi-encoder", "cross-encoder", "lbnl"} <= {p.name for p in own}
    assert [p.fault for p in own if p.fault] == []


def test_a_plugin_family(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(families())
    plug(monkeypatch, greedy=f"{HERE}:greedy")
    assert list(families()) == sorted([*before, "greedy"])
    assert open_reranker("greedy:anything:at all").info.name == "anything:at all"


def test_a_checkpoint_of_two_families_must_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, greedy=f"{HERE}:greedy")
    with pytest.raises(UsageError, match="is recognised by bi-encoder and greedy") as caught:
        open_reranker(MINILM)
    first, *lines = str(caught.value.next_step).splitlines()
    assert first == "force a family:"
    assert [line.split() for line in lines] == [  # each with what it runs
        [f"bi-encoder:{MINILM}", *families()["bi-encoder"].models.split()],
        [f"greedy:{MINILM}", "anything", "at", "all"],
    ]
    assert open_reranker(f"greedy:{MINILM}").info.family == "greedy"


BROKEN = [
    ("broken", "no_such_module:family", "cannot be loaded: ModuleNotFoundError"),
    ("broken", f"{HERE}:no_such_name", "cannot be loaded: AttributeError"),
    ("broken", f"{HERE}:not_a_family", "it lacks name, models"),
    ("broken", f"{HERE}:greedy", "it calls itself 'greedy'"),
    ("oracle", f"{HERE}:oracle", "that name can be no family's"),
    ("settingless", f"{HERE}:settingless", "its settings are no subclass of RerankerSettings"),
    ("bi-encoder", "other:family", "Two plugins provide the reranker family 'bi-encoder'"),
]


@pytest.mark.parametrize(("name", "value", "message"), BROKEN)
def test_a_broken_plugin_is_named_and_stops_nobody_else(
    name: str,
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cross: Path,
) -> None:
    plug(monkeypatch, **{name: value})
    assert name not in families()
    with pytest.raises(UsageError, match=message) as caught:
        open_reranker(f"{name}:./ckpt")  # asked for by name
    assert value in caught.value.what
    assert "uninstall" in str(caught.value.next_step)
    capsys.readouterr()
    assert open_reranker(f"cross-encoder:{cross}").info.family == "cross-encoder"
    assert capsys.readouterr().err == ""
    assert open_reranker(str(cross)).info.family == "cross-encoder"  # detected
    warned = capsys.readouterr().err
    assert warned.startswith("warning: ")
    assert message in warned


def test_a_broken_plugin_is_listed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    plug(monkeypatch, broken="no_such_module:family")
    rows = {row["family"]: row for row in json.loads(cli("models", "--json").out)}
    assert {"bi-encoder", "broken"} <= set(rows)
    fault = rows["broken"]["fault"]
    assert "no_such_module:family (of an unknown package) cannot be loaded" in fault
    assert (rows["broken"]["models"], rows["broken"]["installed"]) == (None, False)
    assert f"cannot be used: broken: {fault}" in cli("models").out
    shown = cli("models", "show", "broken")
    assert (shown.code, shown.out) == (2, "")
    assert fault in shown.err


def test_a_family_that_fails_to_look_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cross: Path
) -> None:
    plug(monkeypatch, crashing=f"{HERE}:crashing")
    assert open_reranker(str(cross)).info.family == "cross-encoder"
    warned = capsys.readouterr().err
    assert "'crashing' (of an unknown package) fails to look at a checkpoint: KeyError" in warned
    assert open_reranker(f"crashing:{cross}").info.family == "crashing"


ODD: list[tuple[str, dict[str, Any], str]] = [
    ("a-number", {"models": 5}, "its models is 5, not a text"),
    ("nothing", {"models": None}, "its models is None, not a text"),
    ("no-words", {"models": ""}, "its models is '', not a text"),
    ("listwise", {"listwise": "no"}, "its listwise is 'no', not True or False"),
    ("listwise-int", {"listwise": 1}, "its listwise is 1, not True or False"),
    ("extra", {"extra": ["fast"]}, r"its extra is \['fast'\], not a text or None"),
    ("needs", {"needs": 5}, "its needs is 5, not a text or None"),
    ("settings", {"settings": RerankerSettings()}, "no subclass of RerankerSettings"),
    ("name", {"name": 5}, "it calls itself 5"),
    ("open", {"open": "x"}, "its open is no method"),
    ("raises", {"models": RuntimeError("no models")}, "cannot be loaded: RuntimeError: no models"),
    ("needs-raises", {"needs": KeyError("needs")}, "cannot be loaded: KeyError: 'needs'"),
    ("exits", {"listwise": SystemExit(3)}, "cannot be loaded: SystemExit: 3"),
    ("unspeakable", {"extra": UnspeakableError()}, "cannot be loaded: UnspeakableError"),
]


@pytest.mark.parametrize(
    ("members", "message"), [one[1:] for one in ODD], ids=[one[0] for one in ODD]
)
def test_a_plugin_of_the_wrong_types_is_a_broken_one(
    members: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "odd", family_with(**members))
    plug(monkeypatch, odd=f"{HERE}:odd")
    assert "odd" not in families()
    rows = {row["family"]: row for row in json.loads(cli("models", "--json").out)}
    assert re.search(message, rows["odd"]["fault"])
    assert rows["bi-encoder"]["fault"] is None
    assert cli("models").code == 0
    with pytest.raises(UsageError, match=message):
        open_reranker("odd:x")


def test_members_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "once", Once())
    plug(monkeypatch, once=f"{HERE}:once")
    [found] = [plugin for plugin in plugins.plugins() if plugin.name == "once"]
    for _ in range(2):
        assert (found.fault, found.lacks(), found.needs) == (None, [], plugins.ANY_CHECKPOINT)
        assert found.use().models == "anything at all"
        assert found.use().open("x", GreedySettings()).info.name == "x"


def test_a_plugin_that_ends_the_program_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, cross: Path
) -> None:
    install(tmp_path / "site", monkeypatch, [], imports="import sys; sys.exit(3)")
    plug(monkeypatch, ending=f"{HERE}:ending")
    listed = cli("models")
    assert listed.code == 0
    assert "(of needy-reranker) cannot be loaded: SystemExit: 3" in " ".join(listed.out.split())
    assert open_reranker(f"cross-encoder:{cross}").info.family == "cross-encoder"
    assert open_reranker(str(cross)).info.family == "cross-encoder"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("value", "ValueError: hidden_size is 3"),
        ("exit", "SystemExit: 3"),
        ("import", "ModuleNotFoundError: No module named 'kernels'"),
        ("unspeakable", "UnspeakableError."),
        ("no-info", "AttributeError: 'Greedy' object has no attribute 'info'"),
    ],
)
def test_a_plugin_that_fails_to_open_is_named(
    target: str, message: str, monkeypatch: pytest.MonkeyPatch, cli: Cli, tasks_dir: Path
) -> None:
    plug(monkeypatch, failing=f"{HERE}:failing")
    done = cli("zoo", "--tasks-dir", tasks_dir, "--model", f"failing:{target}")
    assert done.code == 2
    named = "'failing' (of an unknown package) fails to open a model"
    assert f"{named}: {message}" in done.err
    assert "Traceback" not in done.err


def test_an_error_of_ours_passes_through_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, failing=f"{HERE}:failing")
    with pytest.raises(CheckpointError, match=r"^The weights are torn\.\n"):
        open_reranker("failing:ours")


def test_settings_of_a_plugin_that_fail_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, unvalidated=f"{HERE}:unvalidated")
    with pytest.raises(UsageError, match=r"'unvalidated' .* fails to open a model: KeyError: 'b'"):
        open_reranker("unvalidated:x", {"mode": "b"})


def test_a_fault_of_our_own_families_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from jrv3_eval.rerankers.cross_encoder import family as ours

    def fail(target: str, settings: RerankerSettings) -> Reranker:
        raise ZeroDivisionError

    monkeypatch.setattr(ours, "open", fail)
    with pytest.raises(ZeroDivisionError):
        open_reranker("cross-encoder:x")


def test_a_requirement_that_cannot_be_judged_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    odd_marker = "none-such; python_version ~= 'x' and extra == 'fast'"
    install(tmp_path / "site", monkeypatch, [odd_marker, "numpy; extra == 'fast'"], imports="")
    assert json.loads(cli("models", "show", "needy", "--json").out)["installed"] is True


# --- extras


NEEDY = """
from jrv3_eval.rerankers import RerankerInfo, RerankerSettings
{imports}

class Family:
    name, models, listwise, extra, settings = "needy", "much", False, "fast", RerankerSettings

    def recognises(self, config, files):
        return False

    def open(self, target, settings):
        return type("Opened", (), {{"info": RerankerInfo(target, "needy", False, None, "0")}})()

family = Family()
"""


def install(site: Path, monkeypatch: pytest.MonkeyPatch, requires: list[str], imports: str) -> None:
    """A package with a family and an extra, as pip would leave it."""
    info = site / "needy_reranker-1.0.dist-info"
    info.mkdir(parents=True)
    module = f"needy_{site.parent.name.replace('-', '_')}"  # imported once a process
    (site / f"{module}.py").write_text(NEEDY.format(imports=imports))
    lines = ["Metadata-Version: 2.1", "Name: needy-reranker", "Version: 1.0"]
    lines += ["Provides-Extra: fast", "Requires-Dist: pydantic"]
    lines += [f"Requires-Dist: {r}" for r in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    entry = f"[{plugins.GROUP}]\nneedy = {module}:family\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(site))


@pytest.mark.parametrize(
    ("requires", "missing", "opens"),
    [
        (["numpy; extra == 'fast'"], [], True),
        (["numpy; extra == 'fast'", "none-such>=2; extra == 'fast'"], ["none-such>=2"], True),
        (
            ["none-such; extra == 'fast'", "numpy>=99999; extra == 'fast'"],
            ["none-such", "numpy>=99999"],
            False,
        ),
        (["none-such; extra == 'other'"], None, True),  # it does not say what the extra holds
        (["none-such; python_version < '3' and extra == 'fast'"], None, True),  # nothing here
    ],
)
def test_an_extra_that_is_not_installed(
    requires: list[str],
    missing: list[str] | None,
    opens: bool,  # a part may do
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Cli,
) -> None:
    install(tmp_path / "site", monkeypatch, requires, imports="")
    shown = json.loads(cli("models", "show", "needy", "--json").out)
    assert (shown["package"], shown["extra"]) == ("needy-reranker", "fast")
    assert shown["installed"] is (None if missing is None else not missing)
    assert shown["missing"] == (missing or [])
    if opens:
        assert open_reranker("needy:x").info.name == "x"
        return
    with pytest.raises(UsageError, match="The reranker family needy needs an optional") as caught:
        open_reranker("needy:x")
    assert caught.value.next_step == "pip install 'needy-reranker[fast]'"
    assert "needy-reranker[fast] (not installed)" in " ".join(
        cli("models", "show", "needy").out.split()
    )


def test_a_module_of_an_extra_that_the_plugin_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    install(
        site,
        monkeypatch,
        ["No.Such-Kernels; extra == 'fast'"],
        imports="import no_such_kernels.fast",
    )
    with pytest.raises(UsageError, match="cannot be loaded: ModuleNotFoundError") as caught:
        open_reranker("needy:x")
    assert caught.value.next_step == "pip install 'needy-reranker[fast]'"


def test_the_extra_of_a_family_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"sentence-transformers"}

    def without(name: str) -> str:
        if name in gone:
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(plugins, "version", without)
    assert open_reranker(MINILM).info.family == "bi-encoder"  # fails on loading, if at all
    gone.add("peft")
    with pytest.raises(
        MissingExtraError, match=r"family bi-encoder needs .*\n.*jrv3-eval\[dense\]"
    ):
        open_reranker(MINILM)


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_sise": "4"}, "Unknown setting of bi-encoder 'batch_sise'.*did you mean 'batch_s"),
        ({"batch_size": "many"}, "'batch_size' of bi-encoder.*valid integer.*batch_size=many"),
        ({"batch_size": "0"}, "'batch_size' of bi-encoder"),
        ({"batch_size": ""}, "'batch_size' of bi-encoder.*valid integer.*where: batch_size=\n"),
        ({"similarity": "euclid"}, "'similarity' of bi-encoder"),
        ({"dtype": "int4"}, "Unknown dtype 'int4'"),
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"attention": "sdpa"}, "bi-encoder has no setting 'attention'; lbnl has it.*leave it out"),
    ],
)
def test_bad_settings(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        open_reranker(MINILM, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": "ten"}, "window=ten\n  next:  window is: documents in a window"),
        ({"window": "1"}, "greater than or equal to 2"),
        ({"cached": "maybe"}, "valid boolean.*cached is: whether answers are kept"),
        ({"cached": ""}, "valid boolean"),
        ({"cached": "none"}, "valid boolean"),  # it cannot be absent
        ({"temperature": "nan"}, "'temperature' of greedy: Input should be"),
        ({"temperature": "inf"}, "finite number"),
        ({"prompt": "none"}, "the text 'none' or no text.*prompt= for an empty text"),
        ({"stride": "30"}, "settings of greedy do not fit together: stride is more than window"),
    ],
)
def test_bad_values_say_what_a_setting_is(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        parse_settings(greedy, settings)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("window", "12", 12),
        ("window", "none", None),
        ("window", "None", None),
        ("mode", "none", "none"),  # a value of that name goes before no value
        ("prompt", "", ""),
        ("prompt", "query: ", "query: "),
        ("temperature", "0.5", 0.5),
        *[("cached", text, True) for text in ("true", "True", "1", "yes", "on")],
        *[("cached", text, False) for text in ("false", "0", "no", "off")],
    ],
)
def test_values_as_strings(key: str, text: str, value: object) -> None:
    found = getattr(parse_settings(greedy, {key: text}), key)
    assert found == value
    assert type(found) is type(value)


names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@given(st.dictionaries(names, st.text(max_size=9), max_size=5))
def test_pairs_are_read_as_they_stand(settings: dict[str, str]) -> None:
    assert read_pairs([f"{key}={value}" for key, value in settings.items()]) == settings


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["depth"], "'depth' is not key=value"),
        (["=5"], r"'=\*\*\*' is not key=value"),
        (["a=1", "b=2", "a=2"], r"'a' is given twice: --set a=\*\*\* and --set a=\*"),
        (["a=1", " a=1"], "'a' is given twice"),
        (["dtype=float16"], "'dtype' is given twice: --dtype float32 and --set dtype="),
    ],
)
def test_bad_pairs(pairs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_pairs(pairs, {"dtype": "float32"})


def test_options_and_pairs_come_together() -> None:
    assert read_pairs(["a=b=c"], {"dtype": "float32"}) == {"dtype": "float32", "a": "b=c"}


# --- secrets

SECRET = "sk-live-4eC39HqLyjW"


class KeyedSettings(RerankerSettings):
    api_key: int = Field(0, description="a key")
    endpoint: str = Field("", description="a URL")
    size: int = 1

    @model_validator(mode="after")
    def _fit(self) -> KeyedSettings:
        if self.size == 2:
            raise ValueError("size is 2")
        return self


class Keyed(Greedy):
    name = "keyed"
    settings = KeyedSettings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"apikey": SECRET}, r"where: apikey=\*\*\*"),
        ({"colour": SECRET}, r"where: colour=\*\*\*"),  # whatever its name
        ({"attention": SECRET}, r"where: attention=\*\*\*"),  # another family's
        ({"api_key": SECRET}, r"where: api_key=\*\*\*"),
        ({"size": f"https://me:{SECRET}@host"}, r"where: size=https://\*\*\*@host"),
        ({"size": "many"}, "where: size=many"),
        (
            {"size": "2", "api_key": "123456", "endpoint": f"https://me:{SECRET}@h/v1?q={SECRET}"},
            r"where: size=2, api_key=\*\*\*, endpoint=https://\*\*\*@h/v1\?\*\*\*$",
        ),
    ],
)
def test_no_error_shows_a_secret(settings: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_settings(Keyed(), settings)
    for secret in (SECRET, "123456"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "pairs", [[f"a={SECRET}", f"a={SECRET}"], [f"={SECRET}"], [f"https://{SECRET}@host"]]
)
def test_no_error_of_a_pair_shows_its_value(pairs: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read_pairs(pairs)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [f"https://me:{SECRET}@host/v1", f"https://host/v1?key={SECRET}", f"opnai:https://{SECRET}@h"],
)
def test_a_url_in_a_spec_is_shown_without_its_user_and_query(spec: str) -> None:
    with pytest.raises(UsageError, match=r"where: \w+:.*\*\*\*") as caught:
        open_reranker(spec)
    assert SECRET not in str(caught.value)
    assert "//" in str(caught.value.where)


# --- what `jrv3-eval models` shows


def test_settings_are_described_in_words() -> None:
    described = {s.name: (s.values, s.default) for s in settings_of(greedy)}
    assert described == {
        "window": ("whole number from 2 or none", 20),
        "temperature": ("number from 0", 0.0),
        "cached": ("true or false", True),
        "mode": ("none, fast or none", None),
        "prompt": ("text or none", None),
        "stride": ("whole number", 10),
        "device": ("text", "auto"),
        "dtype": ("text", "float32"),
        "batch_documents": ("whole number from 1", 200),
    }
    assert list(described)[-3:] == ["device", "dtype", "batch_documents"]  # shared ones last


@pytest.mark.parametrize("name", ["bi-encoder", "cross-encoder", "lbnl"])
def test_a_family_is_shown_with_every_setting(cli: Cli, name: str) -> None:
    family = families()[name]
    shown = json.loads(cli("models", "show", name, "--json").out)
    assert shown["models"] == family.models
    assert {s["name"]: s["default"] for s in shown["settings"]} == family.settings().model_dump()
    assert all(s["description"] for s in shown["settings"])
    words = " ".join(cli("models", "show", name).out.split())
    assert f"--model {name}:TARGET, where TARGET is" in words
    assert all(f"│ {s['name']} " in words for s in shown["settings"])


def test_an_unknown_family_has_a_nearest_name(cli: Cli) -> None:
    done = cli("models", "show", "cros-encoder")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'cross-encoder'" in done.err


def test_defaults_are_shown_as_they_would_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"family": "f", "models": "m", "needs": "a name", "listwise": True, "extra": None}
    defaults = {"a": None, "b": True, "c": "", "d": "query: ", "e": 0.5, "f": "auto"}
    settings = [
        {"name": name, "values": "v", "required": name == "f", "default": value, "description": "-"}
        for name, value in defaults.items()
    ]
    print_family({**row, "settings": settings})
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split("│")[3].strip() for line in lines if line.startswith("│")]
    assert shown == ["none", "true", '""', '"query: "', "0.5", "(required)"]


def test_an_extra_names_its_package(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"family": "f", "models": "m", "needs": "a name", "listwise": True, "extra": "fast"}
    print_models([{**row, "package": "theirs", "installed": False, "fault": None}])
    assert "theirs[fast] (not installed)" in capsys.readouterr().out


def test_showing_a_family_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['jrv3-eval', 'models', 'show', 'bi-encoder', '--json']\n"
        "from jrv3_eval.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
