"""The runner's contract: order, proofs, and what it refuses of a pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sympy
import torch
from torch import Tensor
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.errors import FileError, PassError
from dydca.models import DynamicWDSR, WeightNormConv2d
from dydca.passes import Difference, Dump, FoldConstants, Miss, Pass, SpecializeShapes, default_passes, run_passes
from dydca.passes.running.proof import small_patch
from dydca.program import Graph, Guard, Program
from dydca.testing import Builder, check_pass, program_of
from tests.passes.checking import SHAPE, as_program

aten = torch.ops.aten
Rewrite = Callable[[Graph, Node], Node | Miss | None]


def relu_net() -> Program:
    b = Builder()
    return program_of(b.output(b.call(aten.mul.Tensor, b.call(aten.relu.default, b.input()), 2.0)), (SHAPE,))


def as_pass(body: Rewrite, *root: str) -> Pass:
    class Given(Pass):
        name = "given"

        def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
            return body(graph, node)

    Given.root = root
    return Given()


def to_operand(graph: Graph, node: Node) -> Node:
    return node.all_input_nodes[0]


def to_double(graph: Graph, node: Node) -> Node:
    return graph.add(aten._to_copy.default, node.args[0], before=node, dtype=torch.float64)


def to_first_row(graph: Graph, node: Node) -> Node:
    return graph.add(aten.slice.Tensor, node.args[0], 2, 0, 1, before=node)


def almost_double(graph: Graph, node: Node) -> Node | None:
    return graph.add(aten.mul.Tensor, node.args[0], 2.0001, before=node) if node.args[1] == 2.0 else None


def for_ever(graph: Graph, node: Node) -> Node:
    return graph.add(aten.relu.default, node.args[0], before=node)


def reads_itself(graph: Graph, node: Node) -> Node:
    return graph.add(aten.relu.default, node, before=node)


def leaves_litter(graph: Graph, node: Node) -> Miss:
    graph.add(aten.relu.default, node.args[0], before=node)
    return Miss(node, "changed its mind")


def fails(graph: Graph, node: Node) -> Node:
    raise KeyError("weight")


WRONG: list[tuple[str, Rewrite, str, str]] = [
    ("shape", to_first_row, "DYD302", "other output shapes"),
    ("type", to_double, "DYD302", "other output types"),
    ("value", to_operand, "DYD303", "changed the values"),
    ("little", almost_double, "DYD303", "max at most"),
    ("endless", for_ever, "DYD302", "does not come to rest"),
    ("cyclic", reads_itself, "DYD302", "not well formed"),
    ("littering", leaves_litter, "DYD302", "without a rewrite"),
    ("raising", fails, "DYD302", "KeyError: 'weight'"),
]


@pytest.mark.parametrize(("body", "code", "text"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_pass_is_caught(body: Rewrite, code: str, text: str) -> None:
    root = "relu" if body is for_ever else "mul"
    with pytest.raises(PassError, match=text) as caught:
        run_passes(relu_net(), [as_pass(body, root)], verify=True)
    assert caught.value.code == code
    assert "given" in str(caught.value)


def test_the_fast_proof_finds_wrong_values_too_and_the_structural_one_does_not() -> None:
    with pytest.raises(PassError) as caught:
        run_passes(relu_net(), [as_pass(to_operand, "mul")], verify="fast")
    assert caught.value.code == "DYD303"
    assert run_passes(relu_net(), [as_pass(to_operand, "mul")], verify=False).reports[0].rewrites == 1


def test_a_promise_not_kept_is_caught() -> None:
    class Promises(Pass):
        name = "promises"

        def rewrite(self, graph: Graph, node: Node, facts: Facts) -> Node | Miss | None:
            return None

        def ensures(self, graph: Graph, facts: Facts) -> str | None:
            return "%mul is still there"

    with pytest.raises(PassError, match="%mul is still there"):
        run_passes(relu_net(), [Promises()])


def made_of_the_input(graph: Graph, node: Node) -> Node | None:
    nothing = graph.add(aten.mul.Tensor, graph.inputs[0], 0, before=node)
    return graph.add(aten.add.Tensor, nothing, graph.const(torch.ones(4), "ones", before=node), before=node)


def made_by_an_operator_without_a_rule(graph: Graph, node: Node) -> Node:
    return graph.add(aten.bitwise_not.default, graph.const(torch.tensor([-2, -3]), "c", before=node), before=node)


@pytest.mark.parametrize(
    ("operator", "operand", "body"),
    [
        (aten.abs.default, torch.ones(4), made_of_the_input),
        (aten.add.Tensor, torch.tensor([0, 1]), made_by_an_operator_without_a_rule),
    ],
    ids=["constant", "value"],
)
def test_knowing_less_of_an_output_is_caught(operator: Callable[..., Tensor], operand: Tensor, body: Rewrite) -> None:
    b = Builder()
    used = b.call(aten.neg.default, b.input())
    result = b.call(operator, b.const(operand), *(() if operator is aten.abs.default else (1,)))
    program = program_of(b.output(used, result), ((4,),))
    with pytest.raises(PassError, match="less is known of output 1"):
        run_passes(program, [as_pass(body, "abs" if operator is aten.abs.default else "add")], verify=False)


def test_constants_that_are_not_there_are_caught() -> None:
    def forgets(graph: Graph, node: Node) -> Node | None:
        if isinstance(node.args[1], Node):
            return None
        constant = graph.const(torch.tensor(2.0), "two", before=node)
        new = graph.add(aten.mul.Tensor, node.args[0], constant, before=node)
        del graph.constants["two"]
        return new

    with pytest.raises(PassError) as caught:
        run_passes(relu_net(), [as_pass(forgets, "mul")])
    assert caught.value.code == "DYD302"


def test_misses_and_unmet_requirements_are_reported_with_their_reason() -> None:
    class Refuses(Pass):
        name = "refuses"
        root = ("mul",)

        def requires(self, graph: Graph, facts: Facts) -> str | None:
            return "no graph pleases it"

    check_pass(relu_net(), as_pass(lambda graph, node: Miss(node, "too small"), "mul"), misses=["too small"])
    check_pass(relu_net(), Refuses(), misses=["no graph pleases it"], rewrites=0)


def test_a_miss_that_a_later_rewrite_resolves_is_not_reported() -> None:
    def needs_a_single_reader(graph: Graph, node: Node) -> Node | Miss | None:
        if node.target == aten.relu.default:
            if graph.uses(node) > 1:
                return Miss(node, "2 readers")
            return graph.add(aten.clamp_min.default, node.args[0], 0.0, before=node)
        relu = node.args[0]
        assert isinstance(relu, Node)
        clamped = graph.add(aten.clamp_min.default, relu.args[0], 0.0, before=node)
        return graph.add(aten.mul.Tensor, clamped, -1, before=node)

    b = Builder()
    relu = b.call(aten.relu.default, b.input())
    program = program_of(b.output(b.call(aten.sqrt.default, relu), b.call(aten.neg.default, relu)), (SHAPE,))
    resolved = as_pass(needs_a_single_reader, "relu", "neg")
    check_pass(program, resolved, ops={"clamp_min": 2, "relu": 0}, rewrites=2)


def test_the_report_is_data() -> None:
    outcome = run_passes(as_program(WeightNormConv2d(3, 4, 3)), default_passes(), verify=True)
    data = json.loads(json.dumps([report.to_dict() for report in outcome.reports]))
    folded = next(row for row in data if row["name"] == "fold_constants")
    assert folded["ops_before"] == {"_weight_norm": 1, "conv2d": 1}
    assert folded["ops_after"] == {"conv2d": 1}
    assert folded["milliseconds"] > 0
    (difference,) = folded["differences"]
    assert difference["patch"] == "12x10"
    assert difference["max_abs"] <= difference["tolerance"]
    assert difference["sqnr_db"] is None or difference["sqnr_db"] > 120


def test_difference_statistics() -> None:
    old = torch.tensor([1.0, -2.0, 2.0, float("nan"), float("inf")])
    new = torch.tensor([1.0, -2.0, 2.5, float("nan"), float("inf")])
    moved = Difference.between(old, new, rtol=0.5, patch="p", output=0)
    assert (moved.max_abs, moved.mean_abs, moved.tolerance, moved.holds) == (0.5, 0.1, 1.0, True)
    assert moved.sqnr_db == pytest.approx(15.563, abs=1e-3)
    assert not Difference.between(old, new.nan_to_num(0.0), rtol=0.5, patch="p", output=0).holds
    assert Difference.between(old, old, rtol=0.0, patch="p", output=0).sqnr_db is None


def test_graphs_are_dumped_as_text(tmp_path: Path) -> None:
    run_passes(relu_net(), [FoldConstants(), SpecializeShapes()], observers=[Dump(tmp_path / "deep")])
    names = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert names == ["01_fold_constants.route0.txt", "02_specialize_shapes.route0.12x10.txt"]
    assert "aten.relu.default" in (tmp_path / "deep" / names[0]).read_text()


def test_a_dump_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError) as caught:
        run_passes(relu_net(), [FoldConstants()], observers=[Dump(tmp_path / "file")])
    assert caught.value.code == "DYD705"


def test_the_fast_proof_cuts_the_picture_within_the_region_of_the_route() -> None:
    program = as_program(DynamicWDSR(2), [(1, 3, 108, 96), (1, 3, 54, 48)])
    small = [small_patch(program, route, route.patches[0]) for route in program.routes]
    assert small == [((1, 3, 108, 8),), ((1, 3, 8, 8),)]


def test_the_fast_proof_falls_back_where_an_operator_refuses_the_small_picture() -> None:
    b = Builder()
    graph = b.output(b.call(aten.slice.Tensor, b.call(aten.view.default, b.input(), [1, 3, 20, 20]), 2, 0, 9))
    program = program_of(graph, ((1, 3, 20, 20),))
    report = run_passes(program, [as_pass(to_reshape, "view")], verify="fast").reports[0]
    assert [difference.patch for difference in report.differences] == ["20x20"]


def to_reshape(graph: Graph, node: Node) -> Node:
    return graph.add(aten.reshape.default, *node.args, before=node)


def test_axes_of_one_size_shrink_together() -> None:
    b = Builder()
    program = program_of(b.output(b.call(aten.add.Tensor, b.input("x"), b.input("y"))), ((64, 64), (64, 64)))
    (x0, x1), (y0, y1) = (tensor.dims for tensor in program.inputs)
    program.routes[0].regions = (tuple(Guard(sympy.Eq(x0, other)) for other in (x1, y0, y1)),)
    assert small_patch(program, program.routes[0], ((64, 64), (64, 64))) == ((8, 8), (8, 8))
