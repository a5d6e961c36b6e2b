"""A small vision transformer, and attention-based maps of it for an input.

    python tools/goldens/transformer.py      writes crates/candor/tests/data/transformer.onnx and
                                             crates/candor/tests/golden/transformer.json

The network is a ViT with random weights: 32×32 pixels, 16 patches and a class token, four blocks of three heads, ten classes.
The maps are computed in float64 from whole T×T relevance matrices, as the papers define them:

    rollout             Π_l (mean over heads of A_l + 1) / 2            Abnar and Zuidema 2020
    gradient_weighted   R ← R + mean over heads of (∂S_c/∂A_l ⊙ A_l)⁺ R   Chefer, Gur, Wolf 2021, equations 5 and 6

and read from the row of the class token, on the grid of patches.
"""

import json

import torch
from torch import nn

from candor_tools.checkout import ROOT
from candor_tools.deterministic import INCREMENT, MULTIPLIER, noise_image

TESTS = ROOT / "crates/candor/tests"
SIZE, PATCH, WIDTH, HEADS, DEPTH, CLASSES = 32, 8, 24, 3, 4, 10
QUERIES = [0, 7]


class Block(nn.Module):
    """x + attention(norm(x)), then + mlp(norm(x)). `probabilities` keeps the last attention, N×heads×T×T."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.probabilities = None

    def forward(self, x):
        tokens = x.shape[1]
        parts = self.qkv(self.norm1(x)).reshape(-1, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = parts[0], parts[1], parts[2]
        self.probabilities = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        mixed = (self.probabilities @ v).transpose(1, 2).reshape(-1, tokens, WIDTH)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """N×3×32×32 → N×10 logits, read from the class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, 1 + (SIZE // PATCH) ** 2, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def maps(network: Transformer, image: torch.Tensor, query: int) -> dict[str, list[float]]:
    """Both maps of a class on the grid of patches, row by row."""
    logits = network(image)
    attention = [block.probabilities for block in network.blocks]
    gradients = torch.autograd.grad(logits[0, query], attention)
    one = torch.eye(attention[0].shape[-1], dtype=image.dtype)
    rollout, relevance = one, one
    for a, g in zip(attention, gradients, strict=True):
        rollout = (a[0].mean(0) + one) / 2 @ rollout
        relevance = relevance + (a * g)[0].clamp(min=0).mean(0) @ relevance
    return {"rollout": rollout[0, 1:].tolist(), "gradient_weighted": relevance[0, 1:].tolist()}


def main() -> None:
    torch.manual_seed(0)
    network = Transformer().eval()
    # Larger weights than PyTorch's default, so that attention is not nearly uniform.
    with torch.no_grad():
        for block in network.blocks:
            block.qkv.weight.mul_(3)
    path = TESTS / "data/transformer.onnx"
    example = torch.zeros(1, 3, SIZE, SIZE)
    names = {"input_names": ["input"], "output_names": ["logits"], "dynamic_axes": {"input": {0: "n"}, "logits": {0: "n"}}}
    torch.onnx.export(network, (example,), path, dynamo=False, opset_version=18, **names)
    network = network.double()
    given = {"multiplier": MULTIPLIER, "increment": INCREMENT, "scrambled": True, "amplitude": 2.0, "offset": 0.0}
    image = noise_image([1, 3, SIZE, SIZE], 2.0, 0.0, INCREMENT, scrambled=True)
    image = torch.from_numpy(image).double()
    golden = {"input": given, "logits": network(image)[0].tolist(), "grid": SIZE // PATCH}
    golden["queries"] = [{"class": query, **maps(network, image, query)} for query in QUERIES]
    (TESTS / "golden/transformer.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
