"""ZeroGrads that sees the picture: the surrogate predicts the image, and the known loss is applied to the prediction.

A renderer returns ten thousand numbers. A method that is told one of them, the loss, cannot know n parameters from
fewer than about n renders; one that sees them all can. Two surrogates, for two shapes of problem:

    n ≤ 32                              dense: n + 3 renders say how each parameter changes the picture, then steps
    more, each moves its own pixels     footprints: ten to a hundred renders say which pixels, then steps
    more, n ≤ 200, each moves all       dense, which goes on with the renders that footprints have used
    else, or where the steps end        the default that is told losses (`zg.zerograds.method`), from the best θ known;
                                        from the start where that is a minimum that leaves a tenth of the loss

What comes last looks for other minima, and for what a linear picture cannot predict. It never makes the result worse:
without noise the best θ that was rendered is recommended; with noise the θ that the steps have found, until one from
the loss-only default is lower when both are rendered side by side.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, nearest
from zg.ledger import Evaluation
from zg.method import Method, Range, Sample
from zg.zerograds.method import AUTO, ZeroGrads, settings_of
from zg.zerograds.parts.gate import Gate
from zg.zerograds.parts.noise import differ
from zg.zerograds.pictures.base import PictureSurrogate
from zg.zerograds.pictures.bowl import PictureLoss
from zg.zerograds.pictures.dense import Dense
from zg.zerograds.pictures.footprints import Footprints

#: n up to which differences along every axis cost less than codes, and up to which n pictures are cheap.
FEW, SOME = 32, 200
#: Renders of each of two θ that are compared under noise; the next comparison is after twice the renders.
SIDE_BY_SIDE = 3
LOSSES, PICTURE = "losses", "picture"
PICTURED: dict[str, type[PictureSurrogate]] = {"dense": Dense, "footprints": Footprints}


@dataclass(frozen=True)
class Foreseen:
    """A prediction made before the render: θ [n] and its image [...]."""

    theta: Tensor
    image: Tensor


class ImageZeroGrads(Method):
    """The default where the image and the loss are known: nothing has to be set.

    sigma: length of the first probes, in scaled units. surrogate: auto, dense or footprints. options: settings of the
    surrogate that is named (`Settings` in `zg/zerograds/pictures`). Raises SettingError for an unknown name or option.

    Without a reference there is no picture to see, and without derivatives of the loss in the image, or of the
    regulariser in x, the picture is of no use: the loss-only default then runs from the start.
    """

    feedback = "image"
    ranges: ClassVar = {"sigma": Range(0.003, 0.5, log=True)}

    def __init__(self, sigma: float = 0.05, surrogate: str = AUTO, options: dict[str, Any] | None = None) -> None:
        check_positive(sigma=sigma)
        if surrogate not in (AUTO, *PICTURED):
            raise SettingError(f"surrogate '{surrogate}' is unknown{nearest(str(surrogate), (AUTO, *PICTURED))}")
        if surrogate == AUTO and options:
            raise SettingError(f"options must go with a surrogate by name, got 'auto' with {', '.join(options)}")
        self.sigma, self.wanted = sigma, surrogate
        self.settings = (
            None if surrogate == AUTO else settings_of(PICTURED[surrogate].Settings, options or {}, surrogate)
        )

    def build(self, theta: Tensor) -> None:
        self.present = self.wanted
        if self.wanted == AUTO:
            self.present = "dense" if self.problem.n <= FEW else "footprints"
        self.resolved = self.present
        self.surrogate = self._make(self.present, theta)
        self.loss_only: ZeroGrads | None = None
        self.is_solved = False
        #: What was predicted of the best θ before it was rendered, if it was.
        self.expected: Foreseen | None = None
        #: Under noise: the θ [n] to beat, when it is next rendered beside another one, and whether that is now.
        self.champion, self.next_duel, self.is_duel = theta.clone(), 0, False
        self.gate = Gate(theta[None][:0])

    def ask(self) -> Tensor:
        if self.is_duel:
            return torch.stack([self.champion, self._challenger()]).repeat(SIDE_BY_SIDE, 1)
        return self.surrogate.ask() if self.loss_only is None else self.loss_only.ask()

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        if self.loss_only is None:
            self._see(theta, evaluation)
        elif self.is_duel:
            self._judge(theta, evaluation.losses)
        else:
            self.loss_only.tell(theta, evaluation)
            self._call_duel()

    @property
    def asynchronous(self) -> bool:
        """The surrogates of the picture take results as they come. The loss-only default may wait for whole batches."""
        return True

    def ask_one(self) -> Sample | None:
        if self.loss_only is not None and not self.is_duel:
            return self.loss_only.ask_one()
        if not self.gate.is_open:
            rows = self.ask()
            self.gate.begin(rows, *((len(rows), 0.0) if self.is_duel else self.surrogate.waits_for(len(rows))))
        return self.gate.next(surrogate=PICTURE)

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        if sample.origin["surrogate"] != PICTURE:
            assert self.loss_only is not None
            self.loss_only.tell_one(sample, evaluation)
            if not self.loss_only.gate.is_open:
                self._call_duel()
        elif not self.gate.enter(sample, evaluation):
            if self.loss_only is None and evaluation.valid[0] and evaluation.images is not None:
                self._show_loss(evaluation)
                self.surrogate.tell_late(sample.theta, evaluation.images)
        elif not self.gate.is_open:
            rows, known = self.gate.collected(evaluation.reference)
            if self.loss_only is None and not self.surrogate.is_enough(known.losses) and self.gate.reopen():
                return
            self.tell(rows, known)

    def recommend(self) -> Tensor:
        if self.is_noisy:
            return self.champion if self.loss_only is not None else self.surrogate.theta
        return self.ledger.best_theta

    @property
    def is_noisy(self) -> bool:
        """Whether two renders of the start differed."""
        return self.problem.noisy

    def predict(self, theta: Tensor) -> Tensor | None:
        if self.loss_only is not None:
            return self.loss_only.predict(theta)
        return self.surrogate.predict(theta) if self.has_model else None

    def surrogate_gradient(self, theta: Tensor) -> Tensor | None:
        if self.loss_only is not None:
            return self.loss_only.surrogate_gradient(theta)
        return self.surrogate.gradient(theta) if self.has_model else None

    def predict_image(self, theta: Tensor) -> Tensor | None:
        if not (self.is_at_work and self.has_model):
            return None
        return self.surrogate.predict_images(theta).reshape(len(theta), *self.surrogate.picture_loss.reference.shape)

    def foreseen(self, theta: Tensor) -> Tensor | None:
        is_known = self.expected is not None and same(self.expected.theta[None], theta).item()
        return self.expected.image if self.expected is not None and is_known else None

    def influence(self, weights: Tensor) -> Tensor | None:
        if not (self.is_at_work and self.has_model):
            return None
        return self.surrogate.influence(weights).reshape(-1, *self.surrogate.picture_loss.reference.shape)

    @property
    def has_model(self) -> bool:
        """Whether the surrogate of the picture predicts something (after a checkpoint: from the next batch on)."""
        return self.surrogate.has_model and hasattr(self.surrogate, "picture_loss")

    @property
    def is_at_work(self) -> bool:
        """Whether θ comes from the surrogate of the picture: it has not given way, or it has ended at the reference."""
        return self.loss_only is None or self.is_solved

    def finished(self) -> str | None:
        if self.is_solved:
            return "converged"
        return None if self.loss_only is None else self.loss_only.finished()

    def status(self) -> dict[str, float]:
        if self.loss_only is not None:
            return self.loss_only.status()
        place = self.surrogate.place
        return {"sigma": place.sigma, "damping": place.damping, "picture_error": place.error}

    def state(self) -> dict[str, Any]:
        one_by_one = {"gate": self.gate.state_dict()} if self.problem.asynchronous else {}
        return one_by_one | {
            "present": self.present,
            "seeing": next(name for name, kind in PICTURED.items() if type(self.surrogate) is kind),
            "surrogate": self.surrogate.state_dict() if self.is_at_work else None,
            "expected": None if self.expected is None else asdict(self.expected),
            "loss_only": None if self.loss_only is None else self.loss_only.state(),
            "noisy": self.problem.noisy,
            "is_solved": self.is_solved,
            "champion": self.champion,
            "next_duel": self.next_duel,
            "is_duel": self.is_duel,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        drawn = self.generator.get_state()  # making a surrogate may draw
        self.problem = self.problem.with_noise(state["noisy"])
        if state["surrogate"] is not None:
            self.surrogate = self._make(state["seeing"], state["champion"])
            self.surrogate.load_state_dict(state["surrogate"])
        if state["loss_only"] is not None:
            self._begin_loss_only(state["champion"], state["champion"])
            assert self.loss_only is not None
            self.loss_only.load_state(state["loss_only"])
        self.present = self.resolved = state["present"]
        self.champion, self.is_solved = state["champion"], state["is_solved"]
        self.expected = None if state["expected"] is None else Foreseen(**state["expected"])
        self.next_duel, self.is_duel = state["next_duel"], state["is_duel"]
        if "gate" in state:
            self.gate.load_state_dict(state["gate"])
        self.generator.set_state(drawn)

    def _make(self, name: str, theta: Tensor) -> PictureSurrogate:
        settings = self.settings if name == self.wanted else None
        return PICTURED[name](self.problem, theta, self.sigma, settings)

    def _see(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Tell the surrogate of the picture, and put another one to work where it has ended."""
        losses = evaluation.losses
        is_start = self.surrogate.is_start
        if is_start and len(losses) == 2:
            self.problem = self.problem.with_noise(differ(losses[0], losses[1]))
        if evaluation.reference is None or evaluation.images is None or self.problem.image_loss is None:
            return self._begin_loss_only(theta[0], theta[0])
        self._show_loss(evaluation)
        if is_start and not self.surrogate.picture_loss.is_differentiable(theta[0]):
            return self._begin_loss_only(theta[0], theta[0])
        predicted = self.surrogate.predict_images(theta) if self.has_model else None
        self.surrogate.tell(theta, evaluation.images, evaluation.valid)
        if predicted is not None:
            self._remember(theta, predicted.reshape(evaluation.images.shape))
        if not (self.surrogate.place.failed or self.surrogate.place.converged):
            return
        before = self.surrogate
        self.is_solved = not before.is_start and before.is_solved
        goes_dense = self.wanted == AUTO and isinstance(before, Footprints) and self.problem.n <= SOME
        if goes_dense and before.place.failed and not before.is_start:
            self.present = self.resolved = "dense"
            self.surrogate = Dense.after(before, self.problem)
        if self.surrogate.place.failed or self.surrogate.place.converged:
            best = before.theta if self.is_noisy else self.ledger.best_theta
            is_poor = self.surrogate.place.converged and before.leaves_much
            self._begin_loss_only(best, self.problem.project(self.space.init) if is_poor else best)

    def _show_loss(self, evaluation: Evaluation) -> None:
        """Give the surrogate of the picture the loss by the reference of an evaluation."""
        assert self.problem.image_loss is not None and evaluation.reference is not None
        self.surrogate.picture_loss = PictureLoss(self.problem.image_loss, evaluation.reference, self.space)

    def _remember(self, theta: Tensor, predicted: Tensor) -> None:
        """Keep what was predicted [B, ...] of the rows θ [B, n] before they were rendered, if one is now the best."""
        is_best = same(theta, self.recommend())
        if is_best.any():
            row = int(is_best.int().argmax())
            self.expected = Foreseen(theta[row].clone(), predicted[row].clone())

    def _begin_loss_only(self, best: Tensor, theta: Tensor) -> None:
        """Let the loss-only default go on from θ [n]; best: the best θ [n] known."""
        if not self.is_solved:
            self.present = self.resolved = LOSSES
        self.champion = best.clone()
        self.next_duel = 2 * self.ledger.renders
        self.loss_only = ZeroGrads(self.sigma)
        self.loss_only.go_on(replace(self.problem, image_loss=None), self.ledger, theta)

    def _challenger(self) -> Tensor:
        assert self.loss_only is not None
        return self.loss_only.recommend()

    def _call_duel(self) -> None:
        """Whether the next renders are a comparison of two θ."""
        is_time = self.is_noisy and self.ledger.renders >= self.next_duel
        self.is_duel = is_time and not torch.equal(self._challenger(), self.champion)

    def _judge(self, theta: Tensor, losses: Tensor) -> None:
        """Keep the better one of two θ, rendered in turn [2 k, n]."""
        self.is_duel, self.next_duel = False, 2 * self.ledger.renders
        pairs = losses[: len(losses) // 2 * 2].reshape(-1, 2)
        if len(pairs) and float((pairs[:, 1] - pairs[:, 0]).nanmean()) < 0:
            self.champion = theta[1].clone()


def same(theta: Tensor, other: Tensor) -> Tensor:
    """Whether θ [B, n] is the other one [n], up to rounding: [B] bool."""
    return torch.isclose(theta, other, rtol=1e-5, atol=1e-7).all(1)
