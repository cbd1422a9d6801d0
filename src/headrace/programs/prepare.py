"""From a registered program to a package that a data plane can run.

Called by release.ready. Nothing is converted, opened or asked: the files are read as text, hashed, and copied. Decides
that a program whose description and MLflow signature disagree is refused.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.base.clock import Clock
from headrace.programs.definition import signature_of
from headrace.programs.package import CODE, DESCRIPTION, STATE, read_package
from headrace.store.artifacts import Artifacts
from headrace.store.mlmodel import PYFUNC, check_sha256, load_mlmodel, wishes_of
from headrace.types.errors import ModelRefused
from headrace.types.model import ModelVersion, Package, RuntimeKind

FOLDER = "program"


def is_program(artifact: Path) -> bool:
    return wishes_of(load_mlmodel(artifact))[1] is RuntimeKind.PROGRAM


def prepare_program(
    version: ModelVersion,
    artifact: Path,
    *,
    artifacts: Artifacts,
    work: Path,
    progress: Callable[[str], None],
    clock: Clock,
) -> Package:
    """Raises ModelRefused."""
    progress(f"check the checksum of {version.uri}")
    digest = check_sha256(version, artifact)
    described = load_mlmodel(artifact)
    source = _inside(artifact, described)
    packed = read_package(source)
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="program-", dir=work) as scratch:
        out = Path(scratch) / FOLDER
        out.mkdir()
        for name in (DESCRIPTION, STATE):
            shutil.copyfile(source / name, out / name)
        if packed.code and packed.program.code is not None:
            (out / CODE).mkdir()
            (out / CODE / packed.program.code.file).write_bytes(packed.code)
        draft = Package(
            id="",
            model=version.name,
            version=version.version,
            source_sha256=digest,
            runtime=RuntimeKind.PROGRAM,
            signature=signature_of(packed.program),
            files=(),
            created=clock.now(),
            hosting=wishes_of(described)[0],
        )
        package = artifacts.add(out, draft)
    progress(f"{version.uri} is ready: program {package.id[:12]}, which asks {packed.program.lm!r}")
    return package


def _inside(artifact: Path, described: dict[str, Any]) -> Path:
    """The program's own folder in an MLflow model's."""
    data = str(described["flavors"].get(PYFUNC, {}).get("data") or "")
    folder = (artifact / data).resolve()
    if not data or not folder.is_relative_to(artifact.resolve()) or not folder.is_dir():
        raise ModelRefused(f"the artifact names {data!r} as its program, which is no folder in it", field="artifact")
    return folder
