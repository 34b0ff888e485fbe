"""Sounds, compared by the logarithm of their spectrogram: synthesis by frequency modulation, partials and filters."""

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.zoo.base import MANY, SYMMETRIC, Batched, Part, boxed, uniform

SAMPLES, RATE, WINDOW, HOP = 2048, 8000, 128, 64


def spectrogram(sound: Tensor) -> Tensor:
    """Sounds [B, T] -> images [B, 1, 65, 33]: log₁₀ of the power above a floor, scaled to about 0 … 1."""
    spectrum = torch.stft(sound, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return ((power + 1e-2).log10()[:, None] + 2) / 6


class Sound(Batched):
    """A quarter of a second at 8 kHz."""

    time = torch.arange(SAMPLES) / RATE


class FrequencyModulation(Sound):
    """A bell: carrier, ratio, index and two decays; n = 5. The spectra of wrong ratios hardly overlap."""

    name = "frequency_modulation"
    traits = (MANY,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        return {
            "carrier": boxed(rng, 200, 1500, share=0.3),
            "ratio": boxed(rng, 0.3, 4, share=0.3),
            "index": boxed(rng, 0, 6, share=0.4),
            "log_decay": boxed(rng, 0, 3, 2, share=0.4),
        }

    def draw(self, *, carrier: Tensor, ratio: Tensor, index: Tensor, log_decay: Tensor) -> Tensor:
        angle = 2 * math.pi * carrier[:, None] * self.time
        fades = (-log_decay.exp()[..., None] * self.time).exp()
        return spectrogram(fades[:, 0] * (angle + index[:, None] * fades[:, 1] * (ratio[:, None] * angle).sin()).sin())


class Partials(Sound):
    """A string of 24 partials: loudness and decay of each, pitch and stiffness; n = 50, without bounds.

    All partials start equally loud.
    """

    name = "partials"
    traits = (SYMMETRIC,)
    COUNT = 24

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.number = torch.arange(1, self.COUNT + 1)
        return {
            "log_loudness": boxed(rng, -5, 0, self.COUNT, start=-2.5, bounded=False),
            "log_decay": boxed(rng, 0.5, 3.5, self.COUNT, start=2, bounded=False),
            "log_pitch": boxed(rng, 4.7, 5.3, share=0.05, bounded=False),
            "stiffness": boxed(rng, -0.3, 0.3, share=0.2, bounded=False),
        }

    def draw(self, *, log_loudness: Tensor, log_decay: Tensor, log_pitch: Tensor, stiffness: Tensor) -> Tensor:
        stretch = 1 + 0.01 * stiffness[:, None] * self.number
        pitch = (log_pitch.exp()[:, None] * self.number * stretch)[..., None]
        tones = (log_loudness[..., None] - log_decay.exp()[..., None] * self.time).exp()
        return spectrogram((tones * (2 * math.pi * pitch * self.time).sin()).sum(1))


class Wind(Sound):
    """Noise through four bands that move: places, glides, widths and loudness; n = 16. Each render has new noise."""

    name = "wind"
    traits = (MANY,)
    noisy = True
    BANDS, GRAINS = 4, 8

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.frequency = torch.fft.rfftfreq(SAMPLES // self.GRAINS, 1 / RATE)
        return {
            "place": boxed(rng, 300, 3500, self.BANDS, share=0.2),
            "glide": boxed(rng, -1500, 1500, self.BANDS, share=0.3),
            "log_width": boxed(rng, 4, 6, self.BANDS, share=0.4),
            "log_loudness": boxed(rng, -2, 1, self.BANDS, share=0.4),
        }

    def draw(self, seeds: Tensor, place: Tensor, glide: Tensor, log_width: Tensor, log_loudness: Tensor) -> Tensor:
        grain = SAMPLES // self.GRAINS
        noise = torch.fft.rfft(2 * uniform(seeds, self.GRAINS, grain) - 1)
        moment = torch.linspace(0, 1, self.GRAINS)[:, None, None]
        middle = place[:, None, :, None] + moment * glide[:, None, :, None]
        away = (self.frequency - middle) / log_width.exp()[:, None, :, None]
        response = (log_loudness.exp()[:, None, :, None] * (-0.5 * away.square()).exp()).sum(2)
        return spectrogram(torch.fft.irfft(noise * response, grain).flatten(1))


class DrumMachine(Sound):
    """Four drums in a bar of 16 steps: which strike when, and how loudly; n = 68, mixed. It starts silent."""

    name = "drum_machine"
    traits = (SYMMETRIC,)
    STEPS, DRUMS = 16, 4

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        pitch, fade = rng.uniform([60, 250, 800, 2000], [150, 600, 1600, 3600]), rng.uniform(40, 120, 4)
        hit = np.exp(-np.outer(fade, self.time)) * np.sin(2 * np.pi * np.outer(pitch, self.time))
        noise = rng.normal(size=SAMPLES) * np.exp(-60 * self.time.numpy())
        hit[2:] += np.array([[0.2], [0.5]]) * noise
        bar = np.zeros((self.STEPS, self.DRUMS, SAMPLES))
        for step in range(self.STEPS):
            begin = step * SAMPLES // self.STEPS
            bar[step, :, begin:] = hit[:, : SAMPLES - begin]
        self.bar = torch.from_numpy(bar).float()
        strikes = boxed(rng, 0, 1, self.STEPS, self.DRUMS, start=0, kind="binary")
        return {"strikes": strikes, "loudness": boxed(rng, 0.2, 1, self.DRUMS, start=0.6)}

    def draw(self, *, strikes: Tensor, loudness: Tensor) -> Tensor:
        return spectrogram(torch.tensordot(strikes * loudness[:, None], self.bar, 2))


PROBLEMS = (FrequencyModulation, Partials, Wind, DrumMachine)
