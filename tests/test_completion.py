"""`--print-completion` prints what a shell understands."""

import subprocess
from collections.abc import Callable, Sequence

import pytest

import batch
import predict
import stream
from program.completion import SHELLS

ASK = """
source /dev/stdin
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p "$1" | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(script: str, *words: str) -> set[str]:
    """What Bash offers for the last of the words."""
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", *words],
        input=script,
        text=True,
        capture_output=True,
        check=True,
    )
    return set(done.stdout.split())


def printed(
    main: Callable[[Sequence[str]], object], shell: str, capsys: pytest.CaptureFixture[str]
) -> str:
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", shell])
    assert not end.value.code
    return capsys.readouterr().out


def test_bash_offers_flags_their_values_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(stream.main, "bash", capsys)
    assert completed(script, "stream.py", "--det") == {"--detector", "--detect-every"}
    assert completed(script, "stream.py", "--detector", "") == {"mtcnn", "dlib"}
    assert completed(script, "stream.py", "--src", "/etc/host") >= {"/etc/hosts"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_the_flags_of_every_program(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for main in (stream.main, predict.main, batch.main):
        assert "file-mode" in printed(main, shell, capsys)
