# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

from gan_diffusion.cli import main


def ended(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return end.value.code, output.out, output.err


def test_training_starts_from_the_command():
    words = ["train", "ddgan", "--recipe", "ddgan-digits", "--help"]
    result = subprocess.run([sys.executable, "-m", "gan_diffusion", *words], capture_output=True, text=True)
    assert result.returncode == 0
    assert "denoising diffusion GAN" in result.stdout and "--r1_interval" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint"], "invalid choice: 'paint'"),
        ([], "the following arguments are required: COMMAND"),
        (["train"], "the following arguments are required: METHOD"),
        (["train", "gan"], "invalid choice: 'gan'"),
        (["train", "ddgan"], "`--recipe` is required"),
        (["train", "ddgan", "--nothing"], "unrecognized arguments: --nothing"),
        (["train", "ddgan", "--recipe", "spi-gan-digits"], "`recipe` must be one of the method ddgan"),
        (["export"], "the following arguments are required: checkpoint, --output_dir"),
        (["export", "nowhere", "--output_dir", "x"], "`checkpoint` must lie in the folder of its run"),
        (["evaluate"], "the following arguments are required: pipeline"),
        (["evaluate", "nowhere", "--dataset_name", "digits"], "nowhere"),
        (["export", "nowhere", "--output_dir", "x", "--fast"], "unrecognized arguments: --fast"),
        (["convert"], "the following arguments are required: file, --output_dir"),
        (["convert", "nowhere", "--output_dir", "x"], "`path` must be a file, got nowhere"),
        (["convert", "nowhere", "--output_dir", "x", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_mistakes_end_in_a_short_message(capsys, arguments, message):
    status, _, errors = ended(capsys, *arguments)
    usage, last = errors.strip().splitlines()
    assert status == 2 and usage.startswith("usage: gan-diffusion") and message in last


def test_help_lists_commands_methods_and_examples(capsys):
    status, text, _ = ended(capsys, "--help")
    assert status == 0 and all(command in text for command in ("train", "export", "evaluate", "convert"))
    assert "gan-diffusion train ddgan --recipe ddgan-digits" in text
    _, text, _ = ended(capsys, "train", "--help")
    assert all(method in text for method in ("ddgan", "diffusion-gan", "spi-gan"))
    assert "Folder of the checkpoint" in ended(capsys, "export", "--help")[1]


def test_a_mistake_in_the_data_ends_in_one_line(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"nothing")
    words = ["train", "ddgan", "--recipe", "ddgan-cifar10", "--train_data_dir", str(tmp_path / "images")]
    result = subprocess.run(
        [sys.executable, "-m", "gan_diffusion", *words, "--output_dir", str(tmp_path / "run"), "--report_to", "none"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("gan-diffusion train ddgan: error: `train_data_dir` must hold")
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()
