"""A Numba target whose functions end up in a UEFI application.

Everything of Numba that is private, or that another minor version may change, is used in this file, in `passes` and
in `convention`; Numba is pinned to the version they were written against, and `tests/aot/test_target.py` says what
broke when it is not.
"""

import inspect
from functools import cached_property
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import (
    cgutils,
    codegen,
    compiler,
    cpu,
    datamodel,
    funcdesc,
    imputils,
    target_extension,
    types,
    typing,
)
from numba.core.compiler_lock import global_compiler_lock
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.runtime.context import NRTContext

from barelm.aot.convention import MetalArray, MetalCallConv
from barelm.aot.implementations import METAL_IMPLEMENTATIONS
from barelm.aot.large_tuples import MetalTuple, is_large
from barelm.aot.messages import line_being_compiled, place
from barelm.aot.passes import MetalCompiler, MetalTyping
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import checks_accesses
from barelm.errors import BarelmError

NUMBA_VERSION = "0.68"


class Metal(target_extension.CPU):  # type: ignore[misc]
    """The target's name: everything a CPU has, less Python."""


target_extension.target_registry["metal"] = Metal


class MetalLibrary(codegen.AOTCodeLibrary):  # type: ignore[misc]
    """Keeps the IR of one function as Numba lowered it.

    The whole program is linked and optimised once, per CPU level: linking callees into callers one by one, as Numba
    does, takes a tenth of the time to compile.
    """

    age = 0
    """Of what is compiled now: a branch's is newer than what was there when it began."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.age = MetalLibrary.age
        self.texts: list[str] = []

    def add_ir_module(self, ir_module: Any) -> None:
        """Keep a module's text."""
        self.texts.append(cgutils.normalize_ir_text(str(ir_module)))

    def finalize(self) -> None:
        """Nothing is added from here on."""
        self._finalized = True


class MetalCodegen(codegen.AOTCPUCodegen):  # type: ignore[misc]
    """Modules for the program's family of processors."""

    _library_class = MetalLibrary

    def _init(self, llvm_module: Any) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        llvm.initialize_native_asmparser()
        self._tm = llvm.Target.from_triple(FAMILY.triple).create_target_machine(cpu=FAMILY.baseline.cpu, opt=3,
                                                                                reloc="pic")
        self._tm_features = ""
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)
        self._loopvect, self._opt_level = False, 0

    def _create_empty_module(self, name: str) -> Any:
        module = super()._create_empty_module(name)
        module.triple = FAMILY.triple
        return module


class Uncounted(NRTContext):  # type: ignore[misc]
    """Numba counts references of arrays; here nothing is ever allocated, so there is nothing to count.

    It stays switched on, or functions could not return views.
    """

    def _require_nrt(self) -> None:
        """What every allocating method calls first: refuse, naming the line of ours that is being lowered."""
        raise BarelmError(f"{place(line_being_compiled())} allocates memory, which the metal does not do",
                          "Take what it needs as an argument, from the arena; `cells` gives a few words on the stack.")

    def incref(self, builder: Any, typ: Any, value: Any) -> None:
        """Nothing."""

    def decref(self, builder: Any, typ: Any, value: Any) -> None:
        """Nothing."""


class MetalContext(cpu.CPUContext):  # type: ignore[misc]
    """Lowering for the target: nothing of the compiling process may leak into the program."""

    allow_dynamic_globals = False

    @global_compiler_lock  # type: ignore[untyped-decorator]
    def init(self) -> None:
        """Set the code generator up."""
        self.is32bit = False
        self._internal_codegen = MetalCodegen("metal")
        self.data_model_manager = datamodel.DataModelManager().chain(datamodel.default_manager)
        self.data_model_manager.register(types.Array, MetalArray)
        self.data_model_manager.register(types.NamedTuple, MetalTuple)
        self._sizes: dict[Any, int] = {}

    @property
    def call_conv(self) -> Any:
        """The calling convention."""
        return MetalCallConv(self)

    @property
    def nrt(self) -> Any:
        """Reference counting, without the counting."""
        return Uncounted(self, True)

    def post_lowering(self, module: Any, library: Any) -> None:
        """Nothing to add: no fast maths, no Python."""

    def load_additional_registries(self) -> None:
        """What Numba adds; at every function it has not seen it asks what is new there.

        Numba builds its run time for whoever compiles first, once a process: that has to be the host's JIT.
        """
        if METAL_IMPLEMENTATIONS not in self._registries:
            rtsys.initialize(cpu_target.target_context)
            super().load_additional_registries()
            self.install_registry(imputils.builtin_registry)
            self.install_registry(METAL_IMPLEMENTATIONS)  # of two for the same types the later is taken
        for registry in list(self._registries):
            self.install_registry(registry)

    def get_abi_sizeof(self, ty: Any) -> int:
        """The bytes of a type: to llvmlite each question is a module to parse."""
        if ty not in self._sizes:
            self._sizes[ty] = super().get_abi_sizeof(ty)
        return self._sizes[ty]

    def pair_first(self, builder: Any, val: Any, ty: Any) -> Any:
        """The item an iterator gave."""
        return builder.extract_value(val, 0)

    def pair_second(self, builder: Any, val: Any, ty: Any) -> Any:
        """Whether it gave one."""
        return builder.extract_value(val, 1)

    def make_tuple(self, builder: Any, typ: Any, values: Any) -> Any:
        """A tuple from its fields."""
        model = self.data_model_manager[typ]
        return model.put_together(builder, values) if is_large(model) else super().make_tuple(builder, typ, values)

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """A unique key per function, as Numba needs one; never called."""
        return lambda: fndesc

    def add_dynamic_addr(self, builder: Any, intaddr: int, info: Any) -> Any:
        """A host object used as a value, never dereferenced: null, or the program would hold a host pointer."""
        return ir.Constant(cgutils.voidptr_t, None)


