# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys


def cli(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gan_diffusion", *arguments], capture_output=True, text=True)


def test_training_starts_from_the_command():
    result = cli("train", "ddgan", "--recipe", "ddgan-digits", "--help")
    assert result.returncode == 0
    assert "denoising diffusion GAN" in result.stdout and "--r1_interval" in result.stdout


def test_mistakes_end_in_a_short_message():
    for arguments, message in (
        (["paint"], "invalid choice: 'paint'"),
        (["train", "gan"], "invalid choice: 'gan'"),
        (["train", "ddgan", "--nothing"], "unrecognized arguments: --nothing"),
        (["train", "ddgan"], "`--recipe` is required"),
    ):
        result = cli(*arguments)
        assert result.returncode == 2 and "Traceback" not in result.stderr
        assert message in result.stderr.strip().splitlines()[-1]
