"""Where the processor time of the whole program goes, as a flame graph.

    python -m benchmarks.flame CLIP [--out DIR] [flags of stream.py]

Runs stream.py without a window under the sampling profiler py-spy; what networks, codecs
and OpenCV do counts for the Python function that called them. Writes DIR/flame.svg, to be
opened in a browser, and DIR/flame.txt, the functions with the most samples of their own.
May need to be allowed to trace processes (root can).
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.measure import ROOT
from errors import StreamError

TOP = 25
# A thread that waits has nothing on the processor, but the profiler cannot always tell.
_WAITING = ("_worker (concurrent/futures/", "Condition.wait (threading.py")


class ProfileError(StreamError):
    """py-spy is missing or failed."""


def record(clip: str, flags: Sequence[str], form: str, out: Path) -> None:
    """Run the program on a clip under the profiler.

    Raises:
        ProfileError: it could not.
    """
    command = ["record", "--rate", "200", "--format", form, "--output", str(out)]
    program = [sys.executable, "stream.py", "--src", clip, "--no-window", *flags]
    py_spy = str(Path(sys.executable).with_name("py-spy"))
    try:
        done = subprocess.run(
            [py_spy, *command, "--", *program],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise ProfileError("py-spy is missing; pip install -r requirements-dev.txt") from error
    if not out.is_file():
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ProfileError(f"py-spy failed: {said[-1]}; try as root")


def own_samples(stacks: Iterable[str]) -> Counter[str]:
    """Samples of each function itself, waits left out, of lines `outer;...;inner count`."""
    own: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.strip().rpartition(" ")
        function = stack.rpartition(";")[2]
        if stack and not function.startswith(_WAITING):
            own[function] += int(count)
    return own


def table(own: Counter[str]) -> str:
    """The functions with the most samples, with their share in per cent."""
    total = max(sum(own.values()), 1)
    return "".join(f"{100 * n / total:5.1f} %  {name}\n" for name, n in own.most_common(TOP))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flame", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("clip")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "benchmarks", metavar="DIR")
    options, flags = parser.parse_known_args(arguments)
    clip = str(Path(options.clip).absolute()) if Path(options.clip).exists() else options.clip
    options.out.mkdir(parents=True, exist_ok=True)
    stacks = options.out / "flame.stacks"
    try:
        record(clip, flags, "flamegraph", options.out / "flame.svg")
        record(clip, flags, "raw", stacks)
    except StreamError as error:
        print(f"flame: {error}", file=sys.stderr)
        return 2
    told = table(own_samples(stacks.read_text().splitlines()))
    (options.out / "flame.txt").write_text(told)
    print(told, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
