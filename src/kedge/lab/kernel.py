"""The Debian cloud kernel, from its package, without installing it: for the lab's guests and its machine.

It has the modules that a machine's own kernel may lack (8021q, dummy, netem, openvswitch), and boots in
seconds under QEMU's emulation.
"""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kedge.model.errors import HostFailure, NotFound

CACHE = Path("/var/cache/kedge-lab")
_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True)
class Kernel:
    """A kernel that QEMU can boot. `modules_dir` is its `lib/modules/<version>`, with `modules.dep` made."""

    image: Path
    modules_dir: Path
    version: str

    def modules(self, names: Iterable[str]) -> list[Path]:
        """The files of these modules and of all that they need, in the order in which to insert them.

        A module that is built into the kernel has no file and is left out. Raises NotFound for a module that
        this kernel does not have at all.
        """
        needs = dict(self._dependencies())
        by_name = {_module_name(file): file for file in needs}
        built_in = {_module_name(line) for line in self._lines("modules.builtin")}
        ordered: dict[str, None] = {}
        for name in names:
            wanted = _module_name(name)
            if wanted in by_name:
                # modules.dep lists what a module needs in the reverse of the order of insertion.
                ordered |= dict.fromkeys([*reversed(needs[by_name[wanted]]), by_name[wanted]])
            elif wanted not in built_in:
                raise NotFound(f"The kernel {self.version} has no module {name}; see {self.modules_dir}")
        return [self.modules_dir / file for file in ordered]

    def _dependencies(self) -> Iterator[tuple[str, list[str]]]:
        for line in self._lines("modules.dep"):
            file, _, needed = line.partition(":")
            yield file, needed.split()

    def _lines(self, name: str) -> list[str]:
        return (self.modules_dir / name).read_text().splitlines()


def kernel(cache: Path = CACHE) -> Kernel:
    """The kernel below `cache`; downloaded with apt and unpacked the first time (27 MB, 110 MB unpacked).

    Several processes may ask at once: one of them fetches, the others wait. Once it is there nothing is
    fetched any more; to have a newer kernel, remove `cache`. Raises HostFailure where apt can't provide it.
    """
    home = cache / "kernel"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "kernel.lock"):
        if not home.exists():
            _unpack_into(home)
    (modules_dir,) = (home / "lib/modules").iterdir()
    version = modules_dir.name
    return Kernel(home / "boot" / f"vmlinuz-{version}", modules_dir, version)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack_into(home: Path) -> None:
    """All is made in a directory beside `home`, which is then renamed: the kernel is whole or not there."""
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="kernel-") as scratch:
        unpacked = Path(scratch) / "kernel"
        _run("dpkg-deb", "--extract", str(_download(Path(scratch))), str(unpacked))
        shutil.rmtree(unpacked / "usr", ignore_errors=True)  # the changelog
        (modules_dir,) = (unpacked / "lib/modules").iterdir()
        _run("depmod", "--basedir", str(unpacked), modules_dir.name)
        unpacked.rename(home)


def _download(directory: Path) -> Path:
    """Fetch the package that the meta package names, into `directory`."""
    try:
        _fetch(directory)
    except HostFailure:
        # apt's lists are missing, as on a fresh machine, or name a version that is gone.
        _run("apt-get", "update")
        _fetch(directory)
    (deb,) = directory.glob("*.deb")
    return deb


def _fetch(directory: Path) -> None:
    # apt would drop to a user that can't write here, and complain of it.
    _run("apt-get", "-o", "APT::Sandbox::User=root", "download", _package(), cwd=directory)


def _package() -> str:
    for line in _run("apt-cache", "depends", _PACKAGE).splitlines():
        relation, _, package = line.strip().partition(": ")
        if relation == "Depends" and package.startswith("linux-image-"):
            return package
    raise HostFailure(f"apt knows no {_PACKAGE}; Debian 12 has it in main")


def _module_name(file: str) -> str:
    """`kernel/net/8021q/8021q.ko` is `8021q`; the kernel takes `-` and `_` for the same."""
    return Path(file).name.partition(".")[0].replace("-", "_")


def _run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostFailure(f"`{' '.join(argv)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":  # for guest/build.sh: print the directory that the kernel was unpacked into
    print(kernel(Path(sys.argv[1])).image.parent.parent)
