"""Builds the two C extensions of autobatch; everything else is in pyproject.toml.

``autobatch._core``          kernels/core, kernels/graph     the recorder, a CPython type
``autobatch.backends._cpu``  kernels/sched, kernels/cpu      reached through cffi

Objects are compiled here, not by setuptools: the kernels are compiled once per instruction
set, each with its own flags, several at a time, and only where a source, a header or a flag
has changed. They are kept in ``build/native``.

Environment:
    AUTOBATCH_WERROR=1       warnings are errors
    AUTOBATCH_SANITIZE=1     address and undefined-behaviour sanitizers, debug information
    AUTOBATCH_LIMITED_API=1  one wheel for CPython 3.10 and later (abi3)
    AUTOBATCH_JOBS=N         compilers at a time (default: the number of processors)
    CC, CFLAGS, LDFLAGS      as everywhere
"""

from __future__ import annotations

import io
import os
import platform
import re
import shlex
import subprocess
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
KERNELS = Path("kernels")

LIMITED_API = "0x030A0000"


def switched_on(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


SANITIZE = switched_on("AUTOBATCH_SANITIZE")
WERROR = switched_on("AUTOBATCH_WERROR")
LIMITED = switched_on("AUTOBATCH_LIMITED_API") and not sysconfig.get_config_var("Py_GIL_DISABLED")

COMMON = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"]
COMMON += ["-fvisibility=hidden"]
COMMON += ["-O1", "-g", "-fno-omit-frame-pointer"] if SANITIZE else ["-O3", "-g0"]
SANITIZER = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if SANITIZE else []
WARNINGS = ["-Wall", "-Wextra", *(["-Werror"] if WERROR else [])]

# Files of kernels/cpu named after an instruction set get its flags. Elsewhere than on x86
# they get none, and compile to nothing.
INSTRUCTION_SETS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        *("-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mavx2", "-mfma"),
        "-mprefer-vector-width=512",
    ],
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


def sources(*folders: str) -> list[Path]:
    """The translation units of folders under kernels/; `.inc.c` files are included by them."""
    found = []
    for folder in folders:
        found += [p for p in (KERNELS / folder).glob("*.c") if not p.name.endswith(".inc.c")]
    return sorted(found)


