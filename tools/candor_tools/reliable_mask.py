"""The reliable mask (book/src/explanation/evidence.md) in plain PyTorch: the reference for goldens and timings.

For image x and query c, masks m_l in [0, 1] of shape 1×H_l×W_l on inner values a_l minimise

    (o_c(S(x; m)) − t)², t = max(o_c(S(x)), n_c), zero below n_c where t = n_c, + λ Σ_l t_l · (C_l / channels of m_l) · ‖m_l‖₁

with o_c(S) = S_c − logsumexp_{k≠c} S_k, n_c = o_c(S(x; 0)), t_l = 1/sqrt(H_l·W_l); spatial masks have one channel, so that
level l has the weight C_l/sqrt(H_l·W_l). Adam starts from ones and is followed by projection onto [0, 1] after each step.

Conventions where the formula leaves a choice: ‖m‖₁ = Σ m (so its gradient is 1 at m = 0 too), and no gradient flows
through max(o, n) where o < n.

The queries of one image are a batch: their losses are summed and Adam works entry by entry, so that each is independent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from candor_tools.onnx_torch import OnnxModule

Tensor = torch.Tensor
LEVEL_OPERATORS = ("Relu", "Clip", "LeakyRelu", "Concat")


def find_levels(module: OnnxModule) -> list[str]:
    """The last activation of each spatial size through which every path from input to output passes."""
    dominating = module.dominating()
    operator = {o: n.op_type for n in module.nodes for o in n.outputs}
    with torch.no_grad():
        results = module.run({module.input: torch.zeros(module.input_shape, dtype=module.dtype)}, dominating)
    last: dict[tuple, str] = {}
    for name, result in zip(dominating, results):
        if result.dim() == 4 and result.shape[2] * result.shape[3] > 1 and operator[name] in LEVEL_OPERATORS:
            last[tuple(result.shape[2:])] = name
    return list(last.values())


def places(a: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of a value: N×C×H×W, or tokens N×T×C on a square grid after those without a position."""
    if a.dim() == 4:
        return tuple(a.shape[1:])
    side = int(a.shape[1] ** 0.5)
    return a.shape[2], side, side


def lay(mask: Tensor, a: Tensor) -> Tensor:
    """A mask N×1×H×W arranged for the axes of a value. Tokens without a position are kept."""
    if a.dim() == 4:
        return mask
    rows = mask.flatten(2).transpose(1, 2)
    return torch.nn.functional.pad(rows, (0, 0, a.shape[1] - rows.shape[1], 0), value=1.0)


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """o_c of each row: N×K logits and N classes give N values."""
    chosen = logits.gather(1, classes[:, None])
    others = logits.masked_fill(torch.zeros_like(logits, dtype=torch.bool).scatter(1, classes[:, None], True), -torch.inf)
    return chosen[:, 0] - others.logsumexp(1)


@dataclass
class MaskRun:
    """Result of learning the masks: B queries, masks B×1×H_l×W_l."""

    levels: list[str]
    log_odds: Tensor
    null_log_odds: Tensor
    l1_weights: list[float]
    masks: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    """Total loss of each query before each step (B values an iteration), then of the final masks if asked for."""
    gradients: dict[int, list[Tensor]] = field(default_factory=dict)
    """Gradients with respect to the masks at the iterations in `keep_gradients`."""


class ReliableMask:
    """Learns spatial masks at `levels` of a module; the graph before the first masked value runs once per image. `compiled`: run each step
    through torch.compile."""

    def __init__(
        self,
        module: OnnxModule,
        levels: list[str],
        lambda_: float = 0.05,
        learning_rate: float = 0.05,
        beta2: float = 0.999,
        compiled: bool = False,
    ):
        self.module, self.levels = module, list(levels)
        self.compiled = compiled
        self.lambda_, self.learning_rate, self.beta2 = lambda_, learning_rate, beta2
        self.frontier = self._frontier()

    def _frontier(self) -> list[str]:
        """Values that no mask affects and that are inputs of something that a mask affects (masked values before masking)."""
        masked = set(self.levels)
        unknown = masked - {o for n in self.module.nodes for o in n.outputs}
        if unknown:
            raise KeyError(f"no such values: {sorted(unknown)}")
        changed, frontier = set(), []
        for node in self.module.nodes:
            if any(i in changed or i in masked for i in node.inputs):
                changed.update(node.outputs)
        for node in self.module.nodes:
            if changed.intersection(node.outputs):
                unchanged = (i for i in node.inputs if i and i not in changed and i not in self.module.constants)
                frontier.extend(i for i in unchanged if i not in frontier)
        return frontier

    def learn(
        self,
        x: Tensor,
        classes: Tensor,
        iterations: int,
        keep_gradients: tuple[int, ...] = (),
        final_loss: bool = False,
    ) -> MaskRun:
        """Masks of image x (1×C×H×W) for B classes."""
        module, output = self.module, self.module.output
        if module.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        queries = len(classes)
        with torch.no_grad():
            *prefix, logits = module.run({module.input: x}, [*self.frontier, output])
            feeds = dict(zip(self.frontier, prefix))
            shapes = [places(a) for a in module.run(feeds, self.levels)]
            zeroed = {
                level: lambda a, s=s: a * lay(torch.zeros(len(a), 1, *s[1:], dtype=a.dtype, device=a.device), a)
                for level, s in zip(self.levels, shapes)
            }
            null_logits = module.run(feeds, [output], zeroed)[0]
            original = log_odds(logits.expand(queries, -1), classes)
            null = log_odds(null_logits.expand(queries, -1), classes)
            target = torch.maximum(original, null)
        feeds = {k: v.expand(queries, *v.shape[1:]) for k, v in feeds.items()}
        weights = [self.lambda_ * s[0] / (s[1] * s[2]) ** 0.5 for s in shapes]
        ones = {"dtype": x.dtype, "device": x.device, "requires_grad": True}
        masks = [torch.ones(queries, 1, *s[1:], **ones) for s in shapes]
        hooks = {level: lambda a, m=m: a * lay(m, a) for level, m in zip(self.levels, masks)}
        optimiser = torch.optim.Adam(masks, lr=self.learning_rate, betas=(0.9, self.beta2))
        run = MaskRun(self.levels, original, null, weights)

        def loss_of_each_query() -> Tensor:
            kept = log_odds(module.run(feeds, [output], hooks)[0], classes)
            distance = (torch.where((kept < null) & (target <= null), null, kept) - target) ** 2
            return distance + sum(w * m.sum((1, 2, 3)) for w, m in zip(weights, masks))

        forward = torch.compile(loss_of_each_query, dynamic=False) if self.compiled else loss_of_each_query
        for iteration in range(iterations):
            loss = forward()
            optimiser.zero_grad()
            loss.sum().backward()
            run.losses.append(loss.detach())
            if iteration in keep_gradients:
                run.gradients[iteration] = [m.grad.clone() for m in masks]
            optimiser.step()
            with torch.no_grad():
                for mask in masks:
                    mask.clamp_(0.0, 1.0)
        if final_loss:
            with torch.no_grad():
                run.losses.append(loss_of_each_query())
        run.masks = [m.detach() for m in masks]
        return run
