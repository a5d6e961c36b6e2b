"""Photos explained by two threads, whose engines use one core each, with a progress bar."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import candor


def main() -> None:
    model = candor.scenes.model(threads=1)
    photos = candor.scenes.photos()

    def explained(name: str) -> str:
        result = model.explain(photos[name], "top1", iterations=50).classes[0]
        return f"{name}: {result.class_name}, {result.verdict}"

    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(explained, photos):
            print(line)


if __name__ == "__main__":
    main()