def declarations(header: Path) -> str:
    """A C header as cffi takes it: without includes, guards and `extern "C"`."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.DOTALL)
    kept = []
    for line in text.splitlines():
        number = re.match(r"\s*#\s*define\s+\w+\s+-?(0x[0-9a-fA-F]+|\d+)\s*$", line)
        if number or not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept)


class Build(build_ext):
    """Compiles the objects, then leaves the linking to setuptools."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type != "unix":
            raise SystemExit("autobatch is built by GCC or Clang; see docs/installation.md")
        tag = f"{sysconfig.get_platform()}-{sysconfig.get_config_var('SOABI')}"
        self.objects = Path("build/native") / (
            tag + ("-sanitize" if SANITIZE else "") + ("-abi3" if LIMITED else "")
        )
        self.objects.mkdir(parents=True, exist_ok=True)
        openmp = ["-fopenmp"] if self.compiles(["-fopenmp"]) else []
        warnings = [flag for flag in WARNINGS if self.compiles([flag])]
        includes = [f"-I{KERNELS / 'include'}"]
        limited = [f"-DPy_LIMITED_API={LIMITED_API}"] if LIMITED else []
        python = [f"-I{path}" for path in self.include_dirs] + limited

        work: dict[str, list[tuple[Path, list[str]]]] = {"_core": [], "_cpu": []}
        for source in sources("core"):
            # Type specifications end in a zero entry, by convention of the C API.
            quiet = ["-Wno-missing-field-initializers"]
            work["_core"].append((source, [*includes, *python, *warnings, *quiet]))
        for source in sources("graph"):  # plain functions without state: linked into both
            work["_core"].append((source, [*includes, *warnings]))
        for source in sources("sched", "cpu"):
            prefix = source.stem.split("_")[0]
            if source.parent.name == "cpu" and prefix in (*INSTRUCTION_SETS, "baseline"):
                own = INSTRUCTION_SETS.get(prefix, []) if X86 else []
            else:
                own = openmp
            work["_cpu"].append((source, [*includes, *warnings, *own]))
        work["_cpu"].append((self.bindings(), [*includes, *python, "-w"]))

        jobs = int(os.environ.get("AUTOBATCH_JOBS", 0)) or os.cpu_count() or 1
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            running = {
                name: [pool.submit(self.compile, *task) for task in tasks]
                for name, tasks in work.items()
            }
        for extension in self.extensions:
            built = [task.result() for task in running[extension.name.rpartition(".")[2]]]
            if extension.name.endswith("_cpu"):
                built += [self.objects / f"graph_{source.stem}.o" for source in sources("graph")]
            extension.extra_objects = extension.depends = [str(path) for path in built]
            extension.extra_link_args = [*SANITIZER]
            if extension.name.endswith("_cpu"):
                extension.extra_link_args += openmp
                extension.libraries = ["m"]
        super().build_extensions()

    def compile(self, source: Path, flags: list[str]) -> Path:
        """Compiles one source unless its object is newer than all that it was made from."""
        name = "_".join(source.with_suffix("").parts[-2:])
        built = self.objects / f"{name}.o"
        listing, stamp = built.with_suffix(".d"), built.with_suffix(".cmd")
        command = [
            *(*self.compiler.compiler_so, *COMMON, *SANITIZER, *flags),
            *("-MMD", "-MF", str(listing), "-c", str(source), "-o", str(built)),
        ]
        line = shlex.join(command)
        if built.exists() and listing.exists() and stamp.exists() and stamp.read_text() == line:
            made_from = listing.read_text().replace("\\\n", " ").split(":", 1)[1].split()
            age = built.stat().st_mtime_ns
            if all(Path(p).exists() and Path(p).stat().st_mtime_ns <= age for p in made_from):
                return built
        stamp.unlink(missing_ok=True)
        print(line + "\n", end="", flush=True)
        started = time.time_ns()
        subprocess.run(command, check=True)
        # As old as its compilation's begin: a source saved meanwhile is newer than it.
        os.utime(built, ns=(started, started))
        stamp.write_text(line)
        return built

    def bindings(self) -> Path:
        """Writes the C source of autobatch.backends._cpu; keeps the file where it is the same."""
        from cffi import FFI

        builder = FFI()
        builder.cdef(declarations(KERNELS / "include" / "ab_api.h"))
        builder.set_source("autobatch.backends._cpu", '#include "ab_api.h"')
        target = self.objects / "cffi" / "bindings.c"
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            fresh = Path(folder) / "bindings.c"
            builder.emit_c_code(str(fresh))
            text = fresh.read_text()
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
        return target

    def compiles(self, flags: list[str]) -> bool:
        """Whether the compiler takes the flags, and links what it made with them."""
        with tempfile.TemporaryDirectory() as folder:
            source, built = Path(folder) / "probe.c", Path(folder) / "probe.o"
            source.write_text("int ab_probe(void);\nint ab_probe(void) { return 0; }\n")
            commands = [
                [*self.compiler.compiler_so, *flags, "-c", str(source), "-o", str(built)],
                [*self.compiler.linker_so, *flags, str(built), "-o", f"{folder}/probe.so"],
            ]
            return all(
                subprocess.run(command, capture_output=True).returncode == 0 for command in commands
            )


os.chdir(ROOT)
limited = {"py_limited_api": True} if LIMITED else {}
setup(
    ext_modules=[
        Extension("autobatch._core", sources=[], **limited),
        Extension("autobatch.backends._cpu", sources=[], **limited),
    ],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED else {},
)
