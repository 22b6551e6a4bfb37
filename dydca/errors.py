"""Every refusal of dydca: one exception type per floor, one stable code per reason.

A message is built from the same six parts everywhere: code, what is wrong, where in the user's source,
what was got, what was wanted, and one fix. `CODES` explains each code in a sentence or two; the texts are
what ``dydca errors DYD###`` prints. This file imports nothing, so that the runtime can share it.
"""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """What a code means and what usually resolves it."""

    meaning: str
    remedy: str


CODES: dict[str, Explanation] = {
    "DYD101": Explanation(
        "torch.export could not turn the model into a graph.",
        "Run the named source line in a way torch.export accepts; `where` is the line that stopped it.",
    ),
    "DYD102": Explanation(
        "The model is of a kind dydca cannot capture.",
        "Hand over an nn.Module, an ExportedProgram, a GraphModule, or the path of a saved one.",
    ),
    "DYD103": Explanation(
        "The captured program writes to one of its own parameters or buffers.",
        "Put the state into an input and an output of forward, or call model.eval() if it is a training statistic.",
    ),
    "DYD104": Explanation(
        "Python takes a value out of a tensor in a way that leaves no trace, so the route it decides is not seen.",
        "Let tensors decide: `if t > 0`, `t.item() > 0.5`, `modules[int(t.argmax())]`.",
    ),
    "DYD105": Explanation(
        "The network has more routes than the limit.",
        "Fuse decisions that belong together, or raise max_routes; the message lists the lines that branch.",
    ),
    "DYD106": Explanation(
        "A range of sizes is not understood.",
        'Write dydca.Dim("h", 16, 256) or dydca.Dim("h", 16, 256, multiple_of=2), with one range for each name.',
    ),
    "DYD107": Explanation(
        "A network is to be compiled for ranges of sizes; code is made for single sizes only.",
        "Declare the sizes you need as single patches; analyze and explain take ranges.",
    ),
    "DYD108": Explanation(
        "The network tells so many sizes of a declared range apart that its routes cannot be enumerated.",
        "Declare narrower ranges, fewer sizes that vary together, or the patches themselves.",
    ),
    "DYD109": Explanation(
        "forward raises an exception on a route that values choose, and compiled code cannot raise it.",
        "Remove the assertion, or clamp the value so that it cannot be.",
    ),
    "DYD110": Explanation(
        "A captured program is used with a patch for which no route was captured.",
        "Capture the network again with this patch among patch_shapes.",
    ),
    "DYD111": Explanation(
        "forward returns what a compiled network cannot return, or returns something else on another route.",
        "Return tensors, or tuples, lists, named tuples and dictionaries with text as keys, the same on every route.",
    ),
    "DYD112": Explanation(
        "An ONNX model uses an operator, an option of it, or a version of ONNX that dydca does not read.",
        "Hand over the PyTorch network or a .pt2 program, or export again with another opset.",
    ),
    "DYD113": Explanation(
        "The factory, which makes the network that a state_dict belongs to, is not understood.",
        "Write package.module:callable or package.module:callable(scale=2, blocks=4); arguments are literals.",
    ),
    "DYD114": Explanation(
        "The factory of the network cannot be imported, or is nothing that can be called.",
        "Run dydca where Python can import the module, e.g. with its folder in PYTHONPATH, and check the name.",
    ),
    "DYD115": Explanation(
        "The factory of the network raises an exception, or returns something else than an nn.Module.",
        "Call it in Python with the same arguments; it has to return the network that the state_dict belongs to.",
    ),
    "DYD116": Explanation(
        "The tensors of a state_dict are not those of the network that the factory makes.",
        "Give the factory the arguments the network was trained with, or rename the tensors in the file.",
    ),
    "DYD201": Explanation(
        "A patch shape is not understood.",
        "Write (N, C, H, W) with positive integers, or (H, W) where the other sizes are known.",
    ),
    "DYD202": Explanation(
        "An operator of the model does not accept a declared patch.",
        "Declare patches the operator accepts, or pad them before the network.",
    ),
    "DYD203": Explanation(
        "A declared range of input values is not understood.",
        "Write input_range=(0, 1), or {input name: (0, 1)}; the first number is the smaller one.",
    ),
    "DYD204": Explanation(
        "A declared patch, or one of a declared range, breaks what an operator of the network needs of sizes.",
        "Declare sizes that meet the condition the message names, or pad patches before the network.",
    ),
    "DYD301": Explanation(
        "The order of the passes is not possible: a pass names one in `after` or `before` that is elsewhere.",
        "Reorder the passes so that each comes after and before those it names; the message lists what is absent.",
    ),
    "DYD302": Explanation(
        "A pass left a graph that is not well formed or whose outputs have other shapes or types than before.",
        "This is a fault of the pass; leave it out with passes=..., and report it.",
    ),
    "DYD303": Explanation(
        "A pass changed the values the network computes beyond the stated tolerance.",
        "This is a fault of the pass; leave it out with passes=..., and report it.",
    ),
    "DYD304": Explanation(
        "The passes of installed packages cannot be put in order, because what they ask for goes round in a circle.",
        "Change `after` and `before` of the named passes, or uninstall one of the packages.",
    ),
    "DYD305": Explanation(
        "An installed package that extends dydca cannot be used.",
        "Repair or uninstall the package; the message names it and quotes its error.",
    ),
    "DYD401": Explanation(
        "An operator cannot be lowered to native code.",
        "Replace it by operators dydca lowers, or keep it outside the compiled network.",
    ),
    "DYD402": Explanation(
        "An input or output has a type that callers of the native code cannot hand over.",
        "Use float32, uint8, int32, int64 or bool at the network's edge, e.g. by model.float().",
    ),
    "DYD403": Explanation(
        "Routes that values choose from give outputs of different types, so the caller cannot provide them.",
        "Convert the outputs of all routes to one type.",
    ),
    "DYD404": Explanation(
        "The native code and PyTorch disagree on the same input.",
        "This is a fault of dydca; please report it with the model.",
    ),
    "DYD405": Explanation(
        "The size of a tensor depends on values (nonzero, a boolean mask), so no memory can be planned for it.",
        "Keep the full size and mask by multiplication, or decide by a condition that chooses between fixed shapes.",
    ),
    "DYD420": Explanation(
        "The network needs more memory than `memory` allows, even run row by row through chains of calls.",
        "Allow what the message asks for, use fewer threads (each has an arena and scratch), or smaller patches.",
    ),
    "DYD421": Explanation("`memory` is not an amount of memory.", "Write bytes, or e.g. 8MB, 7.5MiB, 512KiB."),
    "DYD501": Explanation("The native tool chain failed.", "Read the compiler's own message, which is quoted."),
    "DYD502": Explanation("No C compiler was found.", "Install gcc or clang, or set CC to the compiler's path."),
    "DYD503": Explanation(
        "The target or its processor is unknown.", "Choose one of the names the message lists; `host` is this machine."
    ),
    "DYD504": Explanation(
        "No tool chain for the target was found.",
        "Install one: pip install 'dydca[android]' brings ziglang; or set ANDROID_NDK_HOME to an Android NDK.",
    ),
    "DYD505": Explanation(
        "The environment names an NDK that is none.",
        "Set ANDROID_NDK_HOME to a folder that an NDK was unpacked into, or unset it.",
    ),
    "DYD506": Explanation(
        "The linked library differs from what dydca promises of it.",
        "Try another tool chain, by CC or ANDROID_NDK_HOME; with the default one, please report this.",
    ),
    "DYD507": Explanation(
        "Two of the targets are of one platform, and a file holds one library for each.",
        "Compile them into files of their own.",
    ),
    "DYD601": Explanation(
        "The network was called with a patch it was not compiled for.",
        "Declare the shape in patch_shapes and compile again, or cut the picture into declared patches.",
    ),
    "DYD602": Explanation(
        "The network was called with a tensor of another element type.", "Convert the tensor to the type it wants."
    ),
    "DYD603": Explanation("The network was called with a tensor of another rank.", "Pass [N, C, H, W]."),
    "DYD604": Explanation(
        "The network was called with an argument that is no array, or with a wrong number of them.",
        "Pass one torch tensor or numpy array per input of the network.",
    ),
    "DYD605": Explanation(
        "The native library reported a failure.",
        "Read the quoted message; after a failed create, ask for fewer threads.",
    ),
    "DYD606": Explanation(
        "The network was closed and cannot run any more.", "Load or compile it again, and close it after the last call."
    ),
    "DYD607": Explanation(
        "The network was compiled for another machine and cannot be called on this one.",
        "Save or export it and run it there; add the target `host` to call it here as well.",
    ),
    "DYD608": Explanation(
        "A folder to be written holds files that dydca did not write.",
        "Name a new or an empty folder, or one that holds an earlier export and nothing else.",
    ),
    "DYD609": Explanation(
        "The name of the exported library is no identifier of C.", "Use letters, digits and underscores."
    ),
    "DYD701": Explanation("A file does not exist or cannot be read.", "Check the path and its permissions."),
    "DYD702": Explanation(
        "A file is not what its name promises, or is damaged.", "Write it again with the tool that made it."
    ),
    "DYD703": Explanation(
        "A model file asks for classes that are not known to be safe.",
        "Export the model to .pt2, allow the named classes with --allow, or use --trust-pickle if you trust it.",
    ),
    "DYD704": Explanation(
        "An artifact was written by another version of the format or for another processor.",
        "Compile the model again with this version, for this machine.",
    ),
    "DYD705": Explanation("A file could not be written.", "Check the folder, its permissions and the free space."),
    "DYD706": Explanation(
        "Reading ONNX models needs the package onnx, which is not installed.",
        "Install it: pip install 'dydca[onnx]'.",
    ),
    "DYD801": Explanation(
        "A video or picture cannot be decoded.", "Convert it to a common format, for example with ffmpeg."
    ),
    "DYD802": Explanation("A frame cannot be cut as asked.", "Choose a patch that is not larger than the frame."),
    "DYD803": Explanation(
        "The size of the frames changes within a video.", "Cut the video where its size changes, e.g. with ffmpeg."
    ),
    "DYD804": Explanation(
        "The container cannot hold the sound of the video.",
        "Choose another suffix, e.g. .mkv, leave the sound out with --no-sound, or convert it first.",
    ),
    "DYD805": Explanation(
        "The container is unknown, or cannot hold the H.264 video that dydca writes.", "Choose .mp4, .mkv or .mov."
    ),
    "DYD806": Explanation(
        "The work folder beside the output holds interrupted work of another job, or another process is using it.",
        "Repeat the interrupted command to go on with it, or discard it with --restart.",
    ),
    "DYD807": Explanation(
        "The frames of this package are not cut by how hard they are, so no cutting can be forced on them.",
        "Leave --every-patch out.",
    ),
    "DYD808": Explanation(
        "The budget is outside what the network can cost.", "Choose one between the numbers that the message names."
    ),
    "DYD809": Explanation(
        "A package was not made of this video.", "Name the video that `dydca overfit` was given for this package."
    ),
    "DYD810": Explanation(
        "A weights file is damaged, or holds the weights of another network.",
        "Give a file that `dydca overfit` wrote for the same kind of network and scale.",
    ),
    "DYD811": Explanation(
        "Training came to numbers that are not finite.", "Start again with another --seed or a lower --learning-rate."
    ),
    "DYD812": Explanation(
        "A process that trained a chunk was killed, most often for want of memory.",
        "Repeat the command with fewer --jobs; it goes on where it stopped.",
    ),
    "DYD830": Explanation(
        "A picture, or what it would be enlarged to, is absurdly large.", "Cut the picture, or shrink it first."
    ),
    "DYD831": Explanation(
        "A picture's values are no levels of grey or colour, such as floating-point numbers.",
        "Convert it to 8 bits, or to 16 bits of grey.",
    ),
    "DYD832": Explanation(
        "The format of the output file cannot hold the picture: its alpha, or its 16 bits.", "Write a .png file."
    ),
    "DYD833": Explanation(
        "The memory allowed for activations is less than the smallest tile needs.",
        "Allow more with --memory; where values or the whole picture decide, the picture is not cut at all.",
    ),
    "DYD850": Explanation(
        "The network has no route or node of that name.", "Choose one of those that the report lists with --tensors."
    ),
    "DYD851": Explanation(
        "The expected cost of a network cannot be told from the given frequencies of its routes.",
        "Give numbers of at least 0, not all of them 0, for routes whose cost is known.",
    ),
    "DYD852": Explanation(
        "torch.compile was to record gradients through a graph that the backend `dydca` compiles for inference only.",
        "Call the network under torch.inference_mode() or torch.no_grad().",
    ),
    "DYD853": Explanation(
        "A weight was changed after the backend `dydca` of torch.compile had compiled it into the network.",
        "Call torch.compiler.reset() after changing weights; the next call compiles anew.",
    ),
    "DYD901": Explanation("The command line is not understood.", "See --help of the command."),
    "DYD902": Explanation(
        "An optional part is not installed.",
        "Install it with the extra the message names, e.g. pip install dydca[content].",
    ),
}


