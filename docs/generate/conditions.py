"""The page of conditions: what each means, what it waits for and explains, and every reason it can have."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from docs.generate import markdown
from docs.generate.alerts import alerts_of
from docs.generate.source import CODE, constants, members, modules, said, tree
from flanpy.docker.verdict import Silence
from flanpy.model.condition import ConditionType
from flanpy.status.judge.causes import DEPENDS_ON
from flanpy.status.judge.conditions import NEEDED_TO_BE_READY, Phase
from flanpy.status.judge.visible import CALM_S, GRACE_S

_LEAD = """\
A condition is one judgement about the host, with a status (`True`, `False`, `Unknown`), a reason that programs can rely on, a
message for people, and what to do. Readiness, phase, metrics, events and the status page are made from conditions, so they
cannot disagree. `flanpyctl status` shows them, causes first; `flanpyctl doctor` goes further into what explains what.

A condition that turns bad is shown after its *grace*, so that what passes by itself raises no alarm.
"""
_VERDICTS = {"good": True, "unmeasured": True, "bad": False, "unknown": False, "_good": True, "_bad": False}
_LATER = "(says what was found)"
_DOCKER = "flanpy/docker/verdict.py"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reason of a condition."""

    kind: str
    reason: str
    healthy: bool
    message: str
    cure: str


def page() -> str:
    told = members("flanpy/model/condition.py", "ConditionType")
    verdicts = list(all_verdicts())
    contents = [(_link(kind), markdown.plain(told[kind.name])) for kind in ConditionType]
    return markdown.page(
        "Conditions",
        _LEAD.strip(),
        markdown.table(("condition", "is well while"), contents),
        markdown.section("Phase", _phases()),
        *(_entry(kind, told[kind.name], verdicts) for kind in ConditionType),
    )


def _phases() -> str:
    told = members("flanpy/status/judge/conditions.py", "Phase")
    return markdown.table(("phase", "meaning"), [(markdown.code(p.value), told[p.name]) for p in Phase])


def _entry(kind: ConditionType, meaning: str, verdicts: list[Verdict]) -> str:
    own = [each for each in verdicts if each.kind == kind.name]
    if not own:
        raise SystemExit(f"no judgement of {kind.value} was found in flanpy/status/judge")
    rows = [
        (markdown.code(each.reason), "well" if each.healthy else "bad", markdown.plain(each.message),
         markdown.plain(each.cure))
        for each in own
    ]  # fmt: skip
    return markdown.section(
        kind.value, f"Well while {meaning[:1].lower()}{meaning[1:]}", "\n".join(f"- {line}" for line in _facts(kind)),
        markdown.table(("reason", "", "message", "what to do"), rows),
    )  # fmt: skip


def _facts(kind: ConditionType) -> Iterator[str]:
    yield "needed to be ready: " + ("yes" if kind in NEEDED_TO_BE_READY else "no")
    if kind in DEPENDS_ON:
        yield f"explained by: {', '.join(map(_link, DEPENDS_ON[kind]))}"
    effects = [each for each, causes in DEPENDS_ON.items() if kind in causes]
    if effects:
        yield f"explains: {', '.join(map(_link, effects))}"
    if kind in GRACE_S:
        yield f"grace: {GRACE_S[kind]:g} s" + (f", and {CALM_S[kind]:g} s calm" if kind in CALM_S else "")
    named = ", ".join(f"[{name}](alerts.md#{name.lower()})" for name in alerts_of(kind))
    yield f"alert: {named or 'none'}"


def _link(kind: ConditionType) -> str:
    return f"[{kind.value}](#{kind.value.lower()})"


def all_verdicts() -> Iterator[Verdict]:
    """Every judgement in the code, each reason of a condition once."""
    seen: set[tuple[str, str, bool]] = set()
    for path in (*modules(CODE / "status/judge"), _DOCKER):
        for verdict in _verdicts(path):
            if (key := (verdict.kind, verdict.reason, verdict.healthy)) not in seen:
                seen.add(key)
                yield verdict


def _verdicts(path: str) -> Iterator[Verdict]:
    top = constants(path)
    for function in (node for node in tree(path).body if isinstance(node, ast.FunctionDef)):
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _VERDICTS:
                names = {**top, **_assigned(function, call.lineno)}
                yield from _of_call(path, function, call, names)


def _assigned(function: ast.FunctionDef, line: int) -> dict[str, ast.expr]:
    """Names and the expressions they stand for at this line; of a name given twice the last before it."""
    found: dict[str, tuple[int, ast.expr]] = {}
    for node in ast.walk(function):
        for target, value in _pairs(node):
            if isinstance(target, ast.Name):
                known = found.get(target.id, (0, value))
                if known[0] <= value.lineno <= line:
                    found[target.id] = (value.lineno, value)
    return {name: value for name, (_, value) in found.items()}


def _pairs(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            yield from zip(targets, values, strict=True)
        case ast.Assign(targets=[ast.Name() as target], value=value):
            yield target, value


def _of_call(
    path: str, function: ast.FunctionDef, call: ast.Call, names: Mapping[str, ast.expr]
) -> Iterator[Verdict]:
    assert isinstance(call.func, ast.Name)
    first = 0 if path == _DOCKER else 1
    kind = "DOCKER_CONSISTENT" if path == _DOCKER else _kind(call.args[0], names)
    message, cure = (_told(_at(call, first + place), names) for place in (1, 2))
    healthy = _VERDICTS[call.func.id]
    if kind is None:
        return
    for reason in _reasons(path, function, call.args[first], names):
        yield Verdict(kind, reason, healthy, message, cure)


def _told(node: ast.expr | None, names: Mapping[str, ast.expr]) -> str:
    return "" if node is None else said(node, names) or _LATER


def _at(call: ast.Call, place: int) -> ast.expr | None:
    return call.args[place] if place < len(call.args) else None


def _kind(node: ast.expr, names: Mapping[str, ast.expr]) -> str | None:
    match node:
        case ast.Name(id=name) if name in names:
            return _kind(names[name], names)
        case ast.Attribute(value=ast.Name(id="ConditionType"), attr=attribute):
            return attribute
    return None


def _reasons(
    path: str, function: ast.FunctionDef, node: ast.expr, names: Mapping[str, ast.expr]
) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from _reasons(path, function, body, names)
            yield from _reasons(path, function, other, names)
        case ast.Attribute(attr="value"):
            yield from (each.value for each in Silence)
        case ast.Name(id=name) if name in names:
            yield from _reasons(path, function, names[name], names)
        case ast.Name(id=name):
            yield from _given(path, function, name)
        case _:
            raise SystemExit(
                f"{path}:{node.lineno}: a reason that the reference cannot read: write it as a constant"
            )


def _given(path: str, function: ast.FunctionDef, parameter: str) -> Iterator[str]:
    """Yield the reasons that the module's own calls give for a parameter of `function`."""
    place = [each.arg for each in function.args.args].index(parameter)
    for call in ast.walk(tree(path)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function.name:
            yield from _reasons(path, function, call.args[place], {})
