"""The contract of a surrogate of the picture, and what all of them share: steps, trust, and the end.

    Î(θ + s) = I(θ) + J s                                   the surrogate predicts the picture
    h(θ + s) = L(Î(θ + s)) + R(θ + s)                       and the loss follows, with its slopes and its curvature
    (Jᵀ H J + ∇²R + λ D) s = −(Jᵀ g + ∇R)                   Levenberg-Marquardt, a ladder of λ rendered together

L is the loss, with slopes g and second derivative H in the picture; R is the regulariser; D is the diagonal of Jᵀ H J.
A subclass says how J is stored, learned and probed, and how far a prediction can be trusted.

A trial shows a picture Y that has noise, of a prediction Î that is uncertain. Both are weighed: Î + K (Y − Î), with the
gain K = p / (p + v). p is the variance of the prediction, v that of the noise; as energies (`bowl`) both are in units
of the loss, so what noise adds to the loss of a picture is known and subtracted. Without noise K is 1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.pictures.bowl import Bowl, PictureLoss
from zg.zerograds.pictures.damped import damped_step
from zg.zerograds.pictures.place import LEARN, START, STEP, PlaceState, Trials

#: Energy of rounding in single precision, as a fraction of each number of a picture.
ROUNDING = 3e-7
#: Loss above that of the reference, over that of the start, at which nothing is left to be done.
SOLVED = 1e-6
#: The same from which a minimum is a poor one.
POOR = 0.1
#: Shares of probes and of steps that need not be waited for, where renders are told one by one.
LATE_PROBES, LATE_STEPS = 0.2, 0.34


class PictureSurrogate(ABC):
    """A model of the picture around a place of its own: it asks for pictures, learns from them, and moves θ downhill.

    The constructor takes the problem, the start θ [n] scaled, the length of probes σ, and the settings. Before each
    call of `tell` the owner sets `picture_loss`, for the reference may change. All that changes is in `place` and
    `state`, with what is asked for next, so `ask` draws nothing.
    """

    Settings: ClassVar[type]
    settings: Any
    state: Any
    picture_loss: PictureLoss
    bowl: Bowl

    def __init__(self, problem: Problem, theta: Tensor, sigma: float, settings: Any = None) -> None:
        self.problem, self.n = problem, problem.n
        self.settings = settings or self.Settings()
        theta = self.admissible(theta)
        none = theta.new_empty(0)
        damping = self.settings.steps.first_damping
        self.place = PlaceState(theta, theta.expand(2, -1).clone(), sigma, damping, none.float(), none.float())

    # What a subclass implements

    @abstractmethod
    def change(self, s: Tensor) -> Tensor:
        """J s [B, m] for offsets s [B, n]."""

    @abstractmethod
    def pull(self, u: Tensor) -> Tensor:
        """Jᵀ u [B, n] for u [B, m]."""

    @abstractmethod
    def uncertainty(self, s: Tensor) -> Tensor:
        """The variance p [B] of the predicted pictures at offsets s [B, n], loss."""

    @abstractmethod
    def prediction_noise(self, s: Tensor) -> Tensor:
        """The part [B] of it that is noise of former renders, loss."""

    @abstractmethod
    def squares(self) -> Tensor:
        """The energy [n] of each column of J."""

    @abstractmethod
    def influence(self, weights: Tensor) -> Tensor:
        """|J| w [k, m] for weights w [n, k]: how much each number of the picture is moved, parameter by parameter."""

    @property
    @abstractmethod
    def has_model(self) -> bool:
        """Whether J has been measured."""

    @abstractmethod
    def probes(self) -> Tensor:
        """The θ [k, n] to render before the next steps; k may be 0."""

    @abstractmethod
    def learn(self, s: Tensor, pictures: Tensor) -> None:
        """Learn J from pictures [B, m] at offsets s [B, n] from the present θ."""

    @abstractmethod
    def move(self, trials: Trials, best: int) -> None:
        """Learn from trials, and go to the best of them; none is better if that is −1."""

    def seen(self) -> tuple[Tensor, Tensor]:
        """Offsets s [B, n] from the present θ and pictures [B, m] around it that it has kept."""
        return self.place.asked[:0], self.place.picture.new_empty(0, len(self.place.picture))

    # Ask and tell

    @property
    def theta(self) -> Tensor:
        """The present θ [n] scaled."""
        return self.place.theta

    @property
    def is_start(self) -> bool:
        """Whether nothing has been rendered yet."""
        return self.place.phase == START

    @property
    def is_solved(self) -> bool:
        """Whether the picture is the reference, but for rounding."""
        place, floor = self.place, self.picture_loss.floor
        return not self.noisy and place.loss - floor <= SOLVED * (place.start_loss - floor)

    @property
    def leaves_much(self) -> bool:
        """Whether more than a tenth of the loss of the start is left: a minimum here is one to leave."""
        place, floor = self.place, self.picture_loss.floor
        return place.loss - floor > POOR * (place.start_loss - floor)

    def ask(self) -> Tensor:
        """Where it wants the picture next: θ [B, n]."""
        return self.place.asked

    def tell(self, theta: Tensor, images: Tensor, valid: Tensor) -> None:
        """Learn from images [B, ...] of the first rows of what `ask` returned. A failed render is not `valid` [B]."""
        place = self.place
        if not valid.any():
            return self._fail()
        pictures = self._cleaned(images)
        if place.phase == START:
            self.begin(pictures[valid])
        self.bowl = self.picture_loss.bowl(place.picture)
        if place.phase == LEARN:
            self.learn((theta - place.theta)[valid], pictures[valid])
            place.fresh = True
        elif place.phase == STEP:
            self._judge(theta[valid], pictures[valid])
        if not (place.failed or place.converged):
            self.plan()

    def waits_for(self, count: int) -> tuple[int, float]:
        """Of a batch of that many rows that are told one by one: the first ones needed, and the share that may miss."""
        late = {START: 0.0, LEARN: LATE_PROBES if self.has_model else 0.0, STEP: LATE_STEPS}[self.place.phase]
        return 0, late

    def is_enough(self, losses: Tensor) -> bool:
        """Whether the losses [k] of a part of the ladder are: one is lower. Of probes any are."""
        return self.place.phase != STEP or bool((losses < self.place.loss).any())

    def tell_late(self, theta: Tensor, images: Tensor) -> None:  # noqa: B027
        """Learn from the image [1, ...] of a row θ [n] of an earlier batch, which was told without it.

        As for `tell`, the owner sets `picture_loss` before.
        """

    def begin(self, pictures: Tensor) -> None:
        """Learn the picture and its noise from one or two pictures [B, m] of the start."""
        place = self.place
        place.picture = pictures.mean(0)
        place.noise = pictures[0] - pictures[-1]
        self.bowl = self.picture_loss.bowl(place.picture)
        place.picture_noise = 0.5 * self.noise_variance
        place.loss = place.start_loss = self._loss_here()

    @property
    def noise_variance(self) -> float:
        """v, the variance of the noise of a picture, loss; at least that of rounding."""
        place = self.place
        energies = self.bowl.energy(torch.stack([place.noise, ROUNDING * place.picture]))
        return max(float(energies[0]) / 2, float(energies[1]), 1e-300)

    @property
    def weighed_noise(self) -> float:
        """v / Mᵃ: noise as it counts against errors of prediction, for it is independent in M pixels; they are less so.

        What a step depends on are sums over all pixels. M = 3 (Σ e)² / Σ e² for the energies e of the pixels of noise.
        """
        energies = (self.place.noise * self.bowl.times(self.place.noise[None])[0]).clamp_min(0.0).double()
        squares = float(energies.square().sum())
        pixels = 3 * float(energies.sum()) ** 2 / squares if squares > 0 else 1.0
        return float(self.noise_variance / max(pixels, 1.0) ** self.settings.steps.independence)

    @property
    def correction(self) -> float:
        """1 if what noise adds is subtracted, else 0."""
        return float(self.settings.steps.corrects_noise)

    @property
    def noisy(self) -> bool:
        """Whether two renders of the start differed."""
        return bool((self.place.noise.abs() > 10 * ROUNDING * self.place.picture.abs()).any())

    def plan(self) -> None:
        """Decide what is rendered next: probes where J is not known, else a ladder of steps."""
        place = self.place
        asked = place.asked[:0] if place.fresh else self.probes()
        place.phase = LEARN
        if len(asked) == 0 and not place.failed:
            place.phase, asked = STEP, self._ladder()
        if len(asked) == 0 and not place.failed:  # the model knows no better place; perhaps a better model does
            place.phase, place.slow = LEARN, place.slow + 1
            asked = self.probes()
            place.converged = len(asked) == 0
        place.asked = asked

    def _ladder(self) -> Tensor:
        """The distinct trials θ [k, n] of the ladder."""
        place, steps = self.place, self.settings.steps
        dampings = [min(max(rung * place.damping, steps.least_damping), steps.most_damping) for rung in steps.ladder]
        s = torch.stack([self._lowest(damping) for damping in dampings])
        trials: Tensor = self.admissible(place.theta + s)
        if self.problem.any_discrete:
            trials = torch.stack([self._polished(trial) for trial in torch.unique(trials, dim=0)])
        trials = torch.unique(trials, dim=0)
        is_new: Tensor = (trials != place.theta).any(1) & trials.isfinite().all(1)
        return trials[is_new]

    def _polished(self, theta: Tensor) -> Tensor:
        """θ [n] after single steps on the lattice that lower h, best first: rounding alone leaves neighbours."""
        lattice, D, s = self.problem.lattice, 2 * self.squares().to(theta), theta - self.place.theta
        g, times = self.quadratic(s, self.picture_loss.bowl(self.place.picture + self.change(s[None])[0]))
        for _ in range(self.settings.steps.polish):
            here = self.place.theta + s
            moved = self.problem.project(here - lattice * g.sign()) - here
            gain = torch.where(lattice > 0, g * moved + 0.5 * D * moved.square(), 0.0)
            best = int(gain.argmin())
            if not gain[best] < -self.settings.steps.inner_precision * abs(self.place.loss):
                break
            single = torch.zeros_like(s)
            single[best] = moved[best]
            s, g = s + single, g + times(single[None])[0]
        return self.admissible(self.place.theta + s)

    def _lowest(self, damping: float) -> Tensor:
        """The offset s [n] of the lowest h(θ + s) + λ s·D s / 2: Newton's steps on the model, without renders.

        One step is enough where the loss is quadratic in the picture; others are followed along the predicted pictures.
        """
        place, steps, project = self.place, self.settings.steps, self.problem.project
        s, bowl, D = torch.zeros_like(place.theta), self.bowl, self.metric()
        for _ in range(steps.inner):
            g, times = self.quadratic(s, bowl)
            step = damped_step(place.theta + s, g + damping * D * s, times, D, damping, project, steps.iterations)
            if self._is_quadratic(s, step, bowl):
                return s + step
            here, there = self._modelled(torch.stack([s, s + step]), damping, D)
            for _ in range(steps.halvings):
                if there < here:
                    break
                step = 0.25 * step
                here, there = self._modelled(torch.stack([s, s + step]), damping, D)
            if not here - there > steps.inner_precision * abs(place.loss):
                break
            s = s + step
            bowl = self.picture_loss.bowl(place.picture + self.change(s[None])[0])
        return s

    def _is_quadratic(self, s: Tensor, step: Tensor, bowl: Bowl) -> bool:
        """Whether the loss of the predicted picture at θ + s + step is what the bowl [m] at θ + s says."""
        changes = self.change(torch.stack([s, s + step]))
        e = changes[1] - changes[0]
        here, there = self.picture_loss.losses(self.place.picture + changes).tolist()
        expected = float((bowl.gradient * e).sum(dtype=torch.float64)) + float(bowl.energy(e[None])[0])
        return bool(abs(there - here - expected) <= self.settings.steps.inner_precision * abs(expected))

    def _modelled(self, s: Tensor, damping: float, D: Tensor) -> list[float]:
        """h(θ + s) + λ s·D s / 2 for s [k, n]."""
        place, loss = self.place, self.picture_loss
        values = loss.losses(place.picture + self.change(s)) + loss.penalties(place.theta + s)
        return (values + 0.5 * damping * (s.square() @ D).double()).tolist()

    def metric(self) -> Tensor:
        """D [n]: the diagonal of Jᵀ H J, nowhere much smaller than its mean."""
        D = (2 * self.squares()).to(self.place.theta)
        return D.clamp_min(float(self.settings.flattest * D.mean()) + torch.finfo(D.dtype).tiny ** 0.5)

    def quadratic(self, s: Tensor, bowl: Bowl) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Slopes [n] of h and the product with its curvature of [k, n], at θ + s, where the picture has this bowl."""
        at = self.place.theta + s
        slopes, bend = self.picture_loss.penalty_bowl(at)

        def times(many: Tensor) -> Tensor:
            curved = self.pull(bowl.times(self.change(many))).to(many)
            return curved if bend is None else curved + bend(many)

        return self.pull(bowl.gradient[None])[0].to(at) + slopes, times

    def _judge(self, theta: Tensor, pictures: Tensor) -> None:
        """Compare trials θ [B, n], pictures [B, m], with what was predicted and with the present θ."""
        place, steps = self.place, self.settings.steps
        trials = self.fuse(theta, pictures)
        best = int(trials.losses.argmin())
        decrease = place.loss - float(trials.losses[best])
        place.error = float(trials.error[best])
        rung = self._rung(theta[best])
        if not decrease > 0:
            self.move(trials, -1)
            place.loss = self._loss_here()
            place.damping = min(place.damping * steps.retreat, steps.most_damping)
            self._fail()
            place.fresh = False
            return
        is_slow = decrease < steps.least_decrease * abs(place.loss)
        self.move(trials, best)
        place.loss, place.fresh, place.failures = float(trials.losses[best]), False, 0
        place.damping = min(max(rung, steps.least_damping), steps.most_damping)
        place.slow = place.slow + 1 if is_slow else 0
        place.converged = place.slow >= steps.patience or self.is_solved

    def _rung(self, chosen: Tensor) -> float:
        """λ of a trial [n]: the place of its length among all trials is the place of its λ in the ladder."""
        ladder = sorted(self.settings.steps.ladder)
        lengths = (self.place.asked - self.place.theta).norm(dim=1)
        shorter = int((lengths < (chosen - self.place.theta).norm()).sum())
        return float(self.place.damping * ladder[max(0, len(ladder) - 1 - shorter)])

    def fuse(self, theta: Tensor, pictures: Tensor) -> Trials:
        """Weigh predictions and pictures [B, m] of θ [B, n]."""
        place, v = self.place, self.noise_variance
        s = theta - place.theta
        predicted = place.picture + self.change(s)
        p = self.uncertainty(s)
        K = p / (p + self.weighed_noise)
        fused = torch.lerp(predicted, pictures, K[:, None].to(pictures))
        noise = (1 - K).square() * self.prediction_noise(s) + K.square() * v
        losses = self.picture_loss.losses(fused) - self.correction * noise + self.picture_loss.penalties(theta)
        changed = (self.bowl.energy(pictures - place.picture) - v).clamp_min(v)
        error = (self.bowl.energy(pictures - predicted) - v).clamp_min(0.0) / changed
        return Trials(s, pictures, fused, losses.nan_to_num(nan=math.inf), noise, error)

    def _loss_here(self) -> float:
        """h at the present θ, without the part of noise."""
        place, loss = self.place, self.picture_loss
        noise = self.correction * place.picture_noise
        value = loss.losses(place.picture[None]) - noise + loss.penalties(place.theta[None])
        return float(value[0])

    def _fail(self) -> None:
        """Nothing was lower, or every render failed."""
        place, steps = self.place, self.settings.steps
        place.failures += 1
        if place.fresh:
            place.sigma *= steps.shrink
        if place.failures >= steps.patience:
            place.converged = place.phase == STEP
            place.failed = not place.converged

    def _cleaned(self, images: Tensor) -> Tensor:
        """Images [B, ...] as rows [B, m] of finite numbers: what is not finite is taken to be unchanged."""
        pictures = images.flatten(1).float()
        known = self.place.picture if len(self.place.picture) else self.picture_loss.reference.reshape(-1).to(pictures)
        return torch.where(pictures.isfinite(), pictures, known)

    def admissible(self, theta: Tensor) -> Tensor:
        """θ [..., n] inside the bounds, integers, binaries and choices on their lattice."""
        return self.problem.on_lattice(theta)

    def predict_images(self, theta: Tensor) -> Tensor:
        """The predicted pictures [B, m] at θ [B, n]."""
        return self.place.picture + self.change(theta - self.place.theta)

    def predict(self, theta: Tensor) -> Tensor:
        """The modelled loss [B] at θ [B, n]."""
        return self.picture_loss.losses(self.predict_images(theta)) + self.picture_loss.penalties(theta)

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of the modelled loss at θ [n]."""
        bowl = self.picture_loss.bowl(self.predict_images(theta[None])[0])
        return self.quadratic(theta - self.place.theta, bowl)[0]

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on with the same bits, as tensors and plain values."""
        own = {field.name: getattr(self.state, field.name) for field in fields(self.state)}
        return {"place": self.place.state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, value in state.items():
            if name == "place":
                self.place.load_state_dict(value)
            else:
                setattr(self.state, name, value)
