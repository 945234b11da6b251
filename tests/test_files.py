"""No file is lost: outputs are checked before anything is read, written whole, through links, by one writer or many."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emolib import cli, files
from emolib.errors import EmolibError
from emolib.files import check_input, check_output, read_text, replacing, write_atomic

ROOT = Path(__file__).resolve().parent.parent


def hear():
    """In a child, before it runs: signals arrive, though these tests may run under nohup or in the background, which ignore them."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def leftovers(folder):
    return [p.name for p in Path(folder).iterdir() if p.name.endswith(".tmp")]


def test_written_through_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "there/real.txt")
    write_atomic(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "there/real.txt").read_text() == "new"


def test_two_processes_and_two_threads_write_one_path(tmp_path):
    path, half = tmp_path / "x.bin", 40_000
    code = (
        "import sys; from emolib.files import write_atomic\n"
        f"for i in range(300): write_atomic({str(path)!r}, bytes([int(sys.argv[1])]) * {half})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=ROOT) for n in (1, 2)]
    threads = [
        threading.Thread(target=lambda n=n: [write_atomic(path, bytes([n]) * half) for _ in range(300)]) for n in (3, 4)
    ]
    for thread in threads:
        thread.start()
    torn, seen = 0, set()
    while any(t.is_alive() for t in threads) or any(w.poll() is None for w in writers):
        content = path.read_bytes() if path.exists() else b""
        seen |= set(content)
        torn += bool(content) and not (len(content) == half and len(set(content)) == 1)
    assert [w.wait() for w in writers] == [0, 0] and torn == 0 and len(seen) > 1
    assert leftovers(tmp_path) == []


def test_what_dead_writers_left_is_removed_and_what_living_ones_write_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".a.mp4.{files._HERE}-{dead.pid}-01234567.tmp").write_text("half")
    mine = tmp_path / f".a.mp4.{files._HERE}-{os.getpid()}-01234567.tmp"
    other = tmp_path / f".a.mp4.00000000-{dead.pid}-01234567.tmp"  # another machine's, on a shared disk
    mine.write_text("half")
    other.write_text("half")
    files._sweep.cache_clear()
    write_atomic(tmp_path / "b.txt", "x")
    assert sorted(leftovers(tmp_path)) == sorted([mine.name, other.name])


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "x.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EmolibError, match="cannot write .*: No space left on device; free some space"):
        with replacing(path) as temporary:
            temporary.write_text("half")
            full()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(EmolibError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old" and leftovers(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_device_is_not_replaced(tmp_path):
    with pytest.raises(EmolibError, match="the output /dev/full is a device or a pipe"):
        check_output("/dev/full")
    assert Path("/dev/full").is_char_device()


def test_outputs_that_are_refused(tmp_path):
    photo = tmp_path / "t.png"
    photo.write_bytes(b"x")
    (tmp_path / "hard.png").hardlink_to(photo)
    (tmp_path / "soft.png").symlink_to("t.png")
    for name in ("t.png", "./t.png", "hard.png", "soft.png"):
        with pytest.raises(EmolibError, match=r"is the input .*t\.png, which it would replace"):
            check_output(tmp_path / name, inputs=[None, b"", photo])
    with pytest.raises(EmolibError, match="does not end in .npz"):
        check_output(tmp_path / "x.txt", [".npz"])
    with pytest.raises(EmolibError, match="has 304 bytes; expected at most 255"):
        check_output(tmp_path / ("é" * 150 + ".npz"), [".npz"])
    with pytest.raises(EmolibError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(EmolibError, match="no file can have the name"):
        check_output(tmp_path / "a\0.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(EmolibError, match="is a device or a pipe"):
        check_output(tmp_path / "pipe.npz")
    (tmp_path / "dangling.mp4").symlink_to("nowhere/x.mp4")
    assert check_output(tmp_path / "dangling.mp4") == tmp_path / "dangling.mp4"
    assert check_output(tmp_path / "new/folder/x.NPZ", [".npz"], [photo]) == tmp_path / "new/folder/x.NPZ"
    assert not (tmp_path / "new").exists()
    longest = write_atomic(tmp_path / ("x" * 251 + ".npz"), b"1")
    assert longest.read_bytes() == b"1"


def test_inputs_that_are_refused(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    for path, said in (
        (tmp_path / "no.wav", "no sound at .*no.wav; give one"),
        (tmp_path, "which is a folder"),
        (tmp_path / "empty.wav", "is empty"),
        (tmp_path / ("x" * 300), "no sound can be read at .* \\(File name too long\\)"),
        (tmp_path / "a\0b", "no sound can be read at"),
        (tmp_path / "empty.wav" / "x", "no sound at"),
        (Path("/dev/null"), "a device or a pipe"),
    ):
        with pytest.raises(EmolibError, match=said):
            check_input(path, "sound", "give one")
    with pytest.raises(EmolibError, match="is not a text in UTF-8"):
        read_text(tmp_path / "latin.txt", "list", "give another")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(EmolibError, match="Permission denied"):
        check_input(tmp_path / "closed/x.wav", "sound", "give one")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fit t.png --out t.png", "does not end in .npz"),
        ("fit t.npz --out t.npz", "is the input t.npz, which it would replace"),
        ("fit t.png --out x.txt", "does not end in .npz"),
        ("fit t.png --overlay t.png", "is the input t.png"),
        ("fit t.png --overlay x.gif", "does not end in .png or .jpg or .jpeg or .webp"),
        ("talk --source t.png --audio v.mp4 --emotion sad --out v.mp4", "is the input v.mp4, which it would replace"),
        ("talk --emotion sad --out t.png", "does not end in .mp4"),
        ("talk --emotion sad --fps nan", "fps is 'nan'; expected a rate such as 25 or 30000/1001"),
        ("talk --emotion sad --fps x", "fps is 'x'"),
        ("talk --emotion sad --fps 1000", "fps is 1000; expected 1 to 120"),
        ("talk --emotion sad --intensity nan", "intensity is nan; expected a number from 1"),
        ("talk --emotion sad --seed -1", "'-1' is not a whole number"),
    ],
)
def test_the_command_line_loses_no_file(command, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("t.png", "t.npz", "v.mp4"):
        Path(name).write_bytes(b"precious")
    assert cli.main(command.split()) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == dict.fromkeys(
        ("t.png", "t.npz", "v.mp4"), b"precious"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_half_written(number, tmp_path):
    code = (
        "import sys, time\nfrom emolib import cli, __main__\nfrom emolib.files import replacing\n"
        "def main():\n"
        "    with replacing('o.mp4') as path:\n"
        "        path.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
        "cli.main = main\nsys.exit(__main__.main())"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=hear,
    )
    assert process.stdout.readline() == "writing\n" and len(leftovers(tmp_path)) == 1
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number and error == "emolib: stopped; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wait", [0.12, 0.3, 0.8, 1.5])
def test_ctrl_c_in_the_first_moments_is_one_sentence(wait, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "emolib", "talk"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=hear,
    )  # fmt: skip
    while f"{signal.SIGINT:d}" not in caught(process.pid):  # until then it is Python's own start
        time.sleep(0.005)
    time.sleep(wait - 0.12)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error.strip().splitlines()[-1]) == (130, "emolib: stopped; nothing was written")
    assert "Traceback" not in error and leftovers(tmp_path) == []


def caught(pid: int) -> str:
    """The signals that our own handler waits for: SIGTERM is caught only once ``signals.listen`` has run."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return "2" if mask >> (signal.SIGTERM - 1) & 1 else ""
