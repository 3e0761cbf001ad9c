# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The page of `gan-diffusion demo` as a Space on the Hub: `python demo/app.py` shows it here."""

from gan_diffusion.demo import build_demo


demo = build_demo("ddgan-fashion-mnist")

if __name__ == "__main__":
    demo.launch()
