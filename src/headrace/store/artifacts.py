"""Packages on disk: content-addressed folders that are there whole or not at all.

Called by optimize.prepare (add, made) and by whatever runs a model (verify: the data plane, a model host). Decides what
a package's id is and whether a folder is the one that was published. Ignores what the files mean.

    packages/<id>/manifest.json   the Package itself; all its other files beside it
    made/<key>.json               which package a source was made into, so that the same work is not done twice
    incoming/                     half-written folders; swept when they are a day old

Imports nothing heavy: a data plane pays for this module.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from headrace.base.files import file_sha256, sync_folder, write_atomic
from headrace.types.errors import ModelRefused
from headrace.types.model import Hosting, Package, PackageFile

MANIFEST = "manifest.json"
SWEEP_SECONDS = 86_400


class Artifacts:
    def __init__(self, folder: Path) -> None:
        self._packages = folder / "packages"
        self._made = folder / "made"
        self._incoming = folder / "incoming"

    def add(self, source: Path, draft: Package, *, key: str = "") -> Package:
        """Copy `source` in as a package; `draft` says all but its id and files. The same content gives the same id.

        `key` (optional) is what `made` finds it by. `source` is left as it is.
        """
        for folder in (self._packages, self._made, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        package = _sealed(replace(draft, files=_files(source)))
        if not self._intact(package):
            self._move_in(source, package)
        if key:
            write_atomic(self._made / f"{key}.json", msgspec.json.encode(package.id))
        return self.read(package.id)

    def made(self, key: str) -> Package | None:
        """The package that was added under `key`, if it is still whole."""
        try:
            package_id = msgspec.json.decode((self._made / f"{key}.json").read_bytes(), type=str)
            package = self.read(package_id)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return package if self._intact(package) else None

    def path(self, package_id: str) -> Path:
        return self._packages / package_id

    def read(self, package_id: str) -> Package:
        return msgspec.json.decode((self.path(package_id) / MANIFEST).read_bytes(), type=Package)

    def verify(self, package: Package) -> Path:
        """The folder, once every byte in it is proven the one published. Raises ModelRefused, naming the file."""
        if package.id != _sealed(package).id:
            raise _refused(package, "its description was changed after it was published")
        folder = self.path(package.id)
        if not folder.is_dir():
            raise _refused(package, f"the folder {folder.name} is missing")
        present = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
        present.pop(MANIFEST, None)
        if extra := sorted(set(present) - {file.path for file in package.files}):
            raise _refused(package, f"file {extra[0]!r} does not belong to it")
        for file in package.files:
            _check_file(package, file, present.get(file.path))
        return folder

    def _intact(self, package: Package) -> bool:
        try:
            self.verify(package)
        except ModelRefused:
            return False
        return (self.path(package.id) / MANIFEST).is_file()

    def _move_in(self, source: Path, package: Package) -> None:
        """Copy beside, sync, rename. A damaged folder of the same id makes way; a twin that was faster wins."""
        work = self._incoming / f"{package.id}.{secrets.token_hex(4)}"
        shutil.copytree(source, work)
        (work / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(package), indent=2))
        for path in work.rglob("*"):
            _sync_file(path) if path.is_file() else sync_folder(path)
        sync_folder(work)
        target = self.path(package.id)
        if target.exists() and not self._intact(package):
            target.rename(self._incoming / f"damaged.{work.name}")
        try:
            work.rename(target)
        except OSError:
            shutil.rmtree(work)
            if not self._intact(package):
                raise
        sync_folder(self._packages)

    def _sweep(self) -> None:
        """What a crash left behind. A day is longer than any copy takes."""
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - SWEEP_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)


def _files(source: Path) -> tuple[PackageFile, ...]:
    paths = sorted(p for p in source.rglob("*") if p.is_symlink() or not p.is_dir())
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ModelRefused(f"{path.relative_to(source).as_posix()!r} is not a plain file", field="artifact")
    return tuple(
        PackageFile(path=p.relative_to(source).as_posix(), sha256=file_sha256(p), size=p.stat().st_size)
        for p in paths
        if p.relative_to(source).as_posix() != MANIFEST
    )


def _sealed(package: Package) -> Package:
    """With the id that its content gives it. When it was made and what parity said are not part of its identity."""
    content = msgspec.to_builtins(replace(package, id="", created=0.0, parity=None))
    if package.hosting == Hosting():
        del content["hosting"]  # the usual one is as if unsaid: packages from before it was known keep their ids
    return replace(package, id=sha256(msgspec.json.encode(content)).hexdigest())


def _check_file(package: Package, file: PackageFile, path: Path | None) -> None:
    if path is None:
        raise _refused(package, f"file {file.path!r} is missing")
    if path.is_symlink() or not path.is_file():
        raise _refused(package, f"{file.path!r} is not a plain file")
    if (size := path.stat().st_size) != file.size:
        raise _refused(package, f"file {file.path!r} has {size} bytes instead of {file.size}")
    if (digest := file_sha256(path)) != file.sha256:
        raise _refused(package, f"file {file.path!r} has sha256 {digest[:12]}… instead of {file.sha256[:12]}…")


def _refused(package: Package, why: str) -> ModelRefused:
    return ModelRefused(
        f"package {package.id[:12]}… of {package.model} v{package.version} is refused: {why}",
        field="package",
        hint="deploy the version again to make it anew",
    )


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