class DydcaError(Exception):
    """A refusal with a stable code.

    Args:
        code: A key of `CODES`.
        what: One sentence, no full stop needed.
        where: The place in the user's source or input, e.g. ``%conv3 (model.py:41)``.
        got: What was found there.
        want: What would have been accepted.
        fix: What to do, if it is more specific than the code's own remedy.

    Raises:
        KeyError: `code` is not registered; a programming error of dydca itself.
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        want: object = None,
        fix: str | None = None,
    ) -> None:
        self.code, self.what, self.where, self.got, self.want = code, what, where, got, want
        self.fix = fix or CODES[code].remedy
        rows = (("at", where), ("got", got), ("want", want), ("fix", self.fix))
        lines = [f"  {name:4} {value}" for name, value in rows if value is not None]
        super().__init__("\n".join([f"{code}: {what}", *lines]))

    def __reduce__(self) -> tuple[object, ...]:
        # By their message alone, which is all that an exception keeps by itself, errors do not come back to life.
        return _revive, (type(self), self.code, self.what, self.where, self.got, self.want, self.fix)


def _revive(
    kind: type[DydcaError], code: str, what: str, where: str | None, got: object, want: object, fix: str
) -> DydcaError:
    return kind(code, what, where=where, got=got, want=want, fix=fix)


class CaptureError(DydcaError):
    """DYD1xx: the model could not be turned into a program."""


class ShapeError(DydcaError):
    """DYD2xx: a declared patch is refused."""


class PassError(DydcaError):
    """DYD3xx: a pass, or another part that a package adds, broke its contract."""


class LoweringError(DydcaError):
    """DYD4xx: an operator or type has no native form."""


class BuildError(DydcaError):
    """DYD5xx: the tool chain could not make a library."""


class RunError(DydcaError):
    """DYD6xx: a compiled network was called wrongly or failed."""


class UnknownPatchError(RunError):
    """DYD601: the shape is not among the declared patches; the message lists them."""


class FileError(DydcaError):
    """DYD7xx: a file is missing, damaged, unsafe or cannot be written."""


class ContentError(DydcaError):
    """DYD8xx: pictures, videos and their cutting."""


class UsageError(DydcaError):
    """DYD9xx: the command line, or a missing optional part."""