class MetalTarget(TargetDescriptor):  # type: ignore[misc]
    """Typing and lowering contexts of the target."""

    options = cpu.CPUTargetOptions

    @cached_property
    def target_context(self) -> Any:
        """The lowering context."""
        return MetalContext(self.typing_context, self._target_name)

    @cached_property
    def typing_context(self) -> Any:
        """The typing context."""
        return MetalTyping()


class MetalDispatcher(Dispatcher):  # type: ignore[misc]
    """Compiles for the metal and calls nothing."""

    targetdescr = MetalTarget("metal")
    branch: Any = None
    """A function with a `grow` of its own way to be compiled (see `branches`)."""

    def compile(self, sig: Any) -> Any:
        """Compile one signature for the metal."""
        if isinstance(sig, tuple) and (known := self.overloads.get(sig)) is not None:
            return known.entry_point
        if self.branch is not None and self.py_func is self.branch.function:
            self.branch.grow(self, sig)
            return self.overloads[sig].entry_point
        with target_extension.target_override("metal"):
            return super().compile(sig)

    def add_overload(self, cres: Any) -> None:
        """Keep the result without an entry point for the interpreter."""
        self.overloads[tuple(cres.signature.args)] = cres


target_extension.dispatcher_registry[Metal] = MetalDispatcher

_OPTIONS = {"nopython": True, "error_model": "numpy", "no_cpython_wrapper": True,
            "no_cfunc_wrapper": True, "nogil": True}


class metal_jit(target_extension.JitDecorator):  # type: ignore[misc]
    """The decorator Numba reaches for when a compiled function calls another of the dialect."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.options = options

    def __call__(self, function: Any) -> Any:
        """A dispatcher for the metal."""
        options = {**self.options, **_OPTIONS, "boundscheck": checks_accesses()}
        return MetalDispatcher(py_func=function, targetoptions=options,
                               pipeline_class=MetalCompiler)

    def get_dispatcher(self) -> Any:
        """The dispatcher class."""
        return MetalDispatcher

    dispatcher_wrapper = get_dispatcher


target_extension.jit_registry[Metal] = metal_jit


def promise(dispatcher: MetalDispatcher, signature: tuple[Any, ...], symbol: str) -> None:
    """Have a function that returns a number seem to be compiled: somebody else does it, under this symbol."""
    context, function = dispatcher.targetdescr.target_context, dispatcher.py_func
    described = funcdesc.FunctionDescriptor(
        native=True, modname=function.__module__, qualname=symbol, unique_name=symbol, doc="", typemap={},
        restype=types.int64, calltypes={}, args=list(inspect.signature(function).parameters), kws=(),
        mangler=lambda name, *_, **__: symbol if name.endswith(symbol) else name, argtypes=signature)
    library = context.codegen().create_library(symbol)
    library.finalize()
    result = compiler.compile_result(
        typing_context=dispatcher.targetdescr.typing_context, target_context=context, library=library,
        fndesc=described, entry_point=context.get_executable(library, described, None), objectmode=False,
        signature=typing.signature(types.int64, *signature))
    context.insert_user_function(result.entry_point, described, [library])
    dispatcher.add_overload(result)


def with_callees(library: MetalLibrary, found: dict[MetalLibrary, None]) -> dict[MetalLibrary, None]:
    """What was found, a library and all it calls, each once, callees first."""
    if library not in found:
        for callee in library._linking_libraries:
            with_callees(callee, found)
        found[library] = None
    return found


def lower(function: Any, signature: tuple[Any, ...]) -> tuple[list[str], str]:
    """Modules of LLVM IR, as text, of a function and all it calls, and the symbol of its entry."""
    dispatcher = metal_jit()(function)
    dispatcher.targetdescr.typing_context.forget()
    dispatcher.compile(signature)
    result = dispatcher.overloads[signature]
    texts = [text for library in with_callees(result.library, {}) for text in library.texts]
    return texts, result.fndesc.llvm_func_name
