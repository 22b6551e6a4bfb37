"""The only file that imports TVM: its API is young and moves (written for apache-tvm 0.27).

It hands on the builder that the kernel emitters write with, and turns finished functions into one object file of
plain C functions: ``void name(float *buffer, ..., int begin, int end)``, with no TVM symbol left in it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tvm
from numpy.typing import NDArray
from torch.export import ExportedProgram
from tvm import ir, relax, s_tir, tirx
from tvm.relax.frontend.torch import from_exported_program
from tvm.script.ir_builder import IRBuilder
from tvm.target import Target
from tvm.tirx.script.builder import ir as T
from tvm.tirx.stmt import Return

__all__ = [
    "Nest",
    "Operand",
    "PrimFunc",
    "T",
    "assembly",
    "compile_object",
    "cpu_features",
    "cpu_names",
    "divided",
    "fma",
    "host_cpu",
    "is_cpu",
    "kernel",
    "legalized_nests",
    "natural",
    "register",
]

PrimFunc: TypeAlias = Any  # tirx.PrimFunc; TVM ships no types
CACHE_LINE = 64
ANY_ALIGNMENT = "dydca.any_alignment"
"""Marks functions whose buffers TVM declared, all of them aligned, though a caller's own tensors may be among them."""


@contextlib.contextmanager
def kernel(
    element: str = "float32", /, **buffers: tuple[Sequence[int], int]
) -> Iterator[tuple[list[Any], Any, Any, list[Any]]]:
    """Opens a function over buffers of one element type, each given as ``name=(shape, alignment in bytes)``.

    Yields the buffers, the range ``begin, end`` of units of work, and a list that receives the finished function.
    """
    finished: list[Any] = []
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name("kernel")
            T.func_attr({"tirx.noalias": True})
            arguments = [
                T.arg(name, T.buffer(tuple(shape), element, align=align)) for name, (shape, align) in buffers.items()
            ]
            begin, end = T.arg("begin", T.int32()), T.arg("end", T.int32())
            yield arguments, begin, end, finished
        finished.append(builder.get())


def lane_vector(lanes: int) -> str:
    """The type of a vector register of float32."""
    return "float32" if lanes == 1 else f"float32x{lanes}"


def register(lanes: int) -> Any:
    """A variable of one vector, which LLVM keeps in a register.

    Only the global scope stays on the stack; TVM turns any other into heap workspace.
    """
    return T.alloc_buffer((1,), lane_vector(lanes), scope="global")


def fma(a: Any, b: Any, c: Any, lanes: int) -> Any:
    """``a * b + c``, rounded once."""
    return T.call_llvm_pure_intrin(lane_vector(lanes), "llvm.fma", a, b, c)


def natural(x: Any) -> Any:
    """The integer x, which is not negative, as a number that TVM's simplifier does not look into.

    Where it finds sums of products under a division by a common factor, TVM 0.27 may overflow while it compiles.
    """
    return T.bind(T.call_llvm_pure_intrin("int32", "llvm.smax", x, T.int32(0)))


def divided(x: Any, divisor: int) -> tuple[Any, Any]:
    """Quotient and remainder of an integer x that is not negative."""
    return T.bind(T.truncdiv(x, divisor)), T.bind(T.truncmod(x, divisor))


def host_cpu() -> str:
    """LLVM's name of this machine's processor."""
    return str(tvm.target.codegen.llvm_get_system_cpu())


def is_cpu(name: str, triple: str) -> bool:
    """Whether LLVM knows the processor; building for an unknown one would only log an error."""
    return bool(tvm.target.codegen.llvm_is_valid_cpu(name, triple))


def cpu_names(triple: str) -> list[str]:
    """LLVM's names of the processors of a platform."""
    return sorted(map(str, tvm.target.codegen.llvm_get_cpu_archlist(Target({"kind": "llvm", "mtriple": triple}))))


def cpu_features(triple: str, cpu: str, switches: Sequence[str]) -> set[str]:
    """LLVM's names of what a processor has, once `switches` such as ``-sve`` have been applied."""
    target = Target({"kind": "llvm", "mtriple": triple, "mcpu": cpu, "mattr": list(switches)})
    return set(map(str, tvm.target.codegen.llvm_get_cpu_features(target)))


