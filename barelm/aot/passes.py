"""Numba's typing and lowering, less what it does again and again: a build is mostly these two.

Part of `target`: private surface of Numba is used here too.  Nothing in this file changes what a program does.
"""

import operator
from collections import Counter
from functools import cache
from typing import Any

from numba.core import (
    compiler,
    compiler_machinery,
    errors,
    ir_utils,
    lowering,
    postproc,
    rewrites,
    ssa,
    transforms,
    typed_passes,
    types,
    typing,
    untyped_passes,
)
from numba.core import ir as numba_ir

from barelm.aot.large_tuples import holds_places, is_large, on_stack


class MetalTyping(typing.Context):  # type: ignore[misc]
    """Remembers what a call of these types resolves to: nine in ten have been asked before, each twice."""

    def init(self) -> None:
        """Nothing resolved yet."""
        self._resolved: dict[Any, Any] = {}

    def forget(self) -> None:
        """Resolve all anew: the host's JIT may have compiled for itself what Numba gives both under one key."""
        self._resolved.clear()

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """The signature of a call."""
        known = self._lookup_global(func) if not isinstance(func, (str, types.Type)) else func
        if kws or not isinstance(known, (types.Function, types.Dispatcher)):
            return super().resolve_function_type(func, args, kws)
        key = (known._code, *(argument._code for argument in args))
        if key not in self._resolved:
            self._resolved[key] = super().resolve_function_type(known, args, kws)
        return self._resolved[key]


class MetalPasses(compiler_machinery.PassManager):  # type: ignore[misc]
    """Runs passes without timing, dumping and describing each."""

    def _runPass(self, index: Any, pss: Any, internal_state: Any) -> None:
        with errors.new_error_context("Pass {name}", name=type(pss).__name__):
            pss.run_initialization(internal_state)
            pss.run_pass(internal_state)
            pss.run_finalizer(internal_state)


# Numba looks after each of these passes where each variable lives; lowering asks once, and not for all of it.

@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Canonical(untyped_passes.IRProcessing):  # type: ignore[misc]
    """One entry, no dead blocks."""

    def run_pass(self, state: Any) -> bool:
        """Make it so."""
        state.func_ir.blocks = transforms.canonicalize_cfg(state.func_ir.blocks)
        return True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Rewrites(untyped_passes.GenericRewrites):  # type: ignore[misc]
    """What Numba rewrites before types are known: constant indices and exceptions, mostly."""

    def run_pass(self, state: Any) -> bool:
        """Apply each to every block until it has nothing more to do there."""
        for kind in rewrites.rewrite_registry.rewrites["before-inference"]:
            rewrite, blocks = kind(state), state.func_ir.blocks
            waiting = list(blocks)
            while waiting:
                if rewrite.match(state.func_ir, blocks[waiting[-1]], state.typemap, state.calltypes):
                    blocks[waiting[-1]] = rewrite.apply()
                else:
                    waiting.pop()
        return True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Assignments(untyped_passes.ReconstructSSA):  # type: ignore[misc]
    """A name for each value a variable takes."""

    def run_pass(self, state: Any) -> bool:
        """Rename."""
        state.func_ir = ssa.reconstruct_ssa(state.func_ir)
        self._patch_locals(state)
        state.func_ir._definitions = ir_utils.build_definitions(state.func_ir.blocks)
        return True


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class Joins(typed_passes.PreLowerStripPhis):  # type: ignore[misc]
    """Assignments where control comes together."""

    def run_pass(self, state: Any) -> bool:
        """Put them in."""
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        state.func_ir._definitions = ir_utils.build_definitions(state.func_ir.blocks)
        state.func_ir.variable_lifetime = postproc.VariableLifetime(state.func_ir.blocks)
        state.func_ir.generator_info = None
        return True


@cache
def metal_passes() -> MetalPasses:
    """Numba's pipeline, less the passes for what the dialect has not.

    That is closures, `with`, array expressions, and deleting variables, which would count references.
    """
    passes = MetalPasses("metal")
    for step in (untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, Canonical, Rewrites,
                 untyped_passes.RewriteDynamicRaises, Assignments, typed_passes.NopythonTypeInference, Joins,
                 MetalLowering, typed_passes.NoPythonBackend):
        passes.add_pass(step, step.__name__)
    passes.finalize()
    return passes


class MetalLower(lowering.Lower):  # type: ignore[misc]
    """Lowers a function; operators ask `MetalTyping` first, and variables are not kept for a count of references."""

    def lower_function_body(self) -> Any:
        """The body, knowing which variables hold a copy: those of large tuples that several statements assign to."""
        manager = self.context.data_model_manager
        steps = (step for block in self.blocks.values() for step in block.find_insts(numba_ir.Assign))
        times = Counter(step.target.name for step in steps)
        self._copies = {name: manager[self.typeof(name)] for name, n in times.items()
                        if n > 1 and holds_places(manager[self.typeof(name)])}
        return super().lower_function_body()

    def loadvar(self, name: str) -> Any:
        """The value of a variable."""
        value = super().loadvar(name)
        return self._copies[name].from_data(self.builder, value) if name in self._copies else value

    def storevar(self, value: Any, name: str, argidx: Any = None) -> None:
        """Assign to a variable; what it held is not of interest."""
        self._alloca_var(name, self.typeof(name))
        if name in self._copies:
            self.builder.store(self._copies[name].as_data(self.builder, value), self.getvar(name))
        elif name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        """Memory for a variable."""
        return on_stack(self.builder, self._copies[name].get_data_type() if name in self._copies else lltype, name)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        """An expression; a field of a large tuple is read where it lies."""
        if expr.op == "getattr" and is_large(model := self.context.data_model_manager[self.typeof(expr.value.name)]):
            return model.field_of(self.builder, self.loadvar(expr.value.name), expr.attr)
        return super().lower_expr(resty, expr)

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        """An operator, as Numba does it, without trying every constant operand for a lowering of its own."""
        if op in (operator.pow, operator.ipow):
            return super().lower_binop(resty, expr, op)
        return self._operate(resty, op, (expr.lhs, expr.rhs), self.fndesc.calltypes[expr])

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        """value[index]."""
        return self._operate(resty, operator.getitem, (value, index), signature)

    def _operate(self, resty: Any, op: Any, sides: tuple[Any, Any], wanted: Any) -> Any:
        values = [self.context.cast(self.builder, self.loadvar(side.name), self.typeof(side.name), to)
                  for side, to in zip(sides, wanted.args)]
        typing_context = self.context.typing_context
        function = typing_context.resolve_value_type(op)
        signature = typing_context.resolve_function_type(function, wanted.args, {})
        result = self.context.get_function(function, signature)(self.builder, values)
        return self.context.cast(self.builder, result, wanted.return_type, resty)


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class MetalLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Numba's pass, with our lowering."""

    @property
    def lowering_class(self) -> Any:
        """What lowers a function."""
        return MetalLower


class MetalCompiler(compiler.CompilerBase):  # type: ignore[misc]
    """Compiles one function."""

    def define_pipelines(self) -> list[Any]:
        """The one pipeline."""
        return [metal_passes()]
