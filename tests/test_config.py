"""The configuration: what is read, what wins, what decides the digest, and the sentences for what is wrong."""

from __future__ import annotations

import time
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from distlandscape.config import RunConfig, RuntimeConfig, keys_of, load_config, validate_config
from distlandscape.config.studies import TheorySet
from distlandscape.errors import InputError
from distlandscape.runtime.plan import METHODS, ProductPlan
from distlandscape.studies.runner import resolve


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(message, file=None, *assignments):
    with pytest.raises(InputError, match=message) as caught:
        load_config(file, assignments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def test_nothing_given_is_the_default():
    config = load_config()
    assert config == RunConfig()
    assert (config.data.source, config.spectrum.k, config.runtime.workers) == ("digits", 10, 2)
    assert config.train.steps is None


def test_file_then_assignments_in_order(write):
    file = write("spectrum: {k: 3, tol: 0.5}\ndata:\n  source: npz\n  path: a.npz\n")
    config = load_config(file, ["spectrum.k=4", "spectrum.k=5", "data.path=b.npz"])
    assert (config.spectrum.k, config.spectrum.tol) == (5, 0.5)
    assert (config.data.source, config.data.path) == ("npz", "b.npz")
    assert load_config(None, ["runtime.memory=2e9"]).runtime.memory == 2 * 10**9
    # A whole section takes the place of what was there, a later key goes into it.
    config = load_config(file, ["spectrum={k: 7}", "spectrum.seed=2"])
    assert (config.spectrum.k, config.spectrum.tol, config.spectrum.seed) == (7, RunConfig().spectrum.tol, 2)
    config = load_config(None, ["model.options={hidden: [3]}", "model.options.activation=tanh"])
    assert config.model.options == {"hidden": [3], "activation": "tanh"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E-3", 1e-3),
        ("5.e-1", 0.5),
        (".5e0", 0.5),
        ("0.25", 0.25),
        ("'0.25'", 0.25),
    ],
)
def test_numbers_as_people_write_them(write, text, value):
    assert load_config(None, [f"spectrum.tol={text}"]).spectrum.tol == value
    assert load_config(write(f"spectrum:\n  tol: {text}\n")).spectrum.tol == value
    options = load_config(None, [f"model.options={{a: [{text}]}}"]).model.options
    assert options == {"a": [text.strip("'") if "'" in text else value]}


def test_values_keep_their_type():
    config = load_config(
        None,
        [
            "data.classes=[0,1]",
            "spectrum.k=1e1",
            "train.steps=null",
            "data.path='1e3'",
            "tracking.experiment=nan",
            "tracking.uri=sqlite:///a=b.db",
            "objective.parameters=['*weight', 1.*]",
            "model.options={a: 1, b: 1.0, c: true, d: null, e: text, f: {g: [x]}}",
        ],
    )
    assert config.data.classes == (0, 1)
    assert (config.spectrum.k, type(config.spectrum.k)) == (10, int)
    assert config.train.steps is None
    assert config.data.path == "1e3"
    assert config.tracking.experiment == "nan"
    assert config.tracking.uri == "sqlite:///a=b.db"
    assert config.objective.parameters == ("*weight", "1.*")
    options = config.model.options
    assert options == {"a": 1, "b": 1.0, "c": True, "d": None, "e": "text", "f": {"g": ["x"]}}
    assert [type(options[key]) for key in "abc"] == [int, float, bool]


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "data:\n", "data:\n  # source: npz\nspectrum:\n", "{}", "---\n"]
)
def test_empty_files_and_sections_are_defaults(write, content):
    assert load_config(write(content)) == RunConfig()


def test_an_empty_section_takes_assignments(write):
    assert load_config(write("data:\n"), ["data.seed=3"]).data.seed == 3


def test_what_is_recorded_reads_back(write):
    config = load_config(None, ["data.classes=[2, 1]", "model.options={a: 1e-5, b: 'no', c: '5'}", "spectrum.tol=1e-7"])
    file = write(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    assert load_config(file) == config
    assert load_config(file).digest() == config.digest()
    assert validate_config(config.model_dump(mode="json")) == config


def sections():
    return {name: field.annotation for name, field in RunConfig.model_fields.items()}


def changed_value(section, key):
    """Another valid value of a key."""
    default = getattr(section(), key)
    candidates = [default + 1 if isinstance(default, int) else None, 0.25, 7, "npz", (1, 2), (3, 4), {"a": 1}]
    candidates += [
        "mse",
        "float64",
        "gauss_newton",
        "double_backward",
        ("a",),
        "test",
        "unit",
        "batch",
        "adam",
        "cosine",
        "data",
        "uniform",
        ({},),
        ("dense",),
        ("free",),
        ("sphere",),
        "sgd",
        True,
        "train",
    ]
    for value in candidates:
        try:
            if value is not None and value != default and getattr(section(**{key: value}), key) != default:
                return value
        except ValidationError:
            continue
    return None


@pytest.mark.parametrize("section", sections())
def test_digest_hears_of_everything_that_decides_the_numbers(section):
    base = RunConfig().digest()
    model = sections()[section]
    for key in model.model_fields:
        value = changed_value(model, key)
        if value is None:  # a key with a single value
            assert (section, key) in {("objective", "norm"), ("runtime", "transport")}
            continue
        digest = validate_config({section: {key: value}}).digest()
        assert (digest == base) == (section in ("runtime", "tracking")), key


def test_digest_is_of_the_values_not_of_their_spelling(write):
    digest = load_config(None, ["spectrum.k=4", "model.options={a: 1, b: 2}"]).digest()
    assert load_config(write("model:\n  options: {b: 2, a: 1}\nspectrum: {k: 4.0}\n")).digest() == digest
    assert len(digest) == 64


def test_frozen():
    config = RunConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.data = None
    for name in sections():
        section = getattr(config, name)
        assert isinstance(section, BaseModel)
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), 1)