def _as_c_function(function: PrimFunc, _module: tvm.IRModule, _context: object) -> PrimFunc:
    """Replaces TVM's packed calling convention by C's. Aligned buffers are promised to LLVM as such."""
    parameters: list[tirx.Var] = []
    body = function.body
    declared: list[Any] = []
    for parameter in function.params:
        if isinstance(parameter.ty, ir.PrimType):
            parameters.append(parameter)
            continue
        pointer = tirx.Var(f"{parameter.name}_data", ir.PointerType(parameter.ty.dtype))
        parameters.append(pointer)
        declared.append(tirx.DeclBuffer(parameter, data=pointer))
        if parameter.data_alignment >= CACHE_LINE and ANY_ALIGNMENT not in function.attrs:
            body = tirx.AttrStmt(pointer, "storage_alignment", tirx.const(CACHE_LINE, "int32"), body)
    for key, value in (("device_id", 0), ("device_type", 1)):
        body = tirx.AttrStmt("default", key, tirx.const(value, "int32"), body)
    # The return stays outside the attributes: inside, releases of workspace would land behind it.
    body = tirx.SeqStmt([*declared, body, Return(tirx.const(0, "int32"))])
    plain = tirx.PrimFunc(parameters, body, ir.PrimType("int32"), attrs=function.attrs)
    return plain.with_attr("calling_conv", 2)


def _pipeline(**_: object) -> tuple[Any, Any, Any]:
    """TVM's CPU pipeline without what hand-written kernels do not want."""
    passes = [
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.UnrollLoop(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.VerifyMemory(),
        tirx.transform.SplitHostDevice(),
        tirx.transform.prim_func_pass(_as_c_function, opt_level=0, name="AsCFunction"),
    ]

    lowering = tirx.compilation_pipeline
    return tvm.transform.Sequential(passes), lowering.finalize_host_passes, lowering.finalize_device_passes


tirx.register_tir_pipeline("dydca", _pipeline)


def compile_object(functions: Mapping[str, PrimFunc], target: Mapping[str, Any]) -> bytes:
    """Compiles the functions for an LLVM target and returns one relocatable object file."""
    built = _built(functions, target)
    with tempfile.TemporaryDirectory(prefix="dydca-") as folder:
        path = Path(folder) / "kernels.o"
        built.write_to_file(str(path))
        return path.read_bytes()


def assembly(functions: Mapping[str, PrimFunc], target: Mapping[str, Any]) -> str:
    """What `compile_object` would make, as text."""
    return str(_built(functions, target).inspect_source("asm"))


def _built(functions: Mapping[str, PrimFunc], target: Mapping[str, Any]) -> Any:
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in functions.items()})
    with tvm.transform.PassContext(opt_level=3):
        return tirx.build(module, Target(dict(target)), pipeline="dydca")


@dataclass(frozen=True)
class Operand:
    """A buffer of a legalised nest: an input of the program by number, a constant, or a named intermediate."""

    kind: str
    key: int | str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[Any] | None = None


@dataclass(frozen=True)
class Nest:
    """One loop nest that TVM's legalisation made of an operator, cut out as a function of its own."""

    function: PrimFunc
    extent: int
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]

    @property
    def text(self) -> str:
        """The function as text; equal for equal code."""
        return str(self.function)


def legalized_nests(program: ExportedProgram, lanes: int) -> tuple[list[Nest], list[Operand]]:
    """Lowers a small program by Relax: legalise, fuse, then one scheduled function per loop nest.

    Returns the nests in the order in which they run, and the operand of each result of the program.
    Raises whatever TVM raises for an operator it does not know.
    """
    transform = relax.transform
    passes = [
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        transform.DeadCodeElimination(),
    ]
    module = tvm.transform.Sequential(passes)(from_exported_program(program, keep_params_as_input=False))
    main = module["main"]
    # The operand behind a variable, or the list of them behind a tuple.
    known: dict[Any, Any] = {var: _operand("input", number, var.ty) for number, var in enumerate(main.params)}
    nests: list[Nest] = []
    for binding in (binding for block in main.body.blocks for binding in block.bindings):
        value = binding.value
        if isinstance(value, relax.Call):
            function, arguments = value.args[0], value.args[1].fields
            results = value.ty_args[0]
            types = list(results.fields) if hasattr(results, "fields") else [results]
            outputs = [_operand("intermediate", f"{binding.var.name}_{i}", ty) for i, ty in enumerate(types)]
            operands = [_constant(known, argument) for argument in arguments]
            nests += _nests_of(module[function], [*operands, *outputs], lanes)
            known[binding.var] = outputs[0] if len(outputs) == 1 else outputs
        elif isinstance(value, ir.Tuple):
            known[binding.var] = [_constant(known, field) for field in value.fields]
        elif isinstance(value, relax.TupleGetItem):
            known[binding.var] = known[value.tuple_value][value.index]
        else:
            known[binding.var] = _constant(known, value)
    results = known[main.body.body]
    return nests, results if isinstance(results, list) else [results]


