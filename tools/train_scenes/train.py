"""Trains the embedded model on scenes and writes it as ONNX.

    python tools/train_scenes/train.py --out crates/candor-scenes/assets/scenes.onnx [--cache DIR]

The target of a scene is uniform over the classes in it, and uniform over all classes if it has no object: odds
above chance then mean an object, and without it the class loses its odds. Measure the result with evaluate.py.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from data import FIRST_TRAINING_SEED, Request, Scenes, draw, join, labels
from export import save
from network import Network

BATCH = 96
SMALL = 64  # height and width of the small scenes in pixels


def small_scenes() -> list[Request]:
    """One or two objects with as many pixels as later, in scenes a third as large: three times as many steps per second."""
    start = FIRST_TRAINING_SEED + 1_000_000
    return [
        Request(17_000, start, SMALL, 1, 1, 0.35, 0.8),
        Request(5_000, start + 100_000, SMALL, 1, 2, 0.35, 0.8),
        Request(2_000, start + 200_000, SMALL, 0, 0, 0.35, 0.8),
    ]


def scenes() -> list[Request]:
    """Scenes like those to be classified: with one object, several, or none, some drawn larger and reduced."""
    start = FIRST_TRAINING_SEED
    return [
        Request(16_000, start, 112, 1, 1),
        Request(16_000, start + 100_000, 112, 1, 4),
        Request(3_000, start + 200_000, 112, 0, 0),
        Request(3_000, start + 300_000, 168, 1, 4),
        Request(3_000, start + 400_000, 224, 1, 2),
    ]


def targets(present: torch.Tensor) -> torch.Tensor:
    """N×K distributions: uniform over the present classes, or over all if there are none."""
    count = present.sum(1, keepdim=True)
    return torch.where(count > 0, present / count.clamp(min=1), torch.full_like(present, 1 / present.shape[1]))


def augmented(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """N×3×H×W in 0..255 to −1..1, mirrored, shifted, with other brightness and contrast and a little noise."""
    x = images.float() / 127.5 - 1
    if torch.rand((), generator=random) < 0.5:
        x = x.flip(3)
    side = x.shape[2]
    most = side // 18
    dx, dy = torch.randint(0, 2 * most + 1, (2,), generator=random).tolist()
    x = functional.pad(x, (most,) * 4, mode="reflect")[:, :, dy : dy + side, dx : dx + side]
    each = (len(x), 1, 1, 1)
    contrast = 1 + 0.25 * (2 * torch.rand(each, generator=random) - 1)
    brightness = 0.2 * (2 * torch.rand(each, generator=random) - 1)
    noise = 0.06 * torch.rand(each, generator=random) * torch.randn(x.shape, generator=random)
    return (x * contrast + brightness + noise).clamp(-1, 1)


def train(network: Network, drawn: Scenes, epochs: int, rate: float, random: torch.Generator) -> None:
    """AdamW under a one-cycle schedule whose highest learning rate is `rate`."""
    images = torch.from_numpy(drawn.images).permute(0, 3, 1, 2)
    wanted = targets(torch.from_numpy(drawn.present.astype(np.float32)))
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * steps, pct_start=0.2)
    start = time.time()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images), generator=random)
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            x = augmented(images[chosen], random).contiguous(memory_format=torch.channels_last)
            loss = functional.cross_entropy(network(x), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            if step % 100 == 99:
                done = epoch + (step + 1) / steps
                print(f"epoch {done:.2f} loss {total / (step + 1):.4f} {time.time() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="the ONNX file to write")
    parser.add_argument("--cache", type=Path, help="folder that keeps the scenes; a temporary one by default")
    parser.add_argument("--start", type=Path, help="begin with this state instead of training on small scenes")
    parser.add_argument("--small-epochs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random = torch.Generator().manual_seed(arguments.seed)
    network = Network(len(labels())).to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as temporary:
        cache = arguments.cache or Path(temporary)
        if arguments.start:
            network.load_state_dict(torch.load(arguments.start))
        else:
            drawn = join([draw(request, cache, SMALL) for request in small_scenes()])
            train(network, drawn, arguments.small_epochs, 6e-3, random)
            torch.save(network.state_dict(), cache / "small.pt")
        drawn = join([draw(request, cache) for request in scenes()])
        train(network, drawn, arguments.epochs, 4e-3, random)
        torch.save(network.state_dict(), cache / "scenes.pt")
    network.eval()
    save(network, arguments.out)


if __name__ == "__main__":
    main()