NUMBERS = [
    (f"{section}.{key}", model)
    for section, model in sections().items()
    for key, field in model.model_fields.items()
    if any(kind in str(field.annotation) for kind in ("int", "float")) and "tuple" not in str(field.annotation)
]


@pytest.mark.parametrize(("key", "model"), NUMBERS)
@pytest.mark.parametrize("value", ["true", "false", "yes", "many", "[1]", "{a: 1}", ".nan", ".inf", "nan", "-1"])
def test_no_number_takes_what_is_none(key, model, value):
    if key.endswith(("momentum", "tol")) and value == "false":
        value = "off"
    text = refused(rf"configuration key '{key}' is ", None, f"{key}={value}")
    assert "correct it" in text


@pytest.mark.parametrize("model", [*sections().values(), TheorySet])
def test_every_key_is_described_in_a_line(model):
    """With what an unset one stands for."""
    for name, field in model.model_fields.items():
        text = field.description
        assert text, name
        assert len(text) <= 125, name
        assert text == text.strip().rstrip("."), name
        assert ("null" in text) == (field.default is None), name


def test_keys_are_listed_with_their_defaults_as_yaml_writes_them():
    found = {key.name: key for section in sections() for key in keys_of(section)}
    assert found["spectrum.tol"].default == "0.001"
    assert found["data.path"].default == "null"
    assert found["goldilocks.modes"].default == '["sphere", "free"]'
    assert load_config(None, [f"{key.name}={key.default}" for key in found.values()]) == RunConfig()


def test_enough_numbers_were_tried():
    assert len(NUMBERS) >= 23


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("spectrum.kk=1", r"unknown configuration key 'spectrum\.kk'; known here: basis_size, block, density_draws, "),
        (
            "spectra.k=1",
            "unknown configuration key 'spectra'; known here: data, emergence, goldilocks, hierarchy, ",
        ),
        ("a.b.c.d=1", "unknown configuration key 'a'"),
        ("1=2", "unknown configuration key '1'"),
        ("spectrum.k.j=1", "'spectrum.k' is"),
        ("data=5", "'data' is a section; set one of its keys: blocks, classes, options, path, random_labels"),
        ("data=[1]", "'data' is a section"),
        ("data", "not of the form section.key=value, for example spectrum.k=20"),
        ("=5", "not of the form"),
        (".k=5", "not of the form"),
        ("spectrum..k=5", "not of the form"),
        ("spectrum.=5", "not of the form"),
        ("", "not of the form"),
        ("spectrum.k=[", "not valid YAML: .*; quote it"),
        ("spectrum.k=a: b: c", "not valid YAML"),
        ("spectrum.k=\t1", "not valid YAML"),
        ("spectrum.k=@1", "not valid YAML"),
        ("spectrum.k=*anchor", "references"),
        ("spectrum.k={a: 1, a: 2}", "'a' appears twice"),
        ("spectrum.k=2024-99-99", "month must be in"),
        ("spectrum.k=!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("spectrum.k=" + "[" * 5000, "nested too deeply"),
        ("spectrum.k=" + "9" * 5000, "not valid YAML"),
        ("spectrum.k=x" + "y" * 5000, "…, but it must be a whole number"),
        ("spectrum.k=1.5", "it must be a whole number"),
        ("spectrum.k=0", "greater than or equal to 1"),
        ("spectrum.tol=0", "greater than 0"),
        ("spectrum.tol=1", "less than 1"),
        ("spectrum.k=", "is None"),
        ("data.path=1e3", "must be text: put it in quotes"),
        ("data.path=2024-01-01", "must be text"),
        ("data.classes=3", r"must be a list, for example \[a, b\]"),
        ("data.classes=[true, 1]", "'data.classes.0' is True"),
        ("data.classes='[0, 1]'", "must be a list"),
        ("objective.parameters=weight", "must be a list"),
        ("model.options=3", "must be a mapping"),
        ("model.options={1: 2}", "must be text"),
        ("model.options={a: 2024-01-01}", "put it in quotes"),
        ("model.options={a: !!binary aGk=}", "put it in quotes"),
        ("model.options={a: .nan}", "finite"),
        ("objective.norm=train", "it must be 'population' or 'batch'"),
        ("objective.loss=hinge", "it must be 'cross_entropy' or 'mse'"),
        ("objective.dtype=float16", "'float32' or 'float64'"),
        ("spectrum.operator=laplacian", "'hessian', 'gauss_newton', 'residual' or 'fisher'"),
        ("runtime.transport=pigeon", "it must be 'store'"),
        ("runtime.product=fast", "it must be 'kept', 'double_backward' or 'forward_over_reverse'"),
        *(
            (f"runtime.memory={v}", "memory' is .*must be a positive number of bytes")
            for v in ("0", "much", "1.5", "true")
        ),
        ("train.momentum=1", "less than 1"),
        ("train.seed=9223372036854775808", "less than or equal to 9223372036854775807"),
        ("tracking.experiment=''", "must not be empty"),
    ],
)
def test_bad_assignments(assignment, message):
    refused(message, None, assignment)