def _operand(kind: str, key: int | str, ty: Any) -> Operand:
    return Operand(kind, key, tuple(int(size) for size in ty.shape), str(ty.dtype))


def _constant(known: dict[Any, Any], expression: Any) -> Any:
    if not isinstance(expression, ir.GenericConst):
        return known[expression]
    data = np.asarray(expression.value.numpy())
    return Operand("constant", "", data.shape, str(data.dtype), data)


def _nests_of(function: PrimFunc, operands: Sequence[Operand], lanes: int) -> list[Nest]:
    schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
    root = schedule.get_sblock("root")
    for block in schedule.get_child_blocks(root):
        with contextlib.suppress(s_tir.ScheduleError):  # reductions and results are no producers to inline
            schedule.compute_inline(block)
    for block in schedule.get_child_blocks(root):
        _schedule_nest(schedule, block, lanes)
    body = schedule.mod["main"].body.block
    buffers: dict[Any, Operand] = dict(zip(schedule.mod["main"].params, operands, strict=True))
    key = operands[-1].key
    for number, buffer in enumerate(body.alloc_buffers):
        shape = tuple(int(size) for size in buffer.shape)
        buffers[buffer] = Operand("intermediate", f"{key}_{number}", shape, str(buffer.dtype))
    statements = body.body.seq if isinstance(body.body, tirx.SeqStmt) else [body.body]
    return [_cut_out(statement, buffers) for statement in statements]


def _schedule_nest(schedule: Any, block: Any, lanes: int) -> None:
    """Fuses the outer loops into one range of work; the innermost picture axis becomes the vector."""
    loops, axes = schedule.get_loops(block), schedule.get(block).iter_vars
    if len(loops) != len(axes):  # an axis of one iteration may have no loop
        axes = [axis for axis in axes if int(axis.dom.extent) > 1]
    if len(loops) != len(axes):
        schedule.add_unit_loop(loops[0] if loops else block)
        return
    reduced = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type != 0]
    spatial = [loop for loop in loops if loop not in reduced]
    if not spatial:  # one sum over everything cannot be shared out: a range of one unit
        schedule.add_unit_loop(loops[0] if loops else block)
        return
    if reduced and len(spatial) > 1 and _reads_along(schedule.get(block)):
        schedule.reorder(*spatial[:-1], *reduced, spatial[-1])
    inner = spatial.pop() if len(spatial) > 1 and (not reduced or _reads_along(schedule.get(block))) else None
    schedule.fuse(*spatial)
    if inner is not None and int(schedule.get(inner).extent) % lanes == 0:
        schedule.vectorize(schedule.split(inner, [None, lanes])[1])


def _reads_along(block: Any) -> bool:
    """Whether the last picture axis runs through neighbouring elements of what is read."""
    last = [axis.var for axis in block.iter_vars if axis.iter_type == 0][-1]
    return any(len(read.region) and last.same_as(read.region[-1].min) for read in block.reads)


def _cut_out(statement: Any, buffers: dict[Any, Operand]) -> Nest:
    """The nest as a function of the buffers it touches and of a range of its outermost loop."""
    read, written = _touched(statement)
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")
    extent = 1
    if isinstance(statement, tirx.For):
        extent = int(statement.extent)
        kind = str(statement.loop_var.ty.dtype)
        first, last = (bound if kind == "int32" else tirx.Cast(kind, bound) for bound in (begin, end))
        statement = tirx.For(statement.loop_var, first, last - first, statement.kind, statement.body)
    reads = [buffer for buffer in buffers if buffer in read and buffer not in written]
    writes = [buffer for buffer in buffers if buffer in written]
    block = s_tir.SBlock([], [], [], "root", statement)
    body = s_tir.SBlockRealize([], tirx.const(True, "bool"), block)
    function = tirx.PrimFunc([*reads, *writes, begin, end], body)
    function = function.with_attr("tirx.noalias", True).with_attr("s_tir", True).with_attr(ANY_ALIGNMENT, True)
    return Nest(function, extent, tuple(buffers[b] for b in reads), tuple(buffers[b] for b in writes))


def _touched(statement: Any) -> tuple[set[Any], set[Any]]:
    """Buffers that the blocks below read and write."""
    if isinstance(statement, s_tir.SBlockRealize):
        block = statement.block
        read, written = {region.source for region in block.reads}, {region.source for region in block.writes}
        inner_read, inner_written = _touched(block.body)
        return read | inner_read, written | inner_written
    children = list(getattr(statement, "seq", ())) or [
        child for name in ("body", "then_case", "else_case") if (child := getattr(statement, name, None)) is not None
    ]
    parts = [_touched(child) for child in children]
    return set().union(*(part[0] for part in parts)), set().union(*(part[1] for part in parts))