def bomb(levels=30):
    lines = ["a0: &a0 [lol, lol]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines) + f"\ndata: {{classes: *a{levels - 1}}}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "must be a mapping of sections .* not a list"),
        ("just text", "not a str"),
        ("5", "not a int"),
        ("data:\n\tsource: npz\n", r"not valid YAML: .*'\\t'.* at line 2, column 1"),
        ("data: {source: npz\n", "not valid YAML"),
        ("data:\n  source: npz\n source: x\n", "at line 3"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("data: {seed: 1}\ndata: {seed: 2}\n", "'data' appears twice at line 2"),
        ("data:\n  seed: 1\n  seed: 2\n", "'seed' appears twice at line 3"),
        ("base: &base {k: 3}\nspectrum:\n  <<: *base\n", "references"),
        (bomb(), "references .* are not allowed at line 2"),
        ("data: &d\n  path: *d\n", "references"),
        ("[" * 10000, "nested too deeply"),
        ("{a: " * 10000, "nested too deeply"),
        ("? [a, b]\n: 1\n", "not valid YAML"),
        ("!!python/name:os.system\n", "not valid YAML"),
        ("5: 1\n", "'5'"),
        (b"\x93NUMPY\x01\x00", "not UTF-8"),
        (bytes(range(32)), "not valid YAML"),
        ("data: {seed: 1}\n".encode("utf-16"), "UTF-8|not valid YAML"),
        ("#" * 70000, "larger than 65,536 bytes"),
        ("spectrum:\n  tols: 1\n", "unknown configuration key 'spectrum.tols'"),
        ("spectrum: 5\n", "'spectrum' is a section"),
        ("data: {path: 1}\nspectrum: {k: 2}\n", "must be text"),
    ],
)
def test_bad_files(write, content, message):
    began = time.process_time()  # others may hold the cores
    refused(message, write(content))
    assert time.process_time() - began < 5


def test_files_that_cannot_be_read(tmp_path):
    refused("No such file or directory; give an existing YAML file", tmp_path / "absent.yaml")
    refused("Is a directory", tmp_path)
    (tmp_path / "file").touch()
    refused("Not a directory", tmp_path / "file" / "below.yaml")


def test_large_files_are_read_in_moderate_time(write):
    """The most a file may hold, all of it keys."""
    content = "".join(f"k{i:05d}: 1\n" for i in range(6500))
    assert 60_000 < len(content) < 2**16
    began = time.process_time()  # others may hold the cores
    refused("unknown configuration key", write(content))
    assert time.process_time() - began < 10


def config_or_sentence(file=None, assignments=()):
    try:
        return load_config(file, assignments)
    except InputError as error:
        return str(error)


@given(text=st.text(max_size=60))
def test_any_assignment_gives_a_config_or_a_sentence(text):
    for assignment in (text, f"spectrum.k={text}", f"model.options={text}", f"data.path={text}"):
        outcome = config_or_sentence(None, [assignment])
        assert isinstance(outcome, RunConfig) or len(outcome.splitlines()) == 1


@given(content=st.binary(max_size=60) | st.text(alphabet="ak: \n-{}[]&*!'\"#|>%@,?1.", max_size=60).map(str.encode))
def test_any_file_gives_a_config_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    outcome = config_or_sentence(path)
    assert isinstance(outcome, RunConfig) or len(outcome.splitlines()) == 1


def test_the_runtime_section_offers_every_method_of_product():
    literal, none = get_args(RuntimeConfig.model_fields["product"].annotation)
    assert (set(get_args(literal)), none) == (set(METHODS), type(None))


@pytest.mark.parametrize("study", ["spectrum", "train", "hyperplane", "theory"])
def test_what_is_not_set_of_the_products_is_the_plan_without_settings(study):
    """But for studies made of passes, where a probe is asked for it."""
    r = resolve(RunConfig(), study).runtime
    assert ProductPlan() == ProductPlan(r.product, r.memory, r.channels_last)
    r = resolve(load_config(None, ["runtime.tune=true"]), study).runtime
    left_open = study in ("spectrum", "train")
    assert (r.product, r.channels_last) == ((None, None) if left_open else ("kept", True))
    r = resolve(load_config(None, ["runtime.tune=true", "runtime.channels_last=false"]), study).runtime
    assert (r.product, r.channels_last) == (None if left_open else "kept", False)
